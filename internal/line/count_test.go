package line

import (
	"math/rand/v2"
	"testing"

	"linectl/internal/part"
)

// TestEchoProvesLittle: whatever the echo says when a session begins, no part is booked that the PLC did
// not count, none that has its row gets another or a second answer, and a counter that was set anew books
// no gap and leaves its note.
func TestEchoProvesLittle(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	restarts, goes := 0, 0
	for range 50_000 {
		bits := []int{16, 32}[random.IntN(2)]
		mask := uint32(uint64(1)<<bits - 1)
		value := func(v uint32) part.Sequence { return part.Sequence{Value: v & mask, Bits: bits} }
		last := value(random.Uint32())
		if random.IntN(4) == 0 {
			last = value(-random.Uint32N(50)) // about to come round
		}
		trigger := value(last.Value + random.Uint32N(40))
		if random.IntN(3) == 0 {
			trigger = value(random.Uint32N(3)) // a PLC that did not keep its counter
		}
		echo := []part.Sequence{
			value(0), last, trigger, trigger.Previous(), value(trigger.Value + random.Uint32N(50)), value(random.Uint32()),
		}[random.IntN(6)]
		present := random.IntN(2) == 0
		ran, follows := trigger.Since(last)

		state := NewState(testSettings(Auto), part.Count{Last: last})
		state, actions := Step(state, Connected{At{}, part.Snapshot{Trigger: part.Trigger{Sequence: trigger}, Present: present, Told: part.Told{Sequence: echo}}})
		notes, missed, answers, rows := 0, uint32(0), 0, uint32(0)
		for _, a := range actions {
			switch a := a.(type) {
			case Note:
				notes++
			case Answer:
				answers++
			case Insert:
				missed += a.Record.Missed
				rows += max(a.Record.Missed, 1)
				if at, _ := a.Record.Trigger.Sequence.Since(last); follows && (at == 0 || at > ran) {
					t.Fatalf("last %v, trigger %v, echo %v of %d bits: a row for %v", last, trigger, echo, bits, a.Record.Trigger.Sequence)
				}
			}
		}
		switch {
		case follows:
			goes++
			if missed > ran || notes != 0 || ran == 0 && answers != 0 {
				t.Fatalf("last %v, trigger %v, echo %v of %d bits: %d missed, %d answers, %d notes", last, trigger, echo, bits, missed, answers, notes)
			}
			if told, _ := echo.Since(last); echo.Value != 0 && told > 0 && told <= ran {
				rows++ // the store's, for what the PLC was told; it makes none of an echo of 0
			}
			if accounted, _ := state.last.Since(last); rows != accounted {
				t.Fatalf("last %v, trigger %v, echo %v of %d bits: %d rows for %d counter values", last, trigger, echo, bits, rows, accounted)
			}
		default:
			restarts++
			if missed != 0 || notes != 1 {
				t.Fatalf("last %v, restarted at %v, echo %v of %d bits: %d missed, %d notes", last, trigger, echo, bits, missed, notes)
			}
		}
		if state.missed != missed {
			t.Fatalf("the PLC is told of %d missed parts, the record of %d", state.missed, missed)
		}
	}
	if restarts < 1000 || goes < 1000 {
		t.Fatalf("%d restarts, %d counts that go on: the test does not reach what it should", restarts, goes)
	}
}
