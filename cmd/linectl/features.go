package main

import (
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect/features"
	"linectl/internal/inspect/heatmap"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/picture"
	"linectl/internal/part"
)

// featuresOptions are the flags of features.
type featuresOptions struct {
	layers, channels string
	size             string
	out, sheet       string
}

func (p *program) featuresCommand() *cobra.Command {
	var d desk
	var o featuresOptions
	c := &cobra.Command{
		Use:   "features PICTURE",
		Short: "what the network sees in a picture: its feature maps laid back over it",
		Long: `Features lays what the network sees in a picture back over it, at the picture's own size: for each layer some
channels, the mean of all, and the three directions in which they differ most as red, green and blue. Where a
defect has no colour of its own in any of them, no threshold will find it: choose other layers, a larger
--size or another --backbone.

Colours reach from the lowest to the highest percent of a map, so they cannot be compared between pictures. At the
rim, an eighth of each side, the network answers the picture's own edge; it does not count for colours and choice.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return p.features(d, args[0], o) },
	}
	c.Flags().StringVar(&d.backbone, "backbone", "", "name or ONNX file of the network (that of the config, or linectl's own)")
	c.Flags().StringVar(&o.layers, "layers", "", "layers by name or stride, as layer2,layer3 or 8,16 (all that the network has)")
	c.Flags().StringVar(&o.channels, "channels", "", "channels to show, as 3,17 (the four of each layer that vary most)")
	c.Flags().StringVar(&o.size, "size", "", "the network's input, as 320x224 (of the picture's shape, with the area of 256x256)")
	c.Flags().StringVar(&o.out, "out", "features", "folder for one PNG a map")
	c.Flags().StringVar(&o.sheet, "sheet", "", "PNG file for all of them on one sheet")
	return c
}

// drawnFeature is one picture that features made.
type drawnFeature struct {
	Layer   string `json:"layer"`
	What    string `json:"what"`
	Detail  string `json:"detail,omitempty"`
	File    string `json:"file"`
	picture *image.RGBA
}

func (p *program) features(d desk, file string, o featuresOptions) error {
	frame, err := picture.Read(file)
	if err != nil {
		return err
	}
	layers, err := p.see(d, frame, o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	var all []drawnFeature
	for _, l := range layers {
		drawn, err := drawLayer(l, frame, o.channels)
		if err != nil {
			return err
		}
		all = append(all, drawn...)
	}
	var rows [][]string
	base := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	for i := range all {
		f := &all[i]
		f.File = filepath.Join(o.out, strings.NewReplacer("/", "_", " ", "-").Replace(base+"-"+f.Layer+"-"+f.What)+".png")
		if err := writePNG(f.File, f.picture); err != nil {
			return err
		}
		rows = append(rows, []string{f.Layer, f.What, f.Detail, f.File})
	}
	if o.sheet != "" {
		if err := writeSheet(o.sheet, frame, all, len(all)/len(layers)); err != nil {
			return err
		}
	}
	return p.print(all, []string{"layer", "what", "detail", "file"}, rows)
}

// see runs the network on the picture.
func (p *program) see(d desk, frame part.Frame, o featuresOptions) ([]features.Layer, error) {
	cfg, folders, err := p.settings(d)
	if err != nil {
		return nil, err
	}
	backbone, err := network.FindBackbone(cfg.Backbone, folders.Backbones)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range backbone.Layers {
		names = append(names, l.Name)
	}
	if o.layers != "" {
		if names, err = backbone.Parse(o.layers); err != nil {
			return nil, hint.New(hint.Usage, fmt.Errorf("--layers: %w", err), "")
		}
	}
	size := picture.InputSize([]picture.Size{{Width: frame.Width, Height: frame.Height}}, backbone.Multiple)
	if o.size != "" {
		if size, err = picture.ParseSize(o.size); err != nil {
			return nil, hint.New(hint.Usage, fmt.Errorf("--size: %w", err), "")
		}
	}
	runtime, err := network.Start(cfg.Library, cfg.Device, cfg.Threads)
	if err != nil {
		return nil, err
	}
	n, err := runtime.Open(backbone, names, size.Width, size.Height)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	prepare := picture.NewPreparer(size, backbone.Mean, backbone.Std)
	defer prepare.Close()
	if err := prepare.Fill(n.Input.Data(), frame); err != nil {
		return nil, err
	}
	if err := n.Run(); err != nil {
		return nil, err
	}
	var layers []features.Layer
	for _, f := range n.Features {
		l := features.Layer{Name: f.Name, Channels: f.Channels, Width: f.Width, Height: f.Height, Values: slices.Clone(f.Tensor.Data())}
		if err := l.Check(); err != nil {
			return nil, err
		}
		layers = append(layers, l)
	}
	return layers, nil
}

// drawLayer draws the components, the mean and the chosen channels of a layer.
func drawLayer(l features.Layer, frame part.Frame, channels string) ([]drawnFeature, error) {
	along, share, err := l.Components()
	if err != nil {
		return nil, err
	}
	drawn := []drawnFeature{
		{Layer: l.Name, What: "pca", Detail: fmt.Sprintf("%.0f, %.0f, %.0f %% of the variance", 100*share[0], 100*share[1], 100*share[2]), picture: l.Colours(frame, along)},
		{Layer: l.Name, What: "mean", Detail: fmt.Sprintf("of %d channels, %dx%d cells", l.Channels, l.Width, l.Height), picture: l.Heat(frame, l.Mean())},
	}
	chosen := l.Strongest(4)
	if channels != "" {
		chosen = nil
		for _, word := range strings.Split(channels, ",") {
			c, err := strconv.Atoi(strings.TrimSpace(word))
			if err != nil || c < 0 || c >= l.Channels {
				return nil, hint.New(hint.Usage, fmt.Errorf("--channels: layer %s has no channel %q", l.Name, word), fmt.Sprintf("it has channels 0 to %d; choose the layer with --layers", l.Channels-1))
			}
			chosen = append(chosen, c)
		}
	}
	for _, c := range chosen {
		values := l.Channel(c)
		drawn = append(drawn, drawnFeature{Layer: l.Name, What: fmt.Sprintf("channel %d", c),
			Detail: fmt.Sprintf("%.3g to %.3g", slices.Min(values), slices.Max(values)), picture: l.Heat(frame, values)})
	}
	return drawn, nil
}

// writeSheet puts all pictures on one, a layer a row, none wider or higher than a thumbnail.
func writeSheet(path string, frame part.Frame, all []drawnFeature, columns int) error {
	const side = 320
	cells := make([]heatmap.Cell, len(all))
	for i, f := range all {
		small, err := picture.Resized(frameOf(f.picture), picture.Size{Width: frame.Width, Height: frame.Height}.Within(side))
		if err != nil {
			return err
		}
		cells[i] = heatmap.Cell{Picture: imageOf(small), Caption: f.Layer + " " + f.What}
	}
	sheet, err := heatmap.Sheet(cells, columns)
	if err != nil {
		return err
	}
	return writePNG(path, sheet)
}

func frameOf(img *image.RGBA) part.Frame {
	f := part.Frame{Width: img.Rect.Dx(), Height: img.Rect.Dy(), Pixels: make([]byte, 0, 3*img.Rect.Dx()*img.Rect.Dy())}
	for i := 0; i < len(img.Pix); i += 4 {
		f.Pixels = append(f.Pixels, img.Pix[i+2], img.Pix[i+1], img.Pix[i])
	}
	return f
}

func imageOf(f part.Frame) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, f.Width, f.Height))
	for i := range f.Width * f.Height {
		copy(img.Pix[4*i:], []byte{f.Pixels[3*i+2], f.Pixels[3*i+1], f.Pixels[3*i], 255})
	}
	return img
}

func writePNG(path string, picture image.Image) error {
	return writeWhole("picture", path, 0o644, func(w io.Writer) error {
		return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, picture)
	})
}
