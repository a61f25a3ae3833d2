package main

import (
	"context"
	"errors"
	"fmt"

	"linectl/internal/hint"
)

// holding is what became of a lot, in the JSON form; its keys are a contract.
type holding struct {
	Lot      string `json:"lot"`
	Held     bool   `json:"held"`
	Parts    int64  `json:"parts"`
	Pictures int64  `json:"pictures"`
}

func (p *program) hold(ctx context.Context, hold, release, who, why string) error {
	pen, err := p.openPen(ctx)
	if err != nil {
		return err
	}
	defer pen.Close()
	h := holding{Lot: hold + release, Held: hold != ""}
	if err := pen.Hold(ctx, h.Lot, h.Held, who, why); err != nil {
		return err
	}
	if h.Parts, h.Pictures, err = pen.LotSize(ctx, h.Lot); err != nil {
		return err
	}
	if p.output != "table" {
		return p.print(h, []string{"lot", "held", "parts", "pictures"}, [][]string{{h.Lot, fmt.Sprint(h.Held), fmt.Sprint(h.Parts), fmt.Sprint(h.Pictures)}})
	}
	state := "need no longer stay"
	if h.Held {
		state = "stay"
	}
	fmt.Fprintf(p.err, "lot %s: %d parts so far; their %d pictures %s\n", shown(h.Lot, 40), h.Parts, h.Pictures, state)
	return nil
}

// heldLot is a lot on hold in the JSON form; its keys are a contract.
type heldLot struct {
	Lot string `json:"lot"`
	At  string `json:"at"`
	Who string `json:"who"`
	Why string `json:"why"`
}

func (p *program) held(ctx context.Context) error {
	reader, err := p.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	held, err := reader.Holds(ctx, "")
	if err != nil {
		return err
	}
	header := []string{"lot", "held since", "who", "why"}
	if len(held) == 0 {
		return p.nothing(header, hint.New(hint.NoMatch, errors.New("no lot is held"), "'linectl prune --hold LOT' holds one"))
	}
	lots := make([]heldLot, len(held))
	rows := make([][]string, len(held))
	for i, h := range held {
		lots[i] = heldLot{h.Lot, p.rfc3339(h.At), h.Who, h.Why}
		rows[i] = []string{h.Lot, lots[i].At, h.Who, h.Why}
		if p.output == "table" {
			rows[i] = []string{shown(h.Lot, 40), h.At.In(p.zone).Format("2006-01-02 15:04"), shown(h.Who, 24), shown(h.Why, 100)}
		}
	}
	return p.print(lots, header, rows)
}
