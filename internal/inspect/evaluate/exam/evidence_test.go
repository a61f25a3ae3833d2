package exam

import (
	"testing"

	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// TestHighestOfTheZoneThatDecided: what is shown as the reason lies where the score is from, however high other zones are.
func TestHighestOfTheZoneThatDecided(t *testing.T) {
	r := &recipe.Recipe{}
	m := part.Map{Width: 4, Height: 1, Cells: []float32{2, 1, 4, 9}}
	if cell := highest(r, part.Finding{Map: m}); cell != 3 {
		t.Errorf("without zones it is cell %d", cell)
	}
	r.Zones = []recipe.Zone{{Name: "left", Polygon: [][2]float64{{0, 0}, {0.5, 0}, {0.5, 1}, {0, 1}}}, {Name: "right", Polygon: [][2]float64{{0.75, 0}, {1, 0}, {1, 1}, {0.75, 1}}}}
	for zone, want := range map[string]int{"left": 0, "": 2, "right": 3} {
		if cell := highest(r, part.Finding{Map: m, Zone: zone}); cell != want {
			t.Errorf("of zone %q it is cell %d, not %d", zone, cell, want)
		}
	}
}
