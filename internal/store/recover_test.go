package store

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"linectl/internal/part"
)

func sequence(value uint32) part.Sequence { return part.Sequence{Value: value, Bits: 16} }

// toldOf is what the tags say after a result of that row.
func toldOf(r part.Record, verdict part.Verdict, reason part.Reason, score float64) part.Told {
	return part.Told{Sequence: r.Trigger.Sequence, PartID: r.Trigger.PartID, Verdict: verdict, Reason: reason, Score: score, Valid: true}
}

func TestRecover(t *testing.T) {
	nan := math.NaN()
	failed := part.Delivery{Verdict: part.Pass, Reason: part.None, Outcome: part.Failed, Error: "timeout"}
	skipped := part.Delivery{Verdict: part.Reject, Reason: part.LinkLost, Outcome: part.Skipped}
	row := func(n uint32, id string) part.Record {
		r := good(n)
		r.Trigger.PartID = id
		return r
	}
	type entry struct {
		record     part.Record
		deliveries []part.Delivery
	}
	ok := []part.Delivery{written(part.Pass, part.None)}
	for _, c := range []struct {
		name      string
		entries   []entry
		told      part.Told
		recovered bool         // a row is added
		outcome   part.Outcome // of the newest row afterwards
		verdict   part.Verdict // of the newest row afterwards
		reason    part.Reason
	}{
		{
			"nothing ever told", []entry{{row(4, "a"), ok}},
			part.Told{Sequence: sequence(0)}, false, part.Written, part.Pass, part.None,
		},
		{
			"a PLC without counter, id and result", []entry{{row(4, "a"), ok}},
			part.Told{}, false, part.Written, part.Pass, part.None,
		},
		{
			"all is recorded", []entry{{row(4, "a"), ok}},
			toldOf(row(4, "a"), part.Pass, part.None, 1.25), false, part.Written, part.Pass, part.None,
		},
		{
			"all is recorded, the score tag is a REAL", []entry{{row(4, "a"), ok}},
			toldOf(row(4, "a"), part.Pass, part.None, float64(float32(1.25000001))), false, part.Written, part.Pass, part.None,
		},
		{
			"the delivery was cut off", []entry{{row(4, "a"), ok}, {row(5, "b"), nil}},
			toldOf(row(5, "b"), part.Pass, part.None, 1.25), false, part.Recovered, part.Pass, part.None,
		},
		{
			"the delivery was not confirmed", []entry{{row(4, "a"), ok}, {row(5, "b"), []part.Delivery{failed}}},
			toldOf(row(5, "b"), part.Pass, part.None, 1.25), false, part.Recovered, part.Pass, part.None,
		},
		{
			"told as a reject though found good", []entry{{row(5, "b"), nil}},
			toldOf(row(5, "b"), part.Reject, part.Deadline, nan), false, part.Recovered, part.Reject, part.Deadline,
		},
		{
			"a reject whose row was lost", []entry{{row(4, "a"), ok}},
			toldOf(row(5, "b"), part.Reject, part.Anomaly, 7.5), true, part.Recovered, part.Reject, part.Anomaly,
		},
		{
			"a reject whose row was lost, no reason tag", []entry{{row(4, "a"), ok}},
			toldOf(row(5, "b"), part.Reject, part.None, nan), true, part.Recovered, part.Reject, part.Unknown,
		},
		{
			"a new record beside an old PLC", nil,
			toldOf(row(5, "b"), part.Pass, part.None, 1.25), true, part.Recovered, part.Pass, part.None,
		},
		{
			"a new record beside an old PLC at rest", nil,
			part.Told{Sequence: sequence(5), PartID: "b"}, false, "", 0, 0,
		},
		{
			"taken and cleared, all is recorded", []entry{{row(4, "a"), ok}},
			part.Told{Sequence: sequence(4), PartID: "a", Reason: part.None, Score: 1.25}, false, part.Written, part.Pass, part.None,
		},
		{
			"taken and cleared, the delivery was cut off: nothing proves that the PLC saw it valid", []entry{{row(4, "a"), nil}},
			part.Told{Sequence: sequence(4), PartID: "a", Reason: part.None, Score: 1.25}, false, "", part.Pass, part.None,
		},
		{
			"taken and cleared, the row was lost", []entry{{row(4, "a"), ok}},
			part.Told{Sequence: sequence(5), PartID: "b", Reason: part.Anomaly, Score: 7}, true, part.Recovered, part.Reject, part.Anomaly,
		},
		{
			"the row that follows was stored, not told", []entry{{row(4, "a"), ok}, {row(5, "b"), nil}},
			toldOf(row(4, "a"), part.Pass, part.None, 1.25), false, "", part.Pass, part.None,
		},
		{
			"a row that was stored and skipped", []entry{{row(4, "a"), ok}, {row(5, "b"), []part.Delivery{skipped}}},
			toldOf(row(4, "a"), part.Pass, part.None, 1.25), false, part.Skipped, part.Reject, part.LinkLost,
		},
		{
			"the counter came round", []entry{{row(5, ""), ok}, {row(65535, ""), ok}, {row(4, ""), ok}},
			toldOf(row(5, ""), part.Reject, part.Busy, nan), true, part.Recovered, part.Reject, part.Busy,
		},
		{
			"the PLC restarted and counts again", []entry{{row(1, ""), ok}, {row(2, ""), ok}, {row(3, ""), ok}},
			toldOf(row(1, ""), part.Reject, part.Busy, nan), true, part.Recovered, part.Reject, part.Busy,
		},
		{
			"the PLC restarted and told another result under the newest number", []entry{{row(1, ""), ok}},
			toldOf(row(1, ""), part.Reject, part.Anomaly, 3), true, part.Recovered, part.Reject, part.Anomaly,
		},
		{
			"the same part comes a second time", []entry{{row(4, "a"), ok}, {row(5, "b"), ok}},
			toldOf(row(6, "a"), part.Reject, part.Anomaly, 3), true, part.Recovered, part.Reject, part.Anomaly,
		},
		{
			"no counter, only ids", []entry{{withoutCounter(row(0, "a")), ok}, {withoutCounter(row(0, "b")), nil}},
			toldOf(withoutCounter(row(0, "b")), part.Pass, part.None, 1.25), false, part.Recovered, part.Pass, part.None,
		},
		{
			"neither counter nor id: what was told decides", []entry{{withoutCounter(row(0, "")), ok}},
			toldOf(withoutCounter(row(0, "")), part.Reject, part.Anomaly, 9), true, part.Recovered, part.Reject, part.Anomaly,
		},
		{
			"a pass for a row that was decided as a reject", []entry{{rejected(5, part.Anomaly), nil}},
			toldOf(rejected(5, part.Anomaly), part.Pass, part.None, 1), true, part.Recovered, part.Pass, part.None,
		},
		{
			"a gap is no result", []entry{{row(4, "a"), ok}, {gap(5), []part.Delivery{{Verdict: part.Reject, Reason: part.MissedTrigger, Outcome: part.Skipped}}}},
			toldOf(gap(5), part.Reject, part.Busy, nan), true, part.Recovered, part.Reject, part.Busy,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			for _, e := range c.entries {
				id := insert(t, s, e.record)
				for _, d := range e.deliveries {
					s.Deliver(id, d)
				}
			}
			recovered, err := s.Recover(t.Context(), "press 4", c.told, part.Count{})
			if err != nil || recovered != c.recovered {
				t.Fatalf("recovered is %v, %v, want %v", recovered, err, c.recovered)
			}
			parts, deliveries := rows(t, s, "inspection"), rows(t, s, "delivery")
			for p, err := range s.Find(t.Context(), Filter{Limit: 1}) {
				if err != nil {
					t.Fatal(err)
				}
				if p.Outcome != c.outcome || p.Verdict != c.verdict || p.Reason != c.reason || p.Recovered != c.recovered {
					t.Errorf("newest part is %+v", p)
				}
			}
			for range 2 { // again and again adds nothing
				if recovered, err := s.Recover(t.Context(), "press 4", c.told, part.Count{}); recovered || err != nil {
					t.Errorf("recovered a second time: %v, %v", recovered, err)
				}
			}
			if p, d := rows(t, s, "inspection"), rows(t, s, "delivery"); p != parts || d != deliveries {
				t.Errorf("a second time added %d rows and %d deliveries", p-parts, d-deliveries)
			}
		})
	}
}

