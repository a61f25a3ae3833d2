// Package format is the ONNX file format as Go types, generated from onnx.proto of ONNX 1.23.2
// (https://github.com/onnx/onnx/blob/v1.23.2/onnx/onnx.proto, Apache-2.0), which lies here unchanged.
//
// With protoc and protoc-gen-go v1.36.12 in the PATH, 'go generate' makes it again.
package format

//go:generate protoc -I. --go_out=. --go_opt=paths=source_relative --go_opt=Monnx.proto=linectl/internal/inspect/onnx/format onnx.proto
