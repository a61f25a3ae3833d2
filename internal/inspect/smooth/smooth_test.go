package smooth

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// plain enlarges and then convolves in two dimensions, from the description of what torch does.
func plain(mode Mode, cells []float32, width, height, toWidth, toHeight int) []float64 {
	at := func(x, y int) float64 { return float64(cells[min(y, height-1)*width+min(x, width-1)]) }
	large := make([]float64, toWidth*toHeight)
	for y := range toHeight {
		for x := range toWidth {
			if mode == Nearest {
				large[y*toWidth+x] = at(int(float64(x)*float64(width)/float64(toWidth)), int(float64(y)*float64(height)/float64(toHeight)))
				continue
			}
			u := math.Max((float64(x)+.5)*float64(width)/float64(toWidth)-.5, 0)
			v := math.Max((float64(y)+.5)*float64(height)/float64(toHeight)-.5, 0)
			i, j := int(u), int(v)
			u, v = u-float64(i), v-float64(j)
			large[y*toWidth+x] = (1-v)*((1-u)*at(i, j)+u*at(i+1, j)) + v*((1-u)*at(i, j+1)+u*at(i+1, j+1))
		}
	}
	mirrored := func(i, n int) int {
		for i < 0 || i >= n {
			if i < 0 {
				i = -i
			} else {
				i = 2*n - 2 - i
			}
		}
		return i
	}
	out := make([]float64, len(large))
	for y := range toHeight {
		for x := range toWidth {
			var sum, weights float64
			for dy := -16; dy <= 16; dy++ {
				for dx := -16; dx <= 16; dx++ {
					w := math.Exp(-float64(dx*dx+dy*dy) / 32)
					weights += w
					sum += w * large[mirrored(y+dy, toHeight)*toWidth+mirrored(x+dx, toWidth)]
				}
			}
			out[y*toWidth+x] = sum / weights
		}
	}
	return out
}

func TestMapIsTheConvolution(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, c := range [][4]int{{4, 4, 32, 32}, {5, 3, 40, 24}, {7, 6, 56, 48}, {1, 1, 17, 17}, {6, 5, 47, 33}} {
		cells := make([]float32, c[0]*c[1])
		for i := range cells {
			cells[i] = random.Float32() * 5
		}
		for _, mode := range []Mode{Nearest, Bilinear} {
			s, err := New(mode, c[0], c[1], c[2], c[3])
			if err != nil {
				t.Fatal(err)
			}
			want := plain(mode, cells, c[0], c[1], c[2], c[3])
			for i, v := range s.Map(cells) {
				if math.Abs(float64(v)-want[i]) > 1e-5*5 {
					t.Fatalf("%v, mode %d, pixel %d: %g, want %g", c, mode, i, v, want[i])
				}
			}
		}
	}
}

// TestConstantStays: what is the same everywhere stays so, edges included.
func TestConstantStays(t *testing.T) {
	s, err := New(Bilinear, 9, 7, 72, 56)
	if err != nil {
		t.Fatal(err)
	}
	cells := make([]float32, 63)
	for i := range cells {
		cells[i] = 3
	}
	for i, v := range s.Map(cells) {
		if math.Abs(float64(v)-3) > 1e-5 {
			t.Fatalf("pixel %d is %g", i, v)
		}
	}
}

func TestTooSmall(t *testing.T) {
	for _, c := range [][4]int{{2, 2, 16, 32}, {2, 2, 32, 16}, {0, 2, 32, 32}, {2, 0, 32, 32}} {
		if _, err := New(Nearest, c[0], c[1], c[2], c[3]); err == nil {
			t.Errorf("%v is accepted", c)
		}
	}
}

func BenchmarkMap(b *testing.B) {
	s, err := New(Nearest, 32, 32, 256, 256)
	if err != nil {
		b.Fatal(err)
	}
	cells := make([]float32, 32*32)
	for b.Loop() {
		s.Map(cells)
	}
}

// TestGreatest: over each cell lies a block of the map, and the greatest of all blocks is the greatest of the map.
func TestGreatest(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 5))
	s, err := New(Bilinear, 5, 3, 40, 30)
	if err != nil {
		t.Fatal(err)
	}
	cells := make([]float32, 15)
	for i := range cells {
		cells[i] = random.Float32()
	}
	cells[7] = 5 // the middle one
	greatest, whole := s.Greatest(cells), slices.Clone(s.Map(cells))
	if len(greatest) != len(cells) || slices.Max(greatest) != slices.Max(whole) || greatest[7] != slices.Max(whole) {
		t.Errorf("cells %v of a map up to %g", greatest, slices.Max(whole))
	}
	if corner := slices.Max([]float32{whole[0], whole[7], whole[9*40], whole[9*40+7]}); greatest[0] < corner {
		t.Errorf("the first cell is %g, the map over it reaches %g", greatest[0], corner)
	}
}
