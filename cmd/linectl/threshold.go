package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
	"linectl/internal/store"
)

// thresholdOptions are the flags of threshold.
type thresholdOptions struct {
	desk
	zone         string
	try, set     float64 // a score
	tryRejects   float64 // false rejects in 10,000
	setRejects   float64
	reviewFrom   float64
	review       float64
	who, why     string
	activate     bool
	plot         string
	reviewIsFrom bool // --review-from was given
}

func (p *program) thresholdCommand() *cobra.Command {
	var o thresholdOptions
	c := &cobra.Command{
		Use:   "threshold NAME[@VERSION]",
		Short: "what a threshold promises, what another one would have done; set it",
		Long: `Threshold shows the threshold of a recipe, what it promises and the scores of the good pictures behind it.

--try and --try-false-rejects say what another threshold would do: to the good pictures of the training, and,
where a config file names a record, to the parts in it. --set and --false-rejects make a new version with
another threshold; nothing is trained again. The version is used after 'linectl recipe activate', or at once
with --activate, and only if it rejects every challenge picture.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.reviewIsFrom = c.Flags().Changed("review-from")
			given := 0
			for _, flag := range []string{"try", "try-false-rejects", "set", "false-rejects"} {
				if c.Flags().Changed(flag) {
					given++
				}
			}
			for flag, value := range map[string]float64{"try": o.try, "try-false-rejects": o.tryRejects, "set": o.set, "false-rejects": o.setRejects, "review": o.review} {
				if c.Flags().Changed(flag) && value == 0 {
					return hint.New(hint.Usage, fmt.Errorf("--%s 0 asks for nothing; it must be a positive number", flag), "leave it away to look only; --review-from 0 does without a review")
				}
			}
			if given > 1 {
				return hint.New(hint.Usage, errors.New("--try, --try-false-rejects, --set and --false-rejects are one or the other"), "")
			}
			review := o.reviewIsFrom || c.Flags().Changed("review")
			if o.reviewIsFrom && c.Flags().Changed("review") {
				return hint.New(hint.Usage, errors.New("--review and --review-from are one or the other"), "")
			}
			set := c.Flags().Changed("set") || c.Flags().Changed("false-rejects") || review && given == 0
			switch {
			case set && o.why == "":
				return hint.New(hint.Usage, errors.New("a new threshold needs --why"), "say in a few words why it is changed; the version keeps it")
			case !set && o.activate:
				return hint.New(hint.Usage, errors.New("--activate goes with --set, --false-rejects or a review band"), "")
			}
			return p.threshold(c.Context(), o, args[0], set)
		},
	}
	o.flags(c)
	f := c.Flags()
	f.StringVar(&o.zone, "zone", "", "the threshold of this zone (without: of the whole picture, or of what lies in no zone)")
	f.Float64Var(&o.try, "try", 0, "a score: what would it do as threshold?")
	f.Float64Var(&o.tryRejects, "try-false-rejects", 0, "good parts in 10,000: what would the threshold that rejects so many do?")
	f.Float64Var(&o.set, "set", 0, "make a version with this score as threshold")
	f.Float64Var(&o.setRejects, "false-rejects", 0, "make a version with the threshold that rejects so many of 10,000 good parts")
	f.Float64Var(&o.review, "review", 0, "good parts in 10,000 that may be rejected or marked for review; with a new threshold, or by itself")
	f.Float64Var(&o.reviewFrom, "review-from", 0, "the score from which on parts that pass are marked for review; 0: none")
	f.StringVar(&o.who, "who", store.UserName(), "who changes it")
	f.StringVar(&o.why, "why", "", "why")
	f.BoolVar(&o.activate, "activate", false, "use the new version at once if it rejects every challenge picture")
	f.StringVar(&o.plot, "plot", "", "draw the scores of the good pictures into this file, .png or .svg")
	return c
}

// promised is a threshold as threshold prints it.
type promised struct {
	Value        float64 `json:"value"`
	Rule         string  `json:"rule"`
	Target       float64 `json:"target,omitempty"`
	Expected     float64 `json:"false_rejects_in_10000"`
	Low          float64 `json:"false_rejects_low"`
	High         float64 `json:"false_rejects_high"`
	Scores       int     `json:"held_out_pictures"`
	Effective    float64 `json:"independent_pictures,omitempty"`
	Greatest     float64 `json:"greatest_held_out_score"`
	Review       float64 `json:"review_from,omitempty"`
	ReviewTarget float64 `json:"review_target,omitempty"`
}

func newPromised(t recipe.Threshold) promised {
	return promised{t.Value, t.Rule, t.Target, t.Expected, t.Low, t.High, t.Scores, t.Effective, t.Greatest, t.Review, t.ReviewTarget}
}

func (t promised) rows() [][]string {
	chosen := "set by hand"
	if t.Target > 0 {
		chosen = fmt.Sprintf("set for %.4g false rejects in 10,000", t.Target)
	}
	pictures := fmt.Sprintf("%d held-out good pictures; the greatest scores %.6g", t.Scores, t.Greatest)
	if t.Effective > 0 && t.Effective < float64(t.Scores)-0.5 {
		pictures = fmt.Sprintf("%d held-out good pictures, worth %.0f of different parts; the greatest scores %.6g", t.Scores, t.Effective, t.Greatest)
	}
	confidence := 95
	if t.Rule == "exponential-tail/1" { // of recipes in format 1
		confidence = 90
	}
	review := "none"
	if t.Review > 0 {
		review = fmt.Sprintf("from %.6g on", t.Review)
	}
	return [][]string{
		{"threshold", fmt.Sprintf("%.6g, %s, by %s", t.Value, chosen, t.Rule)},
		{"promise", fmt.Sprintf("about %.0f false rejects in 10,000 good parts, %d %% interval %.0f to %.0f", t.Expected, confidence, t.Low, t.High)},
		{"from", pictures},
		{"review", review},
	}
}

// trial of a threshold against what was scored before.
type simulated struct {
	promised
	HeldOut       int            `json:"held_out_rejected"` // good pictures of the training that it rejects
	HeldOutBefore int            `json:"held_out_rejected_before"`
	Record        *recordChanges `json:"record,omitempty"`
}

// recordChanges is what a threshold would have done to the parts in the record.
type recordChanges struct {
	Parts    int     `json:"parts"`
	ToReject []int64 `json:"pass_to_reject"` // ids
	ToPass   []int64 `json:"reject_to_pass"`
	Zoned    bool    `json:"decided_by_this_zone_alone"` // of other parts the record does not hold what this zone scored
}

// caution says what the counts leave open.
func (c recordChanges) caution() string {
	if !c.Zoned {
		return ""
	}
	return "; only parts that this zone decided are counted, and another zone may reject them still"
}

// thresholdPage is what threshold prints.
type thresholdPage struct {
	Recipe    string     `json:"recipe"`
	Version   int        `json:"version"`
	Zone      string     `json:"zone,omitempty"`
	Threshold promised   `json:"threshold"`
	Scores    []float64  `json:"held_out_scores"`
	Tried     *simulated `json:"tried,omitempty"`
	Made      int        `json:"made_version,omitempty"`
	Active    bool       `json:"active"`
}

func (p *program) threshold(ctx context.Context, o thresholdOptions, text string, set bool) error {
	cfg, folders, err := p.settings(o.desk)
	if err != nil {
		return err
	}
	shelf := recipe.Folder(folders.Recipes)
	r, err := loadRecipe(shelf, text)
	if err != nil {
		return err
	}
	l, err := inspect.LimitOf(r, o.zone)
	if err != nil {
		return err
	}
	page := thresholdPage{Recipe: r.Name, Version: r.Version, Zone: o.zone, Threshold: newPromised(l.Threshold), Scores: l.Scores}
	rows := append([][]string{{"recipe", fmt.Sprintf("%s@%d", r.Name, r.Version)}}, page.Threshold.rows()...)
	if o.zone != "" {
		rows = slices.Insert(rows, 1, []string{"zone", o.zone})
	}
	marks := []mark{{l.Threshold.Value, "threshold"}}
	if l.Threshold.Review > 0 {
		marks = append(marks, mark{l.Threshold.Review, "review"})
	}

	wish := inspect.Wish{Value: o.try + o.set, FalseRejects: o.tryRejects + o.setRejects, ReviewTarget: o.review}
	if o.reviewIsFrom {
		wish.ReviewFrom = &o.reviewFrom
	}
	if set && wish.Value == 0 && wish.FalseRejects == 0 { // the review band only
		wish.Value, wish.FalseRejects = l.Threshold.Value, l.Threshold.Target
	}
	if wish.Value != 0 || wish.FalseRejects != 0 {
		t, err := l.Wished(wish)
		if err != nil {
			return err
		}
		page.Tried = &simulated{promised: newPromised(t), HeldOut: atOrAbove(l.Scores, t.Value), HeldOutBefore: atOrAbove(l.Scores, l.Threshold.Value)}
		if page.Tried.Record, err = p.replay(ctx, shelf, r, o.zone, t.Value); err != nil {
			return err
		}
		rows = append(append(rows, []string{"", ""}), page.Tried.rows()...)
		marks = append(marks, mark{t.Value, "tried"})
	}
	if o.plot != "" {
		if err := plotScores(o.plot, fmt.Sprintf("%s@%d", r.Name, r.Version), l.Scores, marks); err != nil {
			return err
		}
	}
	if set {
		draft, err := inspect.SetThreshold(r, o.zone, wish, recipe.Change{Who: o.who, Why: o.why})
		if err != nil {
			return err
		}
		saved, err := shelf.Save(draft)
		if err != nil {
			return err
		}
		page.Made = saved.Version
		state := fmt.Sprintf("%s@%d; 'linectl recipe activate %s %d' makes it the one in use", r.Name, saved.Version, r.Name, saved.Version)
		if o.activate {
			if _, err := inspect.Activate(ctx, cfg, folders, r.Name, saved.Version, recipe.Event{Who: o.who, Why: o.why}, false); err != nil {
				return fmt.Errorf("%s@%d is made, but %w", r.Name, saved.Version, err)
			}
			page.Active = true
			state = fmt.Sprintf("%s@%d, active; a running daemon takes it with its next reload", r.Name, saved.Version)
		}
		rows = append(rows, []string{"new version", state})
	}
	if err := p.print(page, nil, rows); err != nil || p.output != "table" {
		return err
	}
	_, err = fmt.Fprint(p.out, "\n", scoreBars(l.Scores, marks))
	return err
}

func atOrAbove(scores []float64, value float64) (n int) {
	for _, s := range scores {
		if s >= value {
			n++
		}
	}
	return n
}

func (s simulated) rows() [][]string {
	rows := s.promised.rows()
	rows[0][0] = "another threshold"
	rows = append(rows, []string{"good pictures", fmt.Sprintf("%d of %d rejected while held out; %d by the present threshold", s.HeldOut, s.Scores, s.HeldOutBefore)})
	if r := s.Record; r != nil {
		rows = append(rows, []string{"parts on record", fmt.Sprintf("%d scored; %d passes would have been rejects%s, %d rejects would have been passes%s%s",
			r.Parts, len(r.ToReject), some(r.ToReject), len(r.ToPass), some(r.ToPass), r.caution())})
	}
	return rows
}

// some names the newest of the parts.
func some(ids []int64) string {
	if len(ids) == 0 {
		return ""
	}
	const shown = 5
	var names []string
	for _, id := range ids[:min(shown, len(ids))] {
		names = append(names, strconv.FormatInt(id, 10))
	}
	text := strings.Join(names, ", ")
	if len(ids) > shown {
		text += ", …"
	}
	return " (" + text + ")"
}

// replay holds another threshold against the parts in the record that were scored by what this version has
// learned. nil where there is no record. With zones the record holds the score of the deciding zone only, so
// parts that another zone has decided do not count.
func (p *program) replay(ctx context.Context, shelf recipe.Folder, r *recipe.Recipe, zone string, value float64) (*recordChanges, error) {
	cfg, err := p.load()
	if err != nil {
		return nil, nil // the flags stand for themselves: there is no line here
	}
	if _, err := os.Stat(cfg.Store.Path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	reader, err := store.OpenReader(ctx, cfg.Store)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	alike, err := scoredAlike(shelf, r)
	if err != nil {
		return nil, err
	}
	changes := &recordChanges{ToReject: []int64{}, ToPass: []int64{}, Zoned: len(r.Zones) > 0}
	for _, hash := range alike {
		for found, err := range reader.Find(ctx, store.Filter{Recipe: r.Name, Hash: hash}) {
			if err != nil {
				return nil, err
			}
			if found.Zone != zone || math.IsNaN(found.Score) {
				continue
			}
			changes.Parts++
			switch {
			case found.Decided == part.Pass && found.Score >= value:
				changes.ToReject = append(changes.ToReject, found.ID)
			case found.DecidedReason == part.Anomaly && found.Score < value:
				changes.ToPass = append(changes.ToPass, found.ID)
			}
		}
	}
	for _, ids := range [][]int64{changes.ToReject, changes.ToPass} {
		slices.SortFunc(ids, func(a, b int64) int { return cmp.Compare(b, a) }) // the newest first
	}
	return changes, nil
}

// scoredAlike is the hashes of the versions that give the same pictures the same scores: those with the same network, bank, appearance
// and zones, whatever their thresholds are.
func scoredAlike(shelf recipe.Folder, r *recipe.Recipe) ([]string, error) {
	versions, err := shelf.Versions(r.Name)
	if err != nil {
		return nil, err
	}
	alike := []string{r.Hash}
	for _, v := range versions {
		other, err := shelf.Load(r.Name, v)
		if err != nil {
			continue // a damaged version is 'recipe verify's business
		}
		same := other.Manifest.Backbone.SHA256 == r.Manifest.Backbone.SHA256 && other.Method == r.Method && other.Input == r.Input &&
			bytes.Equal(other.Network, r.Network) && slices.Equal(other.Bank.Vectors, r.Bank.Vectors) && slices.Equal(other.Means.Vectors, r.Means.Vectors) && len(other.Zones) == len(r.Zones)
		if r.Gauss != nil && other.Gauss != nil {
			same = same && slices.Equal(other.Gauss.Mean, r.Gauss.Mean) && slices.Equal(other.Gauss.Whiten, r.Gauss.Whiten)
		}
		for i := range r.Zones {
			same = same && slices.Equal(other.Zones[i].Polygon, r.Zones[i].Polygon)
		}
		if same && !slices.Contains(alike, other.Hash) {
			alike = append(alike, other.Hash)
		}
	}
	return alike, nil
}
