package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"linectl/internal/hint"
	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
)

const (
	// DefaultBank is the number of vectors in a memory bank. It is a number and no share of the pictures,
	// so the time per part does not grow with them.
	DefaultBank = 2048
	// MostBank bounds the memory bank: more would not fit into any cycle.
	MostBank = 65536
	// DefaultSeed makes two trainings of the same pictures give the same recipe.
	DefaultSeed = 1
	// DefaultTopK is how many patches mean_top_k averages where nobody says otherwise.
	DefaultTopK = 5
	// Auto is the precision that is int8 where the recipe's own pictures prove that it may be.
	Auto = "auto"

	folds = 5
)

// TrainOptions says what a recipe is made from, and how. Zero values are the defaults.
type TrainOptions struct {
	Name      string
	Good      string       // folder of good pictures
	Challenge string       // folder of known defects that every version must reject; "" adds none
	Method    string       // recipe.PatchCore or recipe.PaDiM
	Layers    string       // names or strides with commas between them; "" is what the backbone's card says
	Size      picture.Size // the network's input; zero follows the pictures' aspect ratio
	Bank      int          // vectors in the memory bank
	Score     string       // patchcore's; PaDiM has one only
	TopK      int          // patches that patchcore.MeanTopK averages
	Precision string       // of the memory bank: Auto, patchcore.FP32 or patchcore.Int8
	// BackbonePrecision is that of the network: patchcore.FP32, patchcore.Int8 or Auto; fp32 where it is empty.
	BackbonePrecision string
	Widen             []string // changes that good parts show and that pictures are learned under as well: picture.Changes
	Seed              uint64
	Target            float64 // false rejects in 10,000 to set the threshold for; 0 is calibrate.DefaultTarget
	Review            float64 // good parts in 10,000 that may be rejected or sent to review; 0 is no review
	// KeepSuspects learns and counts pictures that are unlike the rest as the others. Otherwise they are left out,
	// and the recipe names them.
	KeepSuspects bool
	Budget       *recipe.Budget // that chose network, input and bank, for the recipe; nil if none did
	Sheet        string         // PNG file of the pictures least like the rest, to be looked at; "" writes none
	Who, Why     string         // for the recipe's history
	// Note is told what a person should know about the pictures and the choices; it may be nil.
	Note func(text string)
}

// Progress is told how far a stage of training has come.
type Progress func(stage string, done, total int)

// Train makes a new version of a recipe from good pictures and saves it. The threshold comes from the
// scores of good pictures that were held out from what was learned of the rest; pictures of the same part
// are held out together. A picture that is there twice counts once. Any picture that cannot be read ends
// training. Where challenge pictures are not rejected the version is saved, not active, and returned with
// an error.
func Train(ctx context.Context, cfg Config, folders Folders, o TrainOptions, progress Progress) (*recipe.Recipe, error) {
	free := o.Score == "" && o.Method != recipe.PaDiM
	o.fill()
	if err := o.check(cfg.Device); err != nil {
		return nil, err
	}
	t, files, err := begin(cfg, folders, o, progress)
	if err != nil {
		return nil, err
	}
	t.free = free
	backbone, err := network.FindBackbone(cfg.Backbone, folders.Backbones)
	if err != nil {
		return nil, err
	}
	layers := backbone.PatchOf
	if o.Layers != "" {
		if layers, err = backbone.Parse(o.Layers); err != nil {
			return nil, hint.New(hint.Usage, err, "'linectl backbone show "+backbone.Name+"' lists them")
		}
	}
	if o.Size == (picture.Size{}) {
		if o.Size, err = inputSize(files, backbone.Multiple); err != nil {
			return nil, err
		}
		t.options.Size = o.Size
	}
	in := recipe.Input{Width: o.Size.Width, Height: o.Size.Height, Resize: picture.Resize, Mean: backbone.Mean, Std: backbone.Std}
	own := recipe.Backbone{Name: backbone.Name, SHA256: backbone.SHA256, Layers: layers, Precision: patchcore.FP32}
	eight, err := t.eightBits(ctx, backbone, &own, in, files, t.defects)
	if err != nil {
		return nil, err
	}
	if eight != nil {
		backbone = backbone.Computing(eight)
	}
	if t.extractor, err = newExtractor(t.runtime, backbone, layers, in); err != nil {
		return nil, err
	}
	defer t.extractor.close()
	draft := recipe.Manifest{
		Name:     o.Name,
		Backbone: own,
		Input:    in,
		Method:   recipe.Method{Name: o.Method, Score: o.Score, TopK: o.TopK, Precision: patchcore.FP32, Seed: o.Seed},
		Training: recipe.Training{Folds: folds, Widen: o.Widen, Budget: o.Budget},
	}
	r, err := t.train(ctx, draft, files)
	if err != nil {
		return nil, err
	}
	r.Network = eight
	if exceeded, err := t.measureAgain(ctx, r); err != nil {
		return nil, err
	} else if exceeded != nil {
		return nil, hint.New(hint.Failure, fmt.Errorf("no version is made: %w", exceeded),
			fmt.Sprintf("give more time, or choose for what was trained from the start: --budget %s --precision %s --score %s", o.Budget.Limit, r.Method.Precision, r.Method.Score))
	}
	return t.save(ctx, folders, r, fmt.Sprintf("trained from %d pictures", len(r.Pictures)))
}

