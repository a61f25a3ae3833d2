package inspect

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"

	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/padim"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/recipe"
	"linectl/internal/inspect/smooth"
	"linectl/internal/part"
)

// trainBytes bounds the patches that a memory bank is chosen among, projected ones included; above it a
// seeded sample of each picture is taken.
const trainBytes = 512 << 20

// keptCopies is how often at once there is what a recipe keeps of a picture, its map and a small copy of about so many bytes: as it was made, as a
// file, as that was read back, and as that was understood.
const (
	keptCopies     = 4
	thumbnailBytes = 20 << 10
)

// patchBytes is what a patch takes until the memory bank is chosen.
func patchBytes(dim int) int64 { return 4 * int64(dim+patchcore.ProjectedDim) }

// taker takes what it needs of the picture that the features hold now, one of about so many.
type taker interface {
	take(number int, file string, pictures int) error
}

// learner learns from pictures by one method.
type learner interface {
	taker
	// learn learns from the numbered pictures, as much of each as where there are so many of them in all.
	learn(ctx context.Context, pictures []int, all int, progress func(done, total int)) (model, error)
	// quick has it learn little and fast until whole is called; whole is nil where little takes as long.
	quick() (whole func())
	// strike leaves out what lies apart in the pictures' maps from now on, where the method can.
	strike(g *gathered)
	close()
}

// model is what was learned.
type model interface {
	scorer(precision string) (scorer, error)
	into(*recipe.Recipe)
}

// newLearner makes what learns from so many pictures.
func (t *trainer) newLearner(pictures int) (learner, error) {
	features := t.extractor.network.Features
	if t.options.Method == recipe.PaDiM {
		channels := 0
		for _, f := range features {
			channels += f.Channels
		}
		dims := padim.DefaultDims(channels)
		if err := t.room(padim.Memory(features, dims), "choose a smaller --size, or fewer or coarser --layers"); err != nil {
			return nil, err
		}
		return &padimLearner{t: t, dims: padim.ChooseDims(channels, dims, t.options.Seed)}, nil
	}
	if err := t.roomForBank(t.options.Bank, pictures, 0, "choose a smaller --bank or --size, or coarser --layers"); err != nil {
		return nil, err
	}
	e, err := patchcore.NewEmbedder(t.runtime, features, t.options.Seed)
	if err != nil {
		return nil, err
	}
	return t.patchcoreLearner(e, t.options.Bank), nil
}

// roomForBank is an error where there is not the memory to choose so many vectors among the patches of so many pictures, and to learn the
// appearance of these and of so many known ones.
func (t *trainer) roomForBank(vectors, pictures, known int, next string) error {
	if t.runtime.Device().OwnMemory() {
		return nil
	}
	features := t.extractor.network.Features
	grid := features[0].Width * features[0].Height
	patches := grid * pictures * t.versions()
	dim := patchcore.Dim(features)
	kept := keptCopies * int64(pictures) * (4*int64(grid) + thumbnailBytes)
	return t.room(kept+patchcore.Memory(features, vectors)+patchcore.AppearanceMemory(pictures*t.versions()+known, dim)+min(trainBytes, int64(patches)*patchBytes(dim)), next)
}

// patchcoreLearner holds a sample of the patches of every picture.
type patchcoreLearner struct {
	t         *trainer
	embedder  *patchcore.Embedder
	size      int // vectors in a memory bank of all pictures
	each      int // patches sampled from a picture
	taken     int
	patches   []float32 // [.., embedder.Dim]
	projected []float32 // the same patches: [.., patchcore.ProjectedDim]
	origin    []patchcore.Origin
	means     patchcore.Means // of all that was taken: of each picture, and of its changed copies
	apart     [][]bool        // the cells of each picture that are not learned; nil where all are
}

func (t *trainer) patchcoreLearner(e *patchcore.Embedder, size int) *patchcoreLearner {
	return &patchcoreLearner{t: t, embedder: e, size: size, means: patchcore.Means{Dim: e.Dim}}
}

func (l *patchcoreLearner) close() { l.embedder.Close() }

