package conveyor

import (
	"strings"
	"time"
)

// The kinds of event in the log.
const (
	Started   = "start"      // the PLC serves
	Session   = "session"    // a client has opened a session
	PartSeen  = "part"       // what the PLC made of a part
	FaultOn   = "fault"      // something goes wrong
	FaultOver = "fault-over" // and is over
	Ended     = "end"
)

// Event is one line of the PLC's own log: what it saw and did.
type Event struct {
	At   time.Time `json:"at"` // by the clock of this machine, whatever the PLC's shows
	Kind string    `json:"event"`
	Text string    `json:"text,omitempty"`
	Part *Seen     `json:"part,omitempty"`
	Sums *Sums     `json:"sums,omitempty"`
}

// Seen is a part as the PLC saw it.
type Seen struct {
	ID       string   `json:"part_id"`
	Lot      string   `json:"lot,omitempty"`
	Recipe   string   `json:"recipe,omitempty"`
	UserData string   `json:"user_data,omitempty"`
	Seq      uint32   `json:"seq"`
	Bits     int      `json:"bits"` // width of the counter
	Told     bool     `json:"told"` // a valid result for this very part came in time
	Pass     bool     `json:"pass"` // only on positive proof
	Code     *int16   `json:"code,omitempty"`
	Score    *float32 `json:"score,omitempty"`
	Latency  float64  `json:"latency_ms"` // from part_present to the decision
	Why      string   `json:"why,omitempty"`
	Was      string   `json:"was,omitempty"`  // what it was told when it was recorded
	Fault    string   `json:"with,omitempty"` // the faults that were on
}

// Verdict is what became of the part at the PLC.
func (s Seen) Verdict() string {
	if s.Pass {
		return "pass"
	}
	return "reject"
}

// Sums are counts over a run.
type Sums struct {
	Parts  int `json:"parts"`
	Pass   int `json:"pass"`
	Reject int `json:"reject"` // told so
	Silent int `json:"silent"` // no result in time: rejected by the PLC itself
	Other  int `json:"other"`  // in a replay: another verdict than was recorded
}

// Add counts a part.
func (s *Sums) Add(p Seen) {
	s.Parts++
	switch {
	case p.Pass:
		s.Pass++
	case p.Told:
		s.Reject++
	default:
		s.Silent++
	}
	if p.Was != "" && p.Was != p.Verdict() {
		s.Other++
	}
}

func names(faults []Fault) string {
	var all []string
	for _, f := range faults {
		all = append(all, f.String())
	}
	return strings.Join(all, "; ")
}
