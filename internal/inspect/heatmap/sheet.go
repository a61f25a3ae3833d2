package heatmap

import (
	"image"
	"image/draw"
)

// Cell is one picture of a sheet with the words below it.
type Cell struct {
	Picture image.Image
	Caption string
}

const (
	gap     = 12
	caption = 26
)

// Sheet puts pictures side by side, so many columns wide, each at its own size in a field that holds the
// largest, with its caption below. Nil: there are none.
func Sheet(cells []Cell, columns int) (image.Image, error) {
	if len(cells) == 0 {
		return nil, nil
	}
	var field image.Point
	for _, c := range cells {
		size := c.Picture.Bounds().Size()
		field.X, field.Y = max(field.X, size.X), max(field.Y, size.Y)
	}
	columns = min(max(columns, 1), len(cells))
	rows := (len(cells) + columns - 1) / columns
	canvas := image.NewRGBA(image.Rect(0, 0, gap+columns*(field.X+gap), gap+rows*(field.Y+caption+gap)))
	draw.Draw(canvas, canvas.Rect, image.NewUniform(dark), image.Point{}, draw.Src)
	var texts []text
	for i, c := range cells {
		at := image.Pt(gap+i%columns*(field.X+gap), gap+i/columns*(field.Y+caption+gap))
		draw.Draw(canvas, image.Rectangle{at, at.Add(c.Picture.Bounds().Size())}, c.Picture, c.Picture.Bounds().Min, draw.Src)
		texts = append(texts, text{c.Caption, at.Add(image.Pt(2, field.Y+18)), 0.45, 1, light})
	}
	return canvas, write(canvas, texts)
}
