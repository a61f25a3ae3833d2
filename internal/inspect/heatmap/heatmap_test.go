package heatmap

import (
	"image/color"
	"math"
	"testing"

	"linectl/internal/part"
)

func grey(width, height int, level byte) part.Frame {
	f := part.Frame{Width: width, Height: height, Pixels: make([]byte, 3*width*height)}
	for i := range f.Pixels {
		f.Pixels[i] = level
	}
	return f
}

func flat(level float32) part.Map {
	m := part.Map{Width: 8, Height: 6, Cells: make([]float32, 48)}
	for i := range m.Cells {
		m.Cells[i] = level
	}
	return m
}

// TestColoursAreTiedToTheThreshold: the same score has the same colour whatever else is on the map, and
// what is far below the threshold has none.
func TestColoursAreTiedToTheThreshold(t *testing.T) {
	at := func(m part.Map, threshold float64) color.RGBA {
		t.Helper()
		canvas, err := Draw(grey(320, 240, 100), m, 1, threshold)
		if err != nil {
			t.Fatal(err)
		}
		return canvas.RGBAAt(120, 90) // scaled up by 3: far from the hot corner below
	}
	under := color.RGBA{100, 100, 100, 255}
	if got := at(flat(0.74), 1); got != under {
		t.Errorf("far below the threshold: %v", got)
	}
	if got := at(flat(1.2), 1); got == under {
		t.Error("above the threshold there is no colour")
	}
	hot := flat(0.9)
	hot.Cells[47] = 100
	if a, b := at(flat(0.9), 1), at(hot, 1); a != b {
		t.Errorf("a hot corner changes the colour elsewhere: %v, %v", a, b)
	}
	if a, b := at(flat(1.2), 1), at(flat(2.4), 2); a != b {
		t.Errorf("the same share of the threshold has two colours: %v, %v", a, b)
	}
	if a, b := at(flat(1.5), 1), at(flat(50), 1); a != b {
		t.Errorf("beyond the end of the scale: %v, %v", a, b)
	}
}

func TestOutlineWhereTheThresholdIsReached(t *testing.T) {
	white := func(m part.Map) int {
		t.Helper()
		canvas, err := Draw(grey(960, 720, 50), m, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for y := range 720 {
			for x := range 960 {
				if canvas.RGBAAt(x, y) == (color.RGBA{255, 255, 255, 255}) {
					n++
				}
			}
		}
		return n
	}
	if n := white(flat(0.99)); n != 0 {
		t.Errorf("%d white pixels on a good part", n)
	}
	spot := flat(0.5)
	spot.Cells[2*8+3] = 2
	if n := white(spot); n < 100 {
		t.Errorf("%d white pixels round a defect", n)
	}
}

func TestDrawBoundsTheSize(t *testing.T) {
	for _, f := range []part.Frame{{}, grey(40, 300, 10), grey(3000, 200, 10), grey(1, 1, 10)} {
		for _, score := range []float64{0.5, 1, 99, math.NaN()} {
			drawn, err := Draw(f, flat(1), score, 1)
			if err != nil {
				t.Fatalf("%dx%d: %v", f.Width, f.Height, err)
			}
			if drawn.Rect.Dx() > longest {
				t.Errorf("%dx%d became %v", f.Width, f.Height, drawn.Rect)
			}
		}
	}
}

func TestDrawRefuses(t *testing.T) {
	for _, test := range []struct {
		frame     part.Frame
		m         part.Map
		threshold float64
		want      string
	}{
		{grey(10, 10, 1), part.Map{}, 1, "heatmap: the part has no map of scores"},
		{grey(10, 10, 1), part.Map{Width: 2, Height: 2, Cells: make([]float32, 3)}, 1, "heatmap: the part has no map of scores"},
		{grey(10, 10, 1), flat(1), 0, "heatmap: the threshold 0 is not a positive number"},
		{grey(10, 10, 1), flat(1), math.NaN(), "heatmap: the threshold NaN is not a positive number"},
		{part.Frame{Width: 3, Height: 3, Pixels: make([]byte, 5)}, flat(1), 1, "heatmap: frame of 3x3 has 5 bytes; 8-bit BGR has three a pixel"},
	} {
		if _, err := Draw(test.frame, test.m, 1, test.threshold); err == nil || err.Error() != test.want {
			t.Errorf("error %v, want %s", err, test.want)
		}
	}
}

// A map on a scale of its own has its strongest colour at its highest cell, whatever the unit.
func TestDrawScaled(t *testing.T) {
	m := flat(1e-3)
	m.Cells[0] = 2e-3
	a, err := DrawScaled(m, "mean")
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Cells {
		m.Cells[i] *= 1e6
	}
	b, err := DrawScaled(m, "mean")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := a.RGBAAt(5, 5), b.RGBAAt(5, 5); got != want || got == a.RGBAAt(100, 100) {
		t.Errorf("the highest cell is %v and %v, the others %v", got, want, a.RGBAAt(100, 100))
	}
	if _, err := DrawScaled(flat(0), "mean"); err != nil {
		t.Error(err)
	}
}
