package picture

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"linectl/internal/part"
	"linectl/internal/raster"
)

var one = [3]float32{1, 1, 1}

func random(width, height int) part.Frame {
	r := rand.New(rand.NewPCG(1, 2))
	f := part.Frame{Width: width, Height: height, Pixels: make([]byte, 3*width*height)}
	for i := range f.Pixels {
		f.Pixels[i] = byte(r.Uint32())
	}
	return f
}

func fill(t *testing.T, f part.Frame, size Size, mean, std [3]float32) []float32 {
	t.Helper()
	p := NewPreparer(size, mean, std)
	defer p.Close()
	input := make([]float32, 3*size.Width*size.Height)
	if err := p.Fill(input, f); err != nil {
		t.Fatal(err)
	}
	return input
}

// TestFillShrinksByArea compares with plain averages over the area of each pixel.
func TestFillShrinksByArea(t *testing.T) {
	f := random(96, 64)
	got := fill(t, f, Size{32, 32}, [3]float32{}, one) // 3 across, 2 down
	for c := range 3 {
		for y := range 32 {
			for x := range 32 {
				sum := 0
				for dy := range 2 {
					for dx := range 3 {
						sum += int(pixel(f, 3*x+dx, 2*y+dy)[2-c]) // the frame is BGR, the input RGB
					}
				}
				want := float64(sum) / 6 / 255
				if d := math.Abs(float64(got[c*1024+y*32+x]) - want); d > 0.51/255 {
					t.Fatalf("channel %d at %d,%d: %g, want %g", c, x, y, got[c*1024+y*32+x], want)
				}
			}
		}
	}
}

// TestFillOfEverySize resizes up, down, and up one way and down the other: a flat picture stays flat and
// the mean of any other is kept.
func TestFillOfEverySize(t *testing.T) {
	for _, from := range []Size{{64, 64}, {300, 40}, {40, 300}, {20, 30}, {640, 480}, {65, 63}} {
		flat := part.Frame{Width: from.Width, Height: from.Height, Pixels: make([]byte, 3*from.Width*from.Height)}
		for i := range flat.Pixels {
			flat.Pixels[i] = []byte{10, 120, 250}[i%3]
		}
		input := fill(t, flat, Size{64, 64}, [3]float32{0.5, 0.4, 0.3}, [3]float32{0.1, 0.2, 0.4})
		for c, want := range []float32{(250.0/255 - 0.5) / 0.1, (120.0/255 - 0.4) / 0.2, (10.0/255 - 0.3) / 0.4} {
			for _, v := range input[c*64*64 : (c+1)*64*64] {
				if math.Abs(float64(v-want)) > 1e-5 {
					t.Fatalf("from %s: channel %d holds %g, want %g", from, c, v, want)
				}
			}
		}
		noise := random(from.Width, from.Height)
		var before, after float64
		for _, v := range noise.Pixels {
			before += float64(v) / 255 / float64(len(noise.Pixels))
		}
		input = fill(t, noise, Size{64, 64}, [3]float32{}, one)
		for _, v := range input {
			after += float64(v) / float64(len(input))
		}
		if math.Abs(before-after) > 0.01 {
			t.Errorf("from %s: mean %.3f became %.3f", from, before, after)
		}
	}
}

func TestFillRefusesAWrongFrame(t *testing.T) {
	p := NewPreparer(Size{32, 32}, [3]float32{}, one)
	defer p.Close()
	for _, f := range []part.Frame{{}, {Width: 4, Height: 4, Pixels: make([]byte, 47)}, {Width: -4, Height: -4, Pixels: make([]byte, 48)}} {
		err := p.Fill(make([]float32, 3*32*32), f)
		if err == nil || !strings.Contains(err.Error(), "8-bit BGR") || part.ReasonOf(err, part.Unknown) != part.BadFrame {
			t.Errorf("%dx%d with %d bytes: %v", f.Width, f.Height, len(f.Pixels), err)
		}
	}
}

