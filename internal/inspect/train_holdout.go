package inspect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"linectl/internal/hint"
	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// heldScores is the scores of held-out pictures, by their patches alone, in both precisions; int8 is nil where it was not tried.
type heldScores struct {
	fp32, int8 []float64
	known      int // of the pictures were learned: they were scored for the precision's sake only
}

func (h heldScores) String() string {
	text := fmt.Sprintf("%d held-out pictures", len(h.fp32)-h.known)
	if h.known > 0 {
		text += fmt.Sprintf(" and small copies of %d learned ones", h.known)
	}
	return text
}

// heldOut is what progress calls it when pictures are scored by what was learned of the others.
const heldOut = "hold out"

// mostLooks bounds how often pictures are held out before what is learned of them counts.
const mostLooks = 2

// firstLook holds the pictures out against little that is quickly learned, where the method can, and leaves out the patches that lie apart and the pictures that are
// unlike the rest, so that they are in no bank that anything is judged by: a bad picture hides others of its kind. A second
// look shows those that were hidden. It is the trimming of least trimmed squares, by concentration (Rousseeuw and Van Driessen,
// "Computing LTS regression for large data sets", 2006).
func (t *trainer) firstLook(ctx context.Context, g *gathered, l learner) (looked bool, err error) {
	if t.options.KeepSuspects {
		return false, nil
	}
	whole := l.quick()
	if whole == nil {
		return false, nil
	}
	defer whole()
	for range mostLooks {
		if _, err := t.holdOut(ctx, g, l, "first look", false); err != nil {
			return false, err
		}
		l.strike(g)
		if !g.leave(calibrate.Suspects(g.scores())) {
			break
		}
	}
	return true, nil
}

// holdOut gives every picture the score, by its patches alone, and the map that it has where neither it nor another picture of its
// part was learned. Those that are left out are scored as well, and never learned.
func (t *trainer) holdOut(ctx context.Context, g *gathered, l learner, what string, int8Too bool) (heldScores, error) {
	held := heldScores{fp32: make([]float64, len(g.shots))}
	if int8Too {
		held.int8 = make([]float64, len(g.shots))
	}
	kept := len(g.kept())
	for fold := range folds {
		var in, out []int
		var files []string
		for i, s := range g.shots {
			if s.fold == fold {
				out = append(out, i)
				files = append(files, s.path)
			} else if !s.out {
				in = append(in, i)
			}
		}
		if len(out) == 0 {
			continue
		}
		stage := fmt.Sprintf("%s %d of %d", what, fold+1, folds)
		if left := len(g.shots) - kept; left > 0 {
			stage += fmt.Sprintf(" without %d", left)
		}
		m, err := l.learn(ctx, in, kept, func(done, total int) { t.tell(stage, done, total+len(out)) })
		if err != nil {
			return held, err
		}
		err = t.score(ctx, m, files, held.int8 != nil, func(i int, fp32, int8 float64, cells part.Map) {
			s := &g.shots[out[i]]
			s.Score, s.Map = fp32, cells
			held.fp32[out[i]] = fp32
			if held.int8 != nil {
				held.int8[out[i]] = int8
			}
		})
		if err != nil {
			return held, err
		}
	}
	return held, nil
}

// trim holds all pictures out anew without those that are unlike the rest.
func (t *trainer) trim(ctx context.Context, g *gathered, l learner, held heldScores) (heldScores, error) {
	if t.options.KeepSuspects || !g.leave(calibrate.Suspects(g.scores())) {
		return held, nil
	}
	return t.holdOut(ctx, g, l, heldOut, t.tryInt8())
}

// score scores files by a model.
func (t *trainer) score(ctx context.Context, m model, files []string, int8Too bool, use func(i int, fp32, int8 float64, cells part.Map)) error {
	s, err := t.scorers(m, int8Too)
	if err != nil {
		return err
	}
	defer s.close()
	return readAll(ctx, files, func(i int, frame part.Frame, err error) error {
		if err != nil {
			return err
		}
		fp32, int8, cells, err := s.score(frame)
		if err != nil {
			return fmt.Errorf("picture %s: %w", picture.Name(files[i]), err)
		}
		use(i, fp32, int8, cells)
		return nil
	})
}

