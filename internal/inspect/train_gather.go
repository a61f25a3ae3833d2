package inspect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"linectl/internal/hint"
	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

const (
	thumbnail   = 256 // pixels of the longer side of what a recipe keeps of each picture
	nearlyBlack = 16  // a mean grey level below which, and as far from white, hardly anything is seen; that of 12 bits in files of 16
	// widened is how many changed copies of a picture are learned beside it.
	widened = 3
)

// shot is one good picture: what the recipe keeps of it, and where it lies.
type shot struct {
	recipe.Picture
	path string
	size picture.Size
	fold int
	out  bool   // unlike the rest, and left out
	jpeg []byte // a small copy
}

// gathered is the good pictures, each once.
type gathered struct {
	shots       []shot
	descriptors []float32
}

// kept is the numbers of the pictures that are learned and counted.
func (g *gathered) kept() []int {
	var all []int
	for i, s := range g.shots {
		if !s.out {
			all = append(all, i)
		}
	}
	return all
}

// leave leaves out the numbered pictures, and them alone, and tells whether others were left out before.
func (g *gathered) leave(pictures []int) (changed bool) {
	for i := range g.shots {
		out := slices.Contains(pictures, i)
		changed = changed || out != g.shots[i].out
		g.shots[i].out = out
	}
	return changed
}

func (g *gathered) groups() []int {
	groups := make([]int, len(g.shots))
	for i, s := range g.shots {
		groups[i] = s.Group
	}
	return groups
}

// scores is the pictures', by their patches alone until weigh adds the appearance.
func (g *gathered) scores() []float64 {
	scores := make([]float64, len(g.shots))
	for i, s := range g.shots {
		scores[i] = s.Score
	}
	return scores
}

// into writes what a recipe keeps of its pictures.
func (g *gathered) into(r *recipe.Recipe) {
	var qualities []part.Quality
	var sizes []picture.Size
	groups := make(map[int]bool)
	kept := g.kept()
	for _, i := range kept {
		r.Pictures = append(r.Pictures, g.shots[i].Picture)
		r.Thumbnails = append(r.Thumbnails, g.shots[i].jpeg)
		qualities = append(qualities, g.shots[i].Quality)
		sizes = append(sizes, g.shots[i].size)
		groups[g.shots[i].Group] = true
	}
	r.Quality = picture.LimitsOf(qualities).WithShapes(sizes)
	r.Training.Pictures, r.Training.Groups = len(r.Pictures), len(groups)
	r.Training.Frame = bySize(sizes)[0].size
}

// sized is a size, and how many pictures have it.
type sized struct {
	size picture.Size
	n    int
}

// bySize counts the sizes, the one of most pictures first.
func bySize(sizes []picture.Size) (all []sized) {
	for _, s := range sizes {
		at := slices.IndexFunc(all, func(o sized) bool { return o.size == s })
		if at < 0 {
			at, all = len(all), append(all, sized{size: s})
		}
		all[at].n++
	}
	slices.SortStableFunc(all, func(a, b sized) int { return b.n - a.n })
	return all
}

