// Package heatmap shows where on a part the score comes from: the map of patch scores as colour over the
// picture. Colours mean the same on every part of a recipe: they stand for the score in units of the
// threshold and are never stretched to the picture at hand, so a good part stays uncoloured.
package heatmap

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"

	"linectl/internal/inspect/picture"
	"linectl/internal/part"
)

const (
	longest = 960 // pixels of the longer side of what is drawn
	cell    = 24  // pixels of a patch where there is no picture to draw on
)

// Draw colours the map over the picture it belongs to and adds a legend below: the score, the
// threshold, and what the colours stand for. Without a picture (a zero frame) the map is drawn on grey.
func Draw(frame part.Frame, m part.Map, score, threshold float64) (*image.RGBA, error) {
	return drawHeaded(frame, m, headOf(score, threshold), threshold)
}

// DrawTitled colours a map that is not one part's, such as the highest scores of many, on grey.
func DrawTitled(m part.Map, title string, threshold float64) (*image.RGBA, error) {
	return drawHeaded(part.Frame{}, m, head{title: title, shade: light, figures: fmt.Sprintf("threshold %.4g", threshold), score: math.NaN()}, threshold)
}

// DrawScaled does so on a scale of the map's own, up to its highest cell: for what a threshold says nothing of.
func DrawScaled(m part.Map, title string) (*image.RGBA, error) {
	highest := 0.0
	for _, v := range m.Cells {
		if v := float64(v); v > highest && !math.IsInf(v, 0) {
			highest = v
		}
	}
	h := head{title: title, shade: light, figures: fmt.Sprintf("up to %.4g", highest), score: math.NaN(), numbers: true}
	return drawHeaded(part.Frame{}, m, h, max(highest, 1e-9)/fullest)
}

func drawHeaded(frame part.Frame, m part.Map, h head, threshold float64) (*image.RGBA, error) {
	if m.Width <= 0 || m.Height <= 0 || len(m.Cells) != m.Width*m.Height {
		return nil, errors.New("heatmap: the part has no map of scores")
	}
	if !(threshold > 0) {
		return nil, fmt.Errorf("heatmap: the threshold %g is not a positive number", threshold)
	}
	size := picture.Size{Width: frame.Width, Height: frame.Height}
	if len(frame.Pixels) == 0 {
		size = picture.Size{Width: m.Width * cell, Height: m.Height * cell}
		frame = part.Frame{Width: size.Width, Height: size.Height, Pixels: make([]byte, 3*size.Width*size.Height)}
		for i := range frame.Pixels {
			frame.Pixels[i] = 96
		}
	}
	size = size.Within(longest)
	base, err := picture.Resized(frame, size)
	if err != nil {
		return nil, fmt.Errorf("heatmap: %w", err)
	}
	canvas := image.NewRGBA(image.Rect(0, 0, size.Width, size.Height+legendHeight(size.Width)))
	levels := spread(m, size, threshold)
	for i, level := range levels {
		under := paler(color.RGBA{base.Pixels[3*i+2], base.Pixels[3*i+1], base.Pixels[3*i], 255})
		canvas.SetRGBA(i%size.Width, i/size.Width, over(under, level))
	}
	if !h.numbers {
		outline(canvas, levels, size)
	}
	return canvas, legend(canvas, size, h, threshold)
}

// spread interpolates the map over the picture, linearly between the centres of the patches, and gives
// each pixel's score in units of the threshold.
func spread(m part.Map, size picture.Size, threshold float64) []float32 {
	type tap struct {
		low, high int
		share     float32 // of high
	}
	taps := func(pixels, cells int) []tap {
		all := make([]tap, pixels)
		for i := range all {
			at := min(max((float64(i)+0.5)*float64(cells)/float64(pixels)-0.5, 0), float64(cells-1))
			low := int(at)
			all[i] = tap{low, min(low+1, cells-1), float32(at - float64(low))}
		}
		return all
	}
	across, down := taps(size.Width, m.Width), taps(size.Height, m.Height)
	levels := make([]float32, 0, size.Width*size.Height)
	for _, y := range down {
		upper, lower := m.Cells[y.low*m.Width:], m.Cells[y.high*m.Width:]
		for _, x := range across {
			u := upper[x.low]*(1-x.share) + upper[x.high]*x.share
			l := lower[x.low]*(1-x.share) + lower[x.high]*x.share
			levels = append(levels, (u*(1-y.share)+l*y.share)/float32(threshold))
		}
	}
	return levels
}

// The scale: below faintest nothing is laid over the part, at 1 the score is the threshold, at fullest the
// colours end.
const (
	faintest = 0.75
	fullest  = 1.5
)

// stops are the colours of the scale, evenly spaced from faintest to fullest.
var stops = [...]color.RGBA{
	{40, 90, 220, 255}, {0, 190, 230, 255}, {255, 225, 40, 255}, {255, 140, 0, 255}, {230, 20, 40, 255}, {190, 0, 110, 255}, {140, 0, 140, 255},
}

// colour of a level, opaque.
func colour(level float32) color.RGBA {
	at := min(max((level-faintest)/(fullest-faintest), 0), 1) * float32(len(stops)-1)
	i := min(int(at), len(stops)-2)
	return mix(stops[i], stops[i+1], at-float32(i))
}

// over lays a level's colour over a pixel: not at all at faintest, by two thirds from the threshold on.
func over(under color.RGBA, level float32) color.RGBA {
	if !(level > faintest) {
		return under
	}
	return mix(under, colour(level), min((level-faintest)/(1-faintest), 1)*0.66)
}

// paler takes most of a picture's own colour away, so that all colour speaks of the score.
func paler(c color.RGBA) color.RGBA {
	grey := uint8((299*int(c.R) + 587*int(c.G) + 114*int(c.B)) / 1000)
	return mix(c, color.RGBA{grey, grey, grey, 255}, 0.6)
}

func mix(a, b color.RGBA, share float32) color.RGBA {
	blend := func(a, b uint8) uint8 { return uint8(math.Round(float64(float32(a)*(1-share) + float32(b)*share))) }
	return color.RGBA{blend(a.R, b.R), blend(a.G, b.G), blend(a.B, b.B), 255}
}

// outline draws a white line, two pixels wide, round what reaches the threshold.
func outline(canvas *image.RGBA, levels []float32, size picture.Size) {
	white := color.RGBA{255, 255, 255, 255}
	reaches := func(x, y int) bool { return levels[y*size.Width+x] >= 1 }
	for y := range size.Height - 1 {
		for x := range size.Width - 1 {
			if here := reaches(x, y); here != reaches(x+1, y) || here != reaches(x, y+1) {
				for _, p := range [...]image.Point{{x, y}, {x + 1, y}, {x, y + 1}, {x + 1, y + 1}} {
					canvas.SetRGBA(p.X, p.Y, white)
				}
			}
		}
	}
}
