package exam

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/jpeg"
	"path/filepath"
	"slices"

	"linectl/internal/inspect"
	"linectl/internal/inspect/heatmap"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
	"linectl/internal/raster"
)

const (
	shown = 6   // pictures of each kind
	side  = 480 // pixels of the longer side of what a page embeds
)

// Evidence is one picture as a page shows it.
type Evidence struct {
	*Picture
	Heatmap  template.URL // the map over the picture
	Patch    template.URL // the picture, its highest patch framed
	Nearest  template.URL // the training picture with the nearest good patch framed; "" where it is not at hand
	File     string       // of that training picture; "" where the recipe does not know
	Distance float64      // between the two patches
	// Appearance is the part of the score that is the whole picture's, not that patch's.
	Appearance float64
}

// Evidences judges the worst good and the weakest bad pictures again and draws them, each beside the good patch
// seen in training that is nearest to its highest one. The training pictures are looked for in the folder, as
// the recipe names them, and taken only where they are still the same; else among those that the recipe keeps.
func Evidences(ctx context.Context, i *inspect.Inspector, r *recipe.Recipe, rep *Report, training string, bad bool) ([]Evidence, error) {
	var all []Evidence
	for _, k := range rep.extremes(bad, shown) {
		e, err := evidence(ctx, i, r, &rep.Pictures[k], training)
		if err != nil {
			return nil, fmt.Errorf("page: %s: %w", rep.Pictures[k].File, err)
		}
		all = append(all, e)
	}
	return all, nil
}

func evidence(ctx context.Context, i *inspect.Inspector, r *recipe.Recipe, p *Picture, training string) (e Evidence, err error) {
	e = Evidence{Picture: p}
	frame, err := picture.Read(p.File)
	if err != nil {
		return e, err
	}
	found, err := i.Inspect(ctx, frame)
	if err != nil {
		return e, err
	}
	e.Appearance = found.Appearance
	small, err := within(frame)
	if err != nil {
		return e, err
	}
	drawn, err := heatmap.Draw(small, found.Map, found.Score, found.Threshold)
	if err != nil {
		return e, err
	}
	// The legend would repeat what the page says.
	inner := image.Rect(0, 0, drawn.Rect.Dx(), drawn.Rect.Dx()*small.Height/small.Width)
	if e.Heatmap, err = embed(drawn.SubImage(inner)); err != nil {
		return e, err
	}
	cell := highest(r, found)
	if e.Patch, err = framed(small, found.Map, cell); err != nil {
		return e, err
	}
	origin, distance, ok := goodPatch(i, r, cell)
	if !ok {
		return e, nil
	}
	seen := r.Pictures[origin.Picture]
	e.File, e.Distance = seen.File, distance
	original, ok := stored(r, int(origin.Picture), training)
	if !ok {
		return e, nil
	}
	if original, err = within(original); err != nil {
		return e, err
	}
	e.Nearest, err = framed(original, found.Map, int(origin.Cell))
	return e, err
}

// goodPatch is the one seen in training that is nearest to a cell of the picture that was judged last, and how far
// it is; not ok where the recipe does not know single patches.
func goodPatch(i *inspect.Inspector, r *recipe.Recipe, cell int) (patch patchcore.Origin, distance float64, ok bool) {
	row, distance, ok := i.Nearest(cell)
	if !ok || row >= len(r.Bank.Origin) {
		return patch, distance, false
	}
	patch = r.Bank.Origin[row]
	return patch, distance, patch.Picture >= 0 && int(patch.Picture) < len(r.Pictures)
}

// stored is a training picture, from its folder where it is unchanged there, or as the recipe keeps it, small.
func stored(r *recipe.Recipe, number int, training string) (part.Frame, bool) {
	seen := r.Pictures[number]
	if training != "" {
		frame, err := picture.Read(filepath.Join(training, filepath.FromSlash(seen.File)))
		if err == nil && fmt.Sprintf("%x", frame.Digest()) == seen.SHA256 {
			return frame, true
		}
	}
	if len(r.Thumbnails) != len(r.Pictures) {
		return part.Frame{}, false
	}
	frame, err := raster.Decode(r.Thumbnails[number])
	return frame, err == nil
}

// highest is the cell with the highest score of the zone that decided.
func highest(r *recipe.Recipe, found part.Finding) int {
	m := found.Map
	decided := slices.IndexFunc(r.Zones, func(z recipe.Zone) bool { return z.Name == found.Zone })
	if decided < 0 {
		decided = recipe.Rest
	}
	best := -1
	for cell, place := range recipe.Places(r.Zones, m.Width, m.Height) {
		if place == decided && (best < 0 || m.Cells[cell] > m.Cells[best]) {
			best = cell
		}
	}
	return max(best, 0)
}

func within(frame part.Frame) (part.Frame, error) {
	return picture.Resized(frame, picture.Size{Width: frame.Width, Height: frame.Height}.Within(side))
}

// framed draws a frame round the cell of the grid, three cells wide and high: about what a patch has seen.
func framed(frame part.Frame, grid part.Map, cell int) (template.URL, error) {
	return embed(boxed(frame, grid, cell))
}

func boxed(frame part.Frame, grid part.Map, cell int) *image.RGBA {
	canvas := image.NewRGBA(image.Rect(0, 0, frame.Width, frame.Height))
	for p := range frame.Width * frame.Height {
		bgr := frame.Pixels[3*p : 3*p+3]
		canvas.SetRGBA(p%frame.Width, p/frame.Width, color.RGBA{bgr[2], bgr[1], bgr[0], 255})
	}
	if cell >= 0 && cell < grid.Width*grid.Height {
		x, y := cell%grid.Width, cell/grid.Width
		box := image.Rect((x-1)*frame.Width/grid.Width, (y-1)*frame.Height/grid.Height, (x+2)*frame.Width/grid.Width, (y+2)*frame.Height/grid.Height)
		for d := range 4 {
			shade := color.RGBA{255, 200, 0, 255}
			if d == 0 || d == 3 {
				shade = color.RGBA{0, 0, 0, 255}
			}
			rim(canvas, box.Inset(-d), shade)
		}
	}
	return canvas
}

// rim draws a rectangle's edge, as far as it is on the canvas.
func rim(canvas *image.RGBA, box image.Rectangle, shade color.RGBA) {
	for x := box.Min.X; x < box.Max.X; x++ {
		canvas.SetRGBA(x, box.Min.Y, shade)
		canvas.SetRGBA(x, box.Max.Y-1, shade)
	}
	for y := box.Min.Y; y < box.Max.Y; y++ {
		canvas.SetRGBA(box.Min.X, y, shade)
		canvas.SetRGBA(box.Max.X-1, y, shade)
	}
}

func embed(picture image.Image) (template.URL, error) {
	var file bytes.Buffer
	if err := jpeg.Encode(&file, picture, &jpeg.Options{Quality: 82}); err != nil {
		return "", err
	}
	return template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(file.Bytes())), nil
}
