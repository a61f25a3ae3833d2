package opcua

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"linectl/internal/part"
	"linectl/internal/sim/plc"
)

// BenchmarkHandshake runs whole handshakes at the default poll over an encrypted session, without any
// inspection. What it reports, in milliseconds: line is from "trigger seen" to "result_valid confirmed",
// which is linectl's own share; plc is from part_present at the PLC to the PLC's decision, which
// includes waiting for the next poll.
func BenchmarkHandshake(b *testing.B) {
	p := startPLC(b, plc.Config{ResultLimit: patience})
	l, heard := startLink(b, configFor(p))
	heard.want(b, "connected")
	beat(b, l)
	until(b, "linectl's heartbeat", func() bool { return p.Tag("vision_heartbeat") != uint16(0) })

	var line, whole []time.Duration
	for b.Loop() {
		outcome := make(chan plc.Outcome, 1)
		go func() {
			o, err := p.Inspect(b.Context(), plc.Part{ID: "P-1", Lot: "L-1"})
			if err != nil {
				b.Error(err)
			}
			outcome <- o
		}()
		trigger := heard.want(b, "triggered").trigger
		if err := l.Answer(b.Context(), part.Result{Trigger: trigger, Verdict: part.Pass, Reason: part.None}); err != nil {
			b.Fatal(err)
		}
		line = append(line, time.Since(trigger.SeenAt))
		o := <-outcome
		if !o.Pass {
			b.Fatalf("%+v", o)
		}
		whole = append(whole, o.Latency)
		heard.want(b, "withdrawn")
		if err := l.Clear(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for name, times := range map[string][]time.Duration{"line": line, "plc": whole} {
		slices.Sort(times)
		for _, q := range []struct {
			name string
			at   float64
		}{{"p50", 0.5}, {"p99", 0.99}, {"max", 1}} {
			at := times[int(q.at*float64(len(times)-1))]
			b.ReportMetric(float64(at.Microseconds())/1000, fmt.Sprintf("%s-%s-ms", name, q.name))
		}
	}
}