func withoutCounter(r part.Record) part.Record {
	r.Trigger.Sequence = part.Sequence{}
	return r
}

func gap(n uint32) part.Record {
	r := rejected(n, part.MissedTrigger)
	r.Missed, r.Trigger.PartID = 1, ""
	return r
}

// history is a line that is killed at a random instant: what it wrote in which order, how much of that
// was durable, and what the PLC's tags say.
type history struct {
	random  *rand.Rand
	station string
	ids     bool               // the PLC names its parts
	counter bool               // it counts them
	clears  bool               // results are taken and cleared
	writes  []func(tx *ledger) // in the order of the record's one writer
	rows    []int64            // ids, by part, as far as they are written
	durable int                // of the writes
	tags    part.Told
	told    int // part that the tags tell of, -1 for none
	rowAt   []int
}

// play lets parts come until the kill.
func (h *history) play(parts int) {
	number := uint32(h.random.IntN(65536))
	h.told = -1
	for n := range parts {
		if h.random.IntN(10) == 0 {
			number = 0 // the PLC restarts
		}
		number = (number + 1) & 0xffff
		r := part.Record{Station: h.station, Verdict: part.Verdict(h.random.IntN(2)), Trigger: part.Trigger{SeenAt: noon}}
		if h.counter {
			r.Trigger.Sequence = sequence(number)
		}
		if h.ids {
			r.Trigger.PartID = fmt.Sprint("part ", h.random.IntN(5)) // parts come back
		}
		r.Reason = part.None
		if r.Verdict == part.Reject {
			r.Reason = part.Anomaly
		}
		score := h.random.Float64()
		r.Finding = &part.Finding{Score: score, Threshold: 0.5, Reason: r.Reason}
		h.rowAt = append(h.rowAt, len(h.writes))
		h.writes = append(h.writes, func(tx *ledger) {
			id, err := insertRecord(tx, r)
			if err != nil {
				panic(err)
			}
			h.rows = append(h.rows, id)
		})
		verdict, reason := r.Verdict, r.Reason
		if verdict == part.Pass {
			h.durable = max(h.durable, len(h.writes)) // a pass waits for its row
			if h.random.IntN(8) == 0 {
				verdict, reason = part.Reject, part.Deadline // and it took too long
			}
		}
		killed := n == parts-1
		if killed && h.random.IntN(4) == 0 {
			break // before the PLC was told
		}
		h.tags = part.Told{Sequence: r.Trigger.Sequence, PartID: r.Trigger.PartID, Verdict: verdict, Reason: reason, Score: float64(float32(score)), Valid: true}
		h.told = n
		if killed && h.random.IntN(2) == 0 {
			break // before the answer was noted
		}
		outcome := part.Written
		if h.random.IntN(8) == 0 {
			outcome = part.Failed // the PLC has it, and its answer was lost
		}
		h.writes = append(h.writes, func(tx *ledger) {
			if err := insertDelivery(tx, h.rows[n], noon, part.Delivery{Verdict: verdict, Reason: reason, Outcome: outcome}); err != nil {
				panic(err)
			}
		})
		if h.clears && (!killed || h.random.IntN(2) == 0) {
			h.tags.Valid, h.tags.Verdict = false, part.Reject
		}
	}
	h.durable += h.random.IntN(len(h.writes) - h.durable + 1) // what had become durable when it was killed
}

