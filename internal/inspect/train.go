package inspect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"linectl/internal/hint"
	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

const (
	// DefaultBank is the number of vectors in a memory bank. It is a number and no share of the pictures,
	// so the time per part does not grow with them.
	DefaultBank = 2048
	// MostBank bounds the memory bank: more would not fit into any cycle.
	MostBank = 65536
	// DefaultSeed makes two trainings of the same pictures give the same recipe.
	DefaultSeed = 1

	folds      = 5
	thumbnails = 9
	// mostPatches is how many patches the bank is chosen among; above it a seeded sample of each picture is
	// taken. With the default backbone they hold 500 MB.
	mostPatches = 240_000
)

// TrainOptions says what a recipe is made from.
type TrainOptions struct {
	Name   string
	Good   string       // folder of good pictures
	Bank   int          // vectors in the memory bank; 0 is DefaultBank
	Size   picture.Size // the network's input; zero follows the pictures' aspect ratio
	Seed   uint64       // 0 is DefaultSeed
	Target float64      // false rejects in 10,000 to set the threshold for; 0 is calibrate.DefaultTarget of the number of pictures
}

// Progress is told how far a stage of training has come.
type Progress func(stage string, done, total int)

// Train makes a new version of a recipe from good pictures and saves it. The threshold comes from the
// scores of good pictures that were held out, one run of neighbours after the other, from banks made of
// the rest. A picture that is there twice counts once. Any picture that cannot be read ends training.
func Train(ctx context.Context, cfg Config, folders Folders, o TrainOptions, progress Progress) (*recipe.Recipe, error) {
	if o.Bank == 0 {
		o.Bank = DefaultBank
	}
	if o.Seed == 0 {
		o.Seed = DefaultSeed
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	files, err := picture.List(o.Good)
	if err != nil {
		return nil, err
	}
	runtime, err := network.Start(cfg.Library, cfg.Device, cfg.Threads)
	if err != nil {
		return nil, err
	}
	backbone, err := network.FindBackbone(cfg.Backbone, folders.Backbones)
	if err != nil {
		return nil, err
	}
	if o.Size == (picture.Size{}) {
		if o.Size, err = inputSize(files, backbone.Multiple); err != nil {
			return nil, err
		}
	}
	t := &trainer{options: o, runtime: runtime, backbone: backbone, files: files, progress: progress}
	r, err := t.train(ctx)
	if err != nil {
		return nil, err
	}
	return recipe.Folder(folders.Recipes).Save(r)
}

func (o TrainOptions) check() error {
	if err := recipe.CheckName(o.Name); err != nil {
		return hint.New(hint.Usage, err, "")
	}
	if o.Bank < 1 || o.Bank > MostBank {
		return hint.New(hint.Usage, fmt.Errorf("a bank of %d vectors is out of range; allowed is 1 to %d", o.Bank, MostBank), "")
	}
	if o.Target != 0 && o.Target < calibrate.LeastTarget || o.Target > calibrate.MostTarget {
		return hint.New(hint.Usage, fmt.Errorf("%g false rejects in 10,000 cannot be promised; allowed is %d to %d", o.Target, calibrate.LeastTarget, calibrate.MostTarget), "")
	}
	return nil
}

// inputSize looks at some of the pictures to choose the network's input.
func inputSize(files []string, multiple int) (picture.Size, error) {
	const looks = 15
	var sizes []picture.Size
	for i := range min(looks, len(files)) {
		frame, err := picture.Read(files[i*len(files)/min(looks, len(files))])
		if err == nil { // one that cannot be read is reported with all others of its kind
			sizes = append(sizes, picture.Size{Width: frame.Width, Height: frame.Height})
		}
	}
	if len(sizes) == 0 {
		_, err := picture.Read(files[0])
		return picture.Size{}, err
	}
	return picture.InputSize(sizes, multiple), nil
}

// trainer makes one recipe.
type trainer struct {
	options  TrainOptions
	runtime  *network.Runtime
	backbone network.Backbone
	files    []string // each picture once, after gather
	progress Progress

	extractor *extractor
	embedder  *patchcore.Embedder

	pictures   []recipe.Picture
	thumbnails [][]byte
	each       int       // patches sampled from a picture
	patches    []float32 // each patches a picture, in the order of pictures: [.., embedder.Dim]
	projected  []float32 // the same patches, projected: [.., patchcore.ProjectedDim]
}

func (t *trainer) train(ctx context.Context) (*recipe.Recipe, error) {
	o := t.options
	in := recipe.Input{Width: o.Size.Width, Height: o.Size.Height, Resize: picture.Resize, Mean: t.backbone.Mean, Std: t.backbone.Std}
	var err error
	if t.extractor, err = newExtractor(t.runtime, t.backbone, t.backbone.PatchOf, in); err != nil {
		return nil, err
	}
	defer t.extractor.close()
	if t.embedder, err = patchcore.NewEmbedder(t.runtime, t.extractor.network.Features, o.Seed); err != nil {
		return nil, err
	}
	defer t.embedder.Close()

	if err := t.gather(ctx); err != nil {
		return nil, err
	}
	if err := t.holdOut(ctx); err != nil {
		return nil, err
	}
	scores := make([]float64, len(t.pictures))
	qualities := make([]part.Quality, len(t.pictures))
	for i, p := range t.pictures {
		scores[i], qualities[i] = p.Score, p.Quality
	}
	target := o.Target
	if target == 0 {
		target = calibrate.DefaultTarget(len(scores))
	}
	threshold, err := calibrate.Set(scores, target)
	if err != nil {
		return nil, hint.New(hint.Failure, fmt.Errorf("threshold of %s: %w", o.Name, err), "take more pictures of different good parts")
	}
	bank, err := t.bank(ctx, [2]int{}, func(done int) { t.tell("memory bank", done, o.Bank) })
	if err != nil {
		return nil, err
	}
	return &recipe.Recipe{
		Manifest: recipe.Manifest{
			Name:      o.Name,
			Backbone:  recipe.Backbone{Name: t.backbone.Name, SHA256: t.backbone.SHA256, Layers: t.backbone.PatchOf},
			Input:     in,
			Method:    recipe.Method{Name: recipe.PatchCore, Bank: bank.Rows, Dim: bank.Dim, Score: patchcore.Max, Precision: patchcore.FP32, Seed: o.Seed},
			Threshold: recipe.Threshold{Threshold: threshold},
			Quality:   picture.LimitsOf(qualities),
			Training: recipe.Training{Pictures: len(t.pictures), Folds: folds,
				Patches: len(t.pictures) * t.embedder.Grid, Sampled: len(t.pictures) * t.each},
		},
		Bank:       bank,
		Pictures:   t.pictures,
		Thumbnails: t.thumbnails,
	}, nil
}

func (t *trainer) tell(stage string, done, total int) {
	if t.progress != nil {
		t.progress(stage, done, total)
	}
}

// gather looks at every picture once: its quality, its digest, and a sample of its patches.
func (t *trainer) gather(ctx context.Context) error {
	n := len(t.files)
	t.each = min(t.embedder.Grid, max(1, mostPatches/n))
	t.patches = make([]float32, 0, n*t.each*t.embedder.Dim)
	t.projected = make([]float32, 0, n*t.each*patchcore.ProjectedDim)
	seen := make(map[string]bool)
	var kept, unreadable []string
	err := readAll(ctx, t.files, func(i int, frame part.Frame, err error) error {
		t.tell("pictures", i+1, n)
		if err != nil {
			unreadable = append(unreadable, err.Error())
			return nil
		}
		digest := fmt.Sprintf("%x", frame.Digest())
		if seen[digest] {
			return nil
		}
		seen[digest] = true
		if err := t.sample(frame, digest); err != nil {
			return fmt.Errorf("picture %s: %w", frame.Source, err)
		}
		kept = append(kept, frame.Source)
		return nil
	})
	if err != nil {
		return err
	}
	if len(unreadable) > 0 {
		const shown = 5
		more := ""
		if len(unreadable) > shown {
			more = fmt.Sprintf("; and %d more", len(unreadable)-shown)
		}
		return hint.New(hint.Failure, fmt.Errorf("%d of %d pictures cannot be read: %s%s",
			len(unreadable), n, strings.Join(unreadable[:min(shown, len(unreadable))], "; "), more),
			"replace these files or take them away, then train again")
	}
	if len(kept) < calibrate.Minimum {
		return hint.New(hint.Usage, fmt.Errorf("folder %s holds %d different pictures; at least %d are needed, %d or more are better",
			t.options.Good, len(kept), calibrate.Minimum, calibrate.Enough), "take more pictures of different good parts")
	}
	t.files = kept
	for i := range min(thumbnails, len(kept)) {
		frame, err := picture.Read(kept[i*len(kept)/min(thumbnails, len(kept))])
		if err != nil {
			return err
		}
		jpeg, err := picture.Thumbnail(frame, 192)
		if err != nil {
			return err
		}
		t.thumbnails = append(t.thumbnails, jpeg)
	}
	return nil
}

// sample takes patches from a picture.
func (t *trainer) sample(frame part.Frame, digest string) error {
	quality, err := t.extractor.prepare.Measure(frame)
	if err != nil {
		return err
	}
	if err := t.extractor.load(frame); err != nil {
		return err
	}
	if err := t.extractor.run(); err != nil {
		return err
	}
	if err := t.embedder.Run(); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(t.options.Seed, uint64(2+len(t.pictures))))
	dim := t.embedder.Dim
	for _, row := range random.Perm(t.embedder.Grid)[:t.each] {
		patch := t.embedder.Patches.Data()[row*dim : (row+1)*dim]
		for _, v := range patch {
			if v != v || math.IsInf(float64(v), 0) {
				return errors.New("the network gives numbers that are not finite")
			}
		}
		t.patches = append(t.patches, patch...)
		t.projected = append(t.projected, t.embedder.Projected.Data()[row*patchcore.ProjectedDim:(row+1)*patchcore.ProjectedDim]...)
	}
	file, err := filepath.Rel(t.options.Good, frame.Source)
	if err != nil {
		return err
	}
	t.pictures = append(t.pictures, recipe.Picture{File: file, SHA256: digest, Quality: quality})
	return nil
}

