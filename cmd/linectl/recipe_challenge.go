package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
)

func (p *program) recipeChallengeCommand(d *desk) *cobra.Command {
	c := &cobra.Command{Use: "challenge", Short: "pictures of known defects that every version must reject"}
	var by author
	var kind string
	add := &cobra.Command{
		Use: "add NAME PICTURE...", Short: "add pictures, and see what the active version makes of them", Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return p.addChallenges(c, *d, args[0], args[1:], kind, by)
		},
	}
	by.flags(add)
	add.Flags().StringVar(&kind, "kind", "", "kind of defect, as scratch")
	remove := &cobra.Command{
		Use: "remove NAME PICTURE", Short: "take a picture away, by its name or the beginning of its SHA-256", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			_, folders, err := p.settings(*d)
			if err != nil {
				return err
			}
			gone, err := recipe.Folder(folders.Recipes).RemoveChallenge(args[0], args[1], by.change())
			if err != nil {
				return err
			}
			if p.output == "table" {
				_, err = fmt.Fprintf(p.out, "%s (%.12s) is no challenge picture of %s any more\n", gone.Name, gone.SHA256, args[0])
				return err
			}
			return p.print(map[string]string{"recipe": args[0], "removed": gone.Name, "sha256": gone.SHA256}, []string{"recipe", "removed", "sha256"}, [][]string{{args[0], gone.Name, gone.SHA256}})
		},
	}
	by.flags(remove)
	c.AddCommand(add, remove, &cobra.Command{
		Use: "list NAME[@VERSION]", Short: "the pictures, and what a version makes of them", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			_, folders, err := p.settings(*d)
			if err != nil {
				return err
			}
			name, version, err := parseRecipe(args[0])
			if err != nil {
				return err
			}
			all, err := recipe.Folder(folders.Recipes).Challenges(name)
			if err != nil {
				return err
			}
			if len(all) == 0 {
				return hint.New(hint.NoMatch, fmt.Errorf("recipe %s has no challenge pictures", name), "'linectl recipe challenge add "+name+" PICTURE' adds one")
			}
			return p.tryChallenges(c, *d, name, version, all)
		},
	})
	return c
}

func (p *program) addChallenges(c *cobra.Command, d desk, name string, files []string, kind string, by author) error {
	_, folders, err := p.settings(d)
	if err != nil {
		return err
	}
	shelf := recipe.Folder(folders.Recipes)
	if _, err := shelf.Load(name, 0); err != nil {
		return err
	}
	var all []recipe.Challenge
	for _, file := range files {
		if _, err := picture.Read(file); err != nil { // one that cannot be read could never be rejected
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		all = append(all, recipe.Challenge{Name: filepath.Base(file), Kind: kind, Picture: data})
	}
	if err := shelf.AddChallenges(name, all, by.change()); err != nil {
		return err
	}
	return p.tryChallenges(c, d, name, 0, all)
}

// tried is what a version makes of a challenge picture.
type tried struct {
	recipe.Challenge
	Score     *float64 `json:"score"`
	Threshold float64  `json:"threshold"`
	Zone      string   `json:"zone,omitempty"`
	Rejected  bool     `json:"rejected"`
	Reason    string   `json:"reason,omitempty"`
}

// tryChallenges prints what a version, 0 being the active one, makes of pictures.
func (p *program) tryChallenges(c *cobra.Command, d desk, name string, version int, pictures []recipe.Challenge) error {
	cfg, folders, err := p.settings(d)
	if err != nil {
		return err
	}
	r, err := recipe.Folder(folders.Recipes).Load(name, version)
	if err != nil {
		return err
	}
	results, err := inspect.Try(c.Context(), cfg, folders, r, pictures)
	if err != nil {
		return err
	}
	var all []tried
	var rows [][]string
	unseen := 0
	for _, t := range results {
		f := t.Finding
		one := tried{Challenge: t.Challenge, Score: numeric(f.Score), Threshold: f.Threshold, Zone: f.Zone, Rejected: t.Found(), Reason: f.Reason.String()}
		verdict := "rejected: " + one.Reason
		if !one.Rejected {
			unseen++
			verdict = "PASSED"
			if !f.Reason.Inspected() {
				verdict = "NOT JUDGED: " + one.Reason
			}
		}
		all = append(all, one)
		rows = append(rows, []string{one.Name, fmt.Sprintf("%.12s", one.SHA256), one.Kind, figure(one.Score), fmt.Sprintf("%.4g", one.Threshold), one.Zone, verdict})
	}
	if err := p.print(all, []string{"picture", "sha256", "kind", "score", "threshold", "zone", fmt.Sprintf("by %s@%d", name, r.Version)}, rows); err != nil {
		return err
	}
	if unseen > 0 {
		fmt.Fprintf(p.err, "linectl: %s@%d does not find %d of %d known defects: lower its threshold with 'linectl threshold %s', train again, or take away a picture that is not judged\n", name, r.Version, unseen, len(results), name)
	}
	return nil
}
