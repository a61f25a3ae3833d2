package exam

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"path/filepath"
	"slices"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"figure":  func(v *float64) string { return written(v, "%.4f") },
	"percent": func(v *float64) string { return written(percent(v), "%.2f %%") },
	"share":   func(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) },
	"score":   func(v *float64) string { return written(v, "%.4g") },
	"base":    filepath.Base,
}).Parse(pageText))

func written(v *float64, form string) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf(form, *v)
}

func percent(v *float64) *float64 {
	if v == nil {
		return nil
	}
	p := 100 * *v
	return &p
}

// bar is one column of the histogram, in the units of its drawing.
type bar struct {
	X, Good, Bad, GoodY, BadY float64
}

// histogram is the scores in units of their thresholds.
type histogram struct {
	Bars            []bar
	Width, Height   float64
	Column          float64
	Threshold       float64 // where it stands
	Low, High, Most string  // what the axes say
}

// newHistogram draws at most 40 columns; nil where nothing was scored.
func newHistogram(rep *Report) *histogram {
	var ratios []float64
	for k := range rep.Pictures {
		if p := &rep.Pictures[k]; p.Score != nil {
			ratios = append(ratios, p.ratio())
		}
	}
	if len(ratios) == 0 {
		return nil
	}
	const columns, width, height = 40, 800.0, 200.0
	low, high := min(slices.Min(ratios), 1), max(slices.Max(ratios), 1)
	step := (high - low) / (columns - 1)
	if step == 0 {
		step = 0.01
	}
	// The threshold stands between two columns, so that no column holds both sides.
	below := math.Ceil((1 - low) / step)
	low = 1 - below*step
	good, bad := make([]int, columns+2), make([]int, columns+2)
	for k := range rep.Pictures {
		p := &rep.Pictures[k]
		if p.Score == nil {
			continue
		}
		r := p.ratio()
		at := int((r - low) / step)
		if r < 1 {
			at = min(at, int(below)-1)
		} else {
			at = max(at, int(below))
		}
		at = min(max(at, 0), len(good)-1)
		if p.Bad {
			bad[at]++
		} else {
			good[at]++
		}
	}
	h := &histogram{Width: width, Height: height, Column: width / float64(len(good)), Low: fmt.Sprintf("%.2f", low), High: fmt.Sprintf("%.2f", low+step*float64(len(good)))}
	most := 1
	for i := range good {
		most = max(most, good[i]+bad[i])
	}
	h.Most = fmt.Sprint(most)
	for i := range good {
		g, b := float64(good[i])/float64(most)*height, float64(bad[i])/float64(most)*height
		h.Bars = append(h.Bars, bar{float64(i) * h.Column, g, b, height - g, height - g - b})
	}
	h.Threshold = below * h.Column
	return h
}

// WritePage writes the report as one HTML file that needs nothing else: no script, no font, no picture from
// elsewhere.
func WritePage(w io.Writer, rep *Report, worst, weakest []Evidence) error {
	return page.Execute(w, struct {
		*Report
		Histogram *histogram
		Groups    []group
	}{rep, newHistogram(rep), []group{
		{"Worst good pictures", "The good parts with the highest scores. What is marked here is what costs false rejects.", worst},
		{"Weakest bad pictures", "The bad parts with the lowest scores. What is not marked here is what escapes.", weakest},
	}})
}

type group struct {
	Title, About string
	Evidences    []Evidence
}
