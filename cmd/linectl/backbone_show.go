package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/recipe"
)

func (p *program) backboneShowCommand(folder *string) *cobra.Command {
	var d desk
	c := &cobra.Command{
		Use: "show NAME", Short: "a backbone's card, and the recipes that were made with it", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			d.backbones = *folder
			return p.showBackbone(args[0], d)
		},
	}
	c.Flags().StringVar(&d.recipes, "recipes", "", "folder of the recipes (that of the config; without a config file, ./recipes)")
	return c
}

// shownBackbone is what show prints.
type shownBackbone struct {
	Name     string       `json:"name"`
	Path     string       `json:"path"`
	About    string       `json:"about"`
	Licence  string       `json:"licence"`
	SHA256   string       `json:"sha256"`
	Input    string       `json:"input"`
	Mean     [3]float32   `json:"mean"`
	Std      [3]float32   `json:"std"`
	Multiple int          `json:"multiple"`
	Layers   []shownLayer `json:"layers"`
	PatchOf  []string     `json:"patch_of"`
	Recipes  []string     `json:"recipes"`           // name@version
	Damaged  []string     `json:"damaged,omitempty"` // recipes of which it cannot be told
}

type shownLayer struct {
	Name     string `json:"name"`
	Stride   int    `json:"stride"`
	Channels int    `json:"channels"`
}

func (p *program) showBackbone(name string, d desk) error {
	_, folders, err := p.settings(d)
	if err != nil {
		return err
	}
	b, err := network.FindBackbone(name, folders.Backbones)
	if err != nil {
		return err
	}
	s := shownBackbone{
		Name: b.Name, Path: b.Path, About: b.About, Licence: b.Licence, SHA256: b.SHA256, Input: b.Input,
		Mean: b.Mean, Std: b.Std, Multiple: b.Multiple, PatchOf: b.PatchOf, Recipes: []string{},
	}
	for _, l := range b.Layers {
		s.Layers = append(s.Layers, shownLayer(l))
	}
	if err := s.users(folders); err != nil {
		return err
	}
	rows := [][]string{{"backbone", s.Name}, {"about", s.About}, {"licence", s.Licence}}
	for i, l := range s.Layers {
		title := "layers"
		if i > 0 {
			title = ""
		}
		rows = append(rows, []string{title, fmt.Sprintf("%s, stride %d, %d channels", l.Name, l.Stride, l.Channels)})
	}
	used := strings.Join(s.Recipes, ", ")
	if used == "" {
		used = "no recipe in " + folders.Recipes
	}
	rows = append(rows,
		[]string{"a patch is of", strings.Join(s.PatchOf, ", ")},
		[]string{"preparation", fmt.Sprintf("(grey/255 - mean) / std; mean %v, std %v for R, G, B", s.Mean, s.Std)},
		[]string{"input", fmt.Sprintf("%s; width and height are multiples of %d", s.Input, s.Multiple)},
		[]string{"SHA-256", s.SHA256}, []string{"file", s.Path}, []string{"used by", used})
	for _, text := range s.Damaged {
		rows = append(rows, []string{"", "cannot be read: " + text})
	}
	return p.print(s, nil, rows)
}

// users finds the versions of recipes that were made with the backbone.
func (s *shownBackbone) users(folders inspect.Folders) error {
	shelf := recipe.Folder(folders.Recipes)
	names, err := shelf.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		versions, err := shelf.Versions(name)
		if err != nil {
			return err
		}
		for _, v := range versions {
			r, err := shelf.Load(name, v)
			switch {
			case err != nil: // shown, as the others can still be told
				s.Damaged = append(s.Damaged, err.Error())
			case r.Manifest.Backbone.SHA256 == s.SHA256:
				s.Recipes = append(s.Recipes, name+"@"+strconv.Itoa(v))
			}
		}
	}
	return nil
}

func (p *program) backboneDefaultCommand(folder *string) *cobra.Command {
	return &cobra.Command{
		Use: "default NAME", Args: cobra.ExactArgs(1),
		Short: "what to write into the config so that new recipes are made with a backbone",
		Long: `Default prints what to write into the config so that new recipes are made with the backbone NAME. It
changes nothing: a recipe works only with the backbone that it was trained with, so a line changes its
backbone and its recipes together, by hand.`,
		RunE: func(_ *cobra.Command, args []string) error { return p.defaultBackbone(args[0], *folder) },
	}
}

func (p *program) defaultBackbone(name, folder string) error {
	_, folders, err := p.settings(desk{backbones: folder})
	if err != nil {
		return err
	}
	b, err := network.FindBackbone(name, folders.Backbones)
	if err != nil {
		return err
	}
	// A name finds what lies in the config's own folders; anything else has to be named by its path.
	if b.Path == name || folder != "" {
		if name, err = filepath.Abs(b.Path); err != nil {
			return err
		}
	}
	if strings.ContainsAny(name, "'\n") {
		return hint.New(hint.Usage, fmt.Errorf("the path %q does not fit into a config", name), "import the file, so that it has a name")
	}
	return p.print(struct {
		Backbone string `json:"backbone"`
	}{name}, nil, [][]string{{"[inspect]"}, {"backbone = '" + name + "'"}})
}
