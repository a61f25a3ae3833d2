package features

import (
	"image"
	"image/color"
	"slices"

	"linectl/internal/part"
)

// scaled brings values to 0..1 between the 1st and 99th percentile of those that are not at the rim; all the same
// becomes 0.
func (l Layer) scaled(values []float32) []float32 {
	var sorted []float32
	for _, i := range l.inner() {
		sorted = append(sorted, values[i])
	}
	slices.Sort(sorted)
	low, high := sorted[len(sorted)/100], sorted[len(sorted)-1-len(sorted)/100]
	out := make([]float32, len(values))
	if high > low {
		for i, v := range values {
			out[i] = min(max((v-low)/(high-low), 0), 1)
		}
	}
	return out
}

// ramp goes from dark blue over green to yellow, its lightness growing evenly.
var ramp = [...][3]float32{{68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}}

// Heat lays values of the layer's cells over the picture they come from, at the picture's own size: dark blue
// is the lowest percent of them, yellow the highest, the rim not counted.
func (l Layer) Heat(frame part.Frame, values []float32) *image.RGBA {
	values = l.scaled(values)
	return l.over(frame, func(at func([]float32) float32) [3]float32 {
		v := at(values) * float32(len(ramp)-1)
		i := min(int(v), len(ramp)-2)
		var c [3]float32
		for k := range c {
			c[k] = ramp[i][k] + (ramp[i+1][k]-ramp[i][k])*(v-float32(i))
		}
		return c
	})
}

// Colours lays three values of each cell over the picture as red, green and blue.
func (l Layer) Colours(frame part.Frame, values [3][]float32) *image.RGBA {
	for k := range values {
		values[k] = l.scaled(values[k])
	}
	return l.over(frame, func(at func([]float32) float32) (c [3]float32) {
		for k := range c {
			c[k] = 255 * at(values[k])
		}
		return c
	})
}

// over lays colours over the picture in grey, two thirds of the colour, interpolated between the cells' centres.
func (l Layer) over(frame part.Frame, colour func(at func([]float32) float32) [3]float32) *image.RGBA {
	canvas := image.NewRGBA(image.Rect(0, 0, frame.Width, frame.Height))
	tap := func(pixel, pixels, cells int) (low, high int, share float32) {
		at := min(max((float64(pixel)+0.5)*float64(cells)/float64(pixels)-0.5, 0), float64(cells-1))
		low = int(at)
		return low, min(low+1, cells-1), float32(at - float64(low))
	}
	for y := range frame.Height {
		up, down, v := tap(y, frame.Height, l.Height)
		for x := range frame.Width {
			left, right, h := tap(x, frame.Width, l.Width)
			c := colour(func(values []float32) float32 {
				a := values[up*l.Width+left]*(1-h) + values[up*l.Width+right]*h
				b := values[down*l.Width+left]*(1-h) + values[down*l.Width+right]*h
				return a*(1-v) + b*v
			})
			bgr := frame.Pixels[3*(y*frame.Width+x):]
			grey := 0.299*float32(bgr[2]) + 0.587*float32(bgr[1]) + 0.114*float32(bgr[0])
			mix := func(c float32) uint8 { return uint8(grey/3 + c*2/3) }
			canvas.SetRGBA(x, y, color.RGBA{mix(c[0]), mix(c[1]), mix(c[2]), 255})
		}
	}
	return canvas
}
