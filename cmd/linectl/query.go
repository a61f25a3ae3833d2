package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/part"
	"linectl/internal/store"
)

// question is what a query asks for, as it was typed.
type question struct {
	since, until, part, lot, verdict, decided, reason, recipe, sequence, min, max, zone, review string
	limit, version                                                                              int
	before                                                                                      int64
}

func (p *program) queryCommand() *cobra.Command {
	var q question
	var parquet, pictures string
	var near string
	var events bool
	c := &cobra.Command{
		Use:   "query",
		Short: "find parts in the record, newest first",
		Long: `Query finds parts in the record, newest first, also while the daemon runs. The verdict is what the PLC was
told; where nothing is known of that, it is what was decided.

It ends with code 3 where no part matches. --before ID goes on where an earlier answer ended.`,
		Example: `  linectl query --verdict reject --since today
  linectl query --part 'A17-*' --since 7d -o csv
  linectl query --near 4711 --limit 5
  linectl query --near complaint.jpg --lot L1207
  linectl query --verdict reject --review good --pictures more     # then: linectl train flange --add more`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if (parquet != "" || pictures != "") && !c.Flags().Changed("limit") {
				q.limit = 0
			}
			switch {
			case events:
				return p.queryEvents(c.Context(), q)
			case c.Flags().Changed("near"):
				return p.queryNear(c.Context(), q, near)
			}
			return p.query(c.Context(), q, parquet, pictures)
		},
	}
	q.flags(c)
	c.Flags().IntVar(&q.limit, "limit", 50, "most parts to show; 0 shows all")
	c.Flags().Int64Var(&q.before, "before", 0, "only records with a smaller id")
	c.Flags().StringVar(&near, "near", "", "ID of a record, or FILE of a picture: of the parts that match those whose heatmap, or kept picture, is most like it")
	c.Flags().BoolVar(&events, "events", false, "the station's log book in place of parts: starts, recipes, lost links, faults")
	c.Flags().StringVar(&parquet, "parquet", "", "write all that match into this Parquet file")
	c.Flags().StringVar(&pictures, "pictures", "", "copy the kept pictures of all that match into this folder, for train --add or recipe challenge add")
	c.MarkFlagsMutuallyExclusive("near", "events", "parquet", "pictures")
	return c
}

// flags are the conditions.
func (q *question) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&q.since, "since", "", `from this time on: today, yesterday, 2h, 7d, "2026-11-23", "2026-11-23 14:05" or RFC 3339`)
	f.StringVar(&q.until, "until", "", "before this time, written as for --since")
	f.StringVar(&q.part, "part", "", "part id; a pattern with * ? [ ] finds many")
	f.StringVar(&q.lot, "lot", "", "lot; a pattern with * ? [ ] finds many")
	f.StringVar(&q.verdict, "verdict", "", "pass or reject")
	f.StringVar(&q.decided, "decided", "", "what linectl itself decided, pass or reject; in shadow the PLC is told neither")
	f.StringVar(&q.reason, "reason", "", "reason of a reject, such as anomaly or deadline")
	f.StringVar(&q.recipe, "recipe", "", "name of the recipe that decided")
	f.IntVar(&q.version, "version", 0, "version of the recipe")
	f.StringVar(&q.zone, "zone", "", "zone of the picture that decided; a pattern with * ? [ ] finds many")
	f.StringVar(&q.review, "review", "", "what a person said: good, bad, unsure, none, or due for parts that wait for a review")
	f.StringVar(&q.sequence, "sequence", "", "value of the PLC's counter")
	f.StringVar(&q.min, "min-score", "", "lowest score")
	f.StringVar(&q.max, "max-score", "", "highest score")
}

