package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"linectl/internal/hint"
	"linectl/internal/inspect/picture"
	"linectl/internal/store"
)

// alikePart is a part that looks like another one, in the JSON form; its keys are a contract.
type alikePart struct {
	foundPart
	Likeness float64 `json:"likeness"`
}

// queryNear takes the id of a record, else the file of a picture.
func (p *program) queryNear(ctx context.Context, q question, near string) error {
	find := p.likeHeatmap
	if _, err := strconv.ParseInt(near, 10, 64); err != nil {
		find = p.likePicture
	}
	f, reader, err := p.ask(ctx, q)
	if err != nil {
		return err
	}
	defer reader.Close()
	found, err := find(ctx, reader, near, f)
	if err != nil {
		return err
	}
	header := append([]string{"likeness"}, queryHeader(p.output == "table")...)
	if len(found) == 0 {
		return p.nothing(header, hint.New(hint.NoMatch, errors.New("no part that matches can be compared"), "widen --since, or leave a condition out"))
	}
	alike := make([]alikePart, len(found))
	rows := make([][]string, len(found))
	for i, a := range found {
		alike[i] = alikePart{p.foundPart(a.Part), a.Likeness}
		rows[i] = append([]string{fmt.Sprintf("%.3f", a.Likeness)}, alike[i].row(p.output == "table")...)
	}
	return p.print(alike, header, rows)
}

func (p *program) likeHeatmap(ctx context.Context, reader *store.Reader, near string, f store.Filter) ([]store.Alike, error) {
	id, _ := strconv.ParseInt(near, 10, 64) // it is a number
	compared, end := p.comparing()
	defer end()
	return reader.Near(ctx, id, f, compared)
}

func (p *program) likePicture(ctx context.Context, reader *store.Reader, path string, f store.Filter) ([]store.Alike, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, hint.New(hint.Usage, fmt.Errorf("--near: neither the id of a record nor a picture: %w", err), "'linectl query' lists the ids; a file that has a number for a name is ./NUMBER")
	}
	frame, err := picture.Read(path)
	if err != nil {
		return nil, fmt.Errorf("--near: %w", err)
	}
	compared, end := p.comparing()
	found, unknown, err := reader.NearPicture(ctx, frame, f, compared)
	end()
	if err == nil && unknown > 0 {
		fmt.Fprintf(p.err, "%d pictures that an older linectl kept are gone or changed, and cannot be compared\n", unknown)
	}
	return found, err
}

// comparing shows on a terminal how far a comparison has come: that of millions takes seconds.
func (p *program) comparing() (compared func(done, total int64), end func()) {
	if !terminal(p.err) {
		return nil, func() {}
	}
	bar := newProgress(p.err)
	return func(done, total int64) { bar.step("comparing", int(done), int(total)) }, bar.end
}