// holdOut gives every picture the score that a bank gives it which has not seen it.
func (t *trainer) holdOut(ctx context.Context) error {
	runs := calibrate.Folds(len(t.files), folds)
	for i, run := range runs {
		stage := fmt.Sprintf("hold out %d of %d", i+1, len(runs))
		total := t.options.Bank + run[1] - run[0]
		bank, err := t.bank(ctx, run, func(done int) { t.tell(stage, done, total) })
		if err != nil {
			return err
		}
		scorer, err := patchcore.NewScorer(t.runtime, t.extractor.network.Features, bank, patchcore.DefaultOptions())
		if err != nil {
			return err
		}
		err = readAll(ctx, t.files[run[0]:run[1]], func(j int, frame part.Frame, err error) error {
			if err != nil {
				return err
			}
			t.tell(stage, t.options.Bank+j+1, total)
			if err := t.extractor.load(frame); err != nil {
				return err
			}
			if err := t.extractor.run(); err != nil {
				return err
			}
			t.pictures[run[0]+j].Score, _, err = scorer.Score()
			return err
		})
		scorer.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// bank makes a memory bank of all pictures but those of a run.
func (t *trainer) bank(ctx context.Context, without [2]int, progress func(done int)) (patchcore.Bank, error) {
	var rows []int
	for row := range len(t.projected) / patchcore.ProjectedDim {
		if p := row / t.each; p < without[0] || p >= without[1] {
			rows = append(rows, row)
		}
	}
	chosen, err := patchcore.Coreset(ctx, t.projected, patchcore.ProjectedDim, rows, t.options.Bank, t.options.Seed, progress)
	if err != nil {
		return patchcore.Bank{}, err
	}
	dim := t.embedder.Dim
	bank := patchcore.Bank{Rows: len(chosen), Dim: dim, Vectors: make([]float32, 0, len(chosen)*dim)}
	for _, row := range chosen {
		bank.Vectors = append(bank.Vectors, t.patches[row*dim:(row+1)*dim]...)
	}
	return bank, nil
}
