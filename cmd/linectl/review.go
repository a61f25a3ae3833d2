package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"linectl/internal/store"
)

func (p *program) reviewCommand() *cobra.Command {
	var o store.Opinion
	var byPart bool
	c := &cobra.Command{
		Use:   "review ID|PART --verdict good|bad|unsure",
		Short: "a person's verdict on a part, kept beside the machine's",
		Long: `Review adds what a person says of a part. It changes nothing: the verdict stays what it was, every review
stays, and the newest counts. 'linectl query --review due' lists the parts that wait for one, 'linectl stats
--by review' tells how often the machine was wrong. Pictures of reviewed parts are never removed.

The argument is the id of a record, else a part id, of which the newest record is meant.`,
		Example: `  linectl review 4711 --verdict good --why "water drop"`,
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return p.review(c.Context(), args[0], byPart, o) },
	}
	c.Flags().StringVar((*string)(&o.Verdict), "verdict", "", "good, bad or unsure")
	c.Flags().StringVar(&o.Who, "by", store.UserName(), "who reviews")
	c.Flags().StringVar(&o.Why, "why", "", "what was seen")
	c.Flags().BoolVar(&byPart, "part", false, "the argument is a part id, even if it is a number")
	_ = c.MarkFlagRequired("verdict") // it is defined above
	return c
}

// reviewed is the JSON form; its keys are a contract.
type reviewed struct {
	Record  int64  `json:"record"`
	Part    string `json:"part_id"`
	Decided string `json:"decided"`
	Verdict string `json:"verdict"`
	Who     string `json:"who"`
	Why     string `json:"why"`
}

func (p *program) review(ctx context.Context, name string, byPart bool, o store.Opinion) error {
	pen, err := p.openPen(ctx)
	if err != nil {
		return err
	}
	defer pen.Close()
	story, err := lookUp(ctx, pen.Reader, name, byPart)
	if err != nil {
		return err
	}
	if err := pen.Review(ctx, story.ID, o); err != nil {
		return err
	}
	if p.output != "table" {
		said := reviewed{story.ID, story.Record.Trigger.PartID, story.Record.Verdict.String(), string(o.Verdict), o.Who, o.Why}
		return p.print(said, []string{"record", "part", "decided", "verdict", "who", "why"}, [][]string{{fmt.Sprint(said.Record), said.Part, said.Decided, said.Verdict, said.Who, said.Why}})
	}
	fmt.Fprintf(p.err, "record %d, part %s: decided %s, reviewed as %s by %s\n",
		story.ID, shown(story.Record.Trigger.PartID, 40), story.Record.Verdict, o.Verdict, shown(o.Who, 40))
	return nil
}

// openPen opens the record that the config names to add to it.
func (p *program) openPen(ctx context.Context) (*store.Pen, error) {
	cfg, err := p.load()
	if err != nil {
		return nil, err
	}
	return store.OpenPen(ctx, cfg.Store)
}
