package store

import (
	"testing"

	"linectl/internal/part"
)

// How far numbers were given out is known again after a kill.
func TestReserve(t *testing.T) {
	s := newStore(t)
	if got, err := s.Reserved(t.Context(), "press"); err != nil || got.Known() {
		t.Errorf("nothing was reserved: %v, %v", got, err)
	}
	for _, want := range []part.Sequence{{Value: 64, Bits: 32}, {Value: 1<<32 - 1, Bits: 32}, {Value: 3, Bits: 32}} {
		if err := s.Reserve(t.Context(), "press", want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Reserved(t.Context(), "press"); err != nil || got != want {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	if got, err := s.Reserved(t.Context(), "saw"); err != nil || got.Known() {
		t.Errorf("another station: %v, %v", got, err)
	}
}
