package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/store"
)

func (p *program) salvageCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "salvage DAMAGED NEW",
		Short: "read what can be read from a damaged record into a new file, and say what is lost",
		Long: `Salvage reads every row that it finds in the pages of a damaged record, such as one that the daemon has kept
as linectl.db.damaged-TIME, into a new record. It needs no page to be reached from another: neither a broken head nor
a cut file keeps it from the rest. The damaged file is not changed.

It tells how many rows of each kind are lost, which, and when the parts among them were seen. What is there keeps
its id and its place in the chain: 'linectl verify' names each break, and what no link proves any more.

It ends with code 4 where anything is lost. To ask the new file, name it as store.path in a copy of the config, and
as store.pictures the folder that the daemon kept with it.`,
		Example: `  linectl salvage /var/lib/linectl/linectl.db.damaged-20261124T101500 rescued.db`,
		Args:    cobra.ExactArgs(2),
		RunE:    func(c *cobra.Command, args []string) error { return p.salvage(c.Context(), args[0], args[1]) },
	}
}

func (p *program) salvage(ctx context.Context, from, to string) error {
	var progress func(done, total int64)
	if terminal(p.err) {
		bar := newProgress(p.err)
		defer bar.end()
		progress = func(done, total int64) { bar.step("reading pages", int(done), int(total)) }
	}
	found, err := store.Salvage(ctx, from, to, progress)
	if err != nil {
		return err
	}
	rows := make([][]string, len(found.Tables))
	var lost int64
	for i, t := range found.Tables {
		lost += t.Lost
		rows[i] = []string{t.Table, fmt.Sprint(t.Rows), fmt.Sprint(t.Lost), gapsText(t.Gaps, p.output == "table")}
		if rows[i][3] == "" && p.output == "table" {
			rows[i][3] = "-"
		}
	}
	if err := p.print(found, []string{"table", "rows", "lost", "which"}, rows); err != nil {
		return err
	}
	if p.output == "table" {
		fmt.Fprintf(p.err, "%d pages read: %d rows in them damaged, %d refused by the schema; %d bytes cut off, %d pages of the log lost\n",
			found.Pages, found.Cells, found.Refused, found.Cut, found.Log)
		fmt.Fprintf(p.err, "the chain proves %d of the rows in %s\n", found.Proved, found.Record)
	}
	if lost > 0 || found.Problems > 0 {
		return hint.New(hint.Damage, fmt.Errorf("%d rows are lost; %d things do not fit the chain", lost, found.Problems), "'linectl verify' on the new file names each; a backup may have what is lost")
	}
	return nil
}

// gapsText names what is lost; in a table the first few.
func gapsText(gaps []store.Gap, short bool) string {
	const few = 4
	texts := []string{}
	for i, g := range gaps {
		if short && i == few {
			texts = append(texts, fmt.Sprintf("… %d more; -o json lists them", len(gaps)-few))
			break
		}
		text := fmt.Sprint(g.From)
		if g.To > g.From {
			text = fmt.Sprintf("%d to %d", g.From, g.To)
		}
		if g.After != nil || g.Before != nil {
			text += fmt.Sprintf(" (seen %s to %s)", seen(g.After), seen(g.Before))
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

func seen(at *time.Time) string {
	if at == nil {
		return "?"
	}
	return at.Local().Format("2006-01-02 15:04:05")
}
