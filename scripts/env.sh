# What a Go command needs to build and test linectl outside make: `. scripts/env.sh`
root=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)
export CGO_ENABLED=1
export GOTOOLCHAIN=local
export GOFLAGS="-tags=gocv_specific_modules,gocv_videoio"
export PKG_CONFIG_PATH="$root/scripts/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
# Without a Go of at least the version in go.mod, set-up unpacks one here.
if [ -x "$root/.tools/go/bin/go" ]; then export PATH="$root/.tools/go/bin:$PATH"; fi
export LINECTL_ONNXRUNTIME="$root/.tools/onnxruntime/libonnxruntime.so.1.32.0"
