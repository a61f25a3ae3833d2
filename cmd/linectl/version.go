package main

import (
	"runtime"

	"github.com/mattn/go-sqlite3"
	"github.com/spf13/cobra"
	"gocv.io/x/gocv"

	"linectl/internal/inspect/network"
)

// version and commit are set by the build.
var version, commit = "devel", "unknown"

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "version, commit, and the libraries in use",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			sqlite, _, _ := sqlite3.Version()
			onnx := "not found"
			if r, err := network.Start("", network.CPU, 1); err == nil {
				onnx = r.Version() + " (" + r.Library() + ")"
			}
			rows := [][]string{
				{"linectl", version}, {"commit", commit}, {"go", runtime.Version()},
				{"opencv", gocv.OpenCVVersion()}, {"onnxruntime", onnx}, {"sqlite", sqlite},
			}
			all := map[string]string{}
			for _, r := range rows {
				all[r[0]] = r[1]
			}
			return p.print(all, []string{"what", "version"}, rows)
		},
	}
}
