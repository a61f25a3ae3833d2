// Package exam puts a recipe to the test: it judges pictures of known good and bad parts exactly as the line
// would and reports how well that went, as figures and as a page to read. It changes nothing, and it never
// chooses a threshold: one that was fitted to the test says nothing about the next part.
package exam

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/evaluate"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// Set is the pictures to judge.
type Set struct {
	Good, Bad []string // files
	BadFolder string   // that Bad was listed from; masks lie in the same places of Masks
	Masks     string   // folder of masks; "" is none
}

// Picture is one picture and what became of it.
type Picture struct {
	File      string   `json:"file"`
	Bad       bool     `json:"bad"`
	Score     *float64 `json:"score"` // nil where it was not scored
	Threshold float64  `json:"threshold"`
	Zone      string   `json:"zone,omitempty"`
	Verdict   string   `json:"verdict,omitempty"` // "" where it could not be read
	Reason    string   `json:"reason"`
	Detail    string   `json:"detail,omitempty"`
	Mask      string   `json:"mask,omitempty"`
	Millis    float64  `json:"ms"`

	found part.Finding
}

// ratio is the score in units of the threshold that it was held against, which makes scores of different
// zones comparable.
func (p *Picture) ratio() float64 { return *p.Score / p.Threshold }

// Rate is a share of pictures with its 95 % interval (Wilson). Value is nil without pictures.
type Rate struct {
	Value *float64 `json:"value"`
	Low   float64  `json:"low"`
	High  float64  `json:"high"`
	Count int      `json:"count"`
	Of    int      `json:"of"`
}

// Kind is what became of one kind of defect.
type Kind struct {
	Name    string `json:"name"`
	Escapes Rate   `json:"escape_rate"`
}

func rateOf(count, of int) Rate {
	r := evaluate.NewRate(count, of)
	return Rate{number(r.Value), r.Low, r.High, r.Count, r.Of}
}

// Timing is how long a stage took, over all pictures.
type Timing struct {
	Stage string `json:"stage"`
	inspect.Latency
}

// Report is what an exam found. A figure that needs what there was none of is nil.
type Report struct {
	Recipe    string    `json:"recipe"`
	Version   int       `json:"version"`
	Hash      string    `json:"hash"`
	Method    string    `json:"method"`
	Backbone  string    `json:"backbone"`
	Software  string    `json:"software"`
	At        time.Time `json:"at"`
	Good      int       `json:"good"`
	Bad       int       `json:"bad"`
	Unread    int       `json:"unreadable"` // of both; they count for nothing
	Refused   int       `json:"refused"`    // of both: the picture itself was refused, as on the line
	Threshold float64   `json:"threshold"`

	ImageAUROC *float64 `json:"image_auroc"`
	PixelAUROC *float64 `json:"pixel_auroc"`
	PRO        *float64 `json:"pro"`
	Masks      int      `json:"masks"`
	Regions    int      `json:"regions"`

	FalseRejects Rate `json:"false_reject_rate"`
	Escapes      Rate `json:"escape_rate"`
	// Kinds of defects, which are the folders inside that of the bad pictures; none where there are no two.
	Kinds []Kind `json:"kinds,omitempty"`

	Timing   []Timing  `json:"timing"`
	Notes    []string  `json:"notes,omitempty"` // what a person should know before believing the figures
	Pictures []Picture `json:"pictures"`
}

