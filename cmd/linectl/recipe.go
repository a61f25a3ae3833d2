package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
)

func (p *program) recipeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "recipe",
		Short: "recipes: their versions, zones, challenge pictures and history",
	}
	var d desk
	c.PersistentFlags().StringVar(&d.recipes, "recipes", "", "folder of the recipes (that of the config; without a config file, ./recipes)")
	c.PersistentFlags().StringVar(&d.backbone, "backbone", "", "network for challenge pictures (that of the config, or linectl's own)")
	shelf := func() (recipe.Folder, error) {
		_, folders, err := p.settings(d)
		return recipe.Folder(folders.Recipes), err
	}
	with := func(run func(recipe.Folder, []string) error) func(*cobra.Command, []string) error {
		return func(_ *cobra.Command, args []string) error {
			folder, err := shelf()
			if err != nil {
				return err
			}
			return run(folder, args)
		}
	}
	c.AddCommand(
		&cobra.Command{
			Use: "list", Short: "every recipe and its versions", Args: cobra.NoArgs,
			RunE: with(func(f recipe.Folder, _ []string) error { return p.listRecipes(f) }),
		},
		&cobra.Command{
			Use: "show NAME[@VERSION]", Short: "what a version was made from and what it promises", Args: cobra.ExactArgs(1),
			RunE: with(func(f recipe.Folder, args []string) error { return p.showRecipe(f, args[0]) }),
		},
		p.recipeActivateCommand(&d), p.recipeRollbackCommand(&d), p.recipeRemoveCommand(&d),
		p.recipeExportCommand(&d), p.recipeImportCommand(&d), p.recipeZoneCommand(&d), p.recipeChallengeCommand(&d),
		&cobra.Command{
			Use: "verify [NAME]", Short: "compare every file of every version with its seal", Args: cobra.MaximumNArgs(1),
			RunE: with(func(f recipe.Folder, args []string) error { return p.verifyRecipes(f, args) }),
		},
	)
	return c
}

// listed is one version as list and verify print it.
type listed struct {
	Name      string    `json:"name"`
	Version   int       `json:"version"`
	Active    bool      `json:"active"`
	Created   time.Time `json:"created,omitzero"`
	Pictures  int       `json:"pictures,omitempty"`
	Bank      int       `json:"bank,omitempty"`
	Threshold float64   `json:"threshold,omitempty"`
	Expected  float64   `json:"false_rejects_in_10000,omitempty"`
	Hash      string    `json:"hash,omitempty"`
	Damage    string    `json:"damage,omitempty"`
}

// survey reads all versions of the named recipes, damaged ones included.
func survey(f recipe.Folder, names []string) ([]listed, error) {
	var all []listed
	for _, name := range names {
		versions, err := f.Versions(name)
		if err != nil {
			return nil, err
		}
		active, _ := f.Active(name) // none is a state to be shown
		for _, version := range versions {
			l := listed{Name: name, Version: version, Active: version == active}
			r, err := f.Load(name, version)
			if err != nil {
				l.Damage = err.Error()
			} else {
				l.Created, l.Hash = r.Created, r.Hash
				l.Pictures, l.Bank = r.Training.Pictures, r.Bank.Rows
				l.Threshold, l.Expected = r.Threshold.Value, r.Threshold.Expected
			}
			all = append(all, l)
		}
	}
	return all, nil
}

func (p *program) listRecipes(f recipe.Folder) error {
	names, err := f.Names()
	if err != nil {
		return err
	}
	all, err := survey(f, names)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return hint.New(hint.NoMatch, fmt.Errorf("there is no recipe in %s", f), "'linectl train NAME --good DIR' makes one")
	}
	var rows [][]string
	for _, l := range all {
		row := []string{l.Name, strconv.Itoa(l.Version), yesNo(l.Active), "", "", "", "", "", "damaged: 'linectl recipe verify " + l.Name + "' says where"}
		if l.Damage == "" {
			row = append(row[:3], l.Created.In(p.zone).Format(time.DateTime), strconv.Itoa(l.Pictures), strconv.Itoa(l.Bank),
				fmt.Sprintf("%.4g", l.Threshold), fmt.Sprintf("%.0f", l.Expected), l.Hash[:12])
		}
		rows = append(rows, row)
	}
	return p.print(all, []string{"name", "version", "active", "created", "pictures", "bank", "threshold", "false rejects in 10,000", "hash"}, rows)
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func (p *program) showRecipe(f recipe.Folder, text string) error {
	r, err := loadRecipe(f, text)
	if err != nil {
		return err
	}
	active, _ := f.Active(r.Name)
	challenges, err := f.Challenges(r.Name)
	if err != nil {
		return err
	}
	events, err := f.History(r.Name)
	if err != nil {
		return err
	}
	rows := [][]string{
		{"recipe", fmt.Sprintf("%s@%d", r.Name, r.Version)},
		{"active", yesNo(active == r.Version)},
		{"created", r.Created.In(p.zone).Format(time.DateTime)},
		{"hash", r.Hash},
		{"backbone", fmt.Sprintf("%s, layers %v, SHA-256 %s", r.Manifest.Backbone.Name, r.Manifest.Backbone.Layers, r.Manifest.Backbone.SHA256)},
		{"network", strings.TrimSuffix(cmp.Or(r.Manifest.Backbone.Precision, patchcore.FP32)+", "+r.Manifest.Backbone.Gate, ", ")},
		{"input", fmt.Sprintf("%s, resized by %s", r.Input.Size(), r.Input.Resize)},
		{"method", method(r)},
		{"precision", strings.TrimSuffix(r.Method.Precision+", "+r.Method.Gate, ", ")},
		{"learned", learned(r)},
		{"pictures", fmt.Sprintf("%d, held out in %d parts", r.Training.Pictures, r.Training.Folds)},
	}
	if b := r.Training.Budget; b != nil {
		rows = append(rows, []string{"budget", fmt.Sprintf("%s on %s, the best of %d settings that were measured", b.Limit, b.Device, len(b.Trials))})
	}
	rows = append(rows, newPromised(r.Threshold).rows()...)
	for _, z := range r.Zones {
		text := "not judged"
		if !z.Ignore {
			text = fmt.Sprintf("threshold %.6g, %.0f false rejects in 10,000 (%.0f to %.0f)", z.Threshold.Value, z.Threshold.Expected, z.Threshold.Low, z.Threshold.High)
		}
		rows = append(rows, []string{"zone " + z.Name, text})
	}
	rows = append(rows, [][]string{
		{"brightness", fmt.Sprintf("%.1f to %.1f", r.Quality.Darkest, r.Quality.Brightest)},
		{"sharpness", fmt.Sprintf("%.3g or more", r.Quality.Dullest)},
		{"shape", shape(r.Quality)},
		{"golden pictures", strconv.Itoa(len(r.Golden))},
		{"challenge pictures", fmt.Sprintf("%d that every version must reject", len(challenges))},
		{"suspects", suspects(r)},
		{"folder", r.Path},
	}...)
	for _, c := range r.History {
		rows = append(rows, []string{"made " + c.At.In(p.zone).Format(time.DateTime), said(c.Who, c.What, c.Why)})
	}
	for _, e := range events {
		text := e.What
		if e.Version > 0 {
			text = fmt.Sprintf("%s@%d %s", r.Name, e.Version, e.What)
		}
		if len(e.Forced) > 0 {
			text += " in spite of " + strings.Join(e.Forced, ", ")
		}
		rows = append(rows, []string{"on " + e.At.In(p.zone).Format(time.DateTime), said(e.Who, text, e.Why)})
	}
	manifest, err := r.Manifest.Table()
	if err != nil {
		return err
	}
	return p.print(map[string]any{"manifest": manifest, "hash": r.Hash, "active": active == r.Version, "path": r.Path, "golden": len(r.Golden), "promise_counting_left_out": counting(r),
		"suspects": suspectFiles(r), "challenges": append([]recipe.Challenge{}, challenges...), "history": append([]recipe.Event{}, events...)}, nil, rows)
}