func (l *patchcoreLearner) take(number int, _ string, pictures int) error {
	e := l.embedder
	if l.each == 0 {
		l.each = min(e.Grid, max(1, int(trainBytes/patchBytes(e.Dim))/pictures))
		l.patches = make([]float32, 0, pictures*l.each*e.Dim)
		l.projected = make([]float32, 0, pictures*l.each*patchcore.ProjectedDim)
		l.means.Vectors = make([]float32, 0, pictures*e.Dim)
	}
	if err := e.Run(); err != nil {
		return err
	}
	l.means.Add(e.Mean.Data())
	random := rand.New(rand.NewPCG(l.t.options.Seed, uint64(2+l.taken)))
	l.taken++
	for _, cell := range random.Perm(e.Grid)[:l.each] {
		l.patches = append(l.patches, e.Patches.Data()[cell*e.Dim:(cell+1)*e.Dim]...)
		l.projected = append(l.projected, e.Projected.Data()[cell*patchcore.ProjectedDim:(cell+1)*patchcore.ProjectedDim]...)
		l.origin = append(l.origin, patchcore.Origin{Picture: int32(number), Cell: int32(cell)})
	}
	return nil
}

// rows is the patches that were taken from the numbered pictures and are learned.
func (l *patchcoreLearner) rows(pictures []int) (rows []int) {
	wanted := make(map[int32]bool, len(pictures))
	for _, p := range pictures {
		wanted[int32(p)] = true
	}
	for row, o := range l.origin {
		if wanted[o.Picture] && !l.struck(row) {
			rows = append(rows, row)
		}
	}
	return rows
}

// quickShare is the share of the memory bank that is enough to see which patches lie apart.
const quickShare = 0.25

func (l *patchcoreLearner) quick() (whole func()) {
	size := l.size
	l.size = max(1, int(quickShare*float64(size)))
	return func() { l.size = size }
}

// struck tells whether a patch lies apart. Where patches do in a picture, its changed copies are not learned at all:
// nobody knows where those patches are in them.
func (l *patchcoreLearner) struck(row int) bool {
	if l.apart == nil {
		return false
	}
	cells := l.apart[l.origin[row].Picture]
	changed := row/l.each%l.t.versions() > 0 // a picture is taken before its changed copies
	return cells != nil && (changed || cells[l.origin[row].Cell])
}

// strike leaves out the patches that lie farther from those of all other parts than calibrate.Apart says, and those around them, for a patch is
// the mean of 3x3 places. Greedy k-center takes the farthest patches first, so the scratch on a part that was taken for good would be the
// first thing learned, and pass from then on. A good patch that no other part has is one that parts to come will hardly have
// either: little is lost with it.
func (l *patchcoreLearner) strike(g *gathered) {
	if l.t.options.KeepSuspects {
		return
	}
	most := make([]float64, len(g.shots))
	for i, s := range g.shots {
		most[i] = float64(slices.Max(s.Map.Cells))
	}
	limit := calibrate.Apart(most)
	l.apart = make([][]bool, len(g.shots))
	for i, s := range g.shots {
		if most[i] <= limit {
			continue
		}
		l.apart[i] = make([]bool, len(s.Map.Cells))
		for cell, d := range s.Map.Cells {
			if float64(d) <= limit {
				continue
			}
			for near := range smooth.Around(cell, s.Map.Width, s.Map.Height) {
				l.apart[i][near] = true
			}
		}
	}
}

// places is the place of each of the pictures among them.
func places(pictures []int) map[int32]int32 {
	place := make(map[int32]int32, len(pictures))
	for i, p := range pictures {
		place[int32(p)] = int32(i)
	}
	return place
}

// share is what some pictures get of what all get. A bank of some that were as large as that of all would hold more of each,
// lie closer, and make pictures that are held out look better than those to come.
func share(size, pictures, all int) int { return max(1, size*pictures/max(1, all)) }

