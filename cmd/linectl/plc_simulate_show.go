package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"linectl/internal/sim/conveyor"
)

// reporter shows a simulated line to whoever asked for it.
type reporter interface {
	begin(*conveyor.Line)
	event(conveyor.Event) // one at a time; some may come before begin
	end()
}

func (s *simulation) reporter() reporter {
	switch s.output {
	case "json":
		return jsonEvents{json.NewEncoder(s.out)}
	case "csv":
		return &csvEvents{csv.NewWriter(s.out)}
	}
	if s.view && terminal(s.out) {
		return &viewedEvents{out: s.out}
	}
	return textEvents{s.out}
}

// jsonEvents writes a line for each event, as it happens.
type jsonEvents struct{ out *json.Encoder }

func (j jsonEvents) begin(*conveyor.Line)   {}
func (j jsonEvents) event(e conveyor.Event) { _ = j.out.Encode(e) } // nobody listens any more; the log has it
func (j jsonEvents) end()                   {}

// csvEvents writes the parts alone.
type csvEvents struct{ out *csv.Writer }

func (c *csvEvents) begin(*conveyor.Line) {
	c.write("at", "seq", "part_id", "lot", "told", "pass", "code", "score", "latency_ms", "why", "with", "was")
}

func (c *csvEvents) event(e conveyor.Event) {
	if s := e.Part; s != nil {
		code, score := "", ""
		if s.Told {
			code, score = fmt.Sprint(*s.Code), fmt.Sprint(*s.Score)
		}
		c.write(e.At.Format(time.RFC3339Nano), fmt.Sprint(s.Seq), s.ID, s.Lot, fmt.Sprint(s.Told), fmt.Sprint(s.Pass), code, score,
			fmt.Sprint(s.Latency), s.Why, s.Fault, s.Was)
	}
}

func (c *csvEvents) write(row ...string) {
	_ = c.out.Write(row)
	c.out.Flush()
}

func (c *csvEvents) end() {}

// textEvents writes lines for people.
type textEvents struct{ out io.Writer }

func (t textEvents) begin(line *conveyor.Line) {
	fmt.Fprintf(t.out, "%s\n%6s  %-10s  %-6s  %4s  %8s  %9s\n", line.PLC().Section(), "seq", "part", "result", "code", "score", "latency")
}

func (t textEvents) event(e conveyor.Event) {
	switch e.Kind {
	case conveyor.PartSeen:
		fmt.Fprintln(t.out, handshake(*e.Part))
	case conveyor.Session:
		fmt.Fprintf(t.out, "        a session of %s\n", e.Text)
	case conveyor.FaultOn:
		fmt.Fprintf(t.out, "        fault: %s\n", e.Text)
	case conveyor.FaultOver:
		fmt.Fprintf(t.out, "        over:  %s\n", e.Text)
	case conveyor.Ended:
		fmt.Fprintln(t.out, summary(*e.Sums))
	}
}

func (t textEvents) end() {}

func summary(s conveyor.Sums) string {
	text := fmt.Sprintf("%d parts: %d passed, %d told to reject, %d without a result in time", s.Parts, s.Pass, s.Reject, s.Silent)
	if s.Other > 0 {
		text += fmt.Sprintf("; %d otherwise than recorded", s.Other)
	}
	return text
}

// viewedEvents writes the same lines and keeps the state of the line below them.
type viewedEvents struct {
	out    io.Writer
	ticker *time.Ticker
	done   chan struct{}
	work   sync.WaitGroup

	mu     sync.Mutex
	line   *conveyor.Line
	sums   conveyor.Sums
	recent []string // verdicts of the newest parts
	drawn  int      // lines of the view on the screen
}

func (v *viewedEvents) begin(line *conveyor.Line) {
	v.mu.Lock()
	v.line = line
	textEvents{v.out}.begin(line)
	v.mu.Unlock()
	v.ticker, v.done = time.NewTicker(200*time.Millisecond), make(chan struct{})
	v.work.Go(func() {
		for {
			select {
			case <-v.done:
				return
			case <-v.ticker.C:
				v.mu.Lock()
				v.draw()
				v.mu.Unlock()
			}
		}
	})
}

func (v *viewedEvents) event(e conveyor.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wipe()
	textEvents{v.out}.event(e)
	if e.Part == nil {
		return
	}
	v.sums.Add(*e.Part)
	mark := "\x1b[33m?\x1b[0m"
	switch {
	case e.Part.Pass:
		mark = "\x1b[32m+\x1b[0m"
	case e.Part.Told:
		mark = "\x1b[31m-\x1b[0m"
	}
	if v.recent = append(v.recent, mark); len(v.recent) > 60 {
		v.recent = v.recent[1:]
	}
}

func (v *viewedEvents) end() {
	close(v.done)
	v.ticker.Stop()
	v.work.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wipe()
}

// wipe takes the view off the screen.
func (v *viewedEvents) wipe() {
	if v.drawn > 0 {
		fmt.Fprintf(v.out, "\x1b[%dA\x1b[J", v.drawn)
		v.drawn = 0
	}
}

func (v *viewedEvents) draw() {
	v.wipe()
	lines := view(v.line.PLC().Memory(), v.sums, v.line.Faults(), v.recent)
	fmt.Fprintln(v.out, strings.Join(lines, "\n"))
	v.drawn = len(lines)
}

// view is the state of a line in few short lines.
func view(tags map[string]any, sums conveyor.Sums, faults string, recent []string) []string {
	lamp := func(keys ...string) string {
		var all []string
		for _, key := range keys {
			state := "."
			if on, _ := tags[key].(bool); on {
				state = "#"
			}
			all = append(all, fmt.Sprintf("%s %s", state, key))
		}
		return strings.Join(all, "  ")
	}
	if faults == "" {
		faults = "none"
	}
	return []string{
		strings.Repeat("-", 72),
		fmt.Sprintf("PLC      %s  seq %v  part %v  lot %v", lamp("part_present"), tags["trigger_seq"], tags["part_id"], tags["lot"]),
		fmt.Sprintf("linectl  %s  heartbeat %v", lamp("ready", "busy", "fault"), tags["vision_heartbeat"]),
		fmt.Sprintf("result   %s  seq %v  code %v", lamp("result_valid", "accept", "reject"), tags["result_seq"], tags["result_code"]),
		"faults   " + faults,
		summary(sums),
		strings.Join(recent, ""),
	}
}
