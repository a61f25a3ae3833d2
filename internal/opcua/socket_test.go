package opcua

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"linectl/internal/sim/plc"
)

// A connection that is given up at any moment ends with that and nothing else: the library could end the process, and
// the race detector sees it coming.
func TestGivenUpAtAnyMoment(t *testing.T) {
	for name, config := range map[string]func(testing.TB) Config{
		"secure": func(t testing.TB) Config { return configFor(startPLC(t, plc.Config{})) },
		"None":   insecure,
	} {
		t.Run(name, func(t *testing.T) {
			peer, err := know(config(t), certificates)
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			s, err := peer.connect(t.Context(), calm())
			if err != nil {
				t.Fatal(err)
			}
			s.close()
			whole := time.Since(begun)
			givenUp := 0
			for range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(whole))
				s, err := peer.connect(ctx, calm())
				cancel()
				switch {
				case err == nil:
					s.close()
				case errors.Is(err, context.DeadlineExceeded):
					givenUp++
				default:
					t.Errorf("%v", err)
				}
			}
			if givenUp == 0 {
				t.Error("none was given up")
			}
		})
	}
}
