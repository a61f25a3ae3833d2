package conveyor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"linectl/internal/sim/plc"
)

// Item is one part on its way: what names it, and how long after the one before it comes.
type Item struct {
	Part   plc.Part
	Gap    time.Duration
	Missed uint32 // counter values before it that nobody saw
	Was    string // what it was told when it was recorded: pass, reject, or "" where it was not
}

// Belt is an endless row of parts; the same belt always brings the same.
type Belt struct {
	Rate     float64 // parts a minute
	Jitter   float64 // how much a gap may differ, as a share of itself; 0 to 1
	Seed     uint64
	Lot      string
	LotSize  int // so many parts to a lot, which then has a number; 0 is one lot for all
	Recipe   string
	UserData string
}

// Items makes the parts, one a call.
func (b Belt) Items() func() (Item, bool) {
	random := rand.New(rand.NewPCG(b.Seed, 1))
	n := 0
	return func() (Item, bool) {
		lot := b.Lot
		if b.LotSize > 0 {
			lot = fmt.Sprintf("%s%04d", b.Lot, n/b.LotSize+1)
		}
		n++
		gap := float64(time.Minute) / b.Rate * (1 + b.Jitter*(2*random.Float64()-1))
		if n == 1 {
			gap = 0
		}
		return Item{
			Part: plc.Part{ID: fmt.Sprintf("P%06d", n), Lot: lot, Recipe: b.Recipe, UserData: b.UserData},
			Gap:  time.Duration(gap),
		}, true
	}
}

// Each makes items of a row of them.
func Each(items []Item) func() (Item, bool) {
	return func() (Item, bool) {
		if len(items) == 0 {
			return Item{}, false
		}
		next := items[0]
		items = items[1:]
		return next, true
	}
}

// longestGap is kept of a recorded pause: a replay need not wait for the night shift.
const longestGap = time.Minute

// Recorded is a part as some record has it.
type Recorded struct {
	At   time.Time
	Seq  uint32
	Bits int // width of the counter; 0 where there was none
	Part plc.Part
	Was  string
}

// Replay makes items of recorded parts in the order in which they came. The gaps are divided by speed;
// what the counter left out is left out again.
func Replay(recorded []Recorded, speed float64) []Item {
	var items []Item
	for i, r := range recorded {
		item := Item{Part: r.Part, Was: r.Was}
		if i > 0 {
			before := recorded[i-1]
			gap := min(max(r.At.Sub(before.At), 0), longestGap)
			item.Gap = time.Duration(float64(gap) / speed)
			if r.Bits != 0 && r.Bits == before.Bits {
				mask := uint32(uint64(1)<<r.Bits - 1)
				if left := (r.Seq - before.Seq - 1) & mask; left <= mask/2 { // more is a counter that began anew
					item.Missed = left
				}
			}
		}
		items = append(items, item)
	}
	return items
}

// ReadLog reads the parts in a simulated PLC's own log.
func ReadLog(r io.Reader) ([]Recorded, error) {
	var all []Recorded
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if e.Kind != PartSeen || e.Part == nil {
			continue
		}
		p := e.Part
		all = append(all, Recorded{At: e.At, Seq: p.Seq, Bits: p.Bits, Was: p.Verdict(),
			Part: plc.Part{ID: p.ID, Lot: p.Lot, Recipe: p.Recipe, UserData: p.UserData}})
	}
	return all, lines.Err()
}
