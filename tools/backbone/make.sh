#!/usr/bin/env bash
# linectl's own networks, from nothing to backbones/*.onnx. PyTorch comes into an environment of its own below .tools/.
#
#   tools/backbone/make.sh [FLAGS]    renders, trains, exports, judges, keeps what is better; goes on where it was stopped
#   tools/backbone/make.sh check      a short form of it all that proves that the pipeline works (under a minute)
#   tools/backbone/make.sh judge …    AUROC of networks under plain PatchCore
#
# FLAGS: see `make.sh --help`. LINECTL_PYTHON names a Python that has what requirements.txt lists: nothing is installed then.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE} # threads that spin while they wait cost a shared machine most of its time
export PYTHONDONTWRITEBYTECODE=1 # the checkout stays clean
python=${LINECTL_PYTHON:-$root/.tools/backbone/venv/bin/python}
if [ -z "${LINECTL_PYTHON:-}" ] && ! cmp -s "$here/requirements.txt" "$root/.tools/backbone/requirements.txt"; then
	echo "backbone: installing PyTorch, ONNX and ONNX Runtime; this takes minutes"
	python3 -m venv "$root/.tools/backbone/venv"
	"$python" -m pip install --quiet -r "$here/requirements.txt"
	cp "$here/requirements.txt" "$root/.tools/backbone/requirements.txt"
fi
case "${1:-}" in
check) exec "$python" -W ignore "$here/check.py" ;;
judge) shift && exec "$python" -W ignore "$here/evaluate.py" "$@" ;;
*) exec "$python" -W ignore "$here/make.py" "$@" ;;
esac
