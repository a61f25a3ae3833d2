# ONNX Runtime's library, in the build that knows a device. Sourced by setup.sh.

# runtime DEVICE: cpu, openvino or cuda (TensorRT comes with it), below .tools. Libraries of NVIDIA and drivers
# are the system's: docs/devices.md lists them.
runtime() {
	local device=$1 wheel version wheel_sha256 library_sha256 folder=$tools/onnxruntime-$1
	case $device in
	cpu)
		wheel=onnxruntime version=$ONNXRUNTIME_VERSION folder=$tools/onnxruntime
		wheel_sha256=$ONNXRUNTIME_WHEEL_SHA256 library_sha256=$ONNXRUNTIME_LIBRARY_SHA256
		;;
	openvino)
		wheel=onnxruntime-openvino version=$ONNXRUNTIME_OPENVINO_VERSION
		wheel_sha256=$ONNXRUNTIME_OPENVINO_WHEEL_SHA256 library_sha256=$ONNXRUNTIME_OPENVINO_LIBRARY_SHA256
		;;
	cuda)
		wheel=onnxruntime-gpu version=$ONNXRUNTIME_CUDA_VERSION
		wheel_sha256=$ONNXRUNTIME_CUDA_WHEEL_SHA256 library_sha256=$ONNXRUNTIME_CUDA_LIBRARY_SHA256
		;;
	*) fail "there is no ONNX Runtime for '$device'" "choose cpu, openvino or cuda; the one for cuda knows tensorrt too" ;;
	esac
	local library=libonnxruntime.so.$version
	if runtime_is_whole "$folder" "$library" "$library_sha256"; then return; fi

	local new=$work/onnxruntime-$device
	mkdir -p "$new/keep"
	# Which Python the wheel is for does not matter: only the C libraries are taken out of it.
	fetch_wheel "$new" "$wheel" "$version" "$wheel_sha256" \
		--python-version 3.12 --implementation cp --abi cp312 --platform manylinux_2_28_x86_64
	mv "$new"/onnxruntime/capi/lib*.so* "$new/onnxruntime/LICENSE" "$new/onnxruntime/ThirdPartyNotices.txt" "$new/keep/"
	# A wheel holds no links, so OpenVINO's libraries are there three times; each is loaded by its short number.
	local file
	for file in "$new"/keep/libopenvino*.so.[0-9]*.*; do
		if [ -e "$file" ]; then rm -f "$file" "${file%%.so.*}.so"; fi
	done
	rm -rf "$folder"
	mv "$new/keep" "$folder"
	runtime_is_whole "$folder" "$library" "$library_sha256" ||
		fail "$folder/$library has the wrong checksum" "compare scripts/versions.sh with the wheel of $wheel $version"
}

# runtime_is_whole FOLDER LIBRARY SHA256
runtime_is_whole() {
	echo "$3  $1/$2" | sha256sum --check --status 2>/dev/null && [ -e "$1/LICENSE" ]
}
