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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/evaluate"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
	"linectl/internal/store"
)

// desk is where recipes are made and tried: on a configured line, or, without a config file, on the desk
// of somebody who only has pictures.
type desk struct {
	recipes   string // --recipes
	backbone  string // --backbone
	backbones string // --backbones
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
		folders.Recipes, folders.Backbones = "recipes", "backbones"
	default:
		return inspect.Config{}, inspect.Folders{}, err
	}
	if d.recipes != "" {
		folders.Recipes = d.recipes
	}
	if d.backbones != "" {
		folders.Backbones = d.backbones
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
	var bad, size, add, widen string
	var budget time.Duration
	c := &cobra.Command{
		Use:   "train NAME --good DIR",
		Short: "make a recipe from pictures of good parts",
		Long: `Train makes a new version of the recipe NAME from pictures of good parts.

It needs at least 12 pictures of different parts, 100 or more are better: taken with the line's own
camera and light, with everything that varies from one good part to the next. Pictures of the same part
are recognised and count as one. The threshold follows from good pictures that are held out in turn; bad
ones, if given, only show what it would catch. Pictures unlike the rest are named and left out.

With --add the pictures are added to the active version in place of --good: what is new in them is
learned, and the threshold set anew, in seconds: for what it was set for, or for --false-rejects and --review.

The first version of a name becomes active at once, a later one with 'recipe activate'.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.Name = args[0]
			if size != "" {
				var err error
				if o.Size, err = picture.ParseSize(size); err != nil {
					return hint.New(hint.Usage, fmt.Errorf("--size: %w", err), "")
				}
			}
			if widen != "" {
				o.Widen = strings.Split(widen, ",")
			}
			if (o.Good == "") == (add == "") {
				return hint.New(hint.Usage, errors.New("train takes either --good or --add"), "usage: "+c.UseLine())
			}
			if add != "" {
				for _, name := range []string{"method", "layers", "size", "bank", "score", "top-k", "precision", "backbone-precision", "widen", "budget", "seed", "sheet"} {
					if c.Flags().Changed(name) {
						return hint.New(hint.Usage, fmt.Errorf("--%s does not go with --add: the version keeps what it was made with", name), "train anew with --good to change it")
					}
				}
				if o.KeepSuspects {
					return hint.New(hint.Usage, errors.New("--keep-suspects does not go with --add: of added pictures none is left out for being unlike the rest"), "leave it away")
				}
				o.Good = add
			}
			if o.Method == recipe.PaDiM && c.Flags().Changed("bank") {
				return hint.New(hint.Usage, errors.New("--bank does not go with --method padim, which has no memory bank"), "leave it away")
			}
			if o.Seed == 0 {
				return hint.New(hint.Usage, errors.New("--seed is 1 or more"), "")
			}
			if c.Flags().Changed("budget") {
				for _, name := range []string{"size", "bank", "layers"} {
					if c.Flags().Changed(name) {
						return hint.New(hint.Usage, fmt.Errorf("--%s does not go with --budget, which chooses it", name), "leave one of the two away; 'linectl bench' measures one setting")
					}
				}
				if o.Method != recipe.PatchCore {
					return hint.New(hint.Usage, fmt.Errorf("--budget chooses for %s; %s has no memory bank", recipe.PatchCore, o.Method), "'linectl bench NAME' measures the recipe that is made")
				}
			}
			return p.train(c.Context(), d, o, bad, add != "", budget, c.Flags().Changed("budget"))
		},
	}
	d.flags(c)
	c.Flags().StringVar(&o.Good, "good", "", "folder of pictures of good parts")
	c.Flags().StringVar(&bad, "bad", "", "folder of pictures of bad parts, to see what would be caught")
	c.Flags().StringVar(&add, "add", "", "folder of more pictures of good parts, for the active version")
	c.Flags().StringVar(&o.Challenge, "challenge", "", "folder of known defects that this and every later version must reject")
	c.Flags().StringVar(&o.Method, "method", recipe.PatchCore, "how pictures are compared: patchcore, or padim for parts that always lie the same way")
	c.Flags().StringVar(&o.Layers, "layers", "", "layers of the network, as layer2,layer3 or by their strides as 8,16 (those of its card)")
	c.Flags().StringVar(&size, "size", "", "the network's input, as 320x224 (of the pictures' shape, with the area of 256x256)")
	c.Flags().IntVar(&o.Bank, "bank", inspect.DefaultBank, "vectors in the memory bank; the time per part grows with it")
	c.Flags().StringVar(&o.Score, "score", "", "how a picture's score follows from its patches: max_appearance (and from the picture as a whole), max, max_mean_3x3, reweighted (anomalib's) or mean_top_k (max_appearance, or what --challenge pictures prove to be better)")
	c.Flags().IntVar(&o.TopK, "top-k", 0, fmt.Sprintf("patches that mean_top_k averages (%d)", inspect.DefaultTopK))
	c.Flags().StringVar(&o.Precision, "precision", inspect.Auto, "of the memory bank: fp32, int8, or auto for int8 where held-out pictures prove that it agrees")
	c.Flags().StringVar(&o.BackbonePrecision, "backbone-precision", patchcore.FP32, "of the network: fp32, int8, or auto for int8 where good, spoiled and --challenge pictures prove that it agrees")
	c.Flags().DurationVar(&budget, "budget", 0, "time that the inspection of a part may take, as 50ms: network, input and bank are chosen by measuring this machine")
	c.Flags().StringVar(&widen, "widen", "", "changes that good parts really show, learned as well: rotate, shift, light, with commas between them")
	c.Flags().Float64Var(&o.Target, "false-rejects", 0, "good parts in 10,000 that may be rejected (twice as few as the pictures can speak for, from 50 to 500)")
	c.Flags().Float64Var(&o.Review, "review", 0, "good parts in 10,000 that may be rejected or be flagged for review (no review)")
	c.Flags().BoolVar(&o.KeepSuspects, "keep-suspects", false, "learn and count pictures that are unlike the rest as the others")
	c.Flags().StringVar(&o.Sheet, "sheet", "", "PNG file to draw the pictures into that are least like the rest")
	c.Flags().Uint64Var(&o.Seed, "seed", inspect.DefaultSeed, "seed of everything that is drawn by chance")
	c.Flags().StringVar(&o.Who, "who", store.UserName(), "who trains, for the recipe's history")
	c.Flags().StringVar(&o.Why, "why", "", "why, for the recipe's history")
	return c
}

// trained is what train prints.
type trained struct {
	Name        string   `json:"name"`
	Version     int      `json:"version"`
	Active      bool     `json:"active"`
	Hash        string   `json:"hash"`
	Path        string   `json:"path"`
	Pictures    int      `json:"pictures"`
	Input       string   `json:"input"`
	Bank        int      `json:"bank"`
	Patches     int      `json:"patches"`
	Sampled     int      `json:"sampled"`
	Threshold   float64  `json:"threshold"`
	Expected    float64  `json:"false_rejects_in_10000"`
	Low         float64  `json:"false_rejects_low"`
	High        float64  `json:"false_rejects_high"`
	Effective   float64  `json:"effective"`
	Method      string   `json:"method"`
	Precision   string   `json:"precision"`
	Gate        string   `json:"gate,omitempty"`
	Network     string   `json:"backbone_precision"`
	NetworkGate string   `json:"backbone_gate,omitempty"`
	Review      float64  `json:"review,omitempty"`
	LeftOut     []string `json:"left_out,omitempty"`
	Counting    *promise `json:"promise_counting_left_out,omitempty"`
	Notes       []string `json:"notes,omitempty"`
	Seconds     float64  `json:"seconds"`
	BadPictures int      `json:"bad_pictures,omitempty"`
	Caught      int      `json:"bad_caught,omitempty"`
	Refused     int      `json:"bad_refused,omitempty"`
	Unreadable  []string `json:"bad_unreadable,omitempty"`
	AUROC       float64  `json:"auroc,omitempty"`

	Budget *recipe.Budget `json:"budget,omitempty"`
}

// promise is false rejects in 10,000 good parts.
type promise struct {
	Expected float64 `json:"false_rejects_in_10000"`
	Low      float64 `json:"false_rejects_low"`
	High     float64 `json:"false_rejects_high"`
}

func (p promise) String() string {
	return fmt.Sprintf("about %.0f false rejects in 10,000 good parts, 95 %% interval %.0f to %.0f", p.Expected, p.Low, p.High)
}

// counting is the promise if what was left out were good parts after all; nil where nothing was.
func counting(r *recipe.Recipe) *promise {
	if len(r.Training.LeftOut) == 0 {
		return nil
	}
	c := r.Threshold.Counting(len(r.Training.LeftOut))
	return &promise{c.Expected, c.Low, c.High}
}

func (p *program) train(ctx context.Context, d desk, o inspect.TrainOptions, bad string, add bool, budget time.Duration, choose bool) error {
	cfg, folders, err := p.settings(d)
	if err != nil {
		return err
	}
	if err := writable("--sheet", o.Sheet); err != nil {
		return err
	}
	if o.Sheet != "" && !strings.EqualFold(filepath.Ext(o.Sheet), ".png") {
		return hint.New(hint.Usage, fmt.Errorf("--sheet: %s does not end in .png", o.Sheet), "name a PNG file")
	}
	var badFiles []string
	if bad != "" { // before the minutes of training, not after them
		if badFiles, err = picture.List(bad); err != nil {
			return err
		}
	}
	begun := time.Now()
	progress := newProgress(p.err)
	var notes []string
	o.Note = func(text string) {
		progress.end()
		fmt.Fprintln(p.err, "note:", text)
		notes = append(notes, text)
	}
	if text := picture.Doubles("bad pictures", badFiles); text != "" {
		o.Note(text)
	}
	if choose {
		err := fit(ctx, &cfg, folders, &o, budget, progress.step)
		progress.end()
		if err != nil {
			if o.Budget != nil { // nothing fits: what was tried says by how much
				if err := p.printBudget(*o.Budget); err != nil {
					return err
				}
			}
			return err
		}
	}
	train := inspect.Train
	if add {
		train = inspect.Add
	}
	r, err := train(ctx, cfg, folders, o, progress.step)
	progress.end()
	if r == nil {
		return err
	}
	unproved := err // the version is there, and must not be used
	active, err := recipe.Folder(folders.Recipes).Active(r.Name)
	if err != nil && unproved == nil {
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
		Effective: math.Round(r.Threshold.Effective), Method: r.Method.Name, Precision: r.Method.Precision, Gate: r.Method.Gate,
		Network: r.Manifest.Backbone.Precision, NetworkGate: r.Manifest.Backbone.Gate,
		Review: r.Threshold.Review, LeftOut: r.Training.LeftOut, Counting: counting(r), Notes: notes,
		Seconds: math.Round(time.Since(begun).Seconds()*10) / 10, Budget: r.Training.Budget,
	}
	if len(badFiles) > 0 {
		if err := p.tryBad(ctx, cfg, folders, r, badFiles, &t); err != nil {
			return err
		}
	}
	if err := p.print(t, nil, t.rows(active)); err != nil {
		return err
	}
	if choose && p.output == "table" {
		fmt.Fprintln(p.out)
		if err := p.printBudget(*t.Budget); err != nil {
			return err
		}
	}
	return unproved
}

// printBudget prints what was measured to keep within a budget, in the order in which it was tried.
func (p *program) printBudget(b recipe.Budget) error {
	var rows [][]string
	for _, t := range b.Trials {
		kept := "no"
		if t.Fits {
			kept = "yes"
		}
		rows = append(rows, []string{t.Backbone, t.Network, t.Input, strconv.Itoa(t.Bank), t.Precision, t.Score, strconv.Itoa(t.Measured), fmt.Sprintf("%.1f", t.P50), fmt.Sprintf("%.1f", t.P99), kept, t.Why})
	}
	return p.print(map[string]any{"budget": b}, []string{"backbone", "network", "input", "bank", "precision", "score", "inspections", "p50 ms", "p99 ms", "fits", "why"}, rows)
}

// fit chooses what inspects within the budget on this machine. Where nothing does, o has what was tried.
func fit(ctx context.Context, cfg *inspect.Config, folders inspect.Folders, o *inspect.TrainOptions, budget time.Duration, progress inspect.Progress) error {
	files, err := picture.List(o.Good)
	if err != nil {
		return err
	}
	frame, err := picture.Read(files[len(files)/2])
	if err != nil {
		return err
	}
	c, err := inspect.Choose(ctx, *cfg, folders, *o, picture.Size{Width: frame.Width, Height: frame.Height}, budget, progress)
	if len(c.Budget.Trials) > 0 {
		o.Budget = &c.Budget
	}
	if err != nil {
		return err
	}
	cfg.Backbone, o.Size, o.Bank = c.Backbone.Path, c.Size, c.Bank
	tried := c.Budget.Trials
	o.Note(fmt.Sprintf("within %s this machine inspects with backbone %s, input %s and a bank of %d in %s: p99 %.1f ms, of %d settings that were measured",
		budget, c.Backbone.Name, c.Size, c.Bank, c.Precision, tried[len(tried)-1].P99, len(tried)))
	return nil
}

func (t trained) rows(active int) [][]string {
	state := "yes"
	if !t.Active {
		state = fmt.Sprintf("no, %s@%d is; 'linectl recipe activate %s %d' changes that", t.Name, active, t.Name, t.Version)
		if active == 0 {
			state = "no, and no other version is"
		}
	}
	pictures := strconv.Itoa(t.Pictures)
	if t.Effective < float64(t.Pictures) {
		pictures += fmt.Sprintf(", worth %.0f of different parts", t.Effective)
	}
	if n := len(t.LeftOut); n > 0 {
		pictures += fmt.Sprintf("; %d unlike them left out", n)
	}
	among := fmt.Sprintf("%d vectors of %d patches", t.Bank, t.Patches)
	if t.Sampled < t.Patches {
		among = fmt.Sprintf("%d vectors, chosen among a sample of %d of %d patches", t.Bank, t.Sampled, t.Patches)
	}
	rows := [][]string{
		{"recipe", fmt.Sprintf("%s@%d", t.Name, t.Version)},
		{"active", state},
		{"pictures", pictures},
		{"input", t.Input},
		{"memory bank", among},
		{"network", strings.TrimSuffix(t.Network+"; "+t.NetworkGate, "; ")},
		{"precision", t.Precision + "; " + t.Gate},
		{"threshold", fmt.Sprintf("%.4g", t.Threshold)},
		{"promise", fmt.Sprintf("%s, from %d held-out pictures", promise{t.Expected, t.Low, t.High}, t.Pictures)},
	}
	if t.Counting != nil {
		rows = append(rows, []string{"", fmt.Sprintf("%s, if parts like the %d left out are good ones", t.Counting, len(t.LeftOut))})
	}
	if t.Method == recipe.PaDiM {
		rows = slices.DeleteFunc(rows, func(row []string) bool { return row[0] == "memory bank" || row[0] == "precision" })
	}
	if t.Review > 0 {
		rows = append(rows, []string{"review", fmt.Sprintf("from %.4g", t.Review)})
	}
	if t.BadPictures > 0 {
		rows = append(rows, []string{"bad pictures", fmt.Sprintf("%d of %d caught, AUROC %.3f against held-out good ones (for information)", t.Caught, t.BadPictures, t.AUROC)})
	}
	if 2*t.Caught < t.BadPictures {
		rows = append(rows, []string{"", "fewer than half: 'linectl features PICTURE' shows whether the network sees such defects; try a larger --size or another --backbone"})
	}
	for _, text := range t.Unreadable {
		rows = append(rows, []string{"", "not tried: " + text})
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
			t.Unreadable = append(t.Unreadable, err.Error())
			continue
		}
		found, err := inspector.Inspect(ctx, frame)
		if err != nil {
			return fmt.Errorf("recipe %s@%d is made, but a bad picture cannot be tried: %s: %w", r.Name, r.Version, file, err)
		}
		if math.IsNaN(found.Score) {
			t.Refused++
		} else {
			scores = append(scores, found.Score/found.Threshold)
		}
		if found.Reason != part.None {
			t.Caught++
		}
	}
	limits, err := inspect.Limits(r)
	if err != nil {
		return err
	}
	t.BadPictures = len(files) - len(t.Unreadable)
	if len(scores) > 0 {
		t.AUROC = evaluate.AUROC(inThresholds(limits), scores)
	}
	return nil
}

// inThresholds is the held-out scores of a recipe's pictures in units of the threshold, that of the zone that decides.
func inThresholds(limits []inspect.Limit) []float64 {
	decides := make([]float64, len(limits[0].Scores))
	for _, l := range limits {
		for i, score := range l.Scores {
			decides[i] = max(decides[i], score/l.Threshold.Value)
		}
	}
	return decides
}
