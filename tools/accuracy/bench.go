package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"linectl/internal/inspect/evaluate/exam"
	"linectl/internal/inspect/recipe"
)

// bench trains and evaluates.
type bench struct {
	linectl, data, plot string
	bank                int
	with                []string // further flags of train
	sets                []set
	folder              string // where the sets are linked to and recipes are made
}

// choice is what a recipe is trained with; what is empty is linectl's default.
type choice struct{ backbone, layers, size, method string }

// result is what came out of one recipe.
type result struct {
	exam.Report
	recipe *recipe.Recipe
}

func (b *bench) prepare(ctx context.Context, sets []string, sample string) (err error) {
	most := [3]int{math.MaxInt, math.MaxInt, math.MaxInt}
	if sample != "" {
		if _, err := fmt.Sscanf(sample, "%d,%d,%d", &most[0], &most[1], &most[2]); err != nil {
			return fmt.Errorf("--sample %q: %w", sample, err)
		}
	}
	for _, name := range sets {
		s, err := readSet(b.data, name, most)
		if err != nil {
			return err
		}
		b.sets = append(b.sets, s)
	}
	b.folder, err = os.MkdirTemp("", "accuracy-")
	return err
}

func (b *bench) close() { os.RemoveAll(b.folder) }

// backbone is a file with a card: the one that is named, or what an import makes of it.
func (b *bench) backbone(ctx context.Context, file string) (string, error) {
	base := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	if _, err := os.Stat(strings.TrimSuffix(file, filepath.Ext(file)) + ".toml"); err == nil {
		return file, nil
	}
	folder := filepath.Join(b.folder, "backbones")
	made := filepath.Join(folder, base+".onnx")
	if _, err := os.Stat(made); err == nil {
		return made, nil
	}
	_, err := b.exec(ctx, "backbone", "import", file, "--name", base, "--backbones", folder)
	return made, err
}

// measure trains a recipe of a set and evaluates it.
func (b *bench) measure(ctx context.Context, s set, c choice) (r result, err error) {
	folder, err := os.MkdirTemp(b.folder, s.name+"-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(folder)
	masks, err := s.link(folder)
	if err != nil {
		return r, err
	}
	in := func(name string) string { return filepath.Join(folder, name) }
	common := []string{"--recipes", in("recipes")}
	if c.backbone != "" {
		file, err := b.backbone(ctx, c.backbone)
		if err != nil {
			return r, err
		}
		common = append(common, "--backbone", file)
	}
	train := append([]string{"train", "accuracy", "--good", in("train")}, common...)
	train = append(train, b.with...)
	if c.size != "" {
		train = append(train, "--size", c.size)
	}
	if c.layers != "" {
		train = append(train, "--layers", strings.ReplaceAll(c.layers, "+", ","))
	}
	switch {
	case c.method == recipe.PaDiM:
		train = append(train, "--method", c.method)
	case c.method != "":
		train = append(train, "--score", c.method)
	}
	if b.bank > 0 && c.method != recipe.PaDiM {
		train = append(train, "--bank", strconv.Itoa(b.bank))
	}
	if _, err := b.exec(ctx, train...); err != nil {
		return r, err
	}
	eval := append([]string{"eval", "accuracy", "--good", in("good"), "--bad", in("bad"), "-o", "json"}, common...)
	if masks {
		eval = append(eval, "--masks", in("masks"))
	}
	out, err := b.exec(ctx, eval...)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(out, &r.Report); err != nil {
		return r, fmt.Errorf("eval: %w", err)
	}
	r.recipe, err = recipe.Folder(in("recipes")).Load("accuracy", 0)
	return r, err
}

func (b *bench) exec(ctx context.Context, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, b.linectl, args...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("linectl %s: %w\n%s", strings.Join(args, " "), err, &errs)
	}
	return out, nil
}

// named counts which of the files a recipe left out, and which stand on a contact sheet: those that are left out and
// the strangest of the rest, twelve or a tenth of all.
func named(r *recipe.Recipe, files []string) (out, seen int) {
	rest := slices.Clone(r.Pictures)
	slices.SortStableFunc(rest, recipe.Stranger)
	left := len(r.Training.LeftOut)
	room := max(12, (len(rest)+left)/10) - left
	for _, file := range files {
		name := wrongName(file)
		if slices.Contains(r.Training.LeftOut, name) {
			out++
			seen++
		} else if at := slices.IndexFunc(rest, func(p recipe.Picture) bool { return p.File == name }); at >= 0 && at < room {
			seen++
		}
	}
	return out, seen
}

func without(files, some []string) (rest []string) {
	for _, f := range files {
		if !slices.Contains(some, f) {
			rest = append(rest, f)
		}
	}
	return rest
}

func rate(r exam.Rate) string { return fmt.Sprintf("%d of %d", r.Count, r.Of) }

func figure(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.3f", *v)
}
