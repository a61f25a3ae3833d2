package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect/network"
)

func (p *program) backboneCommand() *cobra.Command {
	c := &cobra.Command{Use: "backbone", Short: "networks that pictures go through: list, show, import and fetch them"}
	var folder string
	c.PersistentFlags().StringVar(&folder, "backbones", "", "folder of the plant's own backbones (that of the config; without a config file, ./backbones)")
	c.AddCommand(
		&cobra.Command{
			Use: "list", Short: "every backbone that a name finds", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return p.listBackbones(folder) },
		},
		p.backboneShowCommand(&folder), p.backboneDefaultCommand(&folder), p.backboneImportCommand(&folder), p.backboneFetchCommand(&folder),
	)
	return c
}

// listedBackbone is one backbone as list and import print it.
type listedBackbone struct {
	Name    string   `json:"name"`
	Path    string   `json:"path"`
	Layers  []string `json:"layers,omitempty"` // name stride/channels
	PatchOf []string `json:"patch_of,omitempty"`
	Licence string   `json:"licence,omitempty"`
	SHA256  string   `json:"sha256,omitempty"`
	Damage  string   `json:"damage,omitempty"`
}

func listBackbone(b network.Backbone) listedBackbone {
	l := listedBackbone{Name: b.Name, Path: b.Path, PatchOf: b.PatchOf, Licence: b.Licence, SHA256: b.SHA256}
	for _, layer := range b.Layers {
		l.Layers = append(l.Layers, layer.Name+" "+strconv.Itoa(layer.Stride)+"/"+strconv.Itoa(layer.Channels))
	}
	return l
}

func (p *program) listBackbones(folder string) error {
	_, folders, err := p.settings(desk{backbones: folder})
	if err != nil {
		return err
	}
	var all []listedBackbone
	var rows [][]string
	for _, f := range network.ListBackbones(folders.Backbones) {
		l := listedBackbone{Name: f.Name, Path: f.Path}
		if f.Err != nil {
			l.Damage = f.Err.Error()
			rows = append(rows, []string{l.Name, "cannot be used: " + l.Damage, "", l.Path})
		} else {
			l = listBackbone(f.Backbone)
			l.Name = f.Name // the one that finds it
			rows = append(rows, []string{l.Name, strings.Join(l.Layers, ", "), l.Licence, l.Path})
		}
		all = append(all, l)
	}
	if len(all) == 0 {
		return hint.New(hint.NoMatch, fmt.Errorf("there is no backbone in %s", strings.Join(network.Folders(folders.Backbones), ", ")), "'linectl backbone import FILE' brings one")
	}
	return p.print(all, []string{"name", "layers (stride/channels)", "licence", "file"}, rows)
}

func (p *program) backboneImportCommand(folder *string) *cobra.Command {
	var s network.Source
	var preprocess string
	var layers []string
	var mean, std []float32
	c := &cobra.Command{
		Use: "import FILE", Args: cobra.ExactArgs(1),
		Short: "make a backbone of an ONNX network, of ResNet weights, or of a folder with both file and card",
		Long: `Import makes a backbone of a network that somebody else trained.

FILE is an ONNX classifier or detector, a .pth or .safetensors file with the weights of a ResNet-18, -34,
-50 or WideResNet-50-2 as torchvision and timm name them, or a folder with one .onnx file and its card.
An ONNX network is cut at the named layers, or at the last activation of each stride from 4 to 32. The
result is run at two picture sizes, and its features are compared with those before the cut.`,
		RunE: func(_ *cobra.Command, args []string) error {
			s.File, s.Layers = args[0], layers
			if err := prepare(&s, preprocess, mean, std); err != nil {
				return err
			}
			return p.importBackbone(s, *folder)
		},
	}
	c.Flags().StringVar(&s.Name, "name", "", "name of the backbone (that of the file)")
	c.Flags().StringSliceVar(&layers, "layers", nil, "names of tensors or nodes, with commas between them")
	c.Flags().StringVar(&preprocess, "preprocess", "", "how pictures are prepared: imagenet, half or none (what the file says)")
	c.Flags().Float32SliceVar(&mean, "mean", nil, "mean of R,G,B from 0 to 1, with --std in place of --preprocess")
	c.Flags().Float32SliceVar(&std, "std", nil, "spread of R,G,B")
	c.Flags().StringVar(&s.Licence, "licence", "", "licence of the weights, as it is shown later")
	return c
}

// prepare reads how pictures are to be prepared.
func prepare(s *network.Source, preprocess string, mean, std []float32) error {
	half := [3]float32{0.5, 0.5, 0.5}
	named := map[string][2][3]float32{
		"": {}, "imagenet": {network.ImageNetMean, network.ImageNetStd}, "half": {half, half}, "none": {{}, {1, 1, 1}},
	}
	set, ok := named[preprocess]
	switch {
	case !ok:
		return hint.New(hint.Usage, fmt.Errorf("--preprocess %q is unknown", preprocess), "choose imagenet, half or none")
	case len(mean) == 0 && len(std) == 0:
		s.Mean, s.Std = set[0], set[1]
		return nil
	case preprocess != "" || len(mean) != 3 || len(std) != 3:
		return hint.New(hint.Usage, fmt.Errorf("--mean and --std take three numbers each, without --preprocess"), "as in --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225")
	}
	s.Mean, s.Std = [3]float32(mean), [3]float32(std)
	if s.Std == ([3]float32{}) {
		return hint.New(hint.Usage, fmt.Errorf("--std is zero"), "it must be positive")
	}
	return nil
}

func (p *program) importBackbone(s network.Source, folder string) error {
	cfg, folders, err := p.settings(desk{backbones: folder})
	if err != nil {
		return err
	}
	r, err := network.Start(cfg.Library, network.CPU, cfg.Threads)
	if err != nil {
		return err
	}
	i, err := r.Import(s, folders.Backbones)
	if err != nil {
		return err
	}
	l := listBackbone(i.Backbone)
	return p.print(struct {
		listedBackbone
		Before    int64   `json:"bytes_before"`
		After     int64   `json:"bytes"`
		Deviation float64 `json:"deviation"`
	}{l, i.Before, i.After, i.Deviation}, nil, [][]string{
		{"backbone", l.Name},
		{"layers", strings.Join(l.Layers, ", ") + " (stride/channels)"},
		{"a patch is of", strings.Join(l.PatchOf, ", ")},
		{"licence", l.Licence},
		{"size", fmt.Sprintf("%.1f MB, of %.1f MB", float64(i.After)/1e6, float64(i.Before)/1e6)},
		{"proof", fmt.Sprintf("runs at two sizes; features differ by %.1e from those before the cut", i.Deviation)},
		{"file", l.Path},
	})
}
