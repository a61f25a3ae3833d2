package picture

import (
	"fmt"
	"image"
	"math"

	"gocv.io/x/gocv"

	"linectl/internal/part"
)

// measured is the most pixels that quality is measured on; larger pictures are shrunk by a whole factor
// first, which keeps the time bounded and the figures comparable for one camera.
const measured = 1 << 20

// Measure says what the picture itself is like. Sharpness is the variance of the Laplacian
// (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000).
func (p *Preparer) Measure(frame part.Frame) (part.Quality, error) {
	var q part.Quality
	err := withMat(frame, func(mat gocv.Mat) error {
		if err := gocv.CvtColor(mat, &p.grey, gocv.ColorBGRToGray); err != nil {
			return fmt.Errorf("measure picture: %w", err)
		}
		grey := p.grey
		factor := int(math.Ceil(math.Sqrt(float64(frame.Width*frame.Height) / measured)))
		if factor > 1 && min(frame.Width, frame.Height) >= factor {
			if err := gocv.Resize(grey, &p.small, image.Pt(frame.Width/factor, frame.Height/factor), 0, 0, gocv.InterpolationArea); err != nil {
				return fmt.Errorf("measure picture: %w", err)
			}
			grey = p.small
		}
		if err := gocv.Laplacian(grey, &p.edges, gocv.MatTypeCV16S, 1, 1, 0, gocv.BorderDefault); err != nil {
			return fmt.Errorf("measure picture: %w", err)
		}
		var err error
		if q.Brightness, q.Spread, err = p.meanAndSpread(grey); err != nil {
			return err
		}
		_, edges, err := p.meanAndSpread(p.edges)
		q.Sharpness = edges * edges
		return err
	})
	return q, err
}

func (p *Preparer) meanAndSpread(m gocv.Mat) (mean, spread float64, err error) {
	if err := gocv.MeanStdDev(m, &p.mean, &p.spread); err != nil {
		return 0, 0, fmt.Errorf("measure picture: %w", err)
	}
	return p.mean.GetDoubleAt(0, 0), p.spread.GetDoubleAt(0, 0), nil
}

// Limits bound what a picture may be like before its part is judged. They come from good pictures and
// are generous: their business is a lamp that is off, a lens with oil on it or a camera that fell back to
// another format, never the part. Where the shape is not bounded its limits are zero.
type Limits struct {
	Darkest   float64 `toml:"darkest" comment:"a mean grey level below this is too dark"`
	Brightest float64 `toml:"brightest" comment:"a mean grey level above this is too bright"`
	Dullest   float64 `toml:"dullest" comment:"a sharpness below this is out of focus"`
	Narrowest float64 `toml:"narrowest,omitempty" comment:"width divided by height: a picture of another shape would be stretched, and is not judged"`
	Widest    float64 `toml:"widest,omitempty"`
}

// shapeSlack is how far a picture's shape may be from those that were learned.
const shapeSlack = 1.02

// LimitsOf sets limits from the quality of good pictures: as far beyond the worst of them as three
// standard deviations, and at least 24 grey levels in brightness and a factor of 4 in sharpness.
func LimitsOf(good []part.Quality) Limits {
	const (
		deviations = 3
		grey       = 24
		factor     = 4
	)
	var bright, sharp series
	for _, q := range good {
		bright.add(q.Brightness)
		sharp.add(math.Log(max(q.Sharpness, 1e-6)))
	}
	room := max(deviations*bright.deviation(), grey)
	return Limits{
		Darkest:   max(bright.least-room, bright.least/4),
		Brightest: min(bright.most+room, 255-(255-bright.most)/4),
		Dullest:   math.Exp(sharp.least - max(deviations*sharp.deviation(), math.Log(factor))),
	}
}

// WithShapes bounds the shape by pictures of these sizes, and by what bounded it already. Pictures of many shapes come
// from no one camera and bound nothing.
func (l Limits) WithShapes(sizes []Size) Limits {
	for _, s := range sizes {
		shape := s.Shape()
		if l.Widest == 0 {
			l.Narrowest, l.Widest = shape, shape
		}
		l.Narrowest, l.Widest = min(l.Narrowest, shape), max(l.Widest, shape)
	}
	if l.Widest > l.Narrowest*shapeSlack {
		l.Narrowest, l.Widest = 0, 0
	}
	return l
}

// Fits says what is wrong where a picture of this size cannot be compared with the good ones.
func (l Limits) Fits(s Size) error {
	shape := s.Shape()
	if l.Widest == 0 || shape*shapeSlack >= l.Narrowest && shape <= l.Widest*shapeSlack {
		return nil
	}
	return fmt.Errorf("the picture is %s, %.3f times as wide as high; the good ones were %.3f: the camera's format or region was changed, or the recipe is another camera's",
		s, shape, l.Widest)
}

// Refuse returns the reason why a picture cannot be judged, with the figures behind it, and None where
// it can.
func (l Limits) Refuse(q part.Quality) (part.Reason, string) {
	switch {
	case q.Brightness < l.Darkest:
		return part.TooDark, fmt.Sprintf("brightness %.1f, darkest allowed %.1f", q.Brightness, l.Darkest)
	case q.Brightness > l.Brightest:
		return part.TooBright, fmt.Sprintf("brightness %.1f, brightest allowed %.1f", q.Brightness, l.Brightest)
	case q.Sharpness < l.Dullest:
		return part.OutOfFocus, fmt.Sprintf("sharpness %.3g, least allowed %.3g", q.Sharpness, l.Dullest)
	}
	return part.None, ""
}

// series gathers a mean, a spread and the extremes of numbers.
type series struct {
	n                         int
	sum, squares, least, most float64
}

func (s *series) add(v float64) {
	if s.n == 0 {
		s.least, s.most = v, v
	}
	s.n++
	s.sum += v
	s.squares += v * v
	s.least, s.most = min(s.least, v), max(s.most, v)
}

func (s *series) deviation() float64 {
	if s.n < 2 {
		return 0
	}
	n := float64(s.n)
	return math.Sqrt(max(0, (s.squares-s.sum*s.sum/n)/(n-1)))
}
