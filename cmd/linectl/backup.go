package main

import (
	"context"
	"fmt"
	"strconv"
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
there yet below FOLDER/pictures, where their names end with the beginning of their SHA-256. Of the copies whose rows
are all in this one, the newest are left: copies of another record, as after one was damaged, stay until you remove
them. Pictures are never removed from the folder. Where pictures are gone or changed that retention has not removed,
the backup is made without them and ends with code 4.
Recipes, certificates and the config are files: copy them as such.`,
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
			made, err := reader.Backup(c.Context(), args[0], keep, time.Now(), p.problem)
			if err != nil {
				return err
			}
			return p.copied(made, lostPictures(made.Missing))
		},
	}
	c.Flags().IntVar(&keep, "keep", 7, "how many copies of the record to keep")
	return c
}

func (p *program) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FOLDER|FILE",
		Short: "bring a backup into an empty place, if it verifies",
		Long: `Restore copies the newest copy of the record in the folder, the one with most links in its chain, or the copy that
is named, with its pictures to where the config has them. There must be no record yet. Where the folder has copies
of several records, one must be named. The chain and every picture are verified first. Where a row is not as it was
written nothing is restored; where pictures are gone or changed they are named, the rest is restored, and it ends
with code 4. Counts that are not those of the rows are worked out anew.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return p.restore(c.Context(), args[0]) },
	}
}

func (p *program) restore(ctx context.Context, from string) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	done, err := store.Restore(ctx, cfg.Store, from, p.problem)
	if err != nil {
		return err
	}
	if done.Missing > 0 {
		err = hint.New(hint.Damage, fmt.Errorf("the record is restored; %d pictures of it are gone or changed in the backup", done.Missing), "another backup may have them; 'linectl verify' names them again")
	}
	return p.copied(done, err)
}

func (p *program) problem(text string) { fmt.Fprintln(p.err, shown(text, 400)) }

// lostPictures is an error where pictures of the record are gone or changed.
func lostPictures(n int64) error {
	if n == 0 {
		return nil
	}
	return hint.New(hint.Damage, fmt.Errorf("%d pictures are gone or changed that were not removed by retention", n), "'linectl verify --pictures' names them; a backup may have them")
}

// copied tells what was brought, and then what is wrong with it; the keys are a contract.
func (p *program) copied(c store.Copied, wrong error) error {
	c.Until = c.Until.In(p.zone)
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	rows := [][]string{
		{"record", c.File}, {"uuid", c.UUID}, {"links", count(c.Links)}, {"until", p.rfc3339(c.Until)}, {"bytes", count(c.Bytes)},
		{"pictures", count(c.Pictures)}, {"present", count(c.Present)}, {"missing", count(c.Missing)},
	}
	if p.output == "table" {
		rows[3][0], rows[5][0], rows[6][0] = "parts up to", "pictures copied", "there already"
	}
	if err := p.print(c, nil, rows); err != nil {
		return err
	}
	return wrong
}
