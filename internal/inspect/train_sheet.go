package inspect

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"slices"

	"gocv.io/x/gocv"

	"linectl/internal/inspect/heatmap"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

const (
	sheetColumns = 6
	sheetSide    = 200 // pixels of a picture's longer side
	sheetCaption = 34  // pixels below it
	sheetShare   = 0.1 // of the pictures, the least like the rest
)

// sheet draws the pictures that are least like the rest, the strangest first, with what is strange about each,
// as one PNG file. Those that are suspects have a red frame.
func (t *trainer) sheet(file string, g *gathered) error {
	first := g.shots[0].Map
	shower, err := newShower(t.options.Score, first.Width, first.Height, t.options.Size, recipe.Places(nil, first.Width, first.Height))
	if err != nil {
		return err
	}
	order, suspects := make([]int, len(g.shots)), 0
	var scores []float64
	for i, s := range g.shots {
		order[i] = i
		scores = append(scores, s.Score)
		if s.Suspect {
			suspects++
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return recipe.Stranger(g.shots[a].Picture, g.shots[b].Picture) })
	// Coloured against the greatest score but those of suspects, so that pictures can be compared.
	scale := g.shots[order[min(suspects, len(order)-1)]].Score
	order = order[:min(len(order), max(2*sheetColumns, int(sheetShare*float64(len(order))), suspects))]
	middle := slices.Sorted(slices.Values(scores))[len(scores)/2]
	const cell = sheetSide + 12
	rows := (len(order) + sheetColumns - 1) / sheetColumns
	canvas := image.NewRGBA(image.Rect(0, 0, sheetColumns*cell, rows*(cell+sheetCaption)))
	draw.Draw(canvas, canvas.Rect, image.White, image.Point{}, draw.Src)
	var captions []caption
	for n, i := range order {
		s := g.shots[i]
		frame, err := picture.Read(s.path)
		if err != nil {
			return err
		}
		m := s.Map.Lifted(s.Appearance)
		if shower != nil {
			m = shower(m)
		}
		drawn, err := heatmap.Draw(frame, m, s.Score, scale)
		if err != nil {
			return err
		}
		small, err := shrunk(drawn, s.size)
		if err != nil {
			return err
		}
		x, y := n%sheetColumns*cell+6, n/sheetColumns*(cell+sheetCaption)+6
		picture := small.Rect.Add(image.Pt(x, y))
		if s.Suspect {
			draw.Draw(canvas, picture.Inset(-4), image.NewUniform(color.RGBA{200, 0, 0, 255}), image.Point{}, draw.Src)
		}
		draw.Draw(canvas, picture, small, image.Point{}, draw.Src)
		captions = append(captions, caption{tailOf(s.File), image.Pt(x, y+sheetSide+16)},
			caption{fmt.Sprintf("%d. score %.3g; half are below %.3g", n+1, s.Score, middle), image.Pt(x, y+sheetSide+30)})
	}
	mat, err := gocv.ImageToMatRGB(canvas)
	if err != nil {
		return fmt.Errorf("contact sheet: %w", err)
	}
	defer mat.Close()
	for _, c := range captions {
		if err := gocv.PutText(&mat, c.text, c.at, gocv.FontHersheySimplex, 0.38, color.RGBA{A: 255}, 1); err != nil {
			return fmt.Errorf("contact sheet: %w", err)
		}
	}
	if !gocv.IMWrite(file, mat) {
		return fmt.Errorf("contact sheet %s cannot be written", file)
	}
	return nil
}

// shrunk is a drawn heatmap as small as a sheet wants it, without the legend below; size is the picture's.
func shrunk(drawn *image.RGBA, size picture.Size) (*image.RGBA, error) {
	large := part.Frame{Width: drawn.Rect.Dx(), Height: drawn.Rect.Dx() * size.Height / size.Width}
	large.Height = min(large.Height, drawn.Rect.Dy())
	for i := range large.Width * large.Height {
		c := drawn.RGBAAt(i%large.Width, i/large.Width)
		large.Pixels = append(large.Pixels, c.B, c.G, c.R)
	}
	small, err := picture.Resized(large, size.Within(sheetSide))
	if err != nil {
		return nil, err
	}
	img := image.NewRGBA(image.Rect(0, 0, small.Width, small.Height))
	for i := range small.Width * small.Height {
		bgr := small.Pixels[3*i : 3*i+3]
		img.SetRGBA(i%small.Width, i/small.Width, color.RGBA{bgr[2], bgr[1], bgr[0], 255})
	}
	return img, nil
}

// caption is a line below a picture.
type caption struct {
	text string
	at   image.Point
}

// tailOf is the end of a name too long for its cell.
func tailOf(name string) string {
	const most = 28
	if runes := []rune(name); len(runes) > most {
		return "..." + string(runes[len(runes)-most+3:])
	}
	return name
}
