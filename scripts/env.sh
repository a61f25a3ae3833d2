# What a Go command needs to build and test linectl outside make: `. scripts/env.sh`
root=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)
. "$root/scripts/versions.sh"

# Without a Go of at least the version in go.mod, set-up unpacks one here.
if [ -x "$root/.tools/go/bin/go" ]; then
	case ":$PATH:" in *":$root/.tools/go/bin:"*) ;; *) PATH="$root/.tools/go/bin:$PATH" ;; esac
	export PATH
fi

# Never another toolchain than the one that set-up has checked; and C code there is: OpenCV, SQLite.
export GOTOOLCHAIN=local CGO_ENABLED=1

# The tags make GoCV link only the modules that linectl uses. The version is stamped by the Makefile,
# so the checkout is never asked for it: git refuses where another user owns the folder.
linectl_flags="-tags=gocv_specific_modules,gocv_videoio -buildvcs=false"
case " ${GOFLAGS:-} " in *" $linectl_flags "*) ;; *) GOFLAGS="${GOFLAGS:+$GOFLAGS }$linectl_flags" ;; esac
export GOFLAGS
unset linectl_flags

case ":${PKG_CONFIG_PATH:-}:" in
*":$root/scripts/pkgconfig:"*) ;;
*) PKG_CONFIG_PATH="$root/scripts/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}" ;;
esac
export PKG_CONFIG_PATH

export LINECTL_ONNXRUNTIME="$root/.tools/onnxruntime/$ONNXRUNTIME_LIBRARY"
