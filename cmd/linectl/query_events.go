package main

import (
	"context"
	"errors"

	"linectl/internal/hint"
)

// loggedEvent is an entry of the log book in the JSON form; its keys are a contract.
type loggedEvent struct {
	ID     int64  `json:"id"`
	At     string `json:"at"` // RFC 3339
	Event  string `json:"event"`
	Who    string `json:"who"`
	Detail string `json:"detail"`
}

// queryEvents lists the station's log book in place of parts.
func (p *program) queryEvents(ctx context.Context, q question) error {
	if q != (question{since: q.since, until: q.until, limit: q.limit}) {
		return hint.New(hint.Usage, errors.New("--events goes with --since, --until and --limit only"), "leave the other conditions out")
	}
	f, reader, err := p.ask(ctx, q)
	if err != nil {
		return err
	}
	defer reader.Close()
	found, err := reader.Events(ctx, f.Since, f.Until, f.Limit)
	if err != nil {
		return err
	}
	header := []string{"time", "event", "who", "detail"}
	if len(found) == 0 {
		return p.nothing(header, hint.New(hint.NoMatch, errors.New("no event in the record matches"), "widen --since"))
	}
	events := make([]loggedEvent, len(found))
	rows := make([][]string, len(found))
	for i, e := range found {
		events[i] = loggedEvent{e.ID, p.rfc3339(e.At), e.Kind, e.Who, e.Detail}
		rows[i] = []string{events[i].At, e.Kind, e.Who, e.Detail}
		if p.output == "table" {
			rows[i] = []string{e.At.In(p.zone).Format("2006-01-02 15:04:05.000"), e.Kind, shown(e.Who, 24), shown(e.Detail, 200)}
		}
	}
	return p.print(events, header, rows)
}