func TestMeasureAndRefuse(t *testing.T) {
	p := NewPreparer(Size{32, 32}, [3]float32{}, one)
	defer p.Close()
	measure := func(f part.Frame) part.Quality {
		t.Helper()
		q, err := p.Measure(f)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	board := func(bright, contrast byte) part.Frame { // a chessboard of 8-pixel fields
		f := part.Frame{Width: 160, Height: 120, Pixels: make([]byte, 3*160*120)}
		for i := range f.Pixels {
			f.Pixels[i] = bright
			if (i/3%160/8+i/3/160/8)%2 == 0 {
				f.Pixels[i] += contrast
			}
		}
		return f
	}
	if q := measure(board(100, 40)); math.Abs(q.Brightness-120) > 0.01 || math.Abs(q.Spread-20) > 0.01 || q.Sharpness < 100 {
		t.Errorf("quality of a chessboard: %+v", q)
	}
	var good []part.Quality
	for i := range 20 {
		good = append(good, measure(board(byte(98+i%5), 40)))
	}
	limits := LimitsOf(good)
	for _, test := range []struct {
		name  string
		frame part.Frame
		want  part.Reason
	}{
		{"as trained", board(100, 40), part.None},
		{"a little darker", board(85, 40), part.None},
		{"a little brighter", board(115, 40), part.None},
		{"lamp off", board(10, 4), part.TooDark},
		{"stray light", board(200, 40), part.TooBright},
		{"out of focus", board(118, 4), part.OutOfFocus},
	} {
		got, detail := limits.Refuse(measure(test.frame))
		if got != test.want || (detail == "") != (got == part.None) {
			t.Errorf("%s: %q (%s), want %q; limits %+v", test.name, got, detail, test.want, limits)
		}
	}
	// A large picture is measured on a smaller one and gives figures all the same.
	if q := measure(random(2600, 2000)); math.Abs(q.Brightness-127.5) > 1 {
		t.Errorf("brightness of noise: %.1f", q.Brightness)
	}
}

func TestSizes(t *testing.T) {
	for _, test := range []struct {
		pictures []Size
		want     Size
	}{
		{[]Size{{256, 256}}, Size{256, 256}},
		{[]Size{{550, 380}}, Size{320, 224}},
		{[]Size{{1920, 1080}}, Size{352, 192}},
		{[]Size{{1280, 1024}, {1280, 1024}, {10, 900}}, Size{288, 224}},
		{[]Size{{4000, 200}}, Size{1280, 64}},
		{[]Size{{200, 400}, {250, 400}, {300, 400}, {400, 400}, {500, 400}, {100, 400}}, Size{256, 256}},
	} {
		if got := InputSize(test.pictures, 32); got != test.want {
			t.Errorf("input for %v: %s, want %s", test.pictures, got, test.want)
		}
	}
	if s, err := ParseSize("320x224"); err != nil || s != (Size{320, 224}) {
		t.Errorf("320x224: %v, %v", s, err)
	}
	for text, want := range map[string]string{
		"320":      `"320" is not a size; write width x height, as in 320x224`,
		"320x224x": `"320x224x" is not a size; write width x height, as in 320x224`,
		"0320x224": `"0320x224" is not a size; write width x height, as in 320x224`,
		"16x4096":  `size 16x4096 is out of range; allowed is 32 to 2048 for each side`,
	} {
		if _, err := ParseSize(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestThumbnail(t *testing.T) {
	jpeg, err := Thumbnail(random(300, 150), 100)
	if err != nil {
		t.Fatal(err)
	}
	f, err := raster.Decode(jpeg)
	if err != nil || f.Width != 100 || f.Height != 50 {
		t.Errorf("thumbnail of 300x150: %dx%d, %v", f.Width, f.Height, err)
	}
}

func TestShapesOfPictures(t *testing.T) {
	one := Limits{}.WithShapes([]Size{{1280, 1024}, {640, 512}, {641, 512}})
	several := Limits{}.WithShapes([]Size{{100, 200}, {300, 200}})
	for _, test := range []struct {
		limits Limits
		size   Size
		want   string // of the error
	}{
		{Limits{}, Size{1, 100}, ""},
		{several, Size{1, 100}, ""},
		{one, Size{1280, 1024}, ""},
		{one, Size{320, 256}, ""},
		{one, Size{1296, 1024}, ""}, // within two parts in a hundred
		{one, Size{1280, 720}, "1280x720, 1.778 times as wide as high; the good ones were 1.25"},
		{one, Size{1024, 1280}, "0.800 times"},
		{one.WithShapes([]Size{{1290, 1024}}), Size{1024, 1280}, "0.800 times"},
		{one.WithShapes([]Size{{1280, 720}}), Size{1024, 1280}, ""},
	} {
		err := test.limits.Fits(test.size)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s in %+v: %v, want %q", test.size, test.limits, err, test.want)
		}
	}
}