func number(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

// Run judges the pictures. One that cannot be read is named in the report's notes and counts for nothing: there
// is no part behind it. One that the line would refuse for what the picture is like (too dark, out of focus)
// counts as a reject but has no score. The error of a mask that cannot be used ends the exam: its figures
// would silently leave out a defect.
func Run(ctx context.Context, i *inspect.Inspector, r *recipe.Recipe, set Set, progress inspect.Progress) (*Report, error) {
	rep := &Report{
		Recipe: r.Name, Version: r.Version, Hash: r.Hash, Method: r.Method.Name + ", " + r.Method.Score + ", " + i.Precision(), Backbone: r.Manifest.Backbone.Name,
		At: time.Now().UTC().Truncate(time.Second), Threshold: r.Threshold.Value,
	}
	pixels, err := newPixels(r, set)
	if err != nil {
		return nil, err
	}
	given := len(set.Bad)
	if set.Bad, err = pixels.pictures(); err != nil {
		return nil, err
	}
	if n := given - len(set.Bad); n > 0 {
		rep.Notes = append(rep.Notes, fmt.Sprintf("%d of the %d files of bad parts are masks of others and were not judged", n, given))
	}
	if text := picture.Doubles("pictures", slices.Concat(set.Good, set.Bad)); text != "" {
		rep.Notes = append(rep.Notes, text+", or name it with --masks")
	}
	took := map[string][]time.Duration{}
	total := len(set.Good) + len(set.Bad)
	for n := range total {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		progress("inspect", n, total)
		p := Picture{Bad: n >= len(set.Good)}
		if p.Bad {
			p.File = set.Bad[n-len(set.Good)]
		} else {
			p.File = set.Good[n]
		}
		frame, err := picture.Read(p.File)
		if err != nil {
			p.Reason, p.Detail = part.ReasonOf(err, part.BadFrame).String(), err.Error()
			rep.Unread++
			rep.Notes = append(rep.Notes, err.Error())
			rep.Pictures = append(rep.Pictures, p)
			continue
		}
		begun := time.Now()
		if p.found, err = i.Inspect(ctx, frame); err != nil {
			return nil, fmt.Errorf("picture %s: %w", p.File, err)
		}
		all := time.Since(begun)
		p.Millis = math.Round(all.Seconds()*1e6) / 1e3
		for _, s := range p.found.Stages {
			took[s.Name] = append(took[s.Name], s.Took)
		}
		took["all"] = append(took["all"], all)
		p.Threshold, p.Zone, p.Reason, p.Detail = p.found.Threshold, p.found.Zone, p.found.Reason.String(), p.found.Detail
		p.Score = number(p.found.Score)
		p.Verdict = part.Reject.String()
		if p.found.Reason == part.None {
			p.Verdict = part.Pass.String()
		}
		if p.Score == nil {
			rep.Refused++
		} else if err := pixels.add(&p, rep); err != nil {
			return nil, err
		}
		rep.Pictures = append(rep.Pictures, p)
	}
	rep.count()
	rep.Kinds = rep.kinds(set.BadFolder)
	rep.Regions = pixels.sums.Regions()
	if rep.Masks > 0 {
		auroc, pro, err := pixels.sums.Figures()
		if err != nil && !errors.Is(err, evaluate.ErrOneSided) {
			return nil, err
		}
		rep.PixelAUROC, rep.PRO = number(auroc), number(pro)
	}
	for _, stage := range []string{"picture", "network", "score", "all"} {
		rep.Timing = append(rep.Timing, Timing{stage, inspect.LatencyOf(took[stage])})
	}
	return rep, nil
}

// count makes the figures that are about whole pictures.
func (rep *Report) count() {
	var good, bad []float64
	falseRejects, escapes, goods, bads := 0, 0, 0, 0
	for k := range rep.Pictures {
		p := &rep.Pictures[k]
		if p.Verdict == "" {
			continue
		}
		rejected := p.Verdict == part.Reject.String()
		switch {
		case p.Bad:
			bads++
			if !rejected {
				escapes++
			}
			if p.Score != nil {
				bad = append(bad, p.ratio())
			}
		default:
			goods++
			if rejected {
				falseRejects++
			}
			if p.Score != nil {
				good = append(good, p.ratio())
			}
		}
	}
	rep.Good, rep.Bad = goods, bads
	rep.ImageAUROC = number(evaluate.AUROC(good, bad))
	rep.FalseRejects, rep.Escapes = rateOf(falseRejects, goods), rateOf(escapes, bads)
	if rep.Refused > 0 {
		rep.Notes = append(rep.Notes, fmt.Sprintf("%d pictures were refused for what the picture is like; they count as rejects and have no score", rep.Refused))
	}
}

// kinds counts the escapes of each folder inside that of the bad pictures.
func (rep *Report) kinds(folder string) (kinds []Kind) {
	var names []string
	escapes, of := map[string]int{}, map[string]int{}
	for _, p := range rep.Pictures {
		if !p.Bad || p.Verdict == "" {
			continue
		}
		name, err := filepath.Rel(folder, filepath.Dir(p.File))
		if err != nil {
			return nil
		}
		if of[name]++; of[name] == 1 {
			names = append(names, name)
		}
		if p.Verdict == part.Pass.String() {
			escapes[name]++
		}
	}
	if len(names) < 2 {
		return nil
	}
	for _, name := range names {
		kinds = append(kinds, Kind{name, rateOf(escapes[name], of[name])})
	}
	return kinds
}

// extremes are the numbers of up to n scored pictures: of good parts the highest scores first, of bad ones the
// lowest.
func (rep *Report) extremes(bad bool, n int) []int {
	var all []int
	for k := range rep.Pictures {
		if p := &rep.Pictures[k]; p.Bad == bad && p.Score != nil {
			all = append(all, k)
		}
	}
	slices.SortStableFunc(all, func(a, b int) int {
		x, y := rep.Pictures[a].ratio(), rep.Pictures[b].ratio()
		if bad {
			x, y = y, x
		}
		switch {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return all[:min(n, len(all))]
}

// usage is an error of what was asked for.
func usage(next, format string, args ...any) error {
	return hint.New(hint.Usage, fmt.Errorf(format, args...), next)
}
