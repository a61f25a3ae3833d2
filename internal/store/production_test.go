package store

import (
	"slices"
	"testing"
	"time"
)

func TestDaysThatAreBelieved(t *testing.T) {
	for _, c := range []struct {
		name  string
		dates []int // of the seals, in days from noon on
		want  []int64
	}{
		{"none", nil, nil},
		{"the first is where counting begins", []int{0}, nil},
		{"days with a week-end", []int{0, 1, 4, 5}, []int64{2, 3, 4}},
		{"the same day again", []int{0, 1, 1, 2}, []int64{3, 4}},
		{"holidays", []int{0, 30, 31}, []int64{2, 3}},
		{"closed for months, and on again", []int{0, 1, 200, 201}, []int64{2, 4}},
		{"ten years ahead, and back", []int{0, 3650, 0, 1}, []int64{4}},
		{"some days ahead, and back", []int{0, 5, 9, 1, 2}, []int64{4, 5}},
		{"ahead, and back, and there in time", []int{0, 2, 0, 1, 2}, []int64{4, 5}},
		{"a jump to each of many dates", []int{0, 3000, 2, 5, -9000, 1, 4000, 0}, nil},
		{"1970 with every start", []int{-20000, 0, -20000, 0, -20000, 1, -20000, 1, 2}, []int64{8, 9}},
		{"wrong by ten years for days", []int{0, 3650, 3651, 3652, 1}, []int64{3, 4, 5}}, // days of production all the same
	} {
		var seals []sealing
		for i, d := range c.dates {
			seals = append(seals, sealing{noon.AddDate(0, 0, d).Add(time.Duration(i) * time.Second), int64(i + 1)})
		}
		if got := believed(seals); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
