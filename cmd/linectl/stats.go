package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/store"
)

// statsQuestion is what stats are asked for, as it was typed.
type statsQuestion struct {
	since, until, lot, recipe, by, plot, heatmap string
	version                                      int
	decided                                      bool
}

func (q *statsQuestion) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&q.since, "since", "", "from this time on, as for query; taken to the quarter of an hour")
	f.StringVar(&q.until, "until", "", "before this time")
	f.StringVar(&q.lot, "lot", "", "lot; a pattern with * ? [ ] counts many")
	f.StringVar(&q.recipe, "recipe", "", "name of the recipe")
	f.IntVar(&q.version, "version", 0, "version of the recipe")
	f.BoolVar(&q.decided, "decided", false, "count what linectl decided, not what the PLC was told; in shadow they differ")
	f.StringVar(&q.plot, "plot", "", "draw it into this file, .png or .svg")
}

func (q statsQuestion) filter(now time.Time) (f store.SlotFilter, err error) {
	if f.Since, err = parseTime(q.since, now); err != nil {
		return f, hint.New(hint.Usage, fmt.Errorf("--since: %w", err), "'linectl query --help' shows the forms")
	}
	if f.Until, err = parseTime(q.until, now); err != nil {
		return f, hint.New(hint.Usage, fmt.Errorf("--until: %w", err), "'linectl query --help' shows the forms")
	}
	f.Lot, f.Recipe, f.Version = q.lot, q.recipe, q.version
	return f, nil
}

// filterIn is the filter in the plant's zone, where it is known whether the times are in order.
func (q statsQuestion) filterIn(zone *time.Location) (store.SlotFilter, error) {
	f, err := q.filter(time.Now().In(zone))
	if err == nil {
		err = inOrder(f.Since, f.Until)
	}
	return f, err
}

func (p *program) statsCommand() *cobra.Command {
	var q statsQuestion
	c := &cobra.Command{
		Use:   "stats",
		Short: "reject rates with their intervals, reasons, score drift",
		Long: `Stats counts parts by hour, day, week, month, shift, lot, recipe or reason. LOW and HIGH are the 95 % interval
of the reject rate (Wilson). Counted by time, the table has a control chart of the score: an exponentially
weighted moving average (λ 0.2) of the mean scores against limits of 3 standard deviations, drawn from the
first quarter of the rows (at least 5); DRIFT marks where it leaves them.

--by review tells how often the machine was wrong, of the parts that a person has judged: rejects that were
good (false rejects) and passes that were bad (escapes).`,
		Example: `  linectl stats --by shift --since 7d
  linectl stats --by day --since 2026-01-01 --plot year.svg
  linectl stats --by reason --lot L1207
  linectl stats --by lot --lot L1207 --heatmap L1207.png`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.stats(c.Context(), q) },
	}
	q.flags(c)
	c.Flags().StringVar(&q.by, "by", "day", "hour, day, week, month, shift, lot, recipe, reason or review")
	c.Flags().StringVar(&q.heatmap, "heatmap", "", "draw where on the parts the scores came from, mean and highest, into this .png")
	return c
}

// groups are the ways to count, and whether a group is a stretch of time.
var groups = map[string]struct {
	key  func(store.Slot, store.Calendar) string
	time bool
}{
	"hour":  {func(s store.Slot, c store.Calendar) string { return s.At.In(c.Zone).Format("2006-01-02 15:00 -07") }, true},
	"day":   {func(s store.Slot, c store.Calendar) string { return s.At.In(c.Zone).Format(time.DateOnly) }, true},
	"month": {func(s store.Slot, c store.Calendar) string { return s.At.In(c.Zone).Format("2006-01") }, true},
	"shift": {func(s store.Slot, c store.Calendar) string { return c.Shift(s.At) }, true},
	"week": {func(s store.Slot, c store.Calendar) string {
		year, week := s.At.In(c.Zone).ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	}, true},
	"lot":    {func(s store.Slot, _ store.Calendar) string { return s.Lot }, false},
	"recipe": {func(s store.Slot, _ store.Calendar) string { return recipeName(s.Recipe, s.Version) }, false},
}

func recipeName(name string, version int) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf("%s@%d", name, version)
}

// counted is a row of stats in the JSON form; its keys are a contract.
type counted struct {
	Key        string   `json:"key"`
	Parts      int64    `json:"parts"`
	Rejects    int64    `json:"rejects"`
	Rate       float64  `json:"reject_rate"`
	Low        float64  `json:"low"`
	High       float64  `json:"high"`
	Score      *float64 `json:"score_mean"`
	Deviation  *float64 `json:"score_deviation"`
	EWMA       *float64 `json:"score_ewma"`
	LowLimit   *float64 `json:"score_ewma_low"` // between which EWMA is without a drift
	HighLimit  *float64 `json:"score_ewma_high"`
	Drift      bool     `json:"drift"`
	Brightness *float64 `json:"brightness_mean"`
	Sharpness  *float64 `json:"sharpness_mean"`
}