// begin finds what every way of training starts from, before anything takes time.
func begin(cfg Config, folders Folders, o TrainOptions, progress Progress) (*trainer, []string, error) {
	files, err := picture.List(o.Good)
	if err != nil {
		return nil, nil, err
	}
	if err := recipe.Folder(folders.Recipes).Writable(o.Name); err != nil {
		return nil, nil, err
	}
	t := &trainer{options: o, progress: progress}
	t.lookAt(files)
	if t.defects, err = readChallenge(o.Challenge); err != nil {
		return nil, nil, err
	}
	if _, err := recipe.Folder(folders.Recipes).WithChallenges(o.Name, t.defects); err != nil {
		return nil, nil, err
	}
	t.runtime, err = start(cfg, folders)
	return t, files, err
}

func (o *TrainOptions) fill() {
	if o.Method == "" {
		o.Method = recipe.PatchCore
	}
	switch {
	case o.Method == recipe.PaDiM && o.Score == "":
		o.Score = recipe.MaxSmoothed
	case o.Score == "":
		o.Score = patchcore.MaxAppearance
	case o.Score == patchcore.MeanTopK && o.TopK == 0:
		o.TopK = DefaultTopK
	}
	o.Precision = cmp.Or(o.Precision, Auto)
	o.BackbonePrecision = cmp.Or(o.BackbonePrecision, patchcore.FP32)
	if o.Bank == 0 {
		o.Bank = DefaultBank
	}
	if o.Seed == 0 {
		o.Seed = DefaultSeed
	}
}

