package inspect

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"linectl/internal/hint"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
)

// keepGolden gives the recipe some of its numbered pictures, with the scores that they have now, for the
// self-test.
func (t *trainer) keepGolden(r *recipe.Recipe, pictures []int, path func(i int) string) error {
	i, err := newInspector(t.runtime, t.extractor, r)
	if err != nil {
		return err
	}
	defer i.scorer.Close() // the extractor is the trainer's
	n := min(goldenPictures, len(pictures))
	for k := range n {
		frame, err := picture.Read(path(pictures[k*len(pictures)/n]))
		if err != nil {
			return err
		}
		golden, err := i.golden(filepath.Base(frame.Source), frame)
		if err != nil {
			return err
		}
		r.Golden = append(r.Golden, golden)
	}
	return nil
}

// readChallenge reads a folder of known defects; "" holds none.
func readChallenge(folder string) ([]recipe.Challenge, error) {
	if folder == "" {
		return nil, nil
	}
	files, err := picture.List(folder)
	if err != nil {
		return nil, err
	}
	var all []recipe.Challenge
	for _, file := range files {
		if _, err := picture.Read(file); err != nil {
			return nil, fmt.Errorf("challenge %w", err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("challenge picture: %w", err)
		}
		name, err := filepath.Rel(folder, file)
		if err != nil {
			return nil, fmt.Errorf("challenge picture: %w", err)
		}
		all = append(all, recipe.Challenge{Name: name, Picture: data})
	}
	return all, nil
}

// challenge inspects the challenge pictures of the recipe's name. The first version of a name, which Save has
// left inactive for their sake, becomes active if the defect is found in all.
func (t *trainer) challenge(ctx context.Context, folder recipe.Folder, r *recipe.Recipe) error {
	all, err := folder.Challenges(r.Name)
	if err != nil || len(all) == 0 {
		return err
	}
	i, err := newInspector(t.runtime, t.extractor, r)
	if err != nil {
		return err
	}
	defer i.scorer.Close()
	tried, err := i.try(ctx, all, func(n int) { t.tell("challenge", n, len(all)) })
	if err != nil {
		return err
	}
	if unseen, why := missed(tried); len(unseen) > 0 {
		return hint.New(hint.Failure, fmt.Errorf("%s@%d is made but must not be used: it does not find %d of %d known defects: %s", r.Name, r.Version, len(unseen), len(all), why),
			"ask for more false rejects, which lowers the threshold; look at the pictures with 'linectl inspect'; or try another size, backbone or score")
	}
	t.note("all %d known defects are found", len(all))
	versions, err := folder.Versions(r.Name)
	if err != nil || len(versions) > 1 {
		return err
	}
	return folder.Activate(r.Name, r.Version, recipe.Event{Who: t.options.Who, Why: t.options.Why})
}
