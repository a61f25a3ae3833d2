package recipe

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Zone is a part of the picture that is judged by a threshold of its own, or not at all.
type Zone struct {
	Name      string       `toml:"name" json:"name"`
	Polygon   [][2]float64 `toml:"polygon" json:"polygon" comment:"corners as x, y in shares of the picture's width and height"`
	Ignore    bool         `toml:"ignore,omitempty" json:"ignore" comment:"what lies here is not judged"`
	Threshold Threshold    `toml:"threshold,omitempty" json:"threshold"`
}

const (
	mostZones   = 32
	mostCorners = 64
)

// CheckShape refuses a zone that has no area in the picture, whatever its threshold is.
func (z Zone) CheckShape() error {
	if !nameForm.MatchString(z.Name) {
		return fmt.Errorf("%q is not a zone's name; use letters, digits, '.', '_' and '-', at most 64, the first a letter or digit", z.Name)
	}
	if n := len(z.Polygon); n < 3 || n > mostCorners {
		return fmt.Errorf("zone %s has %d corners; allowed is 3 to %d", z.Name, n, mostCorners)
	}
	for _, c := range z.Polygon {
		if !(c[0] >= 0 && c[0] <= 1 && c[1] >= 0 && c[1] <= 1) { // NaN is none of these
			return fmt.Errorf("zone %s: the corner %g,%g lies outside the picture; corners are shares of its width and height, 0 to 1", z.Name, c[0], c[1])
		}
	}
	if z.area() < 1e-6 {
		return fmt.Errorf("zone %s has no area", z.Name)
	}
	return nil
}

// area by the shoelace formula, in shares of the picture.
func (z Zone) area() float64 {
	var sum float64
	for i, a := range z.Polygon {
		b := z.Polygon[(i+1)%len(z.Polygon)]
		sum += a[0]*b[1] - b[0]*a[1]
	}
	return math.Abs(sum) / 2
}

// Contains tells whether a point of the picture lies in the zone: a ray from it crosses the edges an odd
// number of times.
func (z Zone) Contains(x, y float64) bool {
	inside := false
	for i, a := range z.Polygon {
		b := z.Polygon[(i+1)%len(z.Polygon)]
		if (a[1] > y) != (b[1] > y) && x < a[0]+(y-a[1])/(b[1]-a[1])*(b[0]-a[0]) {
			inside = !inside
		}
	}
	return inside
}

// Rest is the place of a cell that lies in no zone.
const Rest = -1

// Places tells for each cell of a grid over the picture the zone that its centre lies in, or Rest. Where zones
// overlap, the later one has the cell.
func Places(zones []Zone, width, height int) []int {
	places := make([]int, 0, width*height)
	for y := range height {
		for x := range width {
			place := Rest
			for i, z := range zones {
				if z.Contains((float64(x)+0.5)/float64(width), (float64(y)+0.5)/float64(height)) {
					place = i
				}
			}
			places = append(places, place)
		}
	}
	return places
}

// checkZones refuses zones that could not be judged.
func checkZones(zones []Zone) error {
	if len(zones) > mostZones {
		return fmt.Errorf("%d zones; at most %d are allowed", len(zones), mostZones)
	}
	for i, z := range zones {
		if err := z.CheckShape(); err != nil {
			return err
		}
		if slices.ContainsFunc(zones[:i], func(other Zone) bool { return other.Name == z.Name }) {
			return fmt.Errorf("two zones are named %s", z.Name)
		}
		if z.Ignore {
			continue
		}
		if err := z.Threshold.check(); err != nil {
			return fmt.Errorf("zone %s: %w", z.Name, err)
		}
	}
	return nil
}

func (t Threshold) check() error {
	if !finite(t.Value) || t.Value <= 0 {
		return errors.New("the threshold is not a positive number")
	}
	if !finite(t.Target, t.Expected, t.Low, t.High, t.Greatest, t.ReviewTarget) {
		return errors.New("what the threshold promises is not a number")
	}
	if t.Review != 0 && !(t.Review > 0 && t.Review < t.Value) {
		return fmt.Errorf("review begins at %g; it must lie below the threshold %g", t.Review, t.Value)
	}
	return nil
}

func finite(values ...float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
