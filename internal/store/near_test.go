package store

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
)

func TestNear(t *testing.T) {
	s := newStore(t)
	add := func(lot string, cells ...float32) int64 {
		r := good(1)
		r.Trigger.Lot = lot
		r.Finding.Map = part.Map{Width: len(cells), Height: 1, Cells: cells}
		return insert(t, s, r)
	}
	nan := float32(math.NaN())
	like := add("a", 0, 0, 5, 1)
	same := add("a", 0, 0, 50, 10) // the same place, ten times as strong
	beside := add("a", 0, 3, 5, nan)
	other := add("b", 5, 0, 0, 0)
	add("a", 1, 1, 1, 1) // nothing stands out
	add("a", 0, 0, 5)    // of another recipe
	none := insert(t, s, rejected(2, part.Deadline))
	ids := func(f Filter) (ids []int64) {
		found, err := s.Near(t.Context(), like, f, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range found {
			if i > 0 && a.Likeness > found[i-1].Likeness {
				t.Errorf("out of order: %+v", found)
			}
			ids = append(ids, a.ID)
		}
		return ids
	}
	for _, test := range []struct {
		f    Filter
		want []int64
	}{{Filter{}, []int64{same, beside, other}}, {Filter{Limit: 1}, []int64{same}}, {Filter{Lot: "b"}, []int64{other}}} {
		got := ids(test.f)
		if len(got) != len(test.want) {
			t.Errorf("%+v: %v, want %v", test.f, got, test.want)
			continue
		}
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("%+v: %v, want %v", test.f, got, test.want)
			}
		}
	}
	found, _ := s.Near(t.Context(), like, Filter{Limit: 1}, nil)
	if math.Abs(found[0].Likeness-1) > 1e-3 {
		t.Errorf("the same place has a likeness of %g", found[0].Likeness)
	}
	for id, want := range map[int64]string{none: "has no heatmap in which anything stands out", 999: "there is no record 999"} {
		if _, err := s.Near(t.Context(), id, Filter{}, nil); hint.KindOf(err) != hint.NoMatch || !strings.Contains(err.Error(), want) {
			t.Errorf("record %d: %v", id, err)
		}
	}
}

// blob is a heatmap of 28 x 28 with noise and one place of high scores.
func blob(x, y int, random *rand.Rand) part.Map {
	m := part.Map{Width: 28, Height: 28, Cells: make([]float32, 28*28)}
	for i := range m.Cells {
		d := float64((i%28-x)*(i%28-x) + (i/28-y)*(i/28-y))
		m.Cells[i] = float32(0.5 + 0.1*random.NormFloat64() + 4*math.Exp(-d/8))
	}
	return m
}

