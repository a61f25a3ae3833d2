package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"linectl/internal/hint"
	"linectl/internal/store"
	"linectl/internal/whole"
)

// queryToFolder copies the kept pictures of the parts that match, each if it still is what was kept. They have the
// names of the record, ID-CAMERA, so that what is trained on can be traced back.
func (p *program) queryToFolder(ctx context.Context, reader *store.Reader, f store.Filter, folder string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return hint.New(hint.Failure, fmt.Errorf("--pictures: %w", err), "give a folder that you may write to")
	}
	var parts, copied, present, removed, bare int
	var lost int64
	for found, err := range reader.Find(ctx, f) {
		if err != nil {
			return err
		}
		parts++
		story, err := reader.Part(ctx, found.ID)
		if err != nil {
			return err
		}
		if len(story.Pictures) == 0 {
			bare++
		}
		for _, kept := range story.Pictures {
			data, err := kept.Read()
			if errors.Is(err, store.ErrRemoved) {
				removed++
				continue
			}
			if store.Lost(err) {
				lost++
				continue
			}
			if err != nil {
				return hint.New(hint.Failure, fmt.Errorf("a kept picture cannot be read: %w", err), "may you read the folder of the pictures? The service's user may")
			}
			switch err := whole.Create(filepath.Join(folder, filepath.Base(kept.Path)), 0o640, whole.Bytes(data)); {
			case errors.Is(err, fs.ErrExist):
				present++
			case err != nil:
				return hint.New(hint.Failure, fmt.Errorf("--pictures: %w", err), "is there space, and may you write there?")
			default:
				copied++
			}
		}
	}
	if parts == 0 {
		return errNoMatch
	}
	fmt.Fprintf(p.err, "%d pictures of %d parts copied to %s; %d were there already, %d parts had none kept, %d were removed by retention, %d are gone or changed\n", copied, parts, folder, present, bare, removed, lost)
	if copied+present == 0 && lost == 0 {
		return hint.New(hint.NoMatch, errors.New("of these parts no picture is there"), "store.keep says whose pictures are kept, and store.pass_days for how long")
	}
	return lostPictures(lost)
}