// filter reads the question. Every mistake names its flag. Whether the times are in order is known in the plant's zone only.
func (q question) filter(now time.Time) (f store.Filter, err error) {
	wrong := func(flag string, err error) error {
		return hint.New(hint.Usage, fmt.Errorf("--%s: %w", flag, err), "'linectl query --help' shows the forms")
	}
	if f.Since, err = parseTime(q.since, now); err != nil {
		return f, wrong("since", err)
	}
	if f.Until, err = parseTime(q.until, now); err != nil {
		return f, wrong("until", err)
	}
	if q.verdict != "" {
		verdict, err := part.ParseVerdict(q.verdict)
		if err != nil {
			return f, wrong("verdict", err)
		}
		f.Verdict = &verdict
	}
	if q.decided != "" {
		decided, err := part.ParseVerdict(q.decided)
		if err != nil {
			return f, wrong("decided", err)
		}
		f.Decided = &decided
	}
	if q.reason != "" {
		reason, err := part.ReasonByName(q.reason)
		if err != nil {
			return f, wrong("reason", err)
		}
		f.Reason = &reason
	}
	if q.sequence != "" {
		n, err := strconv.ParseUint(q.sequence, 10, 32)
		if err != nil {
			return f, wrong("sequence", fmt.Errorf("%q is not a counter value from 0 to 4294967295", q.sequence))
		}
		sequence := uint32(n)
		f.Sequence = &sequence
	}
	if f.MinScore, err = parseScore(q.min); err != nil {
		return f, wrong("min-score", err)
	}
	if f.MaxScore, err = parseScore(q.max); err != nil {
		return f, wrong("max-score", err)
	}
	switch f.Review = store.Review(q.review); f.Review {
	case store.ReviewAny, store.ReviewGood, store.ReviewBad, store.ReviewUnsure, store.ReviewNone, store.ReviewDue:
	default:
		return f, wrong("review", fmt.Errorf("%q is not known; choose good, bad, unsure, none or due", q.review))
	}
	if q.version < 0 {
		return f, wrong("version", fmt.Errorf("%d is below 0", q.version))
	}
	f.Version, f.Zone = q.version, q.zone
	if q.limit < 0 {
		return f, wrong("limit", fmt.Errorf("%d is below 0", q.limit))
	}
	f.Part, f.Lot, f.Recipe, f.Limit, f.Before = q.part, q.lot, q.recipe, q.limit, q.before
	return f, nil
}

// inOrder refuses a stretch of time that holds nothing.
func inOrder(since, until time.Time) error {
	if since.IsZero() || until.IsZero() || since.Before(until) {
		return nil
	}
	return hint.New(hint.Usage, fmt.Errorf("--until %s is not after --since %s", until.Format(time.RFC3339), since.Format(time.RFC3339)), "exchange them")
}

func parseScore(text string) (*float64, error) {
	if text == "" {
		return nil, nil
	}
	score, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(score) {
		return nil, fmt.Errorf("%q is not a number", text)
	}
	return &score, nil
}

