package inspect

import (
	"context"
	"fmt"
	"log/slog"

	"linectl/internal/hint"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
	"linectl/internal/raster"
)

// Challenged is what a version makes of a challenge picture.
type Challenged struct {
	recipe.Challenge
	Finding part.Finding
}

// Found tells whether the version rejects it for what it shows, as it must. A picture that is refused itself, as too dark
// or of another size, proves nothing: the network never saw it.
func (c Challenged) Found() bool { return c.Finding.Reason == part.Anomaly }

// Try inspects pictures by a version.
func Try(ctx context.Context, cfg Config, folders Folders, r *recipe.Recipe, pictures []recipe.Challenge) ([]Challenged, error) {
	if len(pictures) == 0 {
		return nil, nil
	}
	i, err := OpenRecipe(cfg, folders, r, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer i.Close()
	return i.try(ctx, pictures, func(int) {})
}

func (i *Inspector) try(ctx context.Context, pictures []recipe.Challenge, progress func(done int)) ([]Challenged, error) {
	all := make([]Challenged, len(pictures))
	for n, c := range pictures {
		frame, err := raster.Decode(c.Picture)
		var found part.Finding
		if err == nil {
			found, err = i.Inspect(ctx, frame)
		}
		if err != nil {
			return nil, fmt.Errorf("challenge picture %s: %w", c.Name, err)
		}
		all[n] = Challenged{c, found}
		progress(n + 1)
	}
	return all, nil
}

// missed names the pictures that are not rejected for what they show, and says of some of them why.
func missed(tried []Challenged) (names []string, why string) {
	var texts []string
	for _, c := range tried {
		f := c.Finding
		switch {
		case c.Found():
			continue
		case f.Reason.Inspected():
			texts = append(texts, fmt.Sprintf("%s (score %.4g, threshold %.4g)", c.Name, f.Score, f.Threshold))
		default:
			texts = append(texts, fmt.Sprintf("%s (not judged, %s: %s)", c.Name, f.Reason, f.Detail))
		}
		names = append(names, c.Name)
	}
	return names, some(texts, ", ")
}

// Activate makes a version the active one if it finds the defect in every challenge picture of its name. With force it
// becomes active all the same, and the recipe's history names the pictures in which it finds none and says why. It
// returns how many challenge pictures there are.
func Activate(ctx context.Context, cfg Config, folders Folders, name string, version int, by recipe.Event, force bool) (int, error) {
	shelf := recipe.Folder(folders.Recipes)
	r, err := shelf.Load(name, version)
	if err != nil {
		return 0, err
	}
	pictures, err := shelf.Challenges(name)
	if err != nil {
		return 0, err
	}
	tried, err := Try(ctx, cfg, folders, r, pictures)
	if err != nil {
		return 0, fmt.Errorf("%s@%d is not activated: %w", name, version, err)
	}
	unseen, why := missed(tried)
	if len(unseen) > 0 && !force {
		return 0, hint.New(hint.Failure, fmt.Errorf("%s@%d is not activated: it does not find %d of %d known defects: %s", name, version, len(unseen), len(tried), why),
			fmt.Sprintf("lower the threshold with 'linectl threshold %s', train again, or take a picture away with 'linectl recipe challenge remove %s'; --force --why TEXT activates it all the same and puts that on record", name, name))
	}
	by.Forced = unseen
	return len(tried), shelf.Activate(name, version, by)
}
