package features

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"linectl/internal/part"
)

// planted is a layer whose cells lie along one strong and two weaker directions, with a little noise.
func planted(channels, width, height int) (l Layer, along [3][]float64) {
	random := rand.New(rand.NewPCG(7, 8))
	l = Layer{"planted", channels, width, height, make([]float32, channels*width*height)}
	for k, strength := range []float64{9, 4, 1.5} {
		direction := make([]float64, channels)
		var length float64
		for c := range direction {
			direction[c] = random.NormFloat64()
			length += direction[c] * direction[c]
		}
		for i := range width * height {
			v := strength * random.NormFloat64()
			along[k] = append(along[k], v)
			for c := range direction {
				l.Values[c*width*height+i] += float32(v*direction[c]/math.Sqrt(length) + 1e-3*random.NormFloat64())
			}
		}
	}
	return l, along
}

func correlation(a []float32, b []float64) float64 {
	var sa, sb, saa, sbb, sab float64
	for i := range a {
		x, y := float64(a[i]), b[i]
		sa, sb, saa, sbb, sab = sa+x, sb+y, saa+x*x, sbb+y*y, sab+x*y
	}
	n := float64(len(a))
	return (sab - sa*sb/n) / math.Sqrt((saa-sa*sa/n)*(sbb-sb*sb/n))
}

// TestComponentsFindTheDirections, with more channels than cells and with fewer: what was put in comes out, in
// the order of its strength, whatever the sign of the layer, which only the rule decides.
func TestComponentsFindTheDirections(t *testing.T) {
	for _, l := range []struct{ channels, width, height int }{{300, 12, 10}, {60, 25, 20}} {
		layer, planted := planted(l.channels, l.width, l.height)
		got, share, err := layer.Components()
		if err != nil {
			t.Fatal(err)
		}
		if c := math.Abs(correlation(got[0], planted[0])); c < 0.97 {
			t.Errorf("%v: the first component has a correlation of %.3f with the strongest direction", l, c)
		}
		if !(share[0] > share[1] && share[1] > share[2]) || share[0]+share[1]+share[2] < 0.999 || share[0]+share[1]+share[2] > 1+1e-9 {
			t.Errorf("%v: shares %v", l, share)
		}
		for k := range got {
			if top := slices.Max(got[k]); top < -slices.Min(got[k]) {
				t.Errorf("%v: component %d points the wrong way", l, k)
			}
		}
	}
}

func TestComponentsOfLittle(t *testing.T) {
	for _, l := range []Layer{
		{"flat", 3, 2, 2, make([]float32, 12)},
		{"one cell", 4, 1, 1, []float32{1, 2, 3, 4}},
		{"one direction", 1, 2, 1, []float32{1, 3}},
	} {
		along, share, err := l.Components()
		if err != nil {
			t.Fatal(err)
		}
		if share[1] != 0 || share[2] != 0 || slices.Max(along[2]) != 0 {
			t.Errorf("%s: %v, %v", l.Name, along, share)
		}
	}
}

func TestStrongestAndMean(t *testing.T) {
	l := Layer{"x", 3, 2, 1, []float32{5, 5, 0, 4, 1, 3}}
	if got := l.Strongest(5); !slices.Equal(got, []int{1, 2, 0}) {
		t.Errorf("order %v", got)
	}
	if got := l.Mean(); !slices.Equal(got, []float32{2, 4}) {
		t.Errorf("mean %v", got)
	}
}

// TestTheRimIsNotThePart: the edge of the picture, which a channel may answer more strongly than anything on the part,
// neither chooses channels nor sets the colours nor makes a component.
func TestTheRimIsNotThePart(t *testing.T) {
	l := Layer{"x", 2, 16, 16, make([]float32, 2*256)}
	for i := range 16 {
		l.Values[i] = 1000 // channel 0 sees the upper edge
	}
	spot := 8*16 + 8
	for _, i := range []int{spot, spot + 1, spot + 16, spot + 17} {
		l.Values[256+i] = 1 // channel 1 sees a spot
	}
	if got := l.Strongest(1); got[0] != 1 {
		t.Errorf("channel %d is the strongest", got[0])
	}
	along, share, err := l.Components()
	if err != nil || share[0] < 0.999 || along[0][spot] < 0.9 {
		t.Errorf("%v, the spot lies at %g of a component of %g", err, along[0][spot], share[0])
	}
	sum := slices.Clone(l.Channel(1))
	for i := range 16 {
		sum[i] = 1000
	}
	if seen := l.scaled(sum); seen[spot] < 0.9 || seen[5*16+3] > 0.1 {
		t.Errorf("the spot is of colour %g, what is round it of %g", seen[spot], seen[5*16+3])
	}
}

func TestCheck(t *testing.T) {
	nan := float32(math.NaN())
	for _, l := range []Layer{{"a", 1, 1, 1, []float32{nan}}, {"b", 2, 1, 1, []float32{1}}, {"c", 0, 0, 0, nil}} {
		if l.Check() == nil {
			t.Errorf("layer %s was taken", l.Name)
		}
	}
}

// TestDrawnWhereItIs: what one cell answers is seen at its place of the picture, at the picture's own size.
func TestDrawnWhereItIs(t *testing.T) {
	frame := part.Frame{Width: 40, Height: 30, Pixels: make([]byte, 40*30*3)}
	l := Layer{"x", 1, 4, 3, make([]float32, 12)}
	l.Values[1*4+2] = 1
	canvas := l.Heat(frame, l.Channel(0))
	if b := canvas.Bounds(); b.Dx() != 40 || b.Dy() != 30 {
		t.Fatalf("%v", b)
	}
	for y := range 30 {
		for x := range 40 {
			far := x < 15 || x >= 35 || y < 5 || y >= 25
			if c := canvas.RGBAAt(x, y); far && c.R > 50 || x == 25 && y == 15 && c.R < 120 {
				t.Fatalf("%d,%d: %v", x, y, c)
			}
		}
	}
	rgb := l.Colours(frame, [3][]float32{l.Channel(0), make([]float32, 12), make([]float32, 12)})
	if c := rgb.RGBAAt(25, 15); c.R < 150 || c.G != 0 || c.B != 0 {
		t.Errorf("%v", c)
	}
}