// check refuses what cannot be trained on a device, without starting it.
func (o TrainOptions) check(device string) error {
	if err := recipe.CheckName(o.Name); err != nil {
		return hint.New(hint.Usage, err, "")
	}
	d, err := network.ParseDevice(device)
	if err != nil {
		return hint.New(hint.Usage, err, "")
	}
	var wrong error
	next := ""
	switch o.Method {
	case recipe.PatchCore:
		precision := o.Precision
		if precision == Auto {
			precision = patchcore.FP32
		}
		wrong = patchcore.Options{Score: o.Score, TopK: o.TopK, Precision: precision}.Check()
		if wrong == nil && o.TopK != 0 && o.Score != patchcore.MeanTopK {
			wrong = fmt.Errorf("the score %s has no top_k; %s has", o.Score, patchcore.MeanTopK)
		}
		if wrong == nil && precisionOn(d, precision) != precision {
			wrong = fmt.Errorf("an int8 memory bank is for the device %s; %s computes fp32 as fast", network.CPU, d)
			next = "train with --precision auto or fp32, or set inspect.device to " + network.CPU
		}
	case recipe.PaDiM:
		if o.Score != recipe.MaxSmoothed || o.TopK != 0 {
			wrong = fmt.Errorf("padim has no score %q; it has %q", o.Score, recipe.MaxSmoothed)
		} else if o.Precision == patchcore.Int8 {
			wrong = errors.New("padim has no memory bank that could be int8")
		}
	default:
		wrong = fmt.Errorf("there is no method %q; choose %s or %s", o.Method, recipe.PatchCore, recipe.PaDiM)
	}
	switch {
	case wrong != nil:
	case !slices.Contains([]string{Auto, patchcore.FP32, patchcore.Int8}, o.BackbonePrecision):
		wrong = fmt.Errorf("there is no precision %q of the backbone; choose %s, %s or %s", o.BackbonePrecision, Auto, patchcore.FP32, patchcore.Int8)
	case o.Bank < 1 || o.Bank > MostBank:
		wrong = fmt.Errorf("a bank of %d vectors is out of range; allowed is 1 to %d", o.Bank, MostBank)
	case o.Target != 0 && !(o.Target >= calibrate.LeastTarget && o.Target <= calibrate.MostTarget):
		wrong = fmt.Errorf("%g false rejects in 10,000 cannot be promised; allowed is %d to %d", o.Target, calibrate.LeastTarget, calibrate.MostTarget)
	case o.Review != 0 && !(o.Review > o.Target && o.Review <= calibrate.MostTarget):
		wrong = fmt.Errorf("a review of %g in 10,000 is out of range: it must be more than the false rejects and at most %d", o.Review, calibrate.MostTarget)
	default:
		wrong = picture.CheckChanges(o.Widen)
	}
	return hint.New(hint.Usage, wrong, next)
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

// trainer makes one version of a recipe.
type trainer struct {
	options   TrainOptions
	runtime   *network.Runtime
	extractor *extractor
	progress  Progress
	free      bool               // nobody asked for a score: known defects may choose it
	defects   []recipe.Challenge // known ones
}

func (t *trainer) tell(stage string, done, total int) {
	if t.progress != nil {
		t.progress(stage, done, total)
	}
}

func (t *trainer) note(format string, args ...any) {
	if t.options.Note != nil {
		t.options.Note(fmt.Sprintf(format, args...))
	}
}

func (t *trainer) train(ctx context.Context, draft recipe.Manifest, files []string) (*recipe.Recipe, error) {
	o := t.options
	l, err := t.newLearner(len(files))
	if err != nil {
		return nil, err
	}
	defer l.close()
	g, err := t.gather(ctx, files, l, make(map[string]bool))
	if err != nil {
		return nil, err
	}
	if n := len(g.shots); n < calibrate.Minimum {
		return nil, hint.New(hint.Usage, fmt.Errorf("folder %s holds %d different pictures; at least %d are needed, %d or more are better",
			o.Good, n, calibrate.Minimum, calibrate.Enough), "take more pictures of different good parts")
	}
	t.look(g)
	if n := slices.Max(g.groups()) + 1; n < calibrate.Minimum {
		return nil, hint.New(hint.Usage, fmt.Errorf("the %d pictures in %s show about %d different parts; at least %d are needed", len(g.shots), o.Good, n, calibrate.Minimum), "take pictures of more good parts")
	}
	if err := t.promises(float64(len(g.shots)), len(g.shots)); err != nil {
		return nil, err
	}
	looked, err := t.firstLook(ctx, g, l)
	if err != nil {
		return nil, err
	}
	if draft.Method.Choice, err = t.choose(ctx, g, l); err != nil {
		return nil, err
	}
	draft.Method.Score, draft.Method.TopK = t.options.Score, t.options.TopK
	held, err := t.holdOut(ctx, g, l, heldOut, t.tryInt8())
	if err == nil && !looked {
		held, err = t.trim(ctx, g, l, held)
	}
	if err != nil {
		return nil, err
	}
	r := &recipe.Recipe{Manifest: draft}
	r.Training.LeftOut, r.Training.LeftOutSHA256 = t.leaveOut(g)
	if r.Method.WithAppearance() {
		w, err := t.weigh(ctx, g, l)
		if err != nil {
			return nil, err
		}
		r.Method.Appearance, r.Method.AppearanceFrom, r.Method.AppearanceShrinkage = w.Weight, w.From, patchcore.Shrinkage
	}
	if o.Sheet != "" {
		if err := t.sheet(o.Sheet, g); err != nil {
			return nil, err
		}
	}
	if draft.Method.Name == recipe.PatchCore {
		if r.Method.Precision, r.Method.Gate, err = t.gate(held); err != nil {
			return nil, err
		}
	}
	if n := len(g.kept()); n < calibrate.Minimum {
		return nil, hint.New(hint.Usage, fmt.Errorf("%d pictures are left of %d; at least %d are needed", n, len(g.shots), calibrate.Minimum), "take more pictures of different good parts")
	}
	l.strike(g)
	kept := g.kept()
	m, err := l.learn(ctx, kept, len(kept), func(done, total int) { t.tell("all pictures", done, total) })
	if err != nil {
		return nil, err
	}
	m.into(r)
	g.into(r)
	if err := t.calibrate(r); err != nil {
		return nil, err
	}
	return r, t.keepGolden(r, kept, func(i int) string { return g.shots[i].path })
}

// calibrate sets the thresholds for what was asked, or for what the pictures can speak for.
func (t *trainer) calibrate(r *recipe.Recipe) error {
	o := t.options
	r.Threshold.Target, r.Threshold.ReviewTarget = o.Target, o.Review
	if o.Target == 0 {
		limits, err := Limits(r)
		if err != nil {
			return err
		}
		effective, err := calibrate.Effective(limits[0].Scores, limits[0].Groups) // a new recipe has no zones
		if err != nil {
			return t.refuse(err)
		}
		r.Threshold.Target = calibrate.DefaultTarget(effective)
		if err := t.promises(effective, len(limits[0].Scores)); err != nil {
			return err
		}
	}
	return t.promise(r)
}

// promises refuses what so many pictures, worth so many independent ones, cannot speak for. All there are can be asked before anything is
// learned: they are worth less at most.
func (t *trainer) promises(effective float64, pictures int) error {
	o := t.options
	if o.Target != 0 {
		if err := calibrate.Speaks(o.Target, effective, pictures); err != nil {
			return t.refuse(err)
		}
	} else if target := calibrate.DefaultTarget(effective); o.Review != 0 && o.Review <= target {
		return hint.New(hint.Usage, fmt.Errorf("a review of %g in 10,000 must be more than the false rejects, which are to be %.4g", o.Review, target), "ask for more, or take more pictures")
	}
	return nil
}

// promise sets the thresholds anew and says where one that was asked for is not there.
func (t *trainer) promise(r *recipe.Recipe) error {
	before, err := Limits(r)
	if err != nil {
		return err
	}
	if err := Calibrate(r); err != nil {
		return t.refuse(err)
	}
	after, err := Limits(r)
	if err != nil {
		return err
	}
	for i, l := range before {
		where := ""
		if l.Zone != "" {
			where = " of zone " + l.Zone
		}
		switch {
		case after[i].Threshold.Review != 0:
		case l.Threshold.ReviewTarget != 0:
			t.note("the pictures are too few to tell a review of %g in 10,000 from the threshold%s: there is none", l.Threshold.ReviewTarget, where)
		case l.Threshold.Review != 0:
			t.note("the threshold%s is %.4g now, and the review from %.4g on that somebody chose is not below it: there is none", where, after[i].Threshold.Value, l.Threshold.Review)
		}
	}
	return nil
}

func (t *trainer) refuse(err error) error {
	next := "take more pictures of different good parts"
	var few *calibrate.TooFewError
	if errors.As(err, &few) && few.Best() <= calibrate.MostTarget {
		next += fmt.Sprintf(", or ask for --false-rejects %.0f or more", few.Best())
	}
	return hint.New(hint.Failure, fmt.Errorf("threshold of %s: %w", t.options.Name, err), next)
}

// save proves the recipe on the challenge pictures and saves it.
func (t *trainer) save(ctx context.Context, folders Folders, r *recipe.Recipe, what string) (*recipe.Recipe, error) {
	o := t.options
	folder := recipe.Folder(folders.Recipes)
	r.Challenge = t.defects
	r.History = append(r.History, recipe.Change{At: time.Now().UTC().Truncate(time.Second), Who: o.Who, What: what, Why: o.Why})
	saved, err := folder.Save(r)
	if err != nil {
		return nil, err
	}
	return saved, t.challenge(ctx, folder, saved)
}
