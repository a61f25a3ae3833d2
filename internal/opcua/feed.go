package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// feed is the PLC's own report of changes: one subscription on what would be polled, and on the server's
// clock. The clock has to change, so a feed that brings nothing is dead, whatever the library says.
type feed struct {
	sub        *opcua.Subscription
	heard      chan *opcua.PublishNotificationData
	publishing time.Duration                  // as granted
	sampling   time.Duration                  // as granted, the longest of the items
	early      *opcua.PublishNotificationData // the first message, which proved that the feed works
}

// The clock's handle in a feed; those of the signals are their numbers.
const clockHandle = uint32(signals)

func clock() *ua.NodeID { return ua.NewNumericNodeID(0, id.Server_ServerStatus_CurrentTime) }

// keepAlives and lifetime count publishing intervals. A feed that is not asked for ends at the PLC, too.
const (
	keepAlives = 10
	lifetime   = 300
)

// subscribe asks for a feed of the given interval, and reads back what was granted. It takes the tags'
// own node ids: not every PLC lets registered ones be watched.
func (s *session) subscribe(ctx context.Context, every time.Duration, watched []signal) (*feed, error) {
	f := &feed{heard: make(chan *opcua.PublishNotificationData, 64)}
	parameters := &opcua.SubscriptionParameters{Interval: every, MaxKeepAliveCount: keepAlives, LifetimeCount: lifetime}
	var err error
	if f.sub, err = s.client.Subscribe(ctx, parameters, f.heard); err != nil {
		return nil, plain(err)
	}
	f.publishing = f.sub.RevisedPublishingInterval
	item := func(node *ua.NodeID, handle uint32) *ua.MonitoredItemCreateRequest {
		request := opcua.NewMonitoredItemCreateRequestWithDefaults(node, ua.AttributeIDValue, handle)
		request.RequestedParameters.SamplingInterval = float64(every) / float64(time.Millisecond)
		request.RequestedParameters.QueueSize = 1 // the newest value counts; what went by between is seen by the counter
		return request
	}
	items := []*ua.MonitoredItemCreateRequest{item(clock(), clockHandle)}
	for _, sig := range watched {
		items = append(items, item(s.own[sig], uint32(sig)))
	}
	response, err := f.sub.Monitor(ctx, ua.TimestampsToReturnNeither, items...)
	switch {
	case err != nil:
		return nil, plain(err)
	case len(response.Results) != len(items):
		return nil, fmt.Errorf("asked to watch %d tags, got %d answers", len(items), len(response.Results))
	}
	for i, result := range response.Results {
		if severity(result.StatusCode) != good {
			name := "the server's clock"
			if i > 0 {
				name = "plc.tags." + table[watched[i-1]].key
			}
			return nil, fmt.Errorf("%s cannot be watched (%s)", name, statusName(result.StatusCode))
		}
		if i > 0 { // the clock only proves that the feed lives
			f.sampling = max(f.sampling, time.Duration(result.RevisedSamplingInterval*float64(time.Millisecond)))
		}
	}
	return f, nil
}

// wait is the longest time until a change is told: it may just have missed a sample, and the sample a
// notification.
func (f *feed) wait() time.Duration { return f.publishing + f.sampling }

// prove waits for the first message: what is granted may still tell nothing, and a station must not be
// ready as long as no part could be seen.
func (f *feed) prove(ctx context.Context, within time.Duration) error {
	select {
	case f.early = <-f.heard:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(within):
		return in(Silent, failure("set plc.trigger to poll; subscriptions of this PLC do not work", "the PLC granted a subscription and told nothing by it for %s", within))
	}
}

// silence is how long a feed may bring nothing, not even the clock.
func (s *session) silence() time.Duration { return max(s.stale, 3*s.feed.wait()) }

// gaps hears the feed for a while, and returns the times between what it brought, in ascending order.
func (f *feed) gaps(ctx context.Context, most int, within time.Duration) (gaps []time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var last time.Time
	for len(gaps) < most {
		select {
		case <-ctx.Done():
			slices.Sort(gaps)
			return gaps
		case <-f.heard:
		}
		now := time.Now()
		if !last.IsZero() {
			gaps = append(gaps, now.Sub(last))
		}
		last = now
	}
	slices.Sort(gaps)
	return gaps
}

// drain takes what still comes until done: the library would wait for ever for somebody to take it.
func (f *feed) drain(done <-chan struct{}) {
	for {
		select {
		case <-f.heard:
		case <-done:
			return
		}
	}
}

// follow hears the feed until the session ends or ctx does, and says what happened.
func (s *session) follow(ctx context.Context, from first, listener Listener) error {
	w := newWatch(from.sample(), s.has(resultAck), s.stale)
	now, heard := from.values, time.Now()
	if err := s.take(s.feed.early, &now); err != nil {
		return fmt.Errorf("hear the trigger: %w", err)
	}
	silence := s.silence()
	ticker := time.NewTicker(s.stale / 10) // a heartbeat that stands brings nothing to hear
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ended:
			return s.cause
		case n := <-s.feed.heard:
			if err := s.take(n, &now); err != nil {
				return fmt.Errorf("hear the trigger: %w", err)
			}
			heard = time.Now()
		case <-ticker.C:
			if time.Since(heard) >= silence {
				return in(Silent, fmt.Errorf("the PLC's subscription told nothing for %s, not even of its clock", silence))
			}
		}
		if err := s.tell(ctx, &w, now.sample(time.Now()), listener); err != nil {
			return err
		}
	}
}

// take puts what a notification brought where it belongs.
func (s *session) take(n *opcua.PublishNotificationData, now *values) error {
	if n.Error != nil {
		return plain(n.Error)
	}
	switch told := n.Value.(type) {
	case *ua.DataChangeNotification:
		for _, item := range told.MonitoredItems {
			if item == nil || item.ClientHandle >= clockHandle {
				continue
			}
			sig := signal(item.ClientHandle)
			if !s.has(sig) || item.Value == nil {
				return errors.New("the PLC told of a tag that nobody asked for, or nothing of one")
			}
			value, err := s.known(sig, item.Value)
			if err != nil {
				return in(BadValue, &tagError{sig, err})
			}
			now[sig] = value
		}
	case *ua.StatusChangeNotification:
		return fmt.Errorf("the PLC ended the subscription (%s)", statusName(told.Status))
	}
	return nil
}

// prepare makes the way of the trigger ready and refuses one that is too slow for the cycle; a cycle of 0
// takes any. It comes after the snapshot: what a feed tells first is then newer.
func (s *session) prepare(ctx context.Context, cfg Config, cycle time.Duration) error {
	wait := s.every
	if cfg.Trigger == Subscribing {
		var err error
		if s.feed, err = s.subscribe(ctx, s.every, s.polled); err != nil {
			return in(NoFeed, failure("set plc.trigger to poll, or have the PLC's OPC UA server grant one more subscription", "subscribe to the trigger: %w", err))
		}
		wait = s.feed.wait()
	}
	s.path = cfg.path(wait, s.rounds)
	if cycle > 0 {
		if err := s.path.Fits(cycle); err != nil {
			return in(TooSlow, err)
		}
	}
	if s.feed != nil {
		return s.feed.prove(ctx, s.silence())
	}
	return nil
}
