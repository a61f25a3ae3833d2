package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect/recipe"
)

func (p *program) recipeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "recipe",
		Short: "list, show, verify and activate recipes",
	}
	var d desk
	c.PersistentFlags().StringVar(&d.recipes, "recipes", "", "folder of the recipes (that of the config; without a config file, ./recipes)")
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
		&cobra.Command{
			Use: "activate NAME VERSION", Short: "make a version the one in use", Args: cobra.ExactArgs(2),
			Long: "Activate verifies a version and makes it the one in use. A running daemon takes it with its next\nreload ('systemctl reload linectl').",
			RunE: with(func(f recipe.Folder, args []string) error { return p.activateRecipe(f, args[0], args[1]) }),
		},
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
			row = append(row[:3], l.Created.Local().Format(time.DateTime), strconv.Itoa(l.Pictures), strconv.Itoa(l.Bank),
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
	name, version, err := parseRecipe(text)
	if err != nil {
		return err
	}
	r, err := f.Load(name, version)
	if err != nil {
		return err
	}
	active, _ := f.Active(name)
	t := r.Threshold
	rows := [][]string{
		{"recipe", fmt.Sprintf("%s@%d", r.Name, r.Version)},
		{"active", yesNo(active == r.Version)},
		{"created", r.Created.Local().Format(time.DateTime)},
		{"hash", r.Hash},
		{"backbone", fmt.Sprintf("%s, layers %v, SHA-256 %s", r.Manifest.Backbone.Name, r.Manifest.Backbone.Layers, r.Manifest.Backbone.SHA256)},
		{"input", fmt.Sprintf("%s, resized by %s", r.Input.Size(), r.Input.Resize)},
		{"method", fmt.Sprintf("%s, score %s, seed %d", r.Method.Name, r.Method.Score, r.Method.Seed)},
		{"memory bank", fmt.Sprintf("%d vectors of %d numbers, of %d patches (%d sampled)", r.Bank.Rows, r.Bank.Dim, r.Training.Patches, r.Training.Sampled)},
		{"pictures", fmt.Sprintf("%d, held out in %d runs", r.Training.Pictures, r.Training.Folds)},
		{"threshold", fmt.Sprintf("%.6g by %s; the greatest held-out good score is %.6g", t.Value, t.Rule, t.Greatest)},
		{"promise", fmt.Sprintf("%.0f of 10,000 good parts rejected; with 90 %% probability between %.0f and %.0f", t.Expected, t.Low, t.High)},
		{"brightness", fmt.Sprintf("%.1f to %.1f", r.Quality.Darkest, r.Quality.Brightest)},
		{"sharpness", fmt.Sprintf("%.3g or more", r.Quality.Dullest)},
		{"folder", r.Path},
	}
	manifest, err := r.Manifest.Table()
	if err != nil {
		return err
	}
	return p.print(map[string]any{"manifest": manifest, "hash": r.Hash, "active": active == r.Version, "path": r.Path}, nil, rows)
}

func (p *program) activateRecipe(f recipe.Folder, name, number string) error {
	version, err := strconv.Atoi(number)
	if err != nil || version < 1 {
		return hint.New(hint.Usage, fmt.Errorf("%q is not a version; versions are 1, 2, 3 …", number), "'linectl recipe list' shows them")
	}
	if err := f.Activate(name, version, recipe.Event{}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "%s@%d is active; a running daemon takes it with its next reload\n", name, version)
	return err
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
