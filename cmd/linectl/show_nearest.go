package main

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"log/slog"

	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/evaluate/exam"
	"linectl/internal/inspect/recipe"
	"linectl/internal/store"
)

// nearestPatch is what show --nearest tells; its keys are a contract.
type nearestPatch struct {
	ID       int64   `json:"id"`
	Recipe   string  `json:"recipe"`
	Picture  string  `json:"training_picture"`
	Distance float64 `json:"distance"`
	// Appearance is the part of the score that is no patch's.
	Appearance float64 `json:"appearance"`
	File       string  `json:"file"`
}

func (p *program) showNearest(ctx context.Context, cfg *config.Config, story store.Story, path string) error {
	f := story.Record.Finding
	if f == nil && story.Late != nil {
		f = &story.Late.Finding
	}
	if f == nil || len(story.Pictures) == 0 {
		return hint.New(hint.NoMatch, fmt.Errorf("record %d has no score and kept picture", story.ID), "store.keep says whose pictures are kept")
	}
	frame, err := readKept(story.Pictures[0])
	if errors.Is(err, store.ErrRemoved) {
		return hint.New(hint.NoMatch, err, "store.pass_days and store.reject_days say for how long pictures are kept")
	}
	if err != nil {
		return hint.New(hint.Damage, err, "'linectl verify --pictures' names all that are not what they were")
	}
	r, err := recipe.Folder(cfg.Folders().Recipes).Load(f.Recipe.Name, f.Recipe.Version)
	if err != nil {
		return err
	}
	if r.Hash != f.Recipe.Hash {
		return hint.New(hint.Damage, fmt.Errorf("%s is not the one that decided: its hash is %.12s, the record has %.12s", recipeName(r.Name, r.Version), r.Hash, f.Recipe.Hash),
			"bring back the recipe from a backup, or from 'linectl recipe export' of that time")
	}
	i, err := inspect.OpenRecipe(cfg.Inspect, cfg.Folders(), r, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	drawn, nearest, err := exam.Beside(ctx, i, r, frame)
	if err := errors.Join(err, i.Close()); err != nil {
		return fmt.Errorf("nearest good patch of record %d: %w", story.ID, err)
	}
	if err := writeWhole("--nearest", path, 0o644, func(w io.Writer) error { return png.Encode(w, drawn) }); err != nil {
		return err
	}
	told := nearestPatch{story.ID, recipeName(r.Name, r.Version), nearest.File, nearest.Distance, nearest.Appearance, path}
	return p.print(told, nil, [][]string{
		{"record", fmt.Sprint(told.ID)}, {"recipe", told.Recipe}, {"nearest good patch in", shown(told.Picture, 200)},
		{"distance", fmt.Sprintf("%.4f", told.Distance)}, {"appearance", fmt.Sprintf("%.4f", told.Appearance)}, {"drawn in", told.File},
	})
}
