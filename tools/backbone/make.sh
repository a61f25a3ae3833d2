#!/usr/bin/env bash
# linectl's own networks, from nothing to backbones/*.onnx. PyTorch comes into a folder of its own below .tools/.
#
#   tools/backbone/make.sh [FLAGS]    renders, trains, exports, judges, keeps what is better; goes on where it was stopped
#   tools/backbone/make.sh check      a short form of it all that proves that the pipeline works (under a minute)
#   tools/backbone/make.sh judge …    AUROC of networks under plain PatchCore
#   tools/backbone/make.sh scores …   AUROC of other scores than the greatest patch distance, for one network
#   tools/backbone/make.sh latency …  how long networks take, --avx2 as on a processor without AVX-512
#   tools/backbone/make.sh install    what requirements.txt lists, and nothing else
#
# FLAGS: see `make.sh --help`. LINECTL_PYTHON names a Python that has what requirements.txt lists: nothing is installed then.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
place=$root/.tools/backbone
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE} # threads that spin while they wait cost a shared machine most of its time
export PYTHONDONTWRITEBYTECODE=1 # the checkout stays clean
python=${LINECTL_PYTHON:-python3}
if [ -z "${LINECTL_PYTHON:-}" ]; then
	# The packages hold code compiled for one Python.
	wanted=$({ cat "$here/requirements.txt"; python3 --version; } | sha256sum)
	if [ "$(cat "$place/packages/wanted" 2>/dev/null)" != "$wanted" ]; then
		echo "backbone: downloading PyTorch, ONNX and ONNX Runtime (4 GB with CUDA's libraries, which PyTorch brings)"
		mkdir -p "$place"
		rm -rf "$place"/work.new.*
		new=$(mktemp -d "$place/work.new.XXXXXX")
		trap 'rm -rf "$new"' EXIT
		python3 -m pip install --quiet --root-user-action=ignore --only-binary=:all: --disable-pip-version-check --progress-bar off \
			--target "$new" -r "$here/requirements.txt" </dev/null ||
			{ echo "backbone: hint: check the network and pip's settings ('pip config list'), and that 8 GB are free below $root" >&2; exit 1; }
		echo "$wanted" >"$new/wanted"
		rm -rf "$place/packages"
		mv "$new" "$place/packages"
		trap - EXIT
	fi
	export PYTHONPATH=$place/packages
fi
case "${1:-}" in
install) ;;
check) exec "$python" -W ignore "$here/check.py" ;;
judge) shift && exec "$python" -W ignore "$here/evaluate.py" "$@" ;;
latency) shift && exec "$python" -W ignore "$here/latency.py" "$@" ;;
scores) shift && exec "$python" -W ignore "$here/scores.py" "$@" ;;
*) exec "$python" -W ignore "$here/make.py" "$@" ;;
esac