func (p *program) stats(ctx context.Context, q statsQuestion) error {
	if _, err := q.filter(time.Now()); err != nil { // a mistake in it is told first
		return err
	}
	group, known := groups[q.by]
	if !known && q.by != "reason" && q.by != "review" {
		return hint.New(hint.Usage, fmt.Errorf("--by: %q is not known", q.by), "choose hour, day, week, month, shift, lot, recipe, reason or review")
	}
	if err := checkChart(q.plot); err != nil {
		return err
	}
	if q.plot != "" && !known {
		return hint.New(hint.Usage, fmt.Errorf("--plot: there is no chart by %s", q.by), "choose another --by")
	}
	cfg, err := p.load()
	if err != nil {
		return err
	}
	calendar, err := cfg.Store.Calendar()
	if err != nil {
		return hint.New(hint.Usage, err, "correct time_zone and shifts in [store]")
	}
	f, err := q.filterIn(calendar.Zone)
	if err != nil {
		return err
	}
	reader, err := store.OpenReader(ctx, cfg.Store)
	if err != nil {
		return err
	}
	defer reader.Close()
	if q.heatmap != "" {
		if err := plotHeatmaps(ctx, reader, f, q.heatmap); err != nil {
			return err
		}
	}
	if q.by == "review" {
		return p.reviewRates(ctx, reader, f)
	}
	slots, err := reader.Slots(ctx, f)
	if err != nil {
		return err
	}
	if q.by == "reason" {
		return p.pareto(slots, q.decided)
	}
	header := []string{q.by, "parts", "rejects", "rate", "low", "high", "score", "deviation", "ewma", "drift", "brightness", "sharpness"}
	if len(slots) == 0 {
		return p.nothing(header, errNoMatch)
	}
	found := count(slots, q.decided, group.time, func(s store.Slot) string { return group.key(s, calendar) })
	if q.plot != "" {
		if err := plotStats(q.plot, q.by, group.time, found); err != nil {
			return err
		}
	}
	rows := make([][]string, len(found))
	for i, c := range found {
		rows[i] = c.row(p.output == "table")
	}
	return p.print(found, header, rows)
}

// count sums slots; a series in time has its control chart.
func count(slots []store.Slot, decided, inTime bool, key func(store.Slot) string) []counted {
	tallies := store.Group(slots, decided, key)
	found := make([]counted, len(tallies))
	scores := make([]float64, len(tallies))
	for i, t := range tallies {
		mean, deviation := t.Score()
		low, high := store.Wilson(t.Rejects, t.Parts)
		scores[i] = mean
		found[i] = counted{
			Key: t.Key, Parts: t.Parts, Rejects: t.Rejects, Rate: float64(t.Rejects) / float64(t.Parts), Low: low, High: high,
			Score: numeric(mean), Deviation: numeric(deviation), Brightness: numeric(t.Brightness()), Sharpness: numeric(t.Sharpness()),
		}
	}
	if inTime {
		chart := store.EWMA(scores, max(5, len(scores)/4))
		for i := range found {
			found[i].EWMA, found[i].Drift = numeric(chart.Average[i]), chart.Alarm[i]
			found[i].LowLimit, found[i].HighLimit = numeric(chart.Low[i]), numeric(chart.High[i])
		}
	}
	return found
}

func (c counted) row(table bool) []string {
	percent := func(v float64) string { return strconv.FormatFloat(100*v, 'f', 3, 64) }
	drift := ""
	if c.Drift {
		drift = "drift"
	}
	key := c.Key
	if table {
		key = shown(key, 40)
	}
	row := []string{key, strconv.FormatInt(c.Parts, 10), strconv.FormatInt(c.Rejects, 10), percent(c.Rate), percent(c.Low), percent(c.High),
		figure(c.Score), figure(c.Deviation), figure(c.EWMA), drift, figure(c.Brightness), figure(c.Sharpness)}
	if table {
		for i, cell := range row {
			row[i] = cmp.Or(cell, "-")
		}
	}
	return row
}

// caused is a row of the Pareto of reasons; its keys are a contract.
type caused struct {
	Reason     string  `json:"reason"`
	Parts      int64   `json:"parts"`
	Share      float64 `json:"share"`      // of all rejects
	Cumulative float64 `json:"cumulative"` // this reason and all more frequent ones
}

