package picture

import (
	"fmt"
	"image"
	"image/color"
	"math/rand/v2"
	"slices"
	"strings"

	"gocv.io/x/gocv"

	"linectl/internal/part"
)

// The changes that good parts may show from one picture to the next, and how far each goes.
const (
	Rotate = "rotate" // by up to turnedBy degrees about the middle
	Shift  = "shift"  // by up to movedBy of the width and the height
	Light  = "light"  // brighter or darker by up to litBy

	turnedBy = 3.0
	movedBy  = 0.03
	litBy    = 0.1
)

// CheckChanges refuses names that are not those of changes.
func CheckChanges(changes []string) error {
	known := []string{Rotate, Shift, Light}
	for i, c := range changes {
		if !slices.Contains(known, c) {
			return fmt.Errorf("pictures cannot be widened by %q; allowed is %s", c, strings.Join(known, ", "))
		}
		if slices.Contains(changes[:i], c) {
			return fmt.Errorf("%s is named twice", c)
		}
	}
	return nil
}

// Change is the frame as another picture of the same part might be: each named change by an amount drawn at
// random. What comes in at the edge mirrors what is inside.
func Change(frame part.Frame, changes []string, random *rand.Rand) (part.Frame, error) {
	var angle, x, y float64
	gain := 1.0
	for _, c := range changes {
		switch c {
		case Rotate:
			angle = turnedBy * (2*random.Float64() - 1)
		case Shift:
			x = movedBy * (2*random.Float64() - 1) * float64(frame.Width)
			y = movedBy * (2*random.Float64() - 1) * float64(frame.Height)
		case Light:
			gain = 1 + litBy*(2*random.Float64()-1)
		}
	}
	changed := frame
	err := withMat(frame, func(mat gocv.Mat) error {
		how := gocv.GetRotationMatrix2D(image.Pt(frame.Width/2, frame.Height/2), angle, 1)
		defer how.Close()
		how.SetDoubleAt(0, 2, how.GetDoubleAt(0, 2)+x)
		how.SetDoubleAt(1, 2, how.GetDoubleAt(1, 2)+y)
		warped, bright := gocv.NewMat(), gocv.NewMat()
		defer warped.Close()
		defer bright.Close()
		size := image.Pt(frame.Width, frame.Height)
		if err := gocv.WarpAffineWithParams(mat, &warped, how, size, gocv.InterpolationLinear, gocv.BorderReflect101, color.RGBA{}); err != nil {
			return fmt.Errorf("change picture: %w", err)
		}
		if err := warped.ConvertToWithParams(&bright, gocv.MatTypeCV8UC3, float32(gain), 0); err != nil {
			return fmt.Errorf("change picture: %w", err)
		}
		changed.Pixels = bright.ToBytes()
		return nil
	})
	changed.SHA256 = ""
	return changed, err
}
