package vision

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/part"
)

// book is a record that keeps how far numbers may have been given out.
type book struct {
	mu    sync.Mutex
	last  part.Sequence
	fails bool
}

func (b *book) reserve(_ context.Context, last part.Sequence) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails {
		return errors.New("no space left on device")
	}
	b.last = last
	return nil
}

func (b *book) kept() uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last.Value
}

func TestWhereTheSequenceGoesOn(t *testing.T) {
	of := func(v uint32, bits int) part.Sequence { return part.Sequence{Value: v, Bits: bits} }
	for _, c := range []struct {
		name           string
		last, reserved part.Sequence
		want           uint32
		lost           bool
	}{
		{"an empty record", of(0, 0), of(0, 0), 0, false},
		{"a record of before", of(41, 32), of(0, 0), 41, false},
		{"an orderly end", of(41, 32), of(41, 32), 41, false},
		{"a crash", of(41, 32), of(100, 32), 100, true},
		{"a crash before the first row", of(0, 32), of(64, 32), 64, true},
		{"a crash where the sequence runs over", of(1<<32-2, 32), of(62, 32), 62, true},
		{"a crash after the longest jump", of(41, 32), of(41+1<<16+2*ahead, 32), 41 + 1<<16 + 2*ahead, true},
		{"and one across 0", of(1<<32-2, 32), of(1<<16, 32), 1 << 16, true},
		{"another master has counted since", of(1_000_000, 32), of(100, 32), 1_000_000, false},
		{"and has begun anew", of(3, 32), of(1_000_000, 32), 3, false},
		{"with a narrower counter", of(3, 16), of(1_000_000, 32), 1_000_000, true},
	} {
		if got, lost := (Numbers{Last: c.last, Reserved: c.reserved}).next(); got != c.want || lost != c.lost {
			t.Errorf("%s: %d, %v; want %d, %v", c.name, got, lost, c.want, c.lost)
		}
	}
}

// A number is given out only when the record has that it may have been; one that cannot be kept is not given out.
func TestNumbersAreReserved(t *testing.T) {
	b := &book{}
	s, _ := stationFrom(t, Numbers{Last: part.Sequence{Value: 41, Bits: bits}, Reserve: b.reserve})
	if _, err := s.trigger(part.Trigger{}); !errors.Is(err, ua.StatusBadInvalidState) {
		t.Errorf("nothing is reserved: %v", err)
	}
	ended := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { s.keepRoom(ended, s.reserve()) })
	next := func(after uint32) uint32 {
		t.Helper()
		for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(time.Millisecond) {
			s.mu.Lock()
			accepts := s.accepts(after)
			if accepts {
				s.bring(&job{}, after)
			}
			last := s.last
			s.mu.Unlock()
			if accepts {
				if kept := b.kept(); int32(kept-last) < 0 {
					t.Fatalf("%d is given out, %d are kept", last, kept)
				}
				return last
			}
		}
		t.Fatal("no number for a minute")
		return 0
	}
	for want := uint32(42); want < 42+5*ahead; want++ {
		if got := next(1); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
	}
	before := s.last
	if got := next(40_000); got != before+40_000 { // a PLC's counter that has jumped
		t.Errorf("after a jump: %d", got)
	}
	b.mu.Lock()
	b.fails = true
	b.mu.Unlock()
	given := 0
	for ; given < 3*ahead; given++ {
		if _, err := s.trigger(part.Trigger{}); err != nil {
			break
		}
	}
	if kept := b.kept(); given == 3*ahead || s.last != kept {
		t.Errorf("the disk is full: %d numbers up to %d, %d are kept", given, s.last, kept)
	}
	b.mu.Lock()
	b.fails = false
	b.mu.Unlock()
	next(1)
	close(ended)
	work.Wait()
	if b.kept() != s.last {
		t.Errorf("after an orderly end %d are kept, the last is %d", b.kept(), s.last)
	}
}

// What was reserved stays so while more is reserved, and what is asked for meanwhile is not forgotten.
func TestReservationGoesOn(t *testing.T) {
	b := &book{}
	s, _ := stationFrom(t, Numbers{Last: part.Sequence{Value: 41, Bits: bits}, Reserve: b.reserve})
	ask := func(numbers uint32) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.room(numbers)
	}
	if ask(500) {
		t.Error("nothing is reserved")
	}
	s.numbers.Reserve = func(ctx context.Context, last part.Sequence) error {
		ask(2000)
		return b.reserve(ctx, last)
	}
	if err := s.reserve(); err != nil || !ask(500) || s.reserved.need == 0 {
		t.Errorf("%v; up to %d, short: %v", err, b.kept(), s.reserved.need > 0)
	}
	s.numbers.Reserve = b.reserve
	for range 2 { // the second as keepRoom does it after the write that asked
		if err := s.reserve(); err != nil || !ask(2000) || s.reserved.need > 0 || b.kept() != 41+2000+ahead {
			t.Errorf("%v; up to %d, short: %v", err, b.kept(), s.reserved.need > 0)
		}
	}
}
