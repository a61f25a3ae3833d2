package opcua

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"linectl/internal/part"
	"linectl/internal/setting"
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
	reportTimes(b, "line", line)
	reportTimes(b, "plc", whole)
}

func reportTimes(b *testing.B, name string, times []time.Duration) {
	slices.Sort(times)
	for _, q := range []int{50, 99, 100} {
		what := fmt.Sprintf("%s-p%d-ms", name, q)
		if q == 100 {
			what = name + "-max-ms"
		}
		b.ReportMetric(float64(percentile(times, q).Microseconds())/1000, what)
	}
}

// BenchmarkTriggerPath is the table of the manual: part_present set by a PLC that nobody here wrote, to
// result_valid with the right sequence seen by it, without any inspection; each way to learn of a part, without
// and with security, on a machine with nothing else to do and on one whose cores are all taken.
func BenchmarkTriggerPath(b *testing.B) {
	for _, source := range []struct {
		Source
		every time.Duration
	}{{Polling, 5 * time.Millisecond}, {Polling, 10 * time.Millisecond}, {Subscribing, 50 * time.Millisecond}} {
		for _, open := range []bool{true, false} {
			for _, busy := range []bool{false, true} {
				name := fmt.Sprintf("%s_%s/%s/%s", source.Source, source.every,
					map[bool]string{true: "open", false: "encrypted"}[open], map[bool]string{true: "loaded", false: "quiet"}[busy])
				b.Run(name, func(b *testing.B) {
					p := startForeignWith(b, "node", Standard, 1<<30, "", "", open, 0)
					p.cfg.Trigger, p.cfg.Poll = source.Source, setting.Duration(source.every)
					l, heard, stop := runLinkWithin(b, p.cfg, usual())
					b.Cleanup(stop)
					for heard.next(b).kind != "connected" {
					}
					beat(b, l)
					if busy {
						load(b)
					}
					fmt.Fprintln(p.in, "begin")
					var times []time.Duration
					for b.Loop() {
						trigger := heard.want(b, "triggered").trigger
						if err := l.Answer(b.Context(), part.Result{Trigger: trigger, Verdict: part.Pass, Reason: part.None}); err != nil {
							b.Fatal(err)
						}
						var o struct {
							Seq  uint32
							Pass bool
							MS   float64
						}
						p.line(b, &o)
						if !o.Pass || o.Seq != trigger.Sequence.Value {
							b.Fatalf("%+v for part %s", o, trigger.Sequence)
						}
						times = append(times, time.Duration(o.MS*float64(time.Millisecond)))
						heard.want(b, "withdrawn")
						if err := l.Clear(b.Context()); err != nil {
							b.Fatal(err)
						}
					}
					reportTimes(b, "plc", times)
				})
			}
		}
	}
}

// load takes every core of this machine until the benchmark ends.
func load(b *testing.B) {
	for range runtime.NumCPU() {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	}
}
