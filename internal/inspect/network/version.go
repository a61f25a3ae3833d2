package network

import ort "github.com/yalue/onnxruntime_go"

// Version loads ONNX Runtime's library as a line without inspect.library would, and tells its version and file.
func Version() (version, path string, err error) {
	if path, err = library(""); err != nil {
		return "", "", err
	}
	if err = load(path); err != nil {
		return "", "", err
	}
	return ort.GetVersion(), path, nil
}
