package exam

import (
	"context"
	"errors"
	"image"
	"image/draw"

	"linectl/internal/inspect"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// Nearest is the good patch seen in training that is nearest to the highest patch of a picture.
type Nearest struct {
	File     string  // of the training picture
	Distance float64 // between the two patches
	// Appearance is the part of the picture's score that is no patch's.
	Appearance float64
}

// Beside judges a frame again and draws it, its highest patch framed, beside the training picture with the
// nearest good patch, as the recipe keeps it.
func Beside(ctx context.Context, i *inspect.Inspector, r *recipe.Recipe, frame part.Frame) (*image.RGBA, Nearest, error) {
	found, err := i.Inspect(ctx, frame)
	if err != nil {
		return nil, Nearest{}, err
	}
	if len(found.Map.Cells) == 0 {
		return nil, Nearest{}, errors.New("nothing can be scored in it: " + found.Detail)
	}
	cell := highest(r, found)
	origin, distance, ok := goodPatch(i, r, cell)
	if !ok {
		return nil, Nearest{}, errors.New("the recipe does not know single good patches")
	}
	seen, ok := stored(r, int(origin.Picture), "")
	if !ok {
		return nil, Nearest{}, errors.New("the recipe keeps no pictures of good parts")
	}
	for _, f := range []*part.Frame{&frame, &seen} {
		if *f, err = within(*f); err != nil {
			return nil, Nearest{}, err
		}
	}
	left, right := boxed(frame, found.Map, cell), boxed(seen, found.Map, int(origin.Cell))
	const gap = 8
	width, height := left.Rect.Dx()+gap+right.Rect.Dx(), max(left.Rect.Dy(), right.Rect.Dy())
	both := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(both, left.Rect, left, image.Point{}, draw.Src)
	draw.Draw(both, right.Rect.Add(image.Pt(left.Rect.Dx()+gap, 0)), right, image.Point{}, draw.Src)
	return both, Nearest{File: r.Pictures[origin.Picture].File, Distance: distance, Appearance: found.Appearance}, nil
}