// parseTime reads an instant in the time zone of now, or a length of time before now.
func parseTime(text string, now time.Time) (time.Time, error) {
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch text {
	case "":
		return time.Time{}, nil
	case "now":
		return now, nil
	case "today":
		return midnight, nil
	case "yesterday":
		return midnight.AddDate(0, 0, -1), nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100_000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(form, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf(`%q is not a time; write today, yesterday, 2h, 7d, 2026-11-23, "2026-11-23 14:05" or RFC 3339`, text)
}

// foundPart is one part in the JSON form; its keys are a contract.
type foundPart struct {
	ID            int64    `json:"id"`
	At            string   `json:"at"` // RFC 3339
	Station       string   `json:"station"`
	Sequence      *uint32  `json:"sequence"`
	Missed        uint32   `json:"missed"`
	PartID        string   `json:"part_id"`
	Lot           string   `json:"lot"`
	Mode          string   `json:"mode"`
	Verdict       string   `json:"verdict"`
	Reason        string   `json:"reason"`
	Decided       string   `json:"decided"`
	DecidedReason string   `json:"decided_reason"`
	Score         *float64 `json:"score"`
	Threshold     *float64 `json:"threshold"`
	Late          bool     `json:"late"`
	Recipe        string   `json:"recipe"`
	Version       int      `json:"version"`
	Outcome       string   `json:"outcome"`
	TotalMS       *float64 `json:"total_ms"`
	Recovered     bool     `json:"recovered"`
	Zone          string   `json:"zone"`
	Review        string   `json:"review"`
}

func (g *program) foundPart(p store.Part) foundPart {
	f := foundPart{
		ID: p.ID, At: g.rfc3339(p.At), Station: p.Station, Sequence: known(p.Sequence), Missed: p.Missed,
		PartID: p.PartID, Lot: p.Lot, Mode: p.Mode,
		Verdict: p.Verdict.String(), Reason: p.Reason.String(), Decided: p.Decided.String(), DecidedReason: p.DecidedReason.String(),
		Score: numeric(p.Score), Threshold: numeric(p.Threshold), Late: p.Late,
		Recipe: p.Recipe, Version: p.Version, Outcome: string(p.Outcome), Recovered: p.Recovered,
		Zone: p.Zone, Review: string(p.Review),
	}
	if p.Total > 0 {
		total := milliseconds(p.Total)
		f.TotalMS = &total
	}
	return f
}

// numeric is a number as JSON has it, nil where there is none.
func numeric(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func known(s part.Sequence) *uint32 {
	if !s.Known() {
		return nil
	}
	return &s.Value
}

// queryHeader names the columns of row.
func queryHeader(table bool) []string {
	header := []string{"id", "time", "sequence", "part", "lot", "verdict", "reason", "score", "threshold", "recipe", "ms", "plc"}
	if !table {
		header = append(header, "late")
	}
	return header
}

// row is the part in a table, or in CSV, where text and instants stand as they are.
func (f foundPart) row(table bool) []string {
	at, id, lot := f.At, f.PartID, f.Lot
	if table {
		if t, err := time.Parse(time.RFC3339Nano, f.At); err == nil {
			at = t.Format("2006-01-02 15:04:05.000")
		}
		id, lot = shown(id, 32), shown(lot, 24)
	}
	recipe, total := "", ""
	if f.Recipe != "" {
		recipe = fmt.Sprintf("%s@%d", f.Recipe, f.Version)
	}
	if f.TotalMS != nil {
		total = fmt.Sprintf("%.1f", *f.TotalMS)
	}
	outcome := f.Outcome
	if outcome == "" {
		outcome = "unknown"
	}
	sequence := ""
	if f.Sequence != nil {
		sequence = strconv.FormatUint(uint64(*f.Sequence), 10)
	}
	score := figure(f.Score)
	if table && f.Late {
		score += " late"
	}
	row := []string{strconv.FormatInt(f.ID, 10), at, sequence, id, lot, f.Verdict, f.Reason, score, figure(f.Threshold), recipe, total, outcome}
	if table {
		if f.Reason == part.Shadow.String() {
			row[6] = fmt.Sprintf("%s (found %s)", f.Reason, cmp.Or(f.DecidedReason, f.Decided))
		}
		for i, cell := range row {
			if cell == "" {
				row[i] = "-"
			}
		}
		return row
	}
	return append(row, strconv.FormatBool(f.Late))
}

func figure(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', 4, 64)
}

// shown makes text from outside fit for a terminal: what does not print is escaped, as it might move
// the cursor or colour the screen, and what is long is cut.
func shown(text string, width int) string {
	var b strings.Builder
	runes := 0
	for i, r := range text {
		if runes++; runes > width {
			b.WriteString("…")
			break
		}
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !unicode.IsPrint(r):
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// lines does so for text of several lines.
func lines(text string) string {
	all := strings.Split(text, "\n")
	for i := range all {
		all[i] = shown(all[i], math.MaxInt)
	}
	return strings.Join(all, "\n")
}

func (p *program) query(ctx context.Context, q question, parquet, pictures string) error {
	f, reader, err := p.ask(ctx, q)
	if err != nil {
		return err
	}
	defer reader.Close()
	if parquet != "" {
		return p.queryToParquet(ctx, reader, f, parquet)
	}
	if pictures != "" {
		return p.queryToFolder(ctx, reader, f, pictures)
	}
	var n int
	var last int64
	out := p.partWriter()
	for row, err := range reader.Find(ctx, f) {
		if err != nil {
			return err
		}
		n, last = n+1, row.ID
		if err := out.write(p.foundPart(row)); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil {
		return err
	}
	if n == 0 {
		return errNoMatch
	}
	if p.output == "table" && f.Limit > 0 && n == f.Limit {
		fmt.Fprintf(p.err, "the newest %d; --limit shows more, --before %d goes on from here\n", n, last)
	}
	return nil
}

var errNoMatch = hint.New(hint.NoMatch, errors.New("no part in the record matches"), "widen --since, or leave a condition out")

// ask reads the question in the plant's time, and opens the record that the config names.
func (p *program) ask(ctx context.Context, q question) (store.Filter, *store.Reader, error) {
	if _, err := q.filter(time.Now()); err != nil { // a mistake in it is told first, without a config
		return store.Filter{}, nil, err
	}
	reader, err := p.openReader(ctx)
	if err != nil {
		return store.Filter{}, nil, err
	}
	f, err := q.filter(time.Now().In(p.zone))
	if err == nil {
		err = inOrder(f.Since, f.Until)
	}
	if err != nil {
		return store.Filter{}, nil, errors.Join(err, reader.Close())
	}
	return f, reader, nil
}

// openReader opens the record that the config names.
func (p *program) openReader(ctx context.Context) (*store.Reader, error) {
	cfg, err := p.load()
	if err != nil {
		return nil, err
	}
	return store.OpenReader(ctx, cfg.Store)
}
