package recipe

import (
	"math"
	"strings"
	"testing"
)

// TestPlaces: cells belong to the polygon that their centre lies in, the later one where two overlap.
func TestPlaces(t *testing.T) {
	left := Zone{Name: "left", Polygon: [][2]float64{{0, 0}, {0.5, 0}, {0.5, 1}, {0, 1}}}
	notch := Zone{Name: "notch", Polygon: [][2]float64{{0, 0}, {1, 0}, {1, 1}, {0.5, 0.4}, {0, 1}}} // not convex
	draw := func(zones ...Zone) string {
		var text strings.Builder
		for i, p := range Places(zones, 4, 4) {
			text.WriteByte("."[0])
			if p != Rest {
				s := text.String()
				text.Reset()
				text.WriteString(s[:len(s)-1] + zones[p].Name[:1])
			}
			if i%4 == 3 {
				text.WriteByte('/')
			}
		}
		return text.String()
	}
	for _, test := range []struct {
		zones []Zone
		want  string
	}{
		{nil, "..../..../..../..../"},
		{[]Zone{left}, "ll../ll../ll../ll../"},
		{[]Zone{notch}, "nnnn/nnnn/n..n/..../"},
		{[]Zone{notch, left}, "llnn/llnn/ll.n/ll../"},
	} {
		if got := draw(test.zones...); got != test.want {
			t.Errorf("%d zones: %s, want %s", len(test.zones), got, test.want)
		}
	}
}

func TestZonesThatAreRefused(t *testing.T) {
	good := Zone{Name: "a", Polygon: [][2]float64{{0, 0}, {1, 0}, {0, 1}}, Threshold: draft("x").Threshold}
	change := func(f func(z *Zone)) []Zone {
		z := good
		f(&z)
		return []Zone{z}
	}
	for name, zones := range map[string][]Zone{
		"no name":          change(func(z *Zone) { z.Name = "" }),
		"path as name":     change(func(z *Zone) { z.Name = "../a" }),
		"two corners":      change(func(z *Zone) { z.Polygon = z.Polygon[:2] }),
		"many corners":     change(func(z *Zone) { z.Polygon = make([][2]float64, 65) }),
		"outside":          change(func(z *Zone) { z.Polygon = [][2]float64{{0, 0}, {1.01, 0}, {0, 1}} }),
		"not a number":     change(func(z *Zone) { z.Polygon = [][2]float64{{0, 0}, {math.NaN(), 0}, {0, 1}} }),
		"no area":          change(func(z *Zone) { z.Polygon = [][2]float64{{0, 0}, {0.5, 0.5}, {1, 1}} }),
		"NaN threshold":    change(func(z *Zone) { z.Threshold.Value = math.NaN() }),
		"no threshold":     change(func(z *Zone) { z.Threshold = Threshold{} }),
		"NaN promise":      change(func(z *Zone) { z.Threshold.High = math.NaN() }),
		"review too high":  change(func(z *Zone) { z.Threshold.Review = z.Threshold.Value }),
		"two of one name":  {good, good},
		"too many of them": make([]Zone, 33),
	} {
		if err := checkZones(zones); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := checkZones([]Zone{good}); err != nil {
		t.Error(err)
	}
}
