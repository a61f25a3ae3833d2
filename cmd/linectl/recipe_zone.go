package main

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
	"linectl/internal/raster"
)

func (p *program) recipeZoneCommand(d *desk) *cobra.Command {
	c := &cobra.Command{
		Use: "zone", Short: "parts of the picture with a threshold of their own, or none",
		Long: `A zone is a polygon of the picture. What lies in it is held against a threshold of its own, or not judged at
all. Each change makes a new version: its thresholds are set anew from how the good pictures of the training
scored while they were held out; nothing is trained again.`,
	}
	var by author
	var polygon, preview, over string
	var ignore bool
	draws := func(c *cobra.Command) *cobra.Command {
		c.Flags().StringVar(&preview, "preview", "", "draw the zones over a picture into this file, .png")
		c.Flags().StringVar(&over, "over", "", "the picture to draw over (one of the training)")
		return c
	}
	add := &cobra.Command{
		Use: "add NAME[@VERSION] ZONE --polygon \"x,y x,y x,y\"", Short: "a new version with one more zone", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			corners, err := parsePolygon(polygon)
			if err != nil {
				return err
			}
			z := recipe.Zone{Name: args[1], Polygon: corners, Ignore: ignore}
			return p.changeZones(*d, args[0], preview, over, func(r *recipe.Recipe) (*recipe.Recipe, error) { return inspect.AddZone(r, z, by.change()) })
		},
	}
	by.flags(add)
	draws(add).Flags().StringVar(&polygon, "polygon", "", "corners in shares of the picture's width and height, from the upper left, as \"0,0 0.5,0 0.5,1\"")
	add.Flags().BoolVar(&ignore, "ignore", false, "what lies in the zone is not judged")
	if err := add.MarkFlagRequired("polygon"); err != nil {
		panic(err) // the flag stands above
	}
	remove := &cobra.Command{
		Use: "remove NAME[@VERSION] ZONE", Short: "a new version without a zone", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return p.changeZones(*d, args[0], preview, over, func(r *recipe.Recipe) (*recipe.Recipe, error) { return inspect.RemoveZone(r, args[1], by.change()) })
		},
	}
	by.flags(remove)
	c.AddCommand(add, draws(remove), draws(&cobra.Command{
		Use: "list NAME[@VERSION]", Short: "the zones of a version", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return p.changeZones(*d, args[0], preview, over, nil) },
	}))
	return c
}

// parsePolygon reads corners.
func parsePolygon(text string) ([][2]float64, error) {
	var corners [][2]float64
	for _, field := range strings.Fields(text) {
		x, y, ok := strings.Cut(field, ",")
		cx, errX := strconv.ParseFloat(x, 64)
		cy, errY := strconv.ParseFloat(y, 64)
		if !ok || errX != nil || errY != nil {
			return nil, hint.New(hint.Usage, fmt.Errorf("%q is not a corner", field), "corners are 'x,y' in shares of the picture: \"0,0 0.5,0 0.5,1\"")
		}
		corners = append(corners, [2]float64{cx, cy})
	}
	return corners, nil
}

// zonePage is what zone prints.
type zonePage struct {
	Recipe  string    `json:"recipe"`
	Version int       `json:"version"`
	Zones   []zoneOf  `json:"zones"`
	Rest    *promised `json:"rest,omitempty"` // what lies in no zone, where anything does
}

type zoneOf struct {
	Name      string       `json:"name"`
	Polygon   [][2]float64 `json:"polygon"`
	Ignore    bool         `json:"ignore"`
	Threshold *promised    `json:"threshold,omitempty"` // where it is not ignored
}