// TestRecoverAfterAnyHistory: whatever happened before the kill, each result that the tags hold as
// valid has a row with that verdict afterwards, no row is made for a result that has one, and doing it
// again adds nothing.
func TestRecoverAfterAnyHistory(t *testing.T) {
	s := newStore(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	histories := 1000
	if testing.Short() {
		histories = 200
	}
	var made, completed int
	for n := range histories {
		random := rand.New(rand.NewPCG(seed, uint64(n)))
		h := &history{random: random, station: fmt.Sprint("station ", n), ids: random.IntN(2) == 0, counter: random.IntN(4) != 0, clears: random.IntN(3) == 0}
		h.play(1 + random.IntN(6))
		err := s.writer.wait(t.Context(), "history", func(tx *ledger) error {
			for _, write := range h.writes[:h.durable] {
				write(tx)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		count := func() (parts, deliveries int) {
			err := s.Reader.db.QueryRow(`SELECT count(*), (SELECT count(*) FROM delivery d JOIN inspection i ON i.id = d.inspection_id WHERE i.station = ?1) FROM inspection WHERE station = ?1`, h.station).Scan(&parts, &deliveries)
			if err != nil {
				t.Fatal(err)
			}
			return parts, deliveries
		}
		parts, deliveries := count()
		recovered, err := s.Recover(t.Context(), h.station, h.tags, part.Count{})
		if err != nil {
			t.Fatal(err)
		}
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("history %d of seed %d: %s\ntold %+v (part %d), %d of %d writes durable", n, seed, fmt.Sprintf(format, args...), h.tags, h.told, h.durable, len(h.writes))
		}
		stored := h.told >= 0 && h.rowAt[h.told] < h.durable
		afterParts, afterDeliveries := count()
		switch {
		case h.told < 0:
			if recovered {
				fail("nothing was told, and a row was made")
			}
		case !h.tags.Valid:
			if recovered && stored {
				fail("the row is there, and another was made")
			}
		case stored && recovered:
			fail("the row is there, and another was made")
		case !stored && !recovered:
			fail("the row is missing")
		default:
			if p := newestOf(t, s, h); p.Verdict != h.tags.Verdict || p.Outcome != part.Written && p.Outcome != part.Recovered {
				fail("the row says %s, %s", p.Verdict, p.Outcome)
			}
		}
		if recovered != (afterParts == parts+1) {
			fail("recovered is %v, and %d rows became %d", recovered, parts, afterParts)
		}
		if recovered {
			made++
		} else if afterDeliveries > deliveries {
			completed++
		}
		if again, err := s.Recover(t.Context(), h.station, h.tags, part.Count{}); again || err != nil {
			fail("a second time: %v, %v", again, err)
		}
		if p, d := count(); p != afterParts || d != afterDeliveries {
			fail("a second time added %d rows and %d deliveries", p-afterParts, d-afterDeliveries)
		}
	}
	t.Logf("%d histories: %d rows made, %d completed", histories, made, completed)
	if made == 0 || completed == 0 {
		t.Error("the histories have nothing to recover")
	}
}

// newestOf is the part that the tags tell of, as the record now has it.
func newestOf(t *testing.T, s *Store, h *history) Part {
	t.Helper()
	var id int64
	if h.told < len(h.rows) {
		id = h.rows[h.told]
	} else if err := s.Reader.db.QueryRow(`SELECT max(id) FROM inspection WHERE station = ?`, h.station).Scan(&id); err != nil {
		t.Fatal(err)
	}
	for p, err := range s.Find(t.Context(), Filter{Before: id + 1, Limit: 1}) {
		if err != nil || p.ID != id {
			t.Fatal(p, err)
		}
		return p
	}
	t.Fatal("the part is not there")
	return Part{}
}

// TestToldBeforeAnyRow: the tags name a result, and the record has no row at all. Whether it was ours
// depends on where counting began.
func TestToldBeforeAnyRow(t *testing.T) {
	counter := func(value uint32) part.Sequence { return part.Sequence{Value: value, Bits: 32} }
	for _, c := range []struct {
		name  string
		told  part.Told
		wants bool
	}{
		{"counted since, taken back", part.Told{Sequence: counter(8), Score: math.NaN()}, true},
		{"where counting began", part.Told{Sequence: counter(7), Score: math.NaN()}, false},
		{"before counting began", part.Told{Sequence: counter(6), Score: math.NaN()}, false},
		{"of another counter", part.Told{Sequence: part.Sequence{Value: 8, Bits: 16}, Score: math.NaN()}, false},
		{"still valid", part.Told{Sequence: counter(6), Valid: true, Score: math.NaN()}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			if _, err := s.Recover(t.Context(), "press 4", part.Told{}, part.Count{Last: counter(7), Fresh: true}); err != nil {
				t.Fatal(err)
			}
			for i, want := range []bool{c.wants, false} { // twice adds nothing
				if recovered, err := s.Recover(t.Context(), "press 4", c.told, part.Count{}); err != nil || recovered != want {
					t.Fatalf("time %d: recovered %v, %v; want %v", i+1, recovered, err, want)
				}
			}
		})
	}
}