// scorers is a model's scorers: in fp32 and, where it is tried, in int8.
type scorers struct {
	t           *trainer
	exact, fast scorer
}

func (t *trainer) scorers(m model, int8Too bool) (s scorers, err error) {
	s.t = t
	if s.exact, err = m.scorer(patchcore.FP32); err == nil && int8Too {
		if s.fast, err = m.scorer(patchcore.Int8); err != nil {
			s.exact.Close()
		}
	}
	return s, err
}

func (s scorers) close() {
	s.exact.Close()
	if s.fast != nil {
		s.fast.Close()
	}
}

func (s scorers) score(frame part.Frame) (fp32, int8 float64, cells part.Map, err error) {
	if err = s.t.see(frame); err != nil {
		return
	}
	if fp32, cells, err = s.exact.Score(); err == nil && math.IsNaN(fp32) {
		err = errors.New("the score is not a finite number")
	}
	if err == nil && s.fast != nil {
		int8, _, err = s.fast.Score()
	}
	return
}

// tryInt8 tells whether the memory bank could be int8.
func (t *trainer) tryInt8() bool {
	o := t.options
	return o.Method == recipe.PatchCore && o.Precision != patchcore.FP32 && t.runtime.Device().Int8()
}

// gate chooses the precision of the memory bank by what held-out pictures score in both.
func (t *trainer) gate(held heldScores) (precision, why string, err error) {
	if held.int8 == nil {
		if t.options.Precision == Auto {
			return patchcore.FP32, fmt.Sprintf("%s computes fp32 faster than int8", t.runtime.Device()), nil
		}
		return patchcore.FP32, "asked for", nil
	}
	a := patchcore.Agree(held.fp32, held.int8)
	evidence := fmt.Sprintf("%v: %v", held, a)
	switch {
	case a.OK:
		return patchcore.Int8, "int8 agrees with fp32: " + evidence, nil
	case t.options.Precision == patchcore.Int8:
		return "", "", hint.New(hint.Failure, fmt.Errorf("int8 does not score as fp32 does: %s", evidence), "train with --precision fp32, or auto")
	}
	t.note("the memory bank is fp32: int8 does not score as fp32 does (%s)", evidence)
	return patchcore.FP32, "int8 does not agree with fp32: " + evidence, nil
}

// leaveOut finds the pictures that are unlike the rest, says so, and names those that are left out.
func (t *trainer) leaveOut(g *gathered) (left, sha256 []string) {
	suspects := calibrate.Suspects(g.scores())
	if !t.options.KeepSuspects {
		g.leave(suspects)
	}
	if len(suspects) == 0 {
		return nil, nil
	}
	names := make([]string, len(suspects))
	for n, i := range suspects {
		g.shots[i].Suspect = true
		names[n] = picture.Name(g.shots[i].File)
		if g.shots[i].out {
			left, sha256 = append(left, g.shots[i].File), append(sha256, g.shots[i].SHA256)
		}
	}
	done := "they were left out, and the promise is for parts like the others; --keep-suspects learns and counts them"
	if t.options.KeepSuspects {
		done = "they were learned and counted as the others"
	}
	t.note("%d of %d pictures look unlike the rest, look at them: %s; %s", len(suspects), len(g.shots), some(names, ", "), done)
	return left, sha256
}

// shown is how many of many texts some shows.
const shown = 5

// some is the first few of many texts in a row, and how many more there are.
func some(texts []string, between string) string {
	if len(texts) <= shown {
		return strings.Join(texts, between)
	}
	return fmt.Sprintf("%s%sand %d more", strings.Join(texts[:shown], between), between, len(texts)-shown)
}
