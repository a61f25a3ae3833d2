package main

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"linectl/internal/hint"
)

var (
	ink   = color.RGBA{0x1f, 0x4e, 0x79, 0xff}
	faint = color.RGBA{0x9a, 0xb7, 0xd3, 0xff}
	warn  = color.RGBA{0xc0, 0x39, 0x2b, 0xff}
)

// checkChart refuses a file name before any work is done.
func checkChart(path string) error {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".png", ".svg":
		return nil
	}
	if path == "" { // none is asked for
		return nil
	}
	return hint.New(hint.Usage, fmt.Errorf("--plot: %q is neither .png nor .svg", path), "name the file accordingly")
}

// saveChart draws panels one above the other, as the file's name asks for it.
func saveChart(path string, panels ...*plot.Plot) error {
	if err := checkChart(path); err != nil {
		return err
	}
	const width, height, margin = 28 * vg.Centimeter, 10 * vg.Centimeter, 0.4 * vg.Centimeter
	canvas, err := draw.NewFormattedCanvas(width, height*vg.Length(len(panels)), strings.ToLower(filepath.Ext(path))[1:])
	if err != nil {
		return err
	}
	page := draw.New(canvas)
	page.SetColor(color.White)
	page.Fill(page.Rectangle.Path())
	rows := make([][]*plot.Plot, len(panels))
	for i, p := range panels {
		rows[i] = []*plot.Plot{p}
	}
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadY: 2 * margin}
	for i, row := range plot.Align(rows, tiles, draw.Crop(page, margin, -2*margin, margin, -margin)) {
		panels[i].Draw(row[0])
	}
	return writeWhole("--plot", path, 0o640, func(w io.Writer) error {
		_, err := canvas.WriteTo(w)
		return err
	})
}

func newPanel(title string, below plot.Ticker) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.Title.Padding = title, vg.Points(6)
	p.X.Tick.Marker, p.Y.Tick.Marker = below, roundTicks{}
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	p.Add(grid)
	return p
}

func addDots(p *plot.Plot, points plotter.XYs, c color.Color) error {
	if len(points) == 0 {
		return nil
	}
	dots, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	dots.Color, dots.Radius, dots.Shape = c, vg.Points(2.2), draw.CircleGlyph{}
	p.Add(dots)
	return nil
}

func addLine(p *plot.Plot, points plotter.XYs, style draw.LineStyle) error {
	if len(points) == 0 {
		return nil
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.LineStyle = style
	p.Add(line)
	return nil
}

// roundTicks are some five ticks at round numbers, with the digits that tell them apart.
type roundTicks struct{}

func (roundTicks) Ticks(low, high float64) (ticks []plot.Tick) {
	step := roundStep((high - low) / 5)
	digits := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	for n := math.Ceil(low/step - 1e-9); n*step <= high+1e-9*step; n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: strconv.FormatFloat(n*step+0, 'f', digits, 64)})
	}
	return ticks
}

// roundStep is the first of 1, 2, 5, 10, … times a power of ten that is not below least.
func roundStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= least {
			return m * power
		}
	}
	return 10 * power
}

// timeTicks are at most eight round moments of a time zone.
type timeTicks struct{ zone *time.Location }

func (z timeTicks) Ticks(low, high float64) (ticks []plot.Tick) {
	from, to := time.Unix(int64(math.Ceil(low)), 0).In(z.zone), time.Unix(int64(high), 0).In(z.zone)
	year, month, day := from.Date()
	for _, step := range []struct{ months, days, minutes int }{
		{0, 0, 15}, {0, 0, 30}, {0, 0, 60}, {0, 0, 120}, {0, 0, 180}, {0, 0, 360}, {0, 0, 720},
		{0, 1, 0}, {0, 2, 0}, {0, 7, 0}, {0, 14, 0}, {1, 0, 0}, {2, 0, 0}, {3, 0, 0}, {6, 0, 0}, {12, 0, 0},
	} {
		if step.months > 0 {
			month, day = time.January, 1
		}
		form := time.DateOnly
		if step.minutes > 0 {
			form = "2006-01-02\n15:04"
		}
		ticks = nil
		for n := 0; len(ticks) <= 8; n++ {
			at := time.Date(year, month+time.Month(n*step.months), day+n*step.days, 0, n*step.minutes, 0, 0, z.zone)
			if at.After(to) {
				return ticks
			}
			if !at.Before(from) {
				ticks = append(ticks, plot.Tick{Value: float64(at.Unix()), Label: at.Format(form)})
			}
		}
	}
	return ticks
}
