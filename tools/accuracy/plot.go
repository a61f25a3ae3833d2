package main

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// curve is the image AUROC of a set against the number of good pictures.
type curve struct {
	set    string
	points plotter.XYs
}

// draw draws curves into a file, whose name says its form; pictures grow by factors.
func draw(file string, curves []curve) error {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "good pictures trained on", "image AUROC"
	p.X.Scale = plot.LogScale{}
	p.BackgroundColor = color.White
	p.Legend.Left = false
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	p.Add(grid)
	var ticks plot.ConstantTicks
	for i, c := range curves {
		line, dots, err := plotter.NewLinePoints(c.points)
		if err != nil {
			return err
		}
		line.Width, line.Color = vg.Points(1.5), plotutil.Color(i)
		dots.Shape, dots.Color = plotutil.Shape(0), plotutil.Color(i)
		p.Add(line, dots)
		p.Legend.Add(c.set, line, dots)
		for _, at := range c.points {
			ticks = append(ticks, plot.Tick{Value: at.X, Label: number(at.X)})
		}
	}
	p.X.Tick.Marker, p.Y.Max = ticks, 1
	return p.Save(16*vg.Centimeter, 9*vg.Centimeter, file)
}
