package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect/heatmap"
	"linectl/internal/part"
	"linectl/internal/raster"
	"linectl/internal/store"
)

func (p *program) showCommand() *cobra.Command {
	var overlay, nearest string
	var byPart bool
	c := &cobra.Command{
		Use:   "show ID|PART",
		Short: "one part's whole story, and its heatmap",
		Long: `Show tells everything that the record knows of a part: the verdict and why, score and threshold, what
decided, how long each stage took, and what the PLC was told. It draws the heatmap over the picture,
where that was kept, else over grey.

--nearest tells why a score is high, or is not: it computes the kept picture again with the recipe version that
decided, and draws its highest patch beside the good patch seen in training that is nearest to it. A good part
whose nearest patch looks different has met something new (train --add).

The argument is the id of a record, else a part id, of which the newest record is shown.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return p.show(c.Context(), args[0], byPart, overlay, c.Flags().Changed("picture"), nearest)
		},
	}
	c.Flags().StringVar(&overlay, "picture", "", "file for the heatmap; by default part-ID.png in the current folder")
	c.Flags().StringVar(&nearest, "nearest", "", "instead, draw its highest patch beside the nearest good patch of training into this file, .png")
	c.Flags().BoolVar(&byPart, "part", false, "the argument is a part id, even if it is a number")
	return c
}

func (p *program) show(ctx context.Context, name string, byPart bool, overlay string, asked bool, nearest string) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	reader, err := store.OpenReader(ctx, cfg.Store)
	if err != nil {
		return err
	}
	defer reader.Close()
	story, err := lookUp(ctx, reader, name, byPart)
	if err != nil {
		return err
	}
	if nearest != "" {
		return p.showNearest(ctx, cfg, story, nearest)
	}
	if overlay == "" {
		overlay = fmt.Sprintf("part-%d.png", story.ID)
	}
	drawing := drawStory(story, overlay)
	opinions, err := reader.Opinions(ctx, story.ID)
	if err != nil {
		return err
	}
	page := p.storyPage(story, opinions, drawing, cfg.Line.Cycle.Std())
	if lot := story.Record.Trigger.Lot; lot != "" {
		held, err := reader.Holds(ctx, lot)
		if err != nil {
			return err
		}
		for _, h := range held {
			page.Hold = &heldLot{h.Lot, p.rfc3339(h.At), h.Who, h.Why}
		}
	}
	switch p.output {
	case "json":
		err = p.print(page, nil, nil)
	case "csv":
		err = p.print(nil, []string{"field", "value"}, page.fields(plainText))
	default:
		err = page.write(p.out, terminal(p.out))
	}
	if err == nil && asked && drawing.err != nil {
		return hint.New(hint.Failure, fmt.Errorf("no heatmap: %w", drawing.err), "leave --picture out to see the rest only")
	}
	return err
}

// lookUp finds a record by its id, else the newest one of a part.
func lookUp(ctx context.Context, reader *store.Reader, name string, byPart bool) (store.Story, error) {
	if id, err := strconv.ParseInt(name, 10, 64); err == nil && !byPart {
		story, err := reader.Part(ctx, id)
		if hint.KindOf(err) != hint.NoMatch || err == nil {
			return story, err
		}
	}
	if name != "" { // which a filter takes for any
		for found, err := range reader.Find(ctx, store.Filter{PartID: name, Limit: 1}) {
			if err != nil {
				return store.Story{}, err
			}
			return reader.Part(ctx, found.ID)
		}
	}
	return store.Story{}, hint.New(hint.NoMatch, fmt.Errorf("there is no record and no part %q", name), "'linectl query' lists what there is")
}

// drawing is the heatmap of a part as a file, or why there is none.
type drawing struct {
	path    string
	picture error // why the heatmap is drawn on grey
	err     error // why it is not drawn
}

// drawStory draws the heatmap of a part over its picture.
func drawStory(s store.Story, path string) drawing {
	f := s.Record.Finding
	if f == nil && s.Late != nil {
		f = &s.Late.Finding
	}
	if f == nil || len(f.Map.Cells) == 0 {
		return drawing{err: errors.New("nothing was scored")}
	}
	var frame part.Frame
	var missing error
	if len(s.Pictures) > 0 {
		frame, missing = readKept(s.Pictures[0])
	} else {
		missing = errors.New("the picture was not kept")
	}
	drawn, err := heatmap.Draw(frame, f.Map, f.Score, f.Threshold)
	if err == nil {
		err = writePNG(path, drawn)
	}
	if err != nil {
		return drawing{err: err}
	}
	return drawing{path: path, picture: missing}
}

// readKept reads a kept picture if it still is what was kept.
func readKept(p store.Picture) (part.Frame, error) {
	data, err := p.Read()
	if errors.Is(err, store.ErrRemoved) {
		return part.Frame{}, fmt.Errorf("the picture %w", err)
	}
	if err != nil {
		return part.Frame{}, fmt.Errorf("the picture %s %w", p.Path, err)
	}
	return raster.Decode(data)
}

// storyPage is a story in the JSON form; its keys are a contract.
type storyPage struct {
	foundPart
	Detail     string         `json:"detail"`
	ReasonText string         `json:"reason_text"`
	Hint       string         `json:"hint"`
	Hash       string         `json:"recipe_hash"`
	Backbone   string         `json:"backbone"`
	Brightness *float64       `json:"brightness"`
	Spread     *float64       `json:"spread"`
	Sharpness  *float64       `json:"sharpness"`
	Digest     string         `json:"frame_sha256"`
	Software   string         `json:"software"`
	Device     string         `json:"device"`
	UserData   string         `json:"user_data"`
	ForReview  bool           `json:"for_review"` // passed, but near the threshold
	CycleMS    float64        `json:"cycle_ms"`   // that the part had; as configured now where the record does not say
	Reviews    []reviewPage   `json:"reviews"`
	Hold       *heldLot       `json:"hold"` // of its lot; null where it is not held
	Deliveries []deliveryPage `json:"deliveries"`
	LateBy     string         `json:"late_at,omitempty"` // when the late finding came
	Pictures   []keptPicture  `json:"pictures"`
	Overlay    string         `json:"overlay"`
	NoOverlay  string         `json:"no_overlay,omitempty"`
	Note       string         `json:"note,omitempty"`
	bits       int
}

type reviewPage struct {
	Verdict string `json:"verdict"`
	Who     string `json:"who"`
	Why     string `json:"why"`
	At      string `json:"at"`
}

type deliveryPage struct {
	At      string      `json:"at"`
	Verdict string      `json:"verdict"`
	Reason  string      `json:"reason"`
	Outcome string      `json:"outcome"`
	TotalMS float64     `json:"total_ms"`
	Stages  []stagePage `json:"stages"`
	Error   string      `json:"error,omitempty"`
}

type stagePage struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"`
}

type keptPicture struct {
	Camera    string `json:"camera"`
	Path      string `json:"path"`
	ExposedAt string `json:"exposed_at"`
	Source    string `json:"source,omitempty"`
	Width     int    `json:"width"`
	Height    int    `json:"height"`
	SHA256    string `json:"sha256"`
	Removed   string `json:"removed_at,omitempty"` // by retention
	Why       string `json:"removed_why,omitempty"`
}

func (g *program) storyPage(s store.Story, opinions []store.Opinion, d drawing, cycle time.Duration) storyPage {
	r := s.Record
	page := storyPage{
		foundPart: foundPart{
			ID: s.ID, At: g.rfc3339(r.Trigger.SeenAt), Station: r.Station, Sequence: known(r.Trigger.Sequence), Missed: r.Missed,
			PartID: r.Trigger.PartID, Lot: r.Trigger.Lot, Mode: r.Mode,
			Verdict: s.Verdict.String(), Reason: s.Reason.String(), Decided: r.Verdict.String(), DecidedReason: r.Reason.String(),
			Recovered: r.Recovered,
		},
		bits: r.Trigger.Sequence.Bits, Detail: r.Detail, ReasonText: s.Reason.Text(), Hint: s.Reason.Hint(),
		Digest: r.Digest, Software: r.Software, UserData: r.Trigger.UserData, CycleMS: milliseconds(cmp.Or(r.Cycle, cycle)),
		Deliveries: []deliveryPage{}, Pictures: []keptPicture{}, Reviews: []reviewPage{}, Overlay: d.path,
	}
	for _, o := range opinions {
		page.Reviews = append(page.Reviews, reviewPage{string(o.Verdict), o.Who, o.Why, g.rfc3339(o.At)})
		page.Review = string(o.Verdict) // the newest counts
	}
	f := r.Finding
	if f == nil && s.Late != nil {
		f, page.Late, page.LateBy = &s.Late.Finding, true, g.rfc3339(s.Late.At)
	}
	if f != nil {
		page.Zone, page.Device, page.ForReview = f.Zone, f.Device, f.Review
		page.Score, page.Threshold = numeric(f.Score), numeric(f.Threshold)
		page.Recipe, page.Version, page.Hash, page.Backbone = f.Recipe.Name, f.Recipe.Version, f.Recipe.Hash, f.Recipe.Backbone
		page.Brightness, page.Spread, page.Sharpness = numeric(f.Quality.Brightness), numeric(f.Quality.Spread), numeric(f.Quality.Sharpness)
	}
	for _, d := range s.Deliveries {
		told := deliveryPage{At: g.rfc3339(d.At), Verdict: d.Verdict.String(), Reason: d.Reason.String(), Outcome: string(d.Outcome),
			TotalMS: milliseconds(d.Total), Stages: []stagePage{}, Error: d.Error}
		for _, stage := range d.Stages {
			told.Stages = append(told.Stages, stagePage{stage.Name, milliseconds(stage.Took)})
		}
		page.Deliveries = append(page.Deliveries, told)
		page.Outcome = told.Outcome
		if d.Total > 0 {
			page.TotalMS = &told.TotalMS
		}
	}
	for _, p := range s.Pictures {
		kept := keptPicture{p.Camera, p.Path, g.rfc3339(p.ExposedAt), p.Source, p.Width, p.Height, p.SHA256, "", p.RemovedWhy}
		if !p.Removed.IsZero() {
			kept.Removed = g.rfc3339(p.Removed)
		}
		page.Pictures = append(page.Pictures, kept)
	}
	if d.err != nil {
		page.NoOverlay = d.err.Error()
	} else if d.picture != nil {
		page.Note = d.picture.Error()
	}
	return page
}
