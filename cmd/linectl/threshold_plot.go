package main

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// mark is a score with a name.
type mark struct {
	at   float64
	name string
}

// bins counts scores in n ranges of equal width from low to high.
func bins(scores []float64, low, high float64, n int) []int {
	counts := make([]int, n)
	for _, s := range scores {
		counts[min(max(int(float64(n)*(s-low)/(high-low)), 0), n-1)]++
	}
	return counts
}

// span is the range of scores and marks.
func span(scores []float64, marks []mark) (low, high float64) {
	low, high = slices.Min(scores), slices.Max(scores)
	for _, m := range marks {
		low, high = min(low, m.at), max(high, m.at)
	}
	if high <= low {
		high = low + 1
	}
	return low, high
}

// scoreBars draws the scores of good pictures as bars of text, one range a line.
func scoreBars(scores []float64, marks []mark) string {
	if len(scores) == 0 {
		return ""
	}
	const lines, widest = 20, 50
	low, high := span(scores, marks)
	counts := bins(scores, low, high, lines)
	most := max(slices.Max(counts), 1)
	var text strings.Builder
	fmt.Fprintf(&text, "held-out scores of %d good pictures\n", len(scores))
	for i, n := range counts {
		from, to := low+(high-low)*float64(i)/lines, low+(high-low)*float64(i+1)/lines
		bar := strings.Repeat("█", (n*widest+most-1)/most)
		fmt.Fprintf(&text, "%10.4g  %-*s", from, widest, bar)
		if n > 0 {
			fmt.Fprintf(&text, " %d", n)
		}
		for _, m := range marks {
			if m.at >= from && (m.at < to || i == lines-1) {
				fmt.Fprintf(&text, "  ◀ %s %.4g", m.name, m.at)
			}
		}
		text.WriteString("\n")
	}
	return text.String()
}

// plotScores draws the same as a picture.
func plotScores(path, title string, scores []float64, marks []mark) error {
	c := plot.New()
	c.Title.Text = title + ": held-out scores of good pictures"
	c.X.Label.Text, c.Y.Label.Text = "score", "pictures"
	low, high := span(scores, marks)
	const n = 40
	var points plotter.XYs
	for i, count := range bins(scores, low, high, n) {
		points = append(points, plotter.XY{X: low + (high-low)*(float64(i)+0.5)/n, Y: float64(count)})
	}
	bars, err := plotter.NewHistogram(points, n)
	if err != nil {
		return err
	}
	bars.FillColor, bars.LineStyle.Color = faint, ink
	c.Add(plotter.NewGrid(), bars)
	top := c.Y.Max
	c.Y.Max *= 1.25 // room for the legend
	for i, m := range marks {
		line, err := plotter.NewLine(plotter.XYs{{X: m.at, Y: 0}, {X: m.at, Y: top}})
		if err != nil {
			return err
		}
		line.Color = ink
		if i == 0 {
			line.Color = warn
		}
		c.Add(line)
		c.Legend.Add(fmt.Sprintf("%s %.4g", m.name, m.at), line)
	}
	c.Legend.Top, c.Legend.Left = true, true
	return saveChart(path, c)
}
