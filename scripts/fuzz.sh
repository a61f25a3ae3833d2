#!/bin/bash
# Runs every fuzz test for a short while, one after another: go test takes one at a time.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

time=${1:?usage: scripts/fuzz.sh TIME}
for package in $(go list ./...); do
	for name in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		printf 'fuzz: %s %s\n' "$package" "$name"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$package" </dev/null
	done
done
