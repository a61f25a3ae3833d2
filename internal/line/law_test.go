package line

import (
	"math/rand/v2"
	"testing"

	"linectl/internal/part"
)

func playAll(t testing.TB, script []byte) *world {
	modes := []Mode{Auto, Auto, Auto, Shadow, Bypass, Maintenance}
	kind := 0
	if len(script) > 0 {
		kind, script = int(script[0]), script[1:]
	}
	w := newWorld(t, modes[kind%len(modes)])
	if kind/len(modes)%2 == 1 {
		w.forget()
	}
	for i := 0; i+1 < len(script); i += 2 {
		w.play(script[i], script[i+1])
	}
	w.drain()
	w.judge()
	return w
}

// FuzzLaw: whatever happens in whatever order, every trigger gets exactly one row and at most one
// answer, a pass only on proof, and the counter's gaps are accounted for.
func FuzzLaw(f *testing.F) {
	f.Add([]byte{0, 14, 0, 19, 0, 0, 0, 5, 0, 8, 0, 10, 0, 3, 0, 10, 0})
	f.Add([]byte{0, 14, 0, 19, 0, 0, 0, 13, 0, 14, 0, 10, 0, 10, 0})
	f.Add([]byte{3, 14, 0, 19, 0, 0, 0, 5, 0, 10, 0, 3, 0})
	f.Fuzz(func(t *testing.T, script []byte) { playAll(t, script) })
}

// TestLaw plays many long random histories, so that the law is held against more than the corpus in
// every run of the tests; and it proves that the histories reach passes and rejects at all.
func TestLaw(t *testing.T) {
	passes, rejects, missed := 0, 0, 0
	for seed := range uint64(1500) {
		random := rand.New(rand.NewPCG(seed, 7))
		script := []byte{byte(seed), 14, 0}
		for range random.IntN(300) {
			// Mostly a part that goes its way, so that passes happen, with anything in between.
			for _, op := range []byte{14, 18, 19, 0, 5, 8, 10, 10, 10, 3, 10, 10} {
				if random.IntN(8) == 0 {
					script = append(script, byte(random.IntN(22)), byte(random.Uint32()))
				}
				if random.IntN(40) > 0 {
					script = append(script, op, byte(random.IntN(230)))
				}
			}
		}
		w := playAll(t, script)
		for _, verdicts := range w.told {
			if verdicts[0] == part.Pass {
				passes++
			} else {
				rejects++
			}
		}
		for _, r := range w.inserted {
			missed += int(r.Missed)
		}
	}
	t.Logf("%d passes, %d rejects, %d missed parts", passes, rejects, missed)
	if passes < 1000 || rejects < 1000 || missed < 1000 {
		t.Fatal("the histories do not reach what they should test")
	}
}
