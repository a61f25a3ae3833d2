package picture

import (
	"fmt"
	"math"
	"slices"
)

// Size is a picture's width and height in pixels.
type Size struct {
	Width  int `toml:"width"`
	Height int `toml:"height"`
}

func (s Size) String() string { return fmt.Sprintf("%dx%d", s.Width, s.Height) }

const (
	maxSide  = 2048     // of the network's input; the time per part grows with the area
	maxFrame = 16 << 10 // of a camera's picture
)

// Shape is the width divided by the height.
func (s Size) Shape() float64 { return float64(s.Width) / float64(s.Height) }

// ParseSize reads the size of a network's input, "320x224".
func ParseSize(text string) (Size, error) { return parseSize(text, maxSide) }

// ParseFrame reads the size of a camera's pictures, "2448x2048".
func ParseFrame(text string) (Size, error) { return parseSize(text, maxFrame) }

func parseSize(text string, most int) (Size, error) {
	var s Size
	if _, err := fmt.Sscanf(text, "%dx%d", &s.Width, &s.Height); err != nil || s.String() != text {
		return Size{}, fmt.Errorf("%q is not a size; write width x height, as in 320x224", text)
	}
	if min(s.Width, s.Height) < 32 || max(s.Width, s.Height) > most {
		return Size{}, fmt.Errorf("size %s is out of range; allowed is 32 to %d for each side", s, most)
	}
	return s, nil
}

// defaultArea is that of 256x256, the usual input of PatchCore.
const defaultArea = 256 * 256

// MixedShapes is how far apart the shapes of pictures may lie, as a ratio, before parts look stretched.
const MixedShapes = 1.1

// InputSize chooses the network's input for pictures of these sizes: the median aspect ratio, about the
// area of 256x256, sides that are multiples of the given number. Where the middle third of the shapes
// is mixed they are stretched whatever it is, and it is a square.
func InputSize(pictures []Size, multiple int) Size {
	aspects := make([]float64, len(pictures))
	for i, p := range pictures {
		aspects[i] = math.Log(p.Shape())
	}
	slices.Sort(aspects)
	aspect := aspects[len(aspects)/2]
	if aspects[2*len(aspects)/3]-aspects[len(aspects)/3] > math.Log(MixedShapes) {
		aspect = 0
	}
	best, least := Size{}, math.Inf(1)
	for w := multiple; w <= maxSide; w += multiple {
		for h := multiple; h <= maxSide; h += multiple {
			shape := math.Abs(math.Log(float64(w)/float64(h)) - aspect)
			area := math.Abs(math.Log(float64(w*h) / defaultArea))
			if cost := shape + area/2; cost < least {
				best, least = Size{w, h}, cost
			}
		}
	}
	return best
}

// Within is the greatest size of the same shape whose longer side has the given length.
func (s Size) Within(side int) Size {
	longer := max(s.Width, s.Height)
	return Size{max(1, s.Width*side/longer), max(1, s.Height*side/longer)}
}
