package serve

import (
	"reflect"
	"slices"
	"time"

	"github.com/gopcua/opcua/ua"
)

func (sub *subscription) poke() {
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}

// run is a subscription from its beginning to its end.
func (s *Server) run(n *Session, sub *subscription) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-sub.ended:
			return
		case <-sub.wake:
		case <-timer.C:
		}
		if s.cfg.Hold != nil {
			s.cfg.Hold()
		}
		for {
			to, response, wait := s.turn(n, sub)
			if response == nil {
				timer.Reset(wait)
				break
			}
			s.send(to, response)
		}
	}
}

// turn samples what is due and makes the next message, if there is one and somebody asked for it. Otherwise it
// says how long there is nothing to do.
func (s *Server) turn(n *Session, sub *subscription) (to publishing, response ua.Response, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-sub.ended:
		return to, nil, longestInterval
	default:
	}
	now := time.Now()
	if s.muted {
		return to, nil, sub.every
	}
	wake := now.Add(longestInterval)
	for _, i := range sub.items {
		if i.filter != nil {
			continue // nothing to sample
		}
		if i.mode != ua.MonitoringModeDisabled && !i.next.After(now) {
			i.sample(s.cfg.Value(i.node.NodeID, i.node.AttributeID), s.cfg.Now())
			i.next = following(i.next, i.every, now)
		}
		if i.next.Before(wake) {
			wake = i.next
		}
	}
	if !sub.next.After(now) {
		sub.next = following(sub.next, sub.every, now)
		sub.quiet++
		sub.late = sub.news() || sub.quiet >= sub.keepAlive || !sub.begun
		if len(n.waiting) == 0 {
			if sub.alone++; sub.alone > sub.lifetime {
				s.unsubscribe(n, sub.number)
				return to, nil, longestInterval
			}
		}
	}
	if sub.next.Before(wake) {
		wake = sub.next
	}
	if !sub.late || len(n.waiting) == 0 {
		return to, nil, max(time.Until(wake), 0)
	}
	to, n.waiting = n.waiting[0], n.waiting[1:]
	message := &ua.NotificationMessage{SequenceNumber: sub.sequence + 1, PublishTime: s.cfg.Now(), NotificationData: []*ua.ExtensionObject{}}
	results := n.acknowledge(to.request.(*ua.PublishRequest))
	if sub.news() {
		if told := sub.changes(); len(told.MonitoredItems) > 0 {
			message.NotificationData = append(message.NotificationData, ua.NewExtensionObject(told))
		}
		if told := sub.happenings(); len(told.Events) > 0 {
			message.NotificationData = append(message.NotificationData, ua.NewExtensionObject(told))
		}
		if sub.sequence++; sub.sequence == 1<<32-1 {
			sub.sequence = 0 // 0 is none: keep-alives have the number that comes next
		}
		if sub.sent = append(sub.sent, message); len(sub.sent) > mostSent {
			sub.sent = sub.sent[1:]
		}
	}
	sub.begun, sub.quiet, sub.alone, sub.late = true, 0, 0, sub.news()
	available := []uint32{}
	for _, m := range sub.sent {
		available = append(available, m.SequenceNumber)
	}
	return to, &ua.PublishResponse{
		ResponseHeader: s.Header(to.request), SubscriptionID: sub.number, AvailableSequenceNumbers: available, MoreNotifications: sub.late,
		NotificationMessage: message, Results: results, DiagnosticInfos: []*ua.DiagnosticInfo{},
	}, 0
}

// following is the first beat of an interval that is still to come.
func following(last time.Time, every time.Duration, now time.Time) time.Time {
	return last.Add((now.Sub(last)/every + 1) * every)
}

// news tells whether there are changes to tell.
func (sub *subscription) news() bool {
	if !sub.enabled {
		return false
	}
	for _, i := range sub.items {
		if i.mode == ua.MonitoringModeReporting && len(i.queue)+len(i.events) > 0 {
			return true
		}
	}
	return false
}

// changes takes from the queues what goes into one message.
func (sub *subscription) changes() *ua.DataChangeNotification {
	told := &ua.DataChangeNotification{MonitoredItems: []*ua.MonitoredItemNotification{}, DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, i := range sub.items {
		for i.mode == ua.MonitoringModeReporting && len(i.queue) > 0 && (sub.most == 0 || len(told.MonitoredItems) < sub.most) {
			told.MonitoredItems = append(told.MonitoredItems, &ua.MonitoredItemNotification{ClientHandle: i.handle, Value: i.queue[0]})
			i.queue = i.queue[1:]
		}
	}
	return told
}

// happenings takes from the queues the events that go into one message.
func (sub *subscription) happenings() *ua.EventNotificationList {
	told := &ua.EventNotificationList{Events: []*ua.EventFieldList{}}
	for _, i := range sub.items {
		for i.mode == ua.MonitoringModeReporting && len(i.events) > 0 && (sub.most == 0 || len(told.Events) < sub.most) {
			told.Events = append(told.Events, i.events[0])
			i.events = i.events[1:]
		}
	}
	return told
}

// overflow says in the status of a value that others were lost (Part 4, 7.39.1).
const overflow = ua.StatusCode(0x480)

// sample takes a value into the queue if it has changed.
func (i *item) sample(v *ua.DataValue, now time.Time) {
	if i.last != nil && i.last.Status == v.Status && reflect.DeepEqual(i.last.Value, v.Value) {
		return
	}
	i.last = v
	told := *v
	if i.stamps == ua.TimestampsToReturnSource || i.stamps == ua.TimestampsToReturnBoth {
		told.EncodingMask, told.SourceTimestamp = told.EncodingMask|ua.DataValueSourceTimestamp, now
	}
	if i.stamps == ua.TimestampsToReturnServer || i.stamps == ua.TimestampsToReturnBoth {
		told.EncodingMask, told.ServerTimestamp = told.EncodingMask|ua.DataValueServerTimestamp, now
	}
	if len(i.queue) >= i.size {
		lost := i.queue
		if i.oldest {
			i.queue = slices.Clone(lost[len(lost)-i.size+1:])
		} else {
			i.queue = slices.Clone(lost[:i.size-1])
		}
		if i.size > 1 { // with one place the newest value is all that was asked for
			mark := &told
			if i.oldest {
				mark = i.queue[0]
			}
			mark.Status, mark.EncodingMask = mark.Status|overflow, mark.EncodingMask|ua.DataValueStatusCode
		}
	}
	i.queue = append(i.queue, &told)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
