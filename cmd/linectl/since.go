package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/store"
)

func (p *program) sinceCommand() *cobra.Command {
	var q statsQuestion
	c := &cobra.Command{
		Use:   "since [score|light|focus]",
		Short: "since when scores, light or focus are different, and which lots were made since",
		Long: `Since finds the moment at which the mean score of passes, the brightness of the pictures or their sharpness
changed most, to the quarter of an hour, and names the first part and the lots since then. Where the change came
gradually, it names the middle of the way. It ends with code 3 where no change is stronger than chance.`,
		Example: `  linectl since light --since 30d
  linectl since score --recipe flange --version 3 --plot score.png`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"score", "light", "focus"},
		RunE: func(c *cobra.Command, args []string) error {
			quantity := "score"
			if len(args) > 0 {
				quantity = args[0]
			}
			return p.sinceWhen(c.Context(), quantity, q)
		},
	}
	q.flags(c)
	_ = c.Flags().MarkHidden("decided") // scores are of passes in either way
	return c
}

// changed is the JSON form; its keys are a contract.
type changed struct {
	Quantity string   `json:"quantity"`
	Since    string   `json:"since"` // RFC 3339
	Before   float64  `json:"before"`
	After    float64  `json:"after"`
	Strength float64  `json:"strength"` // in standard errors
	Record   int64    `json:"first_record"`
	Part     string   `json:"first_part"`
	Parts    int64    `json:"parts_since"`
	Lots     []string `json:"lots_since"`
}

func (p *program) sinceWhen(ctx context.Context, quantity string, q statsQuestion) error {
	if _, err := q.filter(time.Now()); err != nil { // a mistake in it is told first
		return err
	}
	if err := checkChart(q.plot); err != nil {
		return err
	}
	cfg, err := p.load()
	if err != nil {
		return err
	}
	calendar, err := cfg.Store.Calendar()
	if err != nil {
		return err
	}
	f, err := q.filterIn(calendar.Zone)
	if err != nil {
		return err
	}
	reader, err := store.OpenReader(ctx, cfg.Store)
	if err != nil {
		return err
	}
	defer reader.Close()
	slots, err := reader.Slots(ctx, f)
	if err != nil {
		return err
	}
	s := seriesOf(slots, quantity)
	change, ok := store.FindChange(s.values, s.weight)
	ok = ok && change.Strength >= strong
	if q.plot != "" {
		var mark *store.Change
		if ok {
			mark = &change
		}
		if err := plotSeries(q.plot, quantity, s, mark, calendar.Zone); err != nil {
			return err
		}
	}
	if !ok {
		return errNoChange
	}
	at := s.at[change.Index]
	found := changed{Quantity: quantity, Since: at.In(calendar.Zone).Format(time.RFC3339), Before: change.Before, After: change.After, Strength: change.Strength, Lots: []string{}}
	f.Since = at
	if found.Record, found.Part, err = reader.First(ctx, f); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, slot := range slots {
		if slot.At.Before(at) {
			continue
		}
		found.Parts += slot.Parts
		if !seen[slot.Lot] {
			seen[slot.Lot] = true
			found.Lots = append(found.Lots, slot.Lot)
		}
	}
	lots := found.Lots
	if p.output == "table" && len(lots) > 10 {
		lots = append(append([]string{}, lots[:5]...), fmt.Sprintf("… %d more; -o json lists them", len(lots)-5))
	}
	for i, lot := range lots {
		if p.output == "table" {
			lot = shown(lot, 60)
		}
		lots[i] = lot
	}
	rows := [][]string{
		{"quantity", quantity}, {"since", found.Since}, {"before", fmt.Sprintf("%.4f", found.Before)}, {"after", fmt.Sprintf("%.4f", found.After)},
		{"strength", fmt.Sprintf("%.1f standard errors", found.Strength)}, {"first part", fmt.Sprintf("record %d, %s", found.Record, shown(found.Part, 60))},
		{"parts since", fmt.Sprint(found.Parts)}, {"lots since", strings.Join(lots, ", ")},
	}
	var header []string
	if p.output == "csv" {
		header = []string{"field", "value"}
	}
	if err := p.print(found, header, rows); err != nil || p.output != "table" {
		return err
	}
	fmt.Fprintf(p.err, "'linectl query --since %s%s' lists these parts\n", found.Since, q.rest())
	return nil
}

// rest is what of the question goes with another time.
func (q statsQuestion) rest() (flags string) {
	for _, f := range [][2]string{{"until", q.until}, {"lot", q.lot}, {"recipe", q.recipe}} {
		if f[1] != "" {
			flags += fmt.Sprintf(" --%s %q", f[0], f[1])
		}
	}
	if q.version != 0 {
		flags += fmt.Sprintf(" --version %d", q.version)
	}
	return flags
}
