package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"linectl/internal/inspect/network"
)

// TestMain lets this test binary be the program: a process that is called linectl runs it.
func TestMain(m *testing.M) {
	if os.Getenv(network.BackbonesVariable) == "" { // the program itself runs in other folders and is told
		backbones, err := filepath.Abs("../../backbones")
		if err != nil {
			panic(err)
		}
		os.Setenv(network.BackbonesVariable, backbones)
	}
	testscript.Main(m, map[string]func(){"linectl": main})
}

// run is one command line within the test.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	return (&program{in: in, out: out, err: errs}).run(ctx, args)
}

// TestScripts runs the program as its users do: command lines, output, exit codes.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{network.LibraryVariable, network.BackbonesVariable} {
				env.Setenv(name, os.Getenv(name))
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit":  exit,
			"shelf": shelf,
		},
	})
}
