package main

import (
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// curve is the image AUROC of a set against the number of good pictures.
type curve struct {
	set    string
	points plotter.XYs
}

// save draws curves into a file, whose name says its form; pictures grow by factors.
func save(file string, curves []curve) error {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "good pictures trained on", "image AUROC"
	p.X.Scale = plot.LogScale{}
	p.BackgroundColor = color.White
	p.Legend.YOffs = 2.5 * vg.Centimeter // between the curves of easy and of hard sets
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	p.Add(grid)
	var ticks plot.ConstantTicks
	marked := make(map[float64]bool)
	for i, c := range curves {
		line, dots, err := plotter.NewLinePoints(c.points)
		if err != nil {
			return err
		}
		line.Width, line.Color = vg.Points(1.5), plotutil.Color(i)
		dots.Shape, dots.Color = draw.CircleGlyph{}, plotutil.Color(i)
		p.Add(line, dots)
		p.Legend.Add(c.set, line, dots)
		for _, at := range c.points {
			if !marked[at.X] {
				marked[at.X] = true
				ticks = append(ticks, plot.Tick{Value: at.X, Label: strconv.FormatFloat(at.X, 'g', -1, 64)})
			}
		}
	}
	p.X.Tick.Marker, p.Y.Max = ticks, 1.01
	p.Y.Tick.Marker = plot.TickerFunc(func(low, high float64) (ticks []plot.Tick) {
		for v := math.Ceil(low*20) / 20; v <= high+1e-9; v += 0.05 {
			ticks = append(ticks, plot.Tick{Value: v, Label: figure(&v)[:4]})
		}
		return ticks
	})
	return p.Save(16*vg.Centimeter, 9*vg.Centimeter, file)
}