func (p *program) pareto(slots []store.Slot, decided bool) error {
	header := []string{"reason", "parts", "share", "cumulative"}
	if len(slots) == 0 {
		return p.nothing(header, errNoMatch)
	}
	reason := func(s store.Slot) string {
		if decided {
			return s.Decided
		}
		return s.Reason
	}
	slots = slices.DeleteFunc(slots, func(s store.Slot) bool { return reason(s) == "" })
	tallies := store.Group(slots, decided, reason)
	slices.SortStableFunc(tallies, func(a, b *store.Tally) int { return cmp.Compare(b.Parts, a.Parts) })
	var total, sum int64
	for _, t := range tallies {
		total += t.Parts
	}
	found := []caused{}
	var rows [][]string
	for _, t := range tallies {
		sum += t.Parts
		c := caused{t.Key, t.Parts, float64(t.Parts) / float64(total), float64(sum) / float64(total)}
		found = append(found, c)
		rows = append(rows, []string{c.Reason, strconv.FormatInt(c.Parts, 10), fmt.Sprintf("%.1f", 100*c.Share), fmt.Sprintf("%.1f", 100*c.Cumulative)})
	}
	if len(found) == 0 {
		return p.nothing(header, hint.New(hint.NoMatch, errors.New("nothing was rejected"), ""))
	}
	return p.print(found, header, rows)
}

// judged is a row of what reviews say; its keys are a contract.
type judged struct {
	Recipe          string  `json:"recipe"`
	Version         int     `json:"version"`
	RejectsReviewed int64   `json:"rejects_reviewed"`
	FalseRejects    int64   `json:"false_rejects"`
	FalseLow        float64 `json:"false_reject_low"`
	FalseHigh       float64 `json:"false_reject_high"`
	PassesReviewed  int64   `json:"passes_reviewed"`
	Escapes         int64   `json:"escapes"`
	EscapeLow       float64 `json:"escape_low"`
	EscapeHigh      float64 `json:"escape_high"`
}

func (p *program) reviewRates(ctx context.Context, reader *store.Reader, f store.SlotFilter) error {
	rates, err := reader.ReviewRates(ctx, f)
	if err != nil {
		return err
	}
	header := []string{"recipe", "rejects reviewed", "good", "false rejects %", "passes reviewed", "bad", "escapes %"}
	if len(rates) == 0 {
		return p.nothing(header, hint.New(hint.NoMatch, errors.New("nobody has reviewed such a part"), "'linectl query --review due' lists the parts that wait for a review"))
	}
	rate := func(k, n int64, low, high float64) string {
		if n == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f (%.2f to %.2f)", 100*float64(k)/float64(n), 100*low, 100*high)
	}
	var found []judged
	var rows [][]string
	for _, r := range rates {
		j := judged{Recipe: r.Recipe, Version: r.Version, RejectsReviewed: r.RejectsReviewed, FalseRejects: r.FalseRejects, PassesReviewed: r.PassesReviewed, Escapes: r.Escapes}
		j.FalseLow, j.FalseHigh = store.Wilson(r.FalseRejects, r.RejectsReviewed)
		j.EscapeLow, j.EscapeHigh = store.Wilson(r.Escapes, r.PassesReviewed)
		found = append(found, j)
		rows = append(rows, []string{
			recipeName(r.Recipe, r.Version), fmt.Sprint(r.RejectsReviewed), fmt.Sprint(r.FalseRejects), rate(r.FalseRejects, r.RejectsReviewed, j.FalseLow, j.FalseHigh),
			fmt.Sprint(r.PassesReviewed), fmt.Sprint(r.Escapes), rate(r.Escapes, r.PassesReviewed, j.EscapeLow, j.EscapeHigh),
		})
	}
	return p.print(found, header, rows)
}

// series is a value of each stretch of time, with how many parts stand behind it.
type series struct {
	at             []time.Time
	values, weight []float64
}

// seriesOf is the mean of a quantity by quarter of an hour, of scores those of passes only.
func seriesOf(slots []store.Slot, quantity string) series {
	var s series
	add := func(at time.Time, sum float64, n int64) {
		if n <= 0 {
			return
		}
		last := len(s.at) - 1
		if last < 0 || !s.at[last].Equal(at) {
			s.at, s.values, s.weight = append(s.at, at), append(s.values, 0), append(s.weight, 0)
			last++
		}
		s.values[last] += sum
		s.weight[last] += float64(n)
	}
	for _, slot := range slots {
		switch quantity {
		case "score":
			if slot.Decided == "" {
				add(slot.At, slot.Score, slot.Scored)
			}
		case "light":
			add(slot.At, slot.Brightness, slot.Measured)
		case "focus":
			add(slot.At, slot.Sharpness, slot.Measured)
		}
	}
	for i := range s.values {
		s.values[i] /= s.weight[i]
	}
	return s
}

// strong is the shift in standard errors from which on a change is told: among the 35,000 quarter hours
// of a year the largest of pure chance is about 4.6.
const strong = 6.0

var errNoChange = hint.New(hint.NoMatch, errors.New("no lasting change is found"), "look at a shorter stretch with --since and --until, or at one recipe version with --recipe and --version")
