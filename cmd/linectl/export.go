package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
)

func (p *program) exportCommand() *cobra.Command {
	var q question
	c := &cobra.Command{
		Use:   "export FILE.zip",
		Short: "all that is known of a lot or of other parts as one file, which verifies anywhere",
		Long: `Export writes the rows, heatmaps and pictures of the parts that match into one ZIP file, with the proof that
the rows stand in the record's chain as they were written. 'linectl verify FILE.zip' checks it on any machine; so
does docs/tools/check_export.py, which needs Python only. The manual's page on evidence has the form.

The conditions are those of query. The proof ends with the seal of the day; where that is not made yet, the
file tells how many rows no seal covers: export again a day later.`,
		Example: `  linectl export L1207.zip --lot L1207
  linectl export complaint.zip --part 'SN-0047*' --since 2026-11-01`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return p.export(c.Context(), args[0], q) },
	}
	q.flags(c)
	return c
}

func (p *program) export(ctx context.Context, path string, q question) error {
	if q == (question{}) {
		return hint.New(hint.Usage, errors.New("export needs a condition, such as --lot"), "'linectl backup' copies a whole record")
	}
	f, reader, err := p.ask(ctx, q)
	if err != nil {
		return err
	}
	defer reader.Close()
	made, err := reader.Export(ctx, path, f, version+" "+commit, time.Now())
	if err != nil {
		return err
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	rows := [][]string{
		{"file", made.File}, {"bytes", count(made.Bytes)}, {"parts", count(made.Parts)}, {"rows", count(made.Rows)},
		{"heatmaps", count(made.Heatmaps)}, {"pictures", count(made.Pictures)}, {"pictures missing", count(made.Missing)}, {"rows not sealed yet", count(made.Unsealed)},
	}
	if err := p.print(made, nil, rows); err != nil {
		return err
	}
	return lostPictures(made.Missing)
}
