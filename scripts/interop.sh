#!/bin/bash
# Brings two OPC UA servers that nobody of this project wrote, as PLCs for the tests: node-opcua and
# asyncua, into .tools/interop. What is there already in the right version is left alone.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
place=$root/.tools/interop
log=$root/.tools/interop.log

fail() {
	printf 'set-up: %s\n' "$1" >&2
	tail -n 5 "$log" | sed 's/^/    /' >&2
	printf 'set-up: hint: %s\n' "$2" >&2
	exit 1
}

# wanted FILE: what FILE asks for, for the Python that is here: its packages hold compiled code.
wanted() { { cat "$1"; python3 --version; } | sha256sum; }

# have NAME FILE: whether what FILE asks for lies in place.
have() { [ "$(cat "$place/$1/wanted" 2>/dev/null)" = "$(wanted "$2")" ]; }

# keep NAME FILE FOLDER: a whole installation gets its final name.
keep() {
	wanted "$2" >"$3/wanted"
	rm -rf "${place:?}/$1"
	mv "$3" "$place/$1"
}

mkdir -p "$place"
: >"$log"
work=$(mktemp -d "$place/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

file=$root/tools/interop/node/package-lock.json
if ! have node "$file"; then
	echo "set-up: downloading node-opcua"
	mkdir "$work/node"
	cp "$root/tools/interop/node/package.json" "$file" "$work/node/"
	(cd "$work/node" && npm ci --ignore-scripts --no-audit --no-fund) </dev/null >>"$log" 2>&1 ||
		fail "npm could not install node-opcua (all of it: $log)" "check the network and npm's settings ('npm config list')"
	keep node "$file" "$work/node"
fi

file=$root/tools/interop/asyncua/requirements.txt
if ! have asyncua "$file"; then
	echo "set-up: downloading asyncua"
	python3 -m pip install --no-deps --only-binary=:all: --disable-pip-version-check --progress-bar off \
		--target "$work/asyncua" -r "$file" </dev/null >>"$log" 2>&1 ||
		fail "pip could not install asyncua (all of it: $log)" "check the network and pip's settings ('pip config list')"
	keep asyncua "$file" "$work/asyncua"
fi
