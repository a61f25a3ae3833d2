package store

import (
	"os"
	"testing"

	"linectl/internal/part"
)

// How far numbers were given out is known by station, and a salvaged record still knows it.
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
	insert(t, s, good(1))
	if _, err := s.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(s.config.Path)
	if err != nil {
		t.Fatal(err)
	}
	_, c := salvage(t, content)
	if got, err := openStore(t, c).Reserved(t.Context(), "press"); err != nil || got.Value != 3 {
		t.Errorf("salvaged: %v, %v", got, err)
	}
}
