#!/usr/bin/env bash
# linectl beside anomalib, which is installed into an environment of its own (about 6 GB below .tools/).
#
#   tools/parity/parity.sh golden            writes the golden files of the tests anew
#   tools/parity/parity.sh compare [FLAGS]   times both on the same backbone, bank and picture
set -euo pipefail
case "${1:-}" in
golden | compare) command=$1 && shift ;;
*)
	sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/scripts/env.sh"
environment=$root/.tools/parity
if ! cmp -s "$root/tools/parity/requirements.txt" "$environment/requirements.txt"; then
	echo "parity: installing anomalib, PyTorch, ONNX Runtime and OpenVINO; this takes minutes"
	python3 -m venv "$environment"
	"$environment/bin/pip" install --quiet -r "$root/tools/parity/requirements.txt"
	cp "$root/tools/parity/requirements.txt" "$environment/requirements.txt"
fi
cd "$root"
if [ "$command" = golden ]; then
	exec "$environment/bin/python" -W ignore tools/parity/golden.py internal/inspect
fi
go build -o "$environment/engine" ./tools/parity/engine
exec "$environment/bin/python" -W ignore tools/parity/compare.py --engine "$environment/engine" --folder "$environment/work" "$@"
