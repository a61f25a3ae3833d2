package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/weights"
)

func (p *program) backboneFetchCommand(folder *string) *cobra.Command {
	var from string
	var names []string
	for _, k := range weights.AllKnown() {
		names = append(names, fmt.Sprintf("  %-16s %s\n  %-16s %s", k.Name, k.About, "", k.Licence))
	}
	c := &cobra.Command{
		Use: "fetch NAME", Args: cobra.ExactArgs(1),
		Short: "download published weights over https and make a backbone of them",
		Long: "Fetch downloads weights that others publish, compares their SHA-256 with the one that linectl knows, and\n" +
			"imports them. A download that was cut off goes on where it stopped. Known are:\n\n" + strings.Join(names, "\n"),
		RunE: func(c *cobra.Command, args []string) error {
			return p.fetchBackbone(c.Context(), args[0], from, *folder)
		},
	}
	c.Flags().StringVar(&from, "from", "", "another address of the same file, such as a mirror in the plant")
	return c
}

func (p *program) fetchBackbone(ctx context.Context, name, from, folder string) error {
	k, ok := weights.FindKnown(name)
	if !ok {
		return hint.New(hint.NoMatch, fmt.Errorf("no published backbone is known by the name %q", name), "'linectl backbone fetch --help' lists those that are; 'linectl backbone import FILE' takes any other")
	}
	_, folders, err := p.settings(desk{backbones: folder})
	if err != nil {
		return err
	}
	folder = folders.Backbones
	if err := network.Vacant(name, folder); err != nil { // before the minutes of a download, not after them
		return err
	}
	if from == "" {
		from = k.URL
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	file := filepath.Join(folder, path.Base(k.URL))
	bar := newProgress(p.err)
	err = weights.Fetch(ctx, http.DefaultClient, from, k.SHA256, file, func(done, total int64) { bar.step("download "+name, int(done), int(total)) })
	bar.end()
	if err != nil {
		return err
	}
	if err := p.importBackbone(network.Source{File: file, Name: name, Licence: k.Licence}, folder); err != nil {
		return err
	}
	return os.Remove(file) // what is needed of it is in the backbone
}
