package main

import (
	"fmt"
	"image/color"
	"path/filepath"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"linectl/internal/hint"
)

var (
	ink   = color.RGBA{0x1f, 0x4e, 0x79, 0xff}
	faint = color.RGBA{0x9a, 0xb7, 0xd3, 0xff}
	warn  = color.RGBA{0xc0, 0x39, 0x2b, 0xff}
)

// save writes a chart as the file's name asks for it.
func save(p *plot.Plot, path string) error {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".png", ".svg":
		return p.Save(24*vg.Centimeter, 12*vg.Centimeter, path)
	}
	return hint.New(hint.Usage, fmt.Errorf("%q is neither .png nor .svg", path), "name the file accordingly")
}

// plotStats draws the reject rate of each group with its interval.
func plotStats(path, by string, found []counted) error {
	p := plot.New()
	p.Title.Text = "reject rate by " + by + ", with 95 % interval"
	p.Y.Label.Text = "%"
	p.Y.Min = 0
	points := make(plotter.XYs, len(found))
	var errors plotter.YErrors
	for i, c := range found {
		points[i] = plotter.XY{X: float64(i), Y: 100 * c.Rate}
		errors = append(errors, struct{ Low, High float64 }{100 * (c.Rate - c.Low), 100 * (c.High - c.Rate)})
	}
	bars, err := plotter.NewYErrorBars(struct {
		plotter.XYer
		plotter.YErrorer
	}{points, errors})
	if err != nil {
		return err
	}
	bars.Color = faint
	dots, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	dots.Color, dots.Radius = ink, vg.Points(2)
	p.Add(plotter.NewGrid(), bars, dots)
	p.X.Tick.Marker = names(found)
	return save(p, path)
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

// plotSeries draws a quantity over time, and where it changed if it did.
func plotSeries(path, quantity string, s series, change int, zone *time.Location) error {
	p := plot.New()
	p.Title.Text = "mean " + quantity + " by quarter of an hour"
	p.X.Tick.Marker = plot.TimeTicks{Format: "2006-01-02\n15:04", Time: func(t float64) time.Time { return time.Unix(int64(t), 0).In(zone) }}
	points := make(plotter.XYs, len(s.at))
	for i := range s.at {
		points[i] = plotter.XY{X: float64(s.at[i].Unix()), Y: s.values[i]}
	}
	if len(points) == 0 {
		return errNoMatch
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.Color = ink
	p.Add(plotter.NewGrid(), line)
	if change > 0 {
		x := float64(s.at[change].Unix())
		mark, err := plotter.NewLine(plotter.XYs{{X: x, Y: p.Y.Min}, {X: x, Y: p.Y.Max}})
		if err != nil {
			return err
		}
		mark.Color, mark.Width = warn, vg.Points(1.5)
		p.Add(mark)
	}
	return save(p, path)
}
