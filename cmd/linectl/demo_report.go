package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"linectl/internal/config"
	"linectl/internal/part"
	"linectl/internal/sim/plc"
	"linectl/internal/store"
)

// demoReport holds what the PLC saw against the truth and against the record.
type demoReport struct {
	demo  *demo
	lines []demoLine
}

type demoLine struct {
	sample
	plc.Outcome
}

func (l demoLine) right() bool { return l.good == l.Pass }

func (r *demoReport) head() {
	fmt.Fprintf(r.demo.out, "%5s  %-9s %-5s %-22s %8s %8s  %s\n", "part", "id", "truth", "verdict", "score", "ms", "picture")
}

// add shows one verdict as it happened.
func (r *demoReport) add(s sample, o plc.Outcome) {
	l := demoLine{s, o}
	r.lines = append(r.lines, l)
	verdict := "pass"
	switch reason := part.ReasonByCode(int64(o.Code)); {
	case o.Pass:
	case o.Told && reason != part.None:
		verdict = "reject: " + reason.String()
	default: // the PLC's own decision
		verdict = "reject: " + o.Why
	}
	truth := "bad"
	if s.good {
		truth = "good"
	}
	line := fmt.Sprintf("%5d  SN-%05d  %-5s %-22s %8.4g %8.1f  %s", len(r.lines), len(r.lines), truth, verdict, o.Score, milliseconds(o.Latency), filepath.Base(s.picture))
	if !l.right() {
		line += "  <- wrong"
	}
	if terminal(r.demo.out) {
		switch {
		case !l.right():
			line = "\033[1;33m" + line + "\033[0m"
		case !o.Pass:
			line = "\033[31m" + line + "\033[0m"
		}
	}
	fmt.Fprintln(r.demo.out, line)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// conclude compares the PLC's side with the record, prints the summary, and fails where a trigger had no
// verdict in time or a verdict has no row.
func (r *demoReport) conclude(ctx context.Context, rig *rig) error {
	c, err := config.Load(rig.config)
	if err != nil {
		return err
	}
	reader, err := store.OpenReader(ctx, c.Store)
	if err != nil {
		return err
	}
	defer reader.Close()
	rows := map[uint32][]store.Part{}
	for p, err := range reader.Find(ctx, store.Filter{}) {
		if err != nil {
			return err
		}
		rows[p.Sequence.Value] = append(rows[p.Sequence.Value], p)
	}

	var late, unrecorded int
	var latencies []time.Duration
	var table [2][2]int // good, pass
	first := int64(0)   // reject
	for _, l := range r.lines {
		table[index(l.good)][index(l.Pass)]++
		latencies = append(latencies, l.Latency)
		if !l.Told || l.Latency > rig.cycle+plcPatience {
			late++
		}
		row := rows[l.Seq]
		if len(row) != 1 || l.Pass != (row[0].Verdict == part.Pass) || l.Told && row[0].Outcome != part.Written {
			unrecorded++
		}
		if first == 0 && len(row) == 1 && row[0].Reason == part.Anomaly {
			first = row[0].ID
		}
	}
	slices.Sort(latencies)
	at := func(q float64) float64 { return milliseconds(latencies[int(q*float64(len(latencies)-1)+0.5)]) }
	out := r.demo.out
	fmt.Fprintf(out, "\n%d triggers, %d verdicts in time, %d rows in the record that agree\n", len(r.lines), len(r.lines)-late, len(r.lines)-unrecorded)
	fmt.Fprintf(out, "  %-12s %8s %10s\n", "", "passed", "rejected")
	fmt.Fprintf(out, "  %-12s %8d %10d   false rejects: %d\n", "good parts", table[1][1], table[1][0], table[1][0])
	fmt.Fprintf(out, "  %-12s %8d %10d   escapes: %d\n", "bad parts", table[0][1], table[0][0], table[0][1])
	fmt.Fprintf(out, "latency at the PLC, part present to decision: p50 %.1f ms, p99 %.1f ms, max %.1f ms; the cycle is %s\n", at(0.5), at(0.99), at(1), rig.cycle)
	fmt.Fprintf(out, "record   %s\nlog      %s\n", c.Store.Path, rig.log())
	if first > 0 {
		story, err := reader.Part(ctx, first)
		if err != nil {
			return err
		}
		drawn := drawStory(story, filepath.Join(r.demo.folder, "heatmap.png"))
		if drawn.err != nil {
			return drawn.err
		}
		if len(story.Pictures) > 0 && drawn.picture != nil { // one that was dropped is no failure, one that is damaged is
			return drawn.picture
		}
		fmt.Fprintf(out, "heatmap  %s\n", drawn.path)
	}
	self := os.Args[0]
	fmt.Fprintf(out, "try next:\n  %s -c %s query --verdict reject\n", self, rig.config)
	if first > 0 {
		fmt.Fprintf(out, "  %s -c %s show %d\n", self, rig.config, first)
	}
	fmt.Fprintf(out, "  %s -c %s recipe show demo\n", self, rig.config)

	var errs []error
	if late > 0 {
		errs = append(errs, fmt.Errorf("%d of %d triggers had no verdict in time", late, len(r.lines)))
	}
	if unrecorded > 0 {
		errs = append(errs, fmt.Errorf("%d of %d verdicts have no row of their own that agrees", unrecorded, len(r.lines)))
	}
	return errors.Join(errs...)
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}