func method(r *recipe.Recipe) string {
	text := fmt.Sprintf("%s, score %s", r.Method.Name, r.Method.Score)
	if r.Method.TopK > 0 {
		text += fmt.Sprintf(" of %d", r.Method.TopK)
	}
	if r.Method.WithAppearance() && len(r.Zones) == 0 {
		text += fmt.Sprintf(", appearance beyond %.3g times %.3g", r.Method.AppearanceFrom, r.Method.Appearance)
	}
	if r.Method.Choice != "" {
		text += " (" + r.Method.Choice + ")"
	}
	return fmt.Sprintf("%s, seed %d", text, r.Method.Seed)
}

func learned(r *recipe.Recipe) string {
	if r.Gauss != nil {
		return fmt.Sprintf("a distribution of %d numbers for each of %dx%d cells", r.Gauss.Dim(), r.Gauss.Width, r.Gauss.Height)
	}
	text := fmt.Sprintf("%d vectors of %d numbers, of %d patches (%d sampled)", r.Bank.Rows, r.Bank.Dim, r.Training.Patches, r.Training.Sampled)
	if r.Means.Rows > 0 {
		text += fmt.Sprintf("; %d mean patches", r.Means.Rows)
	}
	return text
}

func suspectFiles(r *recipe.Recipe) []string {
	files := []string{}
	for _, p := range r.Pictures {
		if p.Suspect {
			files = append(files, p.File)
		}
	}
	return files
}

func shape(l picture.Limits) string {
	if l.Widest == 0 {
		return "any"
	}
	return fmt.Sprintf("%.3f times as wide as high", l.Widest)
}

func suspects(r *recipe.Recipe) string {
	text := "none"
	if files := suspectFiles(r); len(files) > 0 {
		text = fmt.Sprintf("%d pictures unlike the rest: %s", len(files), strings.Join(files, ", "))
	}
	if out := r.Training.LeftOut; len(out) > 0 {
		text += fmt.Sprintf("; %d left out: %s; %s, if parts like these are good ones", len(out), strings.Join(out, ", "), counting(r))
	}
	return text
}

// said joins what was done with who did it and why.
func said(who, what, why string) string {
	if who != "" {
		what += ", by " + who
	}
	if why != "" {
		what += ": " + why
	}
	return what
}

func (p *program) verifyRecipes(f recipe.Folder, names []string) error {
	if len(names) == 0 {
		var err error
		if names, err = f.Names(); err != nil {
			return err
		}
	}
	all, err := survey(f, names)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return hint.New(hint.NoMatch, fmt.Errorf("there is nothing to verify in %s", f), "'linectl recipe list' shows the recipes")
	}
	damaged := 0
	var rows [][]string
	for _, l := range all {
		state, detail := "ok", l.Hash
		if l.Damage != "" {
			damaged++
			state, detail = "damaged", l.Damage
		}
		rows = append(rows, []string{l.Name, strconv.Itoa(l.Version), yesNo(l.Active), state, detail})
	}
	if err := p.print(all, []string{"name", "version", "active", "state", "detail"}, rows); err != nil {
		return err
	}
	if damaged > 0 {
		return hint.New(hint.Damage, fmt.Errorf("%d of %d recipe versions are damaged", damaged, len(all)),
			"activate another version, restore the folder from a backup, or train again; the line uses nothing of a damaged version")
	}
	return nil
}
