//go:build deps

package main

import (
	_ "github.com/coreos/go-systemd/v22/daemon"
	_ "github.com/gopcua/opcua"
	_ "github.com/gopcua/opcua/server"
	_ "github.com/mattn/go-sqlite3"
	_ "github.com/pelletier/go-toml/v2"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/schollz/progressbar/v3"
	_ "github.com/spf13/cobra"
	_ "github.com/spf13/cobra/doc"
	_ "github.com/yalue/onnxruntime_go"
	_ "gocv.io/x/gocv"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/term"
	_ "gonum.org/v1/gonum/stat"
	_ "gonum.org/v1/gonum/blas/blas32"
)
