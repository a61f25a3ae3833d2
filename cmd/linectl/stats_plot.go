package main

import (
	"errors"
	"math"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"linectl/internal/hint"
	"linectl/internal/store"
)

// plotStats draws the reject rate of each group with its interval; below it, where groups are in time and were scored, the
// control chart of their scores.
func plotStats(path, by string, inTime bool, found []counted) error {
	rates, err := plotRates(by, found)
	if err != nil {
		return err
	}
	panels := []*plot.Plot{rates}
	if inTime && scoredAny(found) {
		chart, err := plotControl(by, found)
		if err != nil {
			return err
		}
		panels = append(panels, chart)
	}
	return saveChart(path, panels...)
}

func plotRates(by string, found []counted) (*plot.Plot, error) {
	p := newPanel("reject rate by "+by+" in %, with 95 % interval", names(found))
	p.Y.Min = 0
	points := make(plotter.XYs, len(found))
	var intervals plotter.YErrors
	for i, c := range found {
		points[i] = plotter.XY{X: float64(i), Y: 100 * c.Rate}
		intervals = append(intervals, struct{ Low, High float64 }{100 * (c.Rate - c.Low), 100 * (c.High - c.Rate)})
	}
	bars, err := plotter.NewYErrorBars(struct {
		plotter.XYer
		plotter.YErrorer
	}{points, intervals})
	if err != nil {
		return nil, err
	}
	bars.Color, bars.CapWidth = faint, 0
	p.Add(bars)
	return p, addDots(p, points, ink)
}

func scoredAny(found []counted) bool {
	for _, c := range found {
		if c.Score != nil {
			return true
		}
	}
	return false
}

// plotControl is the control chart: means as dots, the moving average with its limits, and its alarms in red.
func plotControl(by string, found []counted) (*plot.Plot, error) {
	p := newPanel("mean score by "+by+", its moving average (EWMA) and the limits of that; red where it has left them", names(found))
	line := func(value func(counted) *float64) (points plotter.XYs) {
		for i, c := range found {
			if v := value(c); v != nil {
				points = append(points, plotter.XY{X: float64(i), Y: *v})
			}
		}
		return points
	}
	alarms := line(func(c counted) *float64 {
		if c.Drift {
			return c.EWMA
		}
		return nil
	})
	dashes := []vg.Length{vg.Points(4), vg.Points(3)}
	return p, errors.Join(
		addDots(p, line(func(c counted) *float64 { return c.Score }), faint),
		addLine(p, line(func(c counted) *float64 { return c.LowLimit }), draw.LineStyle{Color: warn, Width: vg.Points(0.7), Dashes: dashes}),
		addLine(p, line(func(c counted) *float64 { return c.HighLimit }), draw.LineStyle{Color: warn, Width: vg.Points(0.7), Dashes: dashes}),
		addLine(p, line(func(c counted) *float64 { return c.EWMA }), draw.LineStyle{Color: ink, Width: vg.Points(1.5)}),
		addDots(p, alarms, warn),
	)
}

// names puts at most eight names below the axis, those of two words on two lines.
type names []counted

func (n names) Ticks(low, high float64) (ticks []plot.Tick) {
	step := (len(n) + 7) / 8
	for i, c := range n {
		if i%step == 0 {
			ticks = append(ticks, plot.Tick{Value: float64(i), Label: strings.Replace(shown(c.Key, 20), " ", "\n", 1)})
		}
	}
	return ticks
}

// mostPoints are as many as a chart is wide; of a longer series neighbours are put together.
const mostPoints = 1000

// plotSeries draws a quantity over time, and where it changed if it did.
func plotSeries(path, quantity string, s series, change *store.Change, zone *time.Location) error {
	if len(s.at) == 0 {
		return hint.New(hint.NoMatch, errors.New("no part that matches was measured"), "widen --since, or leave a condition out")
	}
	title := map[string]string{"score": "mean score of passes", "light": "mean brightness of the pictures", "focus": "mean sharpness of the pictures"}[quantity]
	if change != nil {
		title += "; changed at " + s.at[change.Index].In(zone).Format("2006-01-02 15:04")
	}
	p := newPanel(title, timeTicks{zone})
	together := (len(s.at) + mostPoints - 1) / mostPoints
	var points plotter.XYs
	for i := 0; i < len(s.at); i += together {
		var sum, weight float64
		for j := i; j < min(i+together, len(s.at)); j++ {
			sum, weight = sum+s.weight[j]*s.values[j], weight+s.weight[j]
		}
		points = append(points, plotter.XY{X: float64(s.at[i].Unix()), Y: sum / weight})
	}
	if err := addLine(p, points, draw.LineStyle{Color: faint, Width: vg.Points(0.7)}); err != nil {
		return err
	}
	if change != nil {
		first, at, last := float64(s.at[0].Unix()), float64(s.at[change.Index].Unix()), float64(s.at[len(s.at)-1].Unix())
		bold := draw.LineStyle{Color: ink, Width: vg.Points(2)}
		err := errors.Join(
			addLine(p, plotter.XYs{{X: at, Y: p.Y.Min}, {X: at, Y: p.Y.Max}}, draw.LineStyle{Color: warn, Width: vg.Points(1.5)}),
			addLine(p, plotter.XYs{{X: first, Y: change.Before}, {X: math.Max(first, at), Y: change.Before}}, bold),
			addLine(p, plotter.XYs{{X: at, Y: change.After}, {X: last, Y: change.After}}, bold),
		)
		if err != nil {
			return err
		}
	}
	return saveChart(path, p)
}