// gather looks at every picture once: its quality, its digest, what it looks like as a whole, and what the
// learner takes from it. Pictures that were seen, by their digests, are passed over; seen grows. Pictures of the
// same part get the same group.
func (t *trainer) gather(ctx context.Context, files []string, l learner, seen map[string]bool) (*gathered, error) {
	features := t.extractor.network.Features
	describer := newDescriber(features[len(features)-1], t.options.Seed)
	g := new(gathered)
	var unreadable []string
	err := readAll(ctx, files, func(i int, frame part.Frame, err error) error {
		t.tell("pictures", i+1, len(files))
		if err != nil {
			unreadable = append(unreadable, err.Error())
			return nil
		}
		digest := fmt.Sprintf("%x", frame.Digest())
		if seen[digest] {
			return nil
		}
		seen[digest] = true
		s, err := t.shoot(frame, digest)
		if err != nil {
			return fmt.Errorf("picture %s: %w", picture.Name(frame.Source), err)
		}
		if s.jpeg, err = picture.Thumbnail(frame, thumbnail); err != nil {
			return fmt.Errorf("picture %s: %w", picture.Name(frame.Source), err)
		}
		g.descriptors = append(g.descriptors, describer.describe()...)
		number := len(g.shots)
		g.shots = append(g.shots, s)
		if err := t.teach(l, number, len(files), frame); err != nil {
			return fmt.Errorf("picture %s: %w", picture.Name(frame.Source), err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(unreadable) > 0 {
		for _, text := range unreadable[min(shown, len(unreadable)):] { // the error names the first ones
			t.note("%s", text)
		}
		return nil, hint.New(hint.Failure, fmt.Errorf("%d of %d pictures cannot be read: %s", len(unreadable), len(files), some(unreadable, "; ")),
			"replace these files or take them away, then train again")
	}
	if n := len(files) - len(g.shots); n > 0 {
		t.note("%d of %d pictures are there already, bit for bit, and count once", n, len(files))
	}
	for i, group := range calibrate.Group(g.descriptors, descriptorDim) {
		g.shots[i].Group = group
	}
	for i, fold := range calibrate.Folds(g.groups(), folds) {
		g.shots[i].fold = fold
	}
	return g, nil
}

// shoot runs a frame through the network and notes what it is.
func (t *trainer) shoot(frame part.Frame, digest string) (shot, error) {
	quality, err := t.extractor.prepare.Measure(frame)
	if err != nil {
		return shot{}, err
	}
	if err := t.see(frame); err != nil {
		return shot{}, err
	}
	file, err := filepath.Rel(t.options.Good, frame.Source)
	if err != nil {
		return shot{}, err
	}
	return shot{Picture: recipe.Picture{File: file, SHA256: digest, Quality: quality}, path: frame.Source,
		size: picture.Size{Width: frame.Width, Height: frame.Height}}, nil
}

// see puts a frame's features where the learner and scorers find them.
func (t *trainer) see(frame part.Frame) error {
	if err := t.extractor.load(frame); err != nil {
		return err
	}
	if err := t.extractor.run(); err != nil {
		return err
	}
	if !network.Finite(t.extractor.network.Features) {
		return hint.New(hint.Failure, errors.New("the network gives numbers that are not finite"), "the network is damaged or does not suit these pictures: take another with --backbone")
	}
	return nil
}

// teach hands the learner a picture, whose features are there, and its changed copies.
func (t *trainer) teach(l taker, number, pictures int, frame part.Frame) error {
	if err := l.take(number, frame.Source, pictures*t.versions()); err != nil || len(t.options.Widen) == 0 {
		return err
	}
	random := rand.New(rand.NewPCG(t.options.Seed, uint64(1000+number)))
	for range widened {
		changed, err := picture.Change(frame, t.options.Widen, random)
		if err != nil {
			return err
		}
		if err := t.see(changed); err != nil {
			return err
		}
		if err := l.take(number, frame.Source, pictures*t.versions()); err != nil {
			return err
		}
	}
	return nil
}

// versions is how many pictures are learned of each.
func (t *trainer) versions() int {
	if len(t.options.Widen) == 0 {
		return 1
	}
	return 1 + widened
}

// lookAt says what is odd about the files, before they are read.
func (t *trainer) lookAt(files []string) {
	counts := make(map[string]int)
	var folders []string
	for _, file := range files {
		folder := filepath.Dir(file)
		if counts[folder]++; counts[folder] == 1 {
			folders = append(folders, folder)
		}
	}
	if len(folders) > 1 {
		slices.SortStableFunc(folders, func(a, b string) int { return counts[b] - counts[a] })
		for i, folder := range folders {
			folders[i] = fmt.Sprintf("%s (%d)", picture.Name(folder), counts[folder])
		}
		t.note("the %d pictures lie in %d folders, and all are taken for good parts: %s", len(files), len(folders), some(folders, ", "))
	}
	if text := picture.Doubles("pictures", files); text != "" {
		t.note("%s", text)
	}
}

// look says what is odd about the folder as a whole.
func (t *trainer) look(g *gathered) {
	var sizes []picture.Size
	shapes := [2]float64{math.Inf(1), 0}
	for _, s := range g.shots {
		sizes = append(sizes, s.size)
		shape := s.size.Shape()
		shapes = [2]float64{min(shapes[0], shape), max(shapes[1], shape)}
	}
	if order := bySize(sizes); len(order) > 1 {
		text := fmt.Sprintf("the pictures have %d different sizes, most of them %s (%d of %d)", len(order), order[0].size, order[0].n, len(g.shots))
		if shapes[1] > picture.MixedShapes*shapes[0] {
			text += fmt.Sprintf("; their shapes reach from %.2f to %.2f times as wide as high, and all are brought to %s: parts look stretched, and no shape of a picture is refused from now on", shapes[0], shapes[1], t.options.Size)
		}
		t.note("%s", text)
	}
	bright := make([]float64, len(g.shots))
	for i, s := range g.shots {
		bright[i] = s.Quality.Brightness
	}
	slices.Sort(bright)
	switch middle := bright[len(bright)/2]; {
	case middle < nearlyBlack:
		t.note("the pictures are nearly black, half of them below a mean grey level of %.1f of 255, and show little of a part: give more light or exposure; of files with 16 bits the upper 8 are read, so pictures of 10 or 12 bits have to be shifted up", middle)
	case middle > 255-nearlyBlack:
		t.note("the pictures are nearly white, half of them above a mean grey level of %.1f of 255, and show little of a part: give less light or exposure", middle)
	}
	groups := make(map[int]int)
	most := 0
	for _, s := range g.shots {
		groups[s.Group]++
		most = max(most, groups[s.Group])
	}
	if len(groups) < len(g.shots) {
		t.note("%d pictures show about %d different parts, up to %d pictures of one: those of one part are held out together", len(g.shots), len(groups), most)
	}
	if kinds := calibrate.Kinds(g.descriptors, descriptorDim); kinds != nil {
		names := make([]string, len(kinds))
		for i, kind := range kinds {
			names[i] = fmt.Sprintf("%d like %s", len(kind), picture.Name(g.shots[kind[0]].File))
		}
		t.note("the pictures are of %d kinds: %s; if these are different products, train a recipe for each", len(kinds), strings.Join(names, ", "))
	}
	if len(g.shots) < calibrate.Enough {
		t.note("%d pictures are few: with %d or more the promise is narrower and the threshold lower", len(g.shots), calibrate.Enough)
	}
}
