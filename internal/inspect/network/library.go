package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"linectl/internal/hint"
)

// LibraryVariable names the environment variable that may name ONNX Runtime's shared library.
const LibraryVariable = "LINECTL_ONNXRUNTIME"

// library finds ONNX Runtime's shared library. An explicit path is taken or refused; without one the
// environment is asked, then the places where an installed linectl has it: the build that knows the device
// lies in a folder of its name there, the plain one beside it.
func library(explicit, build string) (string, error) {
	for _, named := range []struct{ path, by string }{
		{explicit, "inspect.library"},
		{os.Getenv(LibraryVariable), LibraryVariable},
	} {
		if named.path == "" {
			continue
		}
		if _, err := os.Stat(named.path); err != nil {
			return "", hint.New(hint.Usage, fmt.Errorf("%s names ONNX Runtime's library: %w", named.by, err),
				"correct "+named.by+", or leave it out to have the library looked for")
		}
		return named.path, nil
	}
	folders := append(beside("", "lib", "../lib/linectl"), "/usr/lib/linectl", "/usr/local/lib/linectl")
	for _, below := range []string{build, ""} {
		for _, folder := range folders {
			found, _ := filepath.Glob(filepath.Join(folder, below, "libonnxruntime.so*"))
			if len(found) > 0 {
				return found[0], nil
			}
		}
	}
	return "", hint.New(hint.Usage,
		fmt.Errorf("ONNX Runtime's library libonnxruntime.so was not found; looked in %s", strings.Join(folders, ", ")),
		"name the file in inspect.library or in "+LibraryVariable)
}

// beside lists folders relative to the running program's own, wherever a link to it was called from.
func beside(relative ...string) []string {
	program, err := os.Executable()
	if err != nil {
		return nil
	}
	if real, err := filepath.EvalSymlinks(program); err == nil {
		program = real
	}
	folders := make([]string, len(relative))
	for i, r := range relative {
		folders[i] = filepath.Join(filepath.Dir(program), r)
	}
	return folders
}

// loaded is the library of this process. ONNX Runtime lives once in a process and onnxruntime_go keeps
// it in variables of its own, so this one variable mirrors what cannot be otherwise.
var loaded struct {
	sync.Mutex
	path string
}

// load makes the library ready for use; the second call for the same file does nothing.
func load(path string) error {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.path == path {
		return nil
	}
	if loaded.path != "" {
		return fmt.Errorf("ONNX Runtime is already loaded from %s and a process can have only one; asked for %s", loaded.path, path)
	}
	ort.SetSharedLibraryPath(path)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return hint.New(hint.Failure, fmt.Errorf("load ONNX Runtime from %s: %w", path, flat(err)),
			"use the version of the library that came with this linectl")
	}
	if err := shareMemory(); err != nil {
		return fmt.Errorf("working memory of ONNX Runtime: %w", flat(err))
	}
	loaded.path = path
	return nil
}

// shareMemory gives all sessions of the process one arena for their working memory, which grows by what is
// asked for and not to the next power of two.
func shareMemory() error {
	const growAsAsked = 1
	arena, err := ort.NewArenaCfg(0, growAsAsked, -1, -1)
	if err != nil {
		return err
	}
	defer arena.Destroy()
	memory, err := ort.GetMemoryInfo()
	if err != nil {
		return err
	}
	return ort.CreateAndRegisterAllocator(memory, arena)
}

// flat puts an error of ONNX Runtime, which may run over several lines, on one.
func flat(err error) error { return errors.New(strings.Join(strings.Fields(err.Error()), " ")) }