// changeZones saves what change makes of a version, prints the zones and draws them. Without change it only
// does the latter.
func (p *program) changeZones(d desk, text, preview, over string, change func(*recipe.Recipe) (*recipe.Recipe, error)) error {
	_, folders, err := p.settings(d)
	if err != nil {
		return err
	}
	shelf := recipe.Folder(folders.Recipes)
	r, err := loadRecipe(shelf, text)
	if err != nil {
		return err
	}
	if change != nil {
		draft, err := change(r)
		if err != nil {
			return err
		}
		was := len(r.Zones) == 0
		if r, err = shelf.Save(draft); err != nil {
			return err
		}
		switch now := len(r.Zones) == 0; {
		case !r.Method.WithAppearance() || was == now:
		case was:
			fmt.Fprintln(p.err, "note: each zone, and the rest, is judged by its own patches alone: the appearance of the whole picture counts no more")
		default:
			fmt.Fprintln(p.err, "note: without zones the appearance of the whole picture counts again")
		}
	}
	if preview != "" {
		if err := drawZones(preview, over, r); err != nil {
			return fmt.Errorf("preview: %w", err)
		}
	}
	limits, err := inspect.Limits(r)
	if err != nil {
		return err
	}
	page := zonePage{Recipe: r.Name, Version: r.Version, Zones: []zoneOf{}}
	rows := [][]string{{"(the rest)", "", "-", "-"}} // nothing, where zones cover all
	if limits[0].Zone == "" {
		rest := newPromised(r.Threshold)
		page.Rest = &rest
		rows[0][2], rows[0][3] = fmt.Sprintf("%.4g", rest.Value), fmt.Sprintf("%.0f", rest.Expected)
	}
	for _, z := range r.Zones {
		var corners []string
		for _, c := range z.Polygon {
			corners = append(corners, fmt.Sprintf("%g,%g", c[0], c[1]))
		}
		row, one := []string{z.Name, strings.Join(corners, " "), "not judged", ""}, zoneOf{Name: z.Name, Polygon: z.Polygon, Ignore: z.Ignore}
		if !z.Ignore {
			own := newPromised(z.Threshold)
			one.Threshold = &own
			row[2], row[3] = fmt.Sprintf("%.4g", own.Value), fmt.Sprintf("%.0f", own.Expected)
		}
		rows, page.Zones = append(rows, row), append(page.Zones, one)
	}
	if err := p.print(page, []string{"zone", "corners", "threshold", "false rejects in 10,000"}, rows); err != nil {
		return err
	}
	if change != nil && p.output == "table" {
		_, err = fmt.Fprintf(p.out, "\n%s@%d is made; 'linectl recipe activate %s %d' makes it the one in use\n", r.Name, r.Version, r.Name, r.Version)
	}
	return err
}

// shades tell zones apart; what is not judged is dark.
var shades = []color.RGBA{{255, 170, 0, 255}, {0, 180, 255, 255}, {60, 220, 90, 255}, {255, 80, 160, 255}, {180, 120, 255, 255}}

// drawZones draws the zones of a recipe over a picture.
func drawZones(path, over string, r *recipe.Recipe) error {
	var frame part.Frame
	var err error
	switch {
	case over != "":
		frame, err = picture.Read(over)
	case len(r.Golden) > 0:
		frame, err = raster.Decode(r.Golden[0].Picture)
	case len(r.Thumbnails) > 0:
		frame, err = raster.Decode(r.Thumbnails[0])
	default:
		err = errors.New("the recipe keeps no picture: name one with --over")
	}
	if err != nil {
		return err
	}
	if frame, err = picture.Resized(frame, picture.Size{Width: frame.Width, Height: frame.Height}.Within(960)); err != nil {
		return err
	}
	canvas := image.NewRGBA(image.Rect(0, 0, frame.Width, frame.Height))
	within := recipe.Places(r.Zones, frame.Width, frame.Height)
	for i, place := range within {
		x, y := i%frame.Width, i/frame.Width
		c := color.RGBA{frame.Pixels[3*i+2], frame.Pixels[3*i+1], frame.Pixels[3*i], 255}
		if place != recipe.Rest {
			shade, share := shades[place%len(shades)], 0.25
			if r.Zones[place].Ignore {
				shade, share = color.RGBA{20, 20, 20, 255}, 0.7
			}
			if x == 0 || y == 0 || within[i-1] != place || within[i-frame.Width] != place || x+1 < frame.Width && within[i+1] != place || y+1 < frame.Height && within[i+frame.Width] != place {
				shade, share = shades[place%len(shades)], 1
			}
			c = blend(c, shade, share)
		}
		canvas.SetRGBA(x, y, c)
	}
	return writePNG(path, canvas)
}

func blend(a, b color.RGBA, share float64) color.RGBA {
	mix := func(a, b uint8) uint8 { return uint8(float64(a)*(1-share) + float64(b)*share) }
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}