// Among more parts than are compared cell by cell those with the defect in the same place are found, as
// comparing all of them finds them.
func TestNearAmongMany(t *testing.T) {
	s := newStore(t)
	random := rand.New(rand.NewPCG(1, 2))
	var group sync.WaitGroup
	const parts = closest + 300
	maps := make([]part.Map, parts)
	for n := range maps {
		maps[n] = blob(random.IntN(28), random.IntN(28), random)
		if n%100 == 0 {
			maps[n] = blob(20, 7, random)
		}
	}
	var work = make(chan int, parts)
	for n := range maps {
		work <- n
	}
	close(work)
	for range 32 {
		group.Go(func() {
			for n := range work {
				r := good(uint32(n))
				r.Finding.Map = maps[n]
				if _, err := s.Insert(t.Context(), r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	r := good(1)
	r.Finding.Map = blob(20, 7, random)
	like := insert(t, s, r)
	var steps int
	found, err := s.Near(t.Context(), like, Filter{Limit: 10}, func(done, total int64) { steps++ })
	if err != nil || len(found) != 10 || steps == 0 {
		t.Fatal(len(found), steps, err)
	}
	all, err := s.Near(t.Context(), like, Filter{}, nil)
	if err != nil || len(all) != parts {
		t.Fatal(len(all), err)
	}
	for i := range found {
		if found[i].ID != all[i].ID || found[i].Likeness < 0.9 {
			t.Errorf("%d: %d (%.3f), of all it is %d (%.3f)", i, found[i].ID, found[i].Likeness, all[i].ID, all[i].Likeness)
		}
	}
}

// The means of a thumbnail are those of an independent way to count: each cell cut into 8 x 8.
func TestThumbnail(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, size := range [][2]int{{28, 28}, {8, 8}, {3, 2}, {1, 1}, {50, 9}, {7, 64}} {
		m := part.Map{Width: size[0], Height: size[1], Cells: make([]float32, size[0]*size[1])}
		for i := range m.Cells {
			m.Cells[i] = random.Float32()
		}
		var means [thumbnailCells]float64
		for y := range 8 * m.Height {
			for x := range 8 * m.Width {
				means[y/m.Height*8+x/m.Width] += float64(m.Cells[y/8*m.Width+x/8]) / float64(m.Width*m.Height)
			}
		}
		lo, hi := slices.Min(means[:]), slices.Max(means[:])
		text := thumbnailOf(m)
		if lo == hi {
			if text != "" {
				t.Errorf("%v: nothing stands out, and it is %q", size, text)
			}
			continue
		}
		if len(text) != thumbnailCells {
			t.Fatalf("%v: %q", size, text)
		}
		for i, mean := range means {
			if want := (mean - lo) / (hi - lo) * 63; math.Abs(float64(text[i]-'0')-want) > 0.51 {
				t.Errorf("%v: cell %d is %d, want %.2f", size, i, text[i]-'0', want)
			}
		}
	}
	nan := float32(math.NaN())
	for _, cells := range [][]float32{nil, {nan, nan}, {1, 1}, {float32(math.Inf(1)), 1}} {
		if text := thumbnailOf(part.Map{Width: len(cells), Height: 1, Cells: cells}); text != "" {
			t.Errorf("%v: %q", cells, text)
		}
	}
}

// A heatmap that an older linectl wrote is found before it has its thumbnail, and gets it while the daemon runs.
func TestNearInAnOldRecord(t *testing.T) {
	c := oldRecord(t, 1)
	db, err := openWriter(t.Context(), c.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(migrate(t.Context(), db), db.Close()); err != nil {
		t.Fatal(err)
	}
	ask := func(want int64) {
		t.Helper()
		r, err := OpenReader(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if from, err := r.thumbnailsFrom(t.Context()); from != want || err != nil {
			t.Fatalf("thumbnails from %d on, %v", from, err)
		}
		found, err := r.Near(t.Context(), 2, Filter{}, nil) // the heatmaps of all are the same
		if err != nil || len(found) != 6 || found[5].ID != 1 || found[5].Likeness < 0.999 {
			t.Errorf("%+v, %v", found, err)
		}
		if _, unknown, err := r.NearPicture(t.Context(), frame(8, 8, 1), Filter{}, nil); err != nil || unknown != 1 {
			t.Errorf("%d pictures without a hash, %v", unknown, err)
		}
	}
	ask(8)
	s := openStore(t, c)
	for from := int64(8); from > 0; time.Sleep(time.Millisecond) {
		if from, err = s.thumbnailsFrom(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ask(0)
}

// scene is a picture with some shapes, at any size.
func scene(width, height int, seed uint64) part.Frame {
	random := rand.New(rand.NewPCG(seed, 0))
	type disc struct{ x, y, r, grey float64 }
	var discs []disc
	for range 12 {
		discs = append(discs, disc{random.Float64(), random.Float64(), 0.05 + 0.2*random.Float64(), 255 * random.Float64()})
	}
	f := part.Frame{Camera: "top", Width: width, Height: height, Pixels: make([]byte, 3*width*height), ExposedAt: noon}
	for i := range width * height {
		x, y := (float64(i%width)+0.5)/float64(width), (float64(i/width)+0.5)/float64(height)
		grey := 255 * x
		for _, d := range discs {
			if math.Hypot(x-d.x, y-d.y) < d.r {
				grey = d.grey
			}
		}
		f.Pixels[3*i], f.Pixels[3*i+1], f.Pixels[3*i+2] = byte(grey), byte(0.9*grey), byte(grey)
	}
	return f
}

// The same picture in another size or file format is found, and first; other pictures are far away.
func TestNearPicture(t *testing.T) {
	c := configIn(t.TempDir())
	c.Keep = KeepAll
	s := openStore(t, c)
	for seed := range uint64(8) {
		verdict := part.Verdict(part.Pass) // a JPEG
		if seed%2 == 0 {
			verdict = part.Reject
		}
		r := good(uint32(seed))
		r.Trigger.Lot = "even"
		if seed%2 == 1 {
			r.Trigger.Lot = "odd"
		}
		s.KeepPicture(insert(t, s, r), scene(320, 240, seed), verdict)
	}
	insert(t, s, good(99)) // without a picture
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for seed := range uint64(8) {
		for _, size := range [][2]int{{320, 240}, {640, 480}, {200, 150}} {
			found, unknown, err := r.NearPicture(t.Context(), scene(size[0], size[1], seed), Filter{}, nil)
			if err != nil || unknown != 0 || len(found) != 8 {
				t.Fatal(found, unknown, err)
			}
			if found[0].ID != int64(seed)+1 || found[0].Likeness < 0.93 || found[1].Likeness > 0.8 {
				t.Errorf("picture %d at %v: %d is like it by %.3f, then %d by %.3f", seed, size, found[0].ID, found[0].Likeness, found[1].ID, found[1].Likeness)
			}
		}
	}
	// Those that an older linectl kept have no hash, and are read.
	hashed, _, err := r.NearPicture(t.Context(), scene(320, 240, 5), Filter{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tamper(t, c.Path, "DELETE FROM frame_hash WHERE inspection_id > 2")
	if read, unknown, err := r.NearPicture(t.Context(), scene(320, 240, 5), Filter{}, nil); err != nil || unknown != 0 || len(read) != len(hashed) {
		t.Errorf("%+v, %d, %v", read, unknown, err)
	} else {
		for i := range read {
			if math.Abs(read[i].Likeness-hashed[i].Likeness) > 0.02 || i == 0 && read[i].ID != hashed[i].ID {
				t.Errorf("%d: by its hash %+v, read %+v", i, hashed[i], read[i])
			}
		}
	}
	if found, _, err := r.NearPicture(t.Context(), scene(320, 240, 3), Filter{Lot: "even", Limit: 2}, nil); err != nil || len(found) != 2 || found[0].Lot != "even" {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestPictureHashOfOddSizes(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {1, 300}, {300, 1}, {16, 16}, {17, 16}, {5, 7}} {
		f := scene(size[0], size[1], 1)
		if h := hashOf(f); h.distance(h) != 0 {
			t.Error(size)
		}
	}
	rising := part.Frame{Width: 34, Height: 16, Pixels: make([]byte, 3*34*16)}
	for i := range rising.Pixels {
		rising.Pixels[i] = byte(i / 3 % 34 * 7)
	}
	if h := hashOf(rising); h.distance(pictureHash{}) != 256 {
		t.Errorf("brighter from left to right is %s", h)
	}
}
