package opcua

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/hint"
)

// Path is what the way between PLC and linectl costs each part, as measured on this PLC.
type Path struct {
	Trigger Source        `json:"trigger"`
	Wait    time.Duration `json:"wait_ns"`  // longest until a change at the PLC is asked for or told
	Round   time.Duration `json:"round_ns"` // one request and its answer, 9 of 10 times
	Rounds  int           `json:"rounds"`   // requests from the news of a part to result_valid
}

// Whole is the longest time from part_present at the PLC to result_valid there that is not spent on the
// inspection.
func (p Path) Whole() time.Duration { return p.Wait + time.Duration(p.Rounds)*p.Round }

// path is how a session with this config costs, given one round trip and the wait for news.
func (c Config) path(wait, round time.Duration) Path {
	p := Path{Trigger: c.Trigger, Wait: wait, Round: round, Rounds: 3} // the part's names, the data, result_valid
	if c.VerifyWrites {
		p.Rounds++
	}
	if c.Trigger == Polling {
		p.Rounds++ // the reading that brings the news
	}
	return p
}

// with is the config with another way to learn of a part.
func (c Config) with(s Source) Config {
	c.Trigger = s
	return c
}

// Fits says why the path is too slow for a cycle; nil where it is not.
func (p Path) Fits(cycle time.Duration) error {
	if p.Whole() < cycle {
		return nil
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }
	next := "lower plc.poll, take load off the PLC's CPU or the network, or raise line.cycle and the PLC's own limit; 'linectl plc probe' measures again"
	if p.Trigger == Subscribing {
		next = "set plc.trigger to poll, lower plc.poll if the PLC grants shorter intervals, or raise line.cycle and the PLC's own limit; 'linectl plc probe' shows what it grants"
	}
	return hint.New(hint.Failure, fmt.Errorf("the path to the PLC is too slow: it takes up to %s of each part's time (news of the part after up to %s, then %d requests of %s), and line.cycle is %s",
		ms(p.Whole()), ms(p.Wait), p.Rounds, ms(p.Round), cycle), next)
}

const (
	pathRounds = 20
	pathTime   = 200 * time.Millisecond // for all of them; a slow PLC shows itself in the first
)

// round measures one round trip: the time that 9 of 10 did not exceed, since one hiccup says nothing about a path.
func (s *session) round(ctx context.Context) (time.Duration, error) {
	rounds, err := s.measure(ctx, pathRounds, pathTime)
	return percentile(rounds, 90), err
}

// measure reads everything that a line reads again and again, and returns how long one request took of each reading, in
// ascending order.
func (s *session) measure(ctx context.Context, most int, within time.Duration) (rounds []time.Duration, err error) {
	var nodes []*ua.ReadValueID
	for _, sig := range present(s, partPresent, triggerSeq, resultAck, plcHeartbeat, partID, recipeID, lot, userData) {
		nodes = append(nodes, &ua.ReadValueID{NodeID: s.ids[sig], AttributeID: ua.AttributeIDValue})
	}
	if len(nodes) == 0 {
		nodes = []*ua.ReadValueID{{NodeID: clock(), AttributeID: ua.AttributeIDValue}}
	}
	requests := (len(nodes) + s.most - 1) / s.most // of one reading, where the PLC takes few nodes in each
	for end := time.Now().Add(within); len(rounds) < most && time.Now().Before(end); {
		before := time.Now()
		for part := range slices.Chunk(nodes, s.most) {
			if _, err := s.ask(ctx, &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnNeither, NodesToRead: part}); err != nil {
				return nil, fmt.Errorf("measure the path: %w", err)
			}
		}
		rounds = append(rounds, time.Since(before)/time.Duration(requests))
	}
	slices.Sort(rounds)
	return rounds, nil
}

// percentile is the time that so many of 100 did not exceed; the times are in ascending order.
func percentile(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return times[min(len(times)-1, len(times)*percent/100)]
}
