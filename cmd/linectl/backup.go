package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/store"
)

func (p *program) backupCommand() *cobra.Command {
	var keep int
	c := &cobra.Command{
		Use:   "backup FOLDER",
		Short: "a consistent copy of record and pictures, also while the daemon runs",
		Long: `Backup writes a checked copy of the record, record-TIME.db, into the folder, and those pictures that are not
there yet below FOLDER/pictures. Of the copies of the record the newest are left; pictures are never removed
from the folder. Recipes, certificates and the config are files: copy them as such.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if keep < 1 {
				return hint.New(hint.Usage, fmt.Errorf("--keep: %d is below 1", keep), "the newest copy always stays")
			}
			reader, err := p.openReader(c.Context())
			if err != nil {
				return err
			}
			defer reader.Close()
			made, err := reader.Backup(c.Context(), args[0], keep, time.Now())
			if err != nil {
				return err
			}
			return p.copied(made)
		},
	}
	c.Flags().IntVar(&keep, "keep", 7, "how many copies of the record to keep")
	return c
}

func (p *program) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FOLDER|FILE",
		Short: "bring a backup into an empty place, if it verifies",
		Long: `Restore copies the newest copy of the record in the folder, or the copy that is named, with its pictures to
where the config has them. There must be no record yet. The chain and every picture are verified first; what
is not as it was written is told, and nothing is restored.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return p.restore(c.Context(), args[0]) },
	}
}

func (p *program) restore(ctx context.Context, from string) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	done, err := store.Restore(ctx, cfg.Store, from, func(problem string) { fmt.Fprintln(p.err, shown(problem, 400)) })
	if err != nil {
		return err
	}
	return p.copied(done)
}

// copied tells what was brought; its keys are a contract.
func (p *program) copied(c store.Copied) error {
	value := struct {
		Record   string `json:"record"`
		Bytes    int64  `json:"bytes"`
		Pictures int64  `json:"pictures"`
		Present  int64  `json:"present"`
		Missing  int64  `json:"missing"`
	}{c.Record, c.Bytes, c.Pictures, c.Present, c.Missing}
	rows := [][]string{
		{"record", c.Record}, {"bytes", fmt.Sprint(c.Bytes)}, {"pictures", fmt.Sprint(c.Pictures)},
		{"present", fmt.Sprint(c.Present)}, {"missing", fmt.Sprint(c.Missing)},
	}
	if p.output == "table" {
		rows[2][0], rows[3][0], rows[4][0] = "pictures copied", "there already", "missing"
	}
	return p.print(value, nil, rows)
}
