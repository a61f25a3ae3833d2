package vision

import (
	"context"
	"sync"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// A number that a client was told must never name another part, also where a crash comes before its row. So numbers
// are given out only when the record has that they may have been; after a crash the sequence goes on behind all of
// them, and those without a row count as parts that went by unseen.

// Numbers is the sequence as the record has it.
type Numbers struct {
	Last     part.Sequence                                       // of the newest row
	Reserved part.Sequence                                       // may have been given out, up to here
	Reserve  func(ctx context.Context, last part.Sequence) error // returns when it is durable that they may have been
}

// next is where the sequence goes on, and whether numbers were given out that have no row.
func (n Numbers) next() (last uint32, lost bool) {
	if n.Last.Bits != bits {
		return n.Reserved.Value, n.Reserved.Value > 0
	}
	if distance := n.Reserved.Value - n.Last.Value; n.Reserved.Bits != bits || distance == 0 || distance > farthest {
		return n.Last.Value, false
	}
	return n.Reserved.Value, true
}

// reservation is how far numbers may be given out. The station's lock guards it.
type reservation struct {
	turn    sync.Mutex // one reserves at a time, and holds it without the station's lock
	last    uint32
	need    uint32        // so many were asked for and were not there: a counter has jumped
	low     chan struct{} // holds a token while more should be reserved
	failing bool
}

const (
	ahead           = 16      // numbers reserved at once: about as many a crash can lose
	farthest        = 1 << 17 // reserved beyond the newest row: the longest jump of a counter, and what is not stored yet
	reservePatience = 5 * time.Second
)

// room tells whether so many numbers may be given out now. The caller holds the lock.
func (s *Station) room(numbers uint32) bool {
	r := &s.reserved
	left := r.last - s.last
	if left < numbers {
		r.need = numbers
	}
	if left < numbers+ahead/2 {
		select {
		case r.low <- struct{}{}:
		default:
		}
	}
	return left >= numbers
}

// reserve has numbers there before they are asked for.
func (s *Station) reserve() error {
	s.reserved.turn.Lock()
	defer s.reserved.turn.Unlock()
	s.mu.Lock()
	r := &s.reserved
	need := r.need
	last := s.last + max(need+ahead, r.last-s.last) // what may have been given out is never taken back
	s.mu.Unlock()
	err := s.reserveTo(last)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !r.failing {
		s.log.Error("parts are refused once the numbers run out that the record knows of: no more can be stored", "error", err, "hint", hint.Of(err))
	}
	r.failing = err != nil
	if r.failing {
		return err
	}
	r.last = last
	if r.need <= need { // more may have been asked for meanwhile
		r.need = 0
	}
	return nil
}

func (s *Station) reserveTo(last uint32) error {
	ctx, cancel := context.WithTimeout(context.Background(), reservePatience)
	defer cancel()
	return s.numbers.Reserve(ctx, part.Sequence{Value: last, Bits: bits})
}

// keepRoom goes on reserving, after an attempt that ended with err, and in the end gives back what was not given out.
func (s *Station) keepRoom(ended <-chan struct{}, err error) {
	for {
		low, again := s.reserved.low, (<-chan time.Time)(nil)
		if err != nil {
			low, again = nil, time.After(time.Second)
		}
		select {
		case <-low:
		case <-again:
		case <-ended:
			s.mu.Lock()
			last := s.last
			s.mu.Unlock()
			if err := s.reserveTo(last); err != nil {
				s.log.Warn("numbers that no part had will count as missed", "error", err)
			}
			return
		}
		err = s.reserve()
	}
}