func (l *patchcoreLearner) learn(ctx context.Context, pictures []int, all int, progress func(done, total int)) (model, error) {
	rows, place, size := l.rows(pictures), places(pictures), share(l.size, len(pictures), all)
	chosen, err := patchcore.Coreset(ctx, l.projected, patchcore.ProjectedDim, rows, size, l.t.options.Seed, func(done int) { progress(done, size) })
	if err != nil {
		return nil, err
	}
	dim := l.embedder.Dim
	bank := patchcore.Bank{Rows: len(chosen), Dim: dim, Vectors: make([]float32, 0, len(chosen)*dim)}
	for _, row := range chosen {
		bank.Vectors = append(bank.Vectors, l.patches[row*dim:(row+1)*dim]...)
		bank.Origin = append(bank.Origin, patchcore.Origin{Picture: place[l.origin[row].Picture], Cell: l.origin[row].Cell})
	}
	return bankModel{l.t, bank, l.means.Of(rowsOf(pictures, l.t.versions())), len(pictures) * l.t.versions() * l.embedder.Grid, len(rows)}, nil
}

// bankModel is a memory bank.
type bankModel struct {
	t                *trainer
	bank             patchcore.Bank
	means            patchcore.Means
	patches, sampled int
}

func (m bankModel) scorer(precision string) (scorer, error) {
	o := patchcore.Options{Score: m.t.options.Score, TopK: m.t.options.TopK, Precision: precision}
	if o.Score == patchcore.MaxAppearance {
		o.Score = patchcore.Max // weigh adds the rest
	}
	return patchcore.NewScorer(m.t.runtime, m.t.extractor.network.Features, m.bank, nil, o)
}

func (m bankModel) into(r *recipe.Recipe) {
	r.Bank = m.bank
	if m.t.options.Score == patchcore.MaxAppearance {
		r.Means = m.means
	}
	r.Method.Bank, r.Method.Dim = m.bank.Rows, m.bank.Dim
	r.Training.Patches, r.Training.Sampled = m.patches, m.sampled
}

// padimLearner reads the pictures again each time: the features of all of them would not fit into memory.
type padimLearner struct {
	t     *trainer
	dims  []int32
	files []string
}

func (l *padimLearner) close() {}

// quick is nothing: what takes time is the pictures, all of which it needs.
func (l *padimLearner) quick() (whole func()) { return nil }

// strike does nothing: a Gaussian for each place needs every picture whole.
func (l *padimLearner) strike(*gathered) {}

func (l *padimLearner) take(number int, file string, _ int) error {
	if number == len(l.files) { // not one of its changed copies
		l.files = append(l.files, file)
	}
	return nil
}

// fitting takes pictures into a fit.
type fitting struct{ *padim.Fitter }

func (f fitting) take(int, string, int) error { return f.Add() }

func (l *padimLearner) learn(ctx context.Context, pictures []int, _ int, progress func(done, total int)) (model, error) {
	runtime.GC() // what was learned of other pictures takes as much memory again until it is collected
	fitter, err := padim.NewFitter(l.t.extractor.network.Features, l.dims, l.t.runtime.Threads())
	if err != nil {
		return nil, err
	}
	files := make([]string, len(pictures))
	for i, p := range pictures {
		files[i] = l.files[p]
	}
	err = readAll(ctx, files, func(i int, frame part.Frame, err error) error {
		if err != nil {
			return err
		}
		progress(i+1, len(files))
		if err := l.t.see(frame); err != nil {
			return err
		}
		if err := l.t.teach(fitting{fitter}, pictures[i], len(files), frame); err != nil {
			return fmt.Errorf("picture %s: %w", files[i], err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	m, err := fitter.Model()
	if err != nil {
		return nil, err
	}
	return gaussModel{l.t, m, len(pictures) * l.t.versions()}, nil
}

// gaussModel is a Gaussian for each place.
type gaussModel struct {
	t        *trainer
	model    *padim.Model
	pictures int
}

func (m gaussModel) scorer(string) (scorer, error) {
	return padim.NewScorer(m.t.extractor.network.Features, m.model, m.t.options.Size.Width, m.t.options.Size.Height, m.t.runtime.Threads())
}

func (m gaussModel) into(r *recipe.Recipe) {
	r.Gauss = m.model
	r.Method.Dim = m.model.Dim()
	r.Training.Patches = m.pictures * m.model.Cells()
	r.Training.Sampled = r.Training.Patches
}
