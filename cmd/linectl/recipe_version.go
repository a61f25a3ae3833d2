package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/recipe"
	"linectl/internal/store"
)

// author is who changes something, and why.
type author struct{ who, why string }

func (a *author) flags(c *cobra.Command) {
	c.Flags().StringVar(&a.who, "who", store.UserName(), "who does it")
	c.Flags().StringVar(&a.why, "why", "", "why")
}

func (a author) change() recipe.Change { return recipe.Change{Who: a.who, Why: a.why} }

// done is what a command has done to a version.
type done struct {
	Name       string `json:"name"`
	Version    int    `json:"version"`
	Hash       string `json:"hash,omitempty"`
	Active     bool   `json:"active"`
	Challenges int    `json:"challenge_pictures,omitempty"` // that it was proved on
	File       string `json:"file,omitempty"`
}

// report prints what was done, as one sentence where nobody asked for another form.
func (p *program) report(d done, sentence string, args ...any) error {
	return p.print(d, nil, [][]string{{fmt.Sprintf(sentence, args...)}})
}

func (p *program) recipeActivateCommand(d *desk) *cobra.Command {
	var by author
	var force bool
	c := &cobra.Command{
		Use: "activate NAME VERSION", Short: "make a version the one in use, if it rejects every challenge picture", Args: cobra.ExactArgs(2),
		Long: `Activate verifies a version, has it inspect the challenge pictures of the recipe, and makes it the one in use
if it rejects them all. A running daemon takes it with its next reload ('systemctl reload linectl').

--force with --why activates a version that passes known defects; the recipe's history names them.`,
		RunE: func(c *cobra.Command, args []string) error {
			version, err := parseVersion(args[1])
			if err != nil {
				return err
			}
			return p.activateRecipe(c, *d, args[0], version, by, force)
		},
	}
	by.flags(c)
	c.Flags().BoolVar(&force, "force", false, "activate even a version that passes challenge pictures; needs --why")
	return c
}

func parseVersion(text string) (int, error) {
	version, err := strconv.Atoi(text)
	if err != nil || version < 1 {
		return 0, hint.New(hint.Usage, fmt.Errorf("%q is not a version; versions are 1, 2, 3 …", text), "'linectl recipe list' shows them")
	}
	return version, nil
}

func (p *program) activateRecipe(c *cobra.Command, d desk, name string, version int, by author, force bool) error {
	if force && by.why == "" {
		return hint.New(hint.Usage, errors.New("--force needs --why"), "say in a few words why known defects may pass; the recipe's history keeps it")
	}
	cfg, folders, err := p.settings(d)
	if err != nil {
		return err
	}
	n, err := inspect.Activate(c.Context(), cfg, folders, name, version, recipe.Event{Who: by.who, Why: by.why}, force)
	if err != nil {
		return err
	}
	proof := ""
	if n > 0 {
		proof = fmt.Sprintf(" after %d challenge pictures", n)
	}
	return p.report(done{Name: name, Version: version, Active: true, Challenges: n}, "%s@%d is active%s; a running daemon takes it with its next reload", name, version, proof)
}

func (p *program) recipeRollbackCommand(d *desk) *cobra.Command {
	var by author
	var force bool
	c := &cobra.Command{
		Use: "rollback NAME", Short: "back to the version that was in use before", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			_, folders, err := p.settings(*d)
			if err != nil {
				return err
			}
			version, err := recipe.Folder(folders.Recipes).Previous(args[0])
			if err != nil {
				return err
			}
			if by.why == "" {
				by.why = "rollback"
			}
			return p.activateRecipe(c, *d, args[0], version, by, force)
		},
	}
	by.flags(c)
	c.Flags().BoolVar(&force, "force", false, "even if that version passes challenge pictures that were added since")
	return c
}

func (p *program) recipeRemoveCommand(d *desk) *cobra.Command {
	var by author
	c := &cobra.Command{
		Use: "remove NAME@VERSION", Short: "take away a version that is not in use", Args: cobra.ExactArgs(1),
		Long: "Remove takes away a version for good. Its number is not used again, since records speak of it.",
		RunE: func(_ *cobra.Command, args []string) error {
			_, folders, err := p.settings(*d)
			if err != nil {
				return err
			}
			name, version, err := parseRecipe(args[0])
			if err != nil {
				return err
			}
			if version == 0 {
				return hint.New(hint.Usage, errors.New("remove needs a version"), "NAME@VERSION; 'linectl recipe list' shows them")
			}
			if err := recipe.Folder(folders.Recipes).Remove(name, version, by.change()); err != nil {
				return err
			}
			return p.report(done{Name: name, Version: version}, "%s@%d is removed", name, version)
		},
	}
	by.flags(c)
	return c
}

func (p *program) recipeExportCommand(d *desk) *cobra.Command {
	return &cobra.Command{
		Use: "export NAME[@VERSION] FILE.tar.gz", Short: "a version and the challenge pictures as one file", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			_, folders, err := p.settings(*d)
			if err != nil {
				return err
			}
			name, version, err := parseRecipe(args[0])
			if err != nil {
				return err
			}
			var r *recipe.Recipe
			err = writeWhole("export", args[1], 0o644, func(w io.Writer) (err error) {
				r, err = recipe.Folder(folders.Recipes).Export(w, name, version)
				return err
			})
			if err != nil {
				return err
			}
			active, _ := recipe.Folder(folders.Recipes).Active(r.Name)
			return p.report(done{Name: r.Name, Version: r.Version, Hash: r.Hash, Active: active == r.Version, File: args[1]}, "%s@%d, hash %s, is in %s", r.Name, r.Version, r.Hash, args[1])
		},
	}
}

func (p *program) recipeImportCommand(d *desk) *cobra.Command {
	var by author
	var as string
	c := &cobra.Command{
		Use: "import FILE.tar.gz", Short: "take a version that was exported", Args: cobra.ExactArgs(1),
		Long: `Import verifies the seal of a version that 'recipe export' wrote and puts it beside the others. It keeps its
number and hash where the number is free; else it becomes the next version. It is not activated.`,
		RunE: func(_ *cobra.Command, args []string) error {
			_, folders, err := p.settings(*d)
			if err != nil {
				return err
			}
			file, err := os.Open(args[0])
			if err != nil {
				return hint.New(hint.Usage, fmt.Errorf("import: %w", err), "check the path")
			}
			defer file.Close()
			r, err := recipe.Folder(folders.Recipes).Import(file, as, by.change())
			if err != nil {
				return fmt.Errorf("import %s: %w", args[0], err)
			}
			return p.report(done{Name: r.Name, Version: r.Version, Hash: r.Hash}, "%s@%d, hash %s; 'linectl recipe activate %s %d' makes it the one in use", r.Name, r.Version, r.Hash, r.Name, r.Version)
		},
	}
	by.flags(c)
	c.Flags().StringVar(&as, "as", "", "name to import it under (its own)")
	return c
}
