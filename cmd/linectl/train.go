package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/evaluate"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// desk is where recipes are made and tried: on a configured line, or, without a config file, on the desk
// of somebody who only has pictures.
type desk struct {
	recipes  string // --recipes
	backbone string // --backbone
}

func (d *desk) flags(c *cobra.Command) {
	c.Flags().StringVar(&d.recipes, "recipes", "", "folder of the recipes (that of the config; without a config file, ./recipes)")
	c.Flags().StringVar(&d.backbone, "backbone", "", "ONNX file of the network, with its card beside it (that of the config, or linectl's own)")
}

// settings joins the config file, where there is one, and the flags, which come first. A config file
// that was named and is missing is an error; the default one may be missing.
func (p *program) settings(d desk) (inspect.Config, inspect.Folders, error) {
	c := config.Default()
	folders := c.Folders()
	loaded, err := p.load()
	switch {
	case err == nil:
		c, folders = *loaded, loaded.Folders()
	case p.configPath == config.DefaultPath && missing(p.configPath):
		folders.Recipes = "recipes"
	default:
		return inspect.Config{}, inspect.Folders{}, err
	}
	if d.recipes != "" {
		folders.Recipes = d.recipes
	}
	if d.backbone != "" {
		c.Inspect.Backbone = d.backbone
	}
	return c.Inspect, folders, nil
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func (p *program) trainCommand() *cobra.Command {
	var d desk
	var o inspect.TrainOptions
	var bad, size string
	c := &cobra.Command{
		Use:   "train NAME --good DIR",
		Short: "make a recipe from pictures of good parts",
		Long: `Train makes a new version of the recipe NAME from pictures of good parts.

It needs at least 12 pictures of different parts, 100 or more are better: taken with the line's own
camera and light, each part once, with everything that varies from one good part to the next. The
threshold follows from good pictures that are held out in turn; bad ones, if given, only show what it
would catch. The first version of a name becomes active at once, a later one with 'recipe activate'.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.Name = args[0]
			if size != "" {
				var err error
				if o.Size, err = picture.ParseSize(size); err != nil {
					return hint.New(hint.Usage, fmt.Errorf("--size: %w", err), "")
				}
			}
			return p.train(c.Context(), d, o, bad)
		},
	}
	d.flags(c)
	c.Flags().StringVar(&o.Good, "good", "", "folder of pictures of good parts")
	c.Flags().StringVar(&bad, "bad", "", "folder of pictures of bad parts, to see what would be caught")
	c.Flags().IntVar(&o.Bank, "bank", inspect.DefaultBank, "vectors in the memory bank; the time per part grows with it")
	c.Flags().StringVar(&size, "size", "", "the network's input, as 320x224 (of the pictures' shape, with the area of 256x256)")
	c.Flags().Float64Var(&o.Target, "false-rejects", 0, "good parts in 10,000 that may be rejected (as few as the pictures can speak for, at best 50)")
	c.Flags().Uint64Var(&o.Seed, "seed", inspect.DefaultSeed, "seed of everything that is drawn by chance")
	if err := c.MarkFlagRequired("good"); err != nil {
		panic(err) // the flag stands above
	}
	return c
}

// trained is what train prints.
type trained struct {
	Name        string  `json:"name"`
	Version     int     `json:"version"`
	Active      bool    `json:"active"`
	Hash        string  `json:"hash"`
	Path        string  `json:"path"`
	Pictures    int     `json:"pictures"`
	Input       string  `json:"input"`
	Bank        int     `json:"bank"`
	Patches     int     `json:"patches"`
	Sampled     int     `json:"sampled"`
	Threshold   float64 `json:"threshold"`
	Expected    float64 `json:"false_rejects_in_10000"`
	Low         float64 `json:"false_rejects_low"`
	High        float64 `json:"false_rejects_high"`
	Seconds     float64 `json:"seconds"`
	BadPictures int     `json:"bad_pictures,omitempty"`
	Caught      int     `json:"bad_caught,omitempty"`
	Refused     int     `json:"bad_refused,omitempty"`
	AUROC       float64 `json:"auroc,omitempty"`
}

func (p *program) train(ctx context.Context, d desk, o inspect.TrainOptions, bad string) error {
	cfg, folders, err := p.settings(d)
	if err != nil {
		return err
	}
	var badFiles []string
	if bad != "" { // before the minutes of training, not after them
		if badFiles, err = picture.List(bad); err != nil {
			return err
		}
	}
	begun := time.Now()
	progress := newProgress(p.err)
	r, err := inspect.Train(ctx, cfg, folders, o, progress.step)
	progress.end()
	if err != nil {
		return err
	}
	active, err := recipe.Folder(folders.Recipes).Active(r.Name)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(r.Path)
	if err != nil {
		return err
	}
	t := trained{
		Name: r.Name, Version: r.Version, Active: active == r.Version, Hash: r.Hash, Path: path,
		Pictures: r.Training.Pictures, Input: r.Input.Size().String(), Bank: r.Bank.Rows,
		Patches: r.Training.Patches, Sampled: r.Training.Sampled,
		Threshold: r.Threshold.Value, Expected: r.Threshold.Expected, Low: r.Threshold.Low, High: r.Threshold.High,
		Seconds: math.Round(time.Since(begun).Seconds()*10) / 10,
	}
	if len(badFiles) > 0 {
		if err := p.tryBad(ctx, cfg, folders, r, badFiles, &t); err != nil {
			return err
		}
	}
	return p.print(t, nil, t.rows(active))
}

func (t trained) rows(active int) [][]string {
	state := "yes"
	if !t.Active {
		state = fmt.Sprintf("no, %s@%d is; 'linectl recipe activate %s %d' changes that", t.Name, active, t.Name, t.Version)
	}
	among := fmt.Sprintf("%d vectors of %d patches", t.Bank, t.Patches)
	if t.Sampled < t.Patches {
		among = fmt.Sprintf("%d vectors, chosen among a sample of %d of %d patches", t.Bank, t.Sampled, t.Patches)
	}
	rows := [][]string{
		{"recipe", fmt.Sprintf("%s@%d", t.Name, t.Version)},
		{"active", state},
		{"pictures", strconv.Itoa(t.Pictures)},
		{"input", t.Input},
		{"memory bank", among},
		{"threshold", fmt.Sprintf("%.4g", t.Threshold)},
		{"promise", fmt.Sprintf("%.0f of 10,000 good parts rejected; with 90 %% probability between %.0f and %.0f", t.Expected, t.Low, t.High)},
	}
	if t.BadPictures > 0 {
		rows = append(rows, []string{"bad pictures", fmt.Sprintf("%d of %d caught, AUROC %.3f against held-out good ones (for information)", t.Caught, t.BadPictures, t.AUROC)})
	}
	if t.Refused > 0 {
		rows = append(rows, []string{"", fmt.Sprintf("%d of them refused for the picture itself, without a score", t.Refused)})
	}
	return append(rows, []string{"took", fmt.Sprintf("%.1f s", t.Seconds)}, []string{"folder", t.Path})
}

// tryBad inspects bad pictures by the recipe that was just made.
func (p *program) tryBad(ctx context.Context, cfg inspect.Config, folders inspect.Folders, r *recipe.Recipe, files []string, t *trained) error {
	inspector, err := inspect.OpenRecipe(cfg, folders, r, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer inspector.Close()
	var scores []float64
	for _, file := range files {
		frame, err := picture.Read(file)
		if err != nil {
			return fmt.Errorf("recipe %s@%d is made, but a bad picture cannot be tried: %w", r.Name, r.Version, err)
		}
		found, err := inspector.Inspect(ctx, frame)
		if err != nil {
			return fmt.Errorf("recipe %s@%d is made, but a bad picture cannot be tried: %s: %w", r.Name, r.Version, file, err)
		}
		if math.IsNaN(found.Score) {
			t.Refused++
		} else {
			scores = append(scores, found.Score)
		}
		if found.Reason != part.None {
			t.Caught++
		}
	}
	good := make([]float64, len(r.Pictures))
	for i, picture := range r.Pictures {
		good[i] = picture.Score
	}
	t.BadPictures = len(files)
	if len(scores) > 0 {
		t.AUROC = evaluate.AUROC(good, scores)
	}
	return nil
}
