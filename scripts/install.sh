#!/bin/bash
# Puts what `make build` made into its places, or takes it away again: install.sh install|uninstall.
#
#   PREFIX   /usr/local unless given: program, library, backbones and unit lie below it
#   DESTDIR  goes before every path, for packaging; users and services are then left alone
#   FROM     the folder that was built; bin/ unless given
#
# The config is written only where there is none. Uninstalling keeps the config and all that the line has
# recorded: those are the plant's, not the program's.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
from=${FROM:-$root/bin}
prefix=${PREFIX:-/usr/local}
destination=${DESTDIR:-}

program=$prefix/bin/linectl
library=$prefix/lib/linectl # linectl looks in ../lib/linectl and ../share/linectl from where it lies
share=$prefix/share/linectl
units=$prefix/lib/systemd/system
user=/usr/lib/sysusers.d/linectl.conf # systemd reads no other place below /usr
config=/etc/linectl/linectl.toml

fail() {
	printf 'install: %s\ninstall: hint: %s\n' "$1" "$2" >&2
	exit 1
}

# live tells whether this very machine is meant, and not a package's folder.
live() { [ -z "$destination" ]; }

# managed tells whether systemd runs here.
managed() { live && [ -d /run/systemd/system ]; }

put() { # MODE FILE PATH
	install -D -m "$1" "$2" "$destination$3"
	printf 'install: %s\n' "$destination$3"
}

install_all() {
	[ -x "$from/linectl" ] || fail "$from/linectl is not there" "run 'make build' first, as the user who owns the checkout"
	put 755 "$from/linectl" "$program"
	local file
	# Other devices than the CPU have folders of their own there.
	while IFS= read -r file; do put 644 "$from/lib/$file" "$library/$file"; done < <(cd "$from/lib" && find . -type f -printf '%P\n' | sort)
	for file in "$from"/backbones/*; do put 644 "$file" "$share/backbones/${file##*/}"; done
	put 644 "$root/systemd/linectl.sysusers" "$user"
	for file in linectl.service linectl-backup.service linectl-backup.timer; do
		put 644 "$root/systemd/$file" "$units/$file"
		sed -i "s#^ExecStart=/usr/bin/linectl#ExecStart=$program#" "$destination$units/$file"
	done
	if live && command -v systemd-sysusers >/dev/null; then systemd-sysusers "$user"; fi
	# Recipes and certificates are made before the service first starts, and by its user.
	if live && getent passwd linectl >/dev/null; then install -d -o linectl -g linectl -m 750 /var/lib/linectl; fi
	if [ -e "$destination$config" ]; then
		printf 'install: %s is kept as it is\n' "$destination$config"
	else
		# It may hold a password for the PLC.
		put 640 "$root/configs/linectl.toml" "$config"
		if live && getent group linectl >/dev/null; then chgrp linectl "$config"; fi
	fi
	if live; then printf 'install: next: edit %s, then: sudo -u linectl linectl check\n' "$config"; fi
	if managed; then
		systemctl daemon-reload
		printf 'install: and once there are a recipe and certificates: systemctl enable --now linectl\n'
	fi
}

uninstall_all() {
	if managed; then systemctl disable --now linectl linectl-backup.timer || true; fi
	rm -f "$destination$program" "$destination$units"/linectl{.service,-backup.service,-backup.timer} "$destination$user"
	rm -rf "$destination$library" "$destination$share"
	if managed; then systemctl daemon-reload; fi
	printf 'uninstall: done; /etc/linectl and /var/lib/linectl are kept, and so is the user linectl\n'
}

if live && [ "$(id -u)" != 0 ]; then
	fail "installing into $prefix takes root" "sudo make ${1:-install}"
fi
case "${1:-}" in
install) install_all ;;
uninstall) uninstall_all ;;
*) fail "usage: install.sh install|uninstall" "see 'make help'" ;;
esac
