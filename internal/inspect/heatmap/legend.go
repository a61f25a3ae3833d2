package heatmap

import (
	"fmt"
	"image"
	"image/color"
	"math"

	"gocv.io/x/gocv"

	"linectl/internal/inspect/picture"
)

var (
	dark  = color.RGBA{24, 26, 30, 255}
	light = color.RGBA{235, 235, 235, 255}
	faint = color.RGBA{150, 154, 160, 255}
	green = color.RGBA{80, 200, 120, 255}
	red   = color.RGBA{255, 95, 95, 255}
)

// legendHeight leaves room for two lines of text, or for text above the scale where the picture is narrow.
func legendHeight(width int) int {
	if narrow(width) {
		return 116
	}
	return 64
}

func narrow(width int) bool { return width < 620 }

// head is what the legend says: a title in its colour, figures below it, and the score that is marked on the
// scale; NaN marks none.
type head struct {
	title, figures string
	shade          color.RGBA
	score          float64
	numbers        bool // the scale is in scores, and knows no threshold
}

func headOf(score, threshold float64) head {
	h := head{title: "pass", shade: green, score: score}
	if !(score < threshold) {
		h.title, h.shade = "reject", red
	}
	figures := fmt.Sprintf("score %.4g", score)
	if math.IsNaN(score) {
		figures = "no score"
	}
	h.figures = fmt.Sprintf("%s   threshold %.4g", figures, threshold)
	return h
}

// legend draws the strip below the picture.
func legend(canvas *image.RGBA, size picture.Size, h head, threshold float64) error {
	top, width := size.Height, size.Width
	strip := image.Rect(0, top, width, canvas.Bounds().Max.Y)
	for y := strip.Min.Y; y < strip.Max.Y; y++ {
		for x := range width {
			canvas.SetRGBA(x, y, dark)
		}
	}
	texts := []text{
		{h.title, image.Pt(14, top+27), 0.7, 2, h.shade},
		{h.figures, image.Pt(14, top+51), 0.45, 1, light},
	}
	// The scale.
	left, right, y := width-330, width-24, top+14
	if narrow(width) {
		left, right, y = 14, width-24, top+68
	}
	const height = 16
	for x := left; x <= right; x++ {
		level := scaleStart + float32(x-left)/float32(right-left)*(fullest-scaleStart)
		for dy := range height {
			canvas.SetRGBA(x, y+dy, over(color.RGBA{96, 96, 96, 255}, level))
		}
	}
	place := func(level float64) int {
		share := (level - scaleStart) / (fullest - scaleStart)
		return left + int(min(max(share, 0), 1)*float64(right-left))
	}
	for _, level := range []float64{0.5, 0.75, 1, 1.25, 1.5} {
		x := place(level)
		for dy := range 5 {
			canvas.SetRGBA(x, y+height+dy, faint)
		}
		label := fmt.Sprintf("%g", level)
		switch {
		case h.numbers:
			label = fmt.Sprintf("%.2g", level*threshold)
		case level == 1:
			label = "threshold"
		}
		texts = append(texts, text{label, image.Pt(x-len(label)*4+1, y+height+19), 0.38, 1, faint})
	}
	if !math.IsNaN(h.score) {
		marker(canvas, place(h.score/threshold), y-2)
	}
	return write(canvas, texts)
}

// scaleStart is where the drawn scale begins, in units of the threshold.
const scaleStart = 0.5

// marker is a small triangle that points down at the scale.
func marker(canvas *image.RGBA, x, y int) {
	for dy := range 8 {
		for dx := -dy; dx <= dy; dx++ {
			canvas.SetRGBA(x+dx, y-dy, light)
		}
	}
}

type text struct {
	words     string
	at        image.Point // left end of the base line
	scale     float64
	thickness int
	shade     color.RGBA
}

// write writes texts with OpenCV's stroke font.
func write(canvas *image.RGBA, texts []text) error {
	size := canvas.Bounds().Size()
	mat, err := gocv.NewMatFromBytes(size.Y, size.X, gocv.MatTypeCV8UC4, canvas.Pix)
	if err != nil {
		return fmt.Errorf("legend: %w", err)
	}
	defer mat.Close()
	for _, t := range texts {
		// The canvas is RGBA where OpenCV expects BGRA.
		shade := color.RGBA{t.shade.B, t.shade.G, t.shade.R, 255}
		if err := gocv.PutTextWithParams(&mat, t.words, t.at, gocv.FontHersheySimplex, t.scale, shade, t.thickness, gocv.LineAA, false); err != nil {
			return fmt.Errorf("legend: %w", err)
		}
	}
	pixels, err := mat.DataPtrUint8()
	if err != nil {
		return fmt.Errorf("legend: %w", err)
	}
	copy(canvas.Pix, pixels) // the same memory, unless OpenCV has moved it
	return nil
}
