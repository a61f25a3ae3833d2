package part

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestReasons: names and codes are one to one, and every reason that a person can meet says what to do.
func TestReasons(t *testing.T) {
	names := map[string]Reason{}
	for r, known := range reasons {
		if other, twice := names[known.name]; twice {
			t.Errorf("codes %d and %d have the same name %q", r, other, known.name)
		}
		names[known.name] = r
		if byName, err := ReasonByName(r.String()); err != nil || byName != r {
			t.Errorf("%q is read as %v, %v", r.String(), byName, err)
		}
		if byCode := ReasonByCode(int64(r.Code())); byCode != r {
			t.Errorf("code %d is read as %v", r.Code(), byCode)
		}
		if r != None && r != Unknown && (r.Text() == "" || r.Hint() == "") {
			t.Errorf("%q has no text or no hint", r)
		}
	}
	if got := ReasonByCode(12345); got != Unknown {
		t.Errorf("an unknown code is read as %q", got)
	}
	if _, err := ReasonByName("nonsense"); err == nil {
		t.Error("an unknown name is read")
	}
}

// TestManualNamesEveryReason: the table of codes that PLC programmers work from is that of the code.
func TestManualNamesEveryReason(t *testing.T) {
	manual, err := os.ReadFile("../../docs/plc.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(manual), "## Result codes\n")
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[Reason]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d+) \\| `([a-z-]+)` \\|").FindAllStringSubmatch(section, -1) {
		code, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		listed[Reason(code)] = row[2]
	}
	for r := range reasons {
		if r != None && listed[r] != r.String() {
			t.Errorf("code %d is %q, the manual says %q", r, r, listed[r])
		}
		delete(listed, r)
	}
	for r, name := range listed {
		t.Errorf("the manual lists code %d, %q, which does not exist", r, name)
	}
}

func TestReasonOf(t *testing.T) {
	err := fmt.Errorf("grab: %w", Because(StaleFrame, errors.New("too old")))
	if got := ReasonOf(err, NoFrame); got != StaleFrame {
		t.Errorf("got %q", got)
	}
	if got := ReasonOf(errors.New("plain"), NoFrame); got != NoFrame {
		t.Errorf("got %q", got)
	}
	if err.Error() != "grab: too old" {
		t.Errorf("got %q", err)
	}
}

// TestSequence: n steps forward are n steps, whatever the width and wherever the counter comes round; more than
// a counter runs between two looks, and less than none, are a counter that was set anew.
func TestSequence(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		bits := []int{16, 32}[random.IntN(2)]
		mask := uint32(uint64(1)<<bits - 1)
		from := Sequence{random.Uint32() & mask, bits}
		most := min(mask/2, mostSteps)
		if random.IntN(2) == 0 { // about to come round
			from.Value, most = mask-random.Uint32N(mostAcross/2), mostAcross
		}
		steps := random.Uint32N(most + 1)
		to := Sequence{(from.Value + steps) & mask, bits}
		if to.Value < from.Value && steps > mostAcross {
			continue
		}
		if distance, forward := to.Since(from); distance != steps || !forward {
			t.Fatalf("from %v to %v: %d, %v; want %d", from, to, distance, forward, steps)
		}
		if _, forward := from.Since(to); forward && steps > 0 {
			t.Fatalf("from %v back to %v counts as forward", to, from)
		}
		if from.Value > mostAcross && from.Value < mask-mostAcross {
			if _, forward := (Sequence{random.Uint32N(4), bits}).Since(from); forward {
				t.Fatalf("a restart at 0 from %v counts as forward", from)
			}
		}
		if distance, _ := from.Since(from.Previous()); distance != 1 {
			t.Fatalf("%v is %d after its previous", from, distance)
		}
	}
}

func TestFrameDigest(t *testing.T) {
	a := Frame{Pixels: []byte{1, 2, 3, 4, 5, 6}, Width: 2, Height: 1}
	b := Frame{Pixels: a.Pixels, Width: 1, Height: 2}
	if a.Digest() == b.Digest() {
		t.Error("pictures of different shape have one digest")
	}
	if a.Digest() != (Frame{Pixels: []byte{1, 2, 3, 4, 5, 6}, Width: 2, Height: 1, Camera: "other"}).Digest() {
		t.Error("the digest is of more than the picture")
	}
}

func TestScoreTold(t *testing.T) {
	for _, c := range []struct {
		reason      Reason
		score, want float64
	}{{None, 0.5, 0.5}, {Anomaly, 3, 3}, {Anomaly, math.NaN(), NotScored}, {Anomaly, math.Inf(1), NotScored}, {Deadline, 0.5, NotScored}, {Overrun, 0, NotScored}} {
		if got := (Result{Reason: c.reason, Score: c.score}).ScoreTold(); got != c.want {
			t.Errorf("%s, %v: %v, want %v", c.reason, c.score, got, c.want)
		}
	}
}
