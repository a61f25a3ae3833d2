package main

import (
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot"
)

func labels(ticks []plot.Tick) string {
	var all []string
	for _, t := range ticks {
		all = append(all, strings.ReplaceAll(t.Label, "\n", " "))
	}
	return strings.Join(all, ", ")
}

func TestRoundTicks(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      string
	}{
		{0, 1.4, "0.0, 0.5, 1.0"},
		{1.178, 1.236, "1.18, 1.20, 1.22"},
		{-0.1, 0.1, "-0.10, -0.05, 0.00, 0.05, 0.10"},
		{0, 0.0031, "0.000, 0.001, 0.002, 0.003"},
		{119, 121, "119.0, 119.5, 120.0, 120.5, 121.0"},
		{0, 48000, "0, 10000, 20000, 30000, 40000"},
	} {
		if got := labels(roundTicks{}.Ticks(c.low, c.high)); got != c.want {
			t.Errorf("%g to %g: %s, want %s", c.low, c.high, got, c.want)
		}
	}
}

func TestTimeTicks(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, want string }{
		{"2026-03-28T20:00", "2026-03-29T20:00", "2026-03-28 21:00, 2026-03-29 00:00, 2026-03-29 03:00, 2026-03-29 06:00, 2026-03-29 09:00, 2026-03-29 12:00, 2026-03-29 15:00, 2026-03-29 18:00"}, // one hour of it is missing
		{"2026-11-01T10:00", "2026-11-12T10:00", "2026-11-03, 2026-11-05, 2026-11-07, 2026-11-09, 2026-11-11"},
		{"2025-11-01T00:00", "2026-11-01T00:00", "2025-11-01, 2026-01-01, 2026-03-01, 2026-05-01, 2026-07-01, 2026-09-01, 2026-11-01"},
		{"2026-11-01T10:00", "2026-11-01T10:15", "2026-11-01 10:00, 2026-11-01 10:15"},
	} {
		instant := func(text string) float64 {
			at, err := time.ParseInLocation("2006-01-02T15:04", text, zone)
			if err != nil {
				t.Fatal(err)
			}
			return float64(at.Unix())
		}
		if got := labels(timeTicks{zone}.Ticks(instant(c.from), instant(c.to))); got != c.want {
			t.Errorf("%s to %s: %s, want %s", c.from, c.to, got, c.want)
		}
	}
}
