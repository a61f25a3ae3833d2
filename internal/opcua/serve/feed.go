package serve

import (
	"context"
	"slices"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uasc"
)

// Subscriptions as Part 4, 5.13 and 5.14 have them: items are sampled at their own intervals, and what has
// changed is told at each publishing interval, as long as the client keeps asking for news. There are
// no deadbands and no transfer to another session.

// subscription is what one client wants to be told of.
type subscription struct {
	number    uint32
	every     time.Duration // publishing interval
	keepAlive uint32        // so many intervals without news are told as such
	lifetime  uint32        // so many intervals in which nobody asked end it
	most      int           // changes in one message; 0 for any number
	enabled   bool
	items     map[uint32]*item

	next     time.Time // end of the publishing interval
	begun    bool      // the first message has gone
	quiet    uint32    // intervals without a message
	alone    uint32    // intervals in which nobody asked
	late     bool      // there is something to say, and nobody asked
	sequence uint32
	sent     []*ua.NotificationMessage // that are not acknowledged yet, oldest first

	wake  chan struct{} // somebody asks
	ended chan struct{}
}

// item is one attribute that is watched.
type item struct {
	node   *ua.ReadValueID
	handle uint32
	every  time.Duration
	size   int // of the queue
	oldest bool
	mode   ua.MonitoringMode
	stamps ua.TimestampsToReturn
	next   time.Time
	last   *ua.DataValue
	queue  []*ua.DataValue
	filter *ua.EventFilter // of an item that watches for events, which has no value
	events []*ua.EventFieldList
}

// publishing is a client's request for news, which is answered when there are some.
type publishing struct {
	channel *uasc.SecureChannel
	number  uint32
	request ua.Request
}

const (
	longestInterval   = time.Hour
	mostWaiting       = 10 // requests for news of one session
	mostSubscriptions = 16 // of one session
	mostItems         = 2000
	mostQueued        = 100
	mostSent          = 16 // messages that can be asked for again
)

func (s *Server) serveFeeds() {
	Within(s, id.CreateSubscriptionRequest_Encoding_DefaultBinary, s.createSubscription)
	Within(s, id.ModifySubscriptionRequest_Encoding_DefaultBinary, s.modifySubscription)
	Within(s, id.SetPublishingModeRequest_Encoding_DefaultBinary, s.setPublishingMode)
	Within(s, id.DeleteSubscriptionsRequest_Encoding_DefaultBinary, s.deleteSubscriptions)
	Within(s, id.CreateMonitoredItemsRequest_Encoding_DefaultBinary, s.createItems)
	Within(s, id.ModifyMonitoredItemsRequest_Encoding_DefaultBinary, s.modifyItems)
	Within(s, id.SetMonitoringModeRequest_Encoding_DefaultBinary, s.setMonitoringMode)
	Within(s, id.DeleteMonitoredItemsRequest_Encoding_DefaultBinary, s.deleteItems)
	Within(s, id.RepublishRequest_Encoding_DefaultBinary, s.republish)
	within(s, id.PublishRequest_Encoding_DefaultBinary, s.publish)
}

// Mute keeps every subscription from telling anything, without a word to anybody; or lets them go on.
func (s *Server) Mute(mute bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.muted = mute
}

// DropSubscriptions forgets every subscription and keeps the sessions.
func (s *Server) DropSubscriptions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.sessions {
		for number := range n.subscriptions {
			s.unsubscribe(n, number)
		}
	}
}

func (s *Server) createSubscription(n *Session, r *ua.CreateSubscriptionRequest) (ua.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(n.subscriptions) >= mostSubscriptions {
		return nil, ua.StatusBadTooManySubscriptions
	}
	select {
	case <-s.done:
		return nil, ua.StatusBadShutdown
	default:
	}
	s.newest++
	sub := &subscription{number: s.newest, enabled: r.PublishingEnabled, items: map[uint32]*item{}, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	s.revise(sub, r.RequestedPublishingInterval, r.RequestedLifetimeCount, r.RequestedMaxKeepAliveCount, r.MaxNotificationsPerPublish)
	sub.next = time.Now().Add(sub.every)
	n.subscriptions[sub.number] = sub
	s.feeds.Go(func() { s.run(n, sub) })
	return &ua.CreateSubscriptionResponse{
		ResponseHeader: s.Header(r), SubscriptionID: sub.number, RevisedPublishingInterval: milliseconds(sub.every),
		RevisedLifetimeCount: sub.lifetime, RevisedMaxKeepAliveCount: sub.keepAlive,
	}, nil
}

// revise grants what is asked for, within limits. A lifetime is at least three keep-alives.
func (s *Server) revise(sub *subscription, every float64, lifetime, keepAlive, most uint32) {
	const longest = 1 << 20
	sub.every = interval(every, s.cfg.Shortest, longestInterval)
	sub.keepAlive = min(max(keepAlive, 1), longest)
	sub.lifetime = min(max(lifetime, 3*sub.keepAlive), 3*longest)
	sub.most = int(min(most, mostItems))
}

func (s *Server) modifySubscription(n *Session, r *ua.ModifySubscriptionRequest) (ua.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := n.subscriptions[r.SubscriptionID]
	if sub == nil {
		return nil, ua.StatusBadSubscriptionIDInvalid
	}
	s.revise(sub, r.RequestedPublishingInterval, r.RequestedLifetimeCount, r.RequestedMaxKeepAliveCount, r.MaxNotificationsPerPublish)
	sub.next = time.Now().Add(sub.every)
	sub.poke()
	return &ua.ModifySubscriptionResponse{ResponseHeader: s.Header(r), RevisedPublishingInterval: milliseconds(sub.every), RevisedLifetimeCount: sub.lifetime, RevisedMaxKeepAliveCount: sub.keepAlive}, nil
}

func (s *Server) setPublishingMode(n *Session, r *ua.SetPublishingModeRequest) (ua.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	response := &ua.SetPublishingModeResponse{ResponseHeader: s.Header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, number := range r.SubscriptionIDs {
		status := ua.StatusBadSubscriptionIDInvalid
		if sub := n.subscriptions[number]; sub != nil {
			sub.enabled, status = r.PublishingEnabled, ua.StatusOK
		}
		response.Results = append(response.Results, status)
	}
	return response, nil
}

func (s *Server) deleteSubscriptions(n *Session, r *ua.DeleteSubscriptionsRequest) (ua.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	response := &ua.DeleteSubscriptionsResponse{ResponseHeader: s.Header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, number := range r.SubscriptionIDs {
		status := ua.StatusBadSubscriptionIDInvalid
		if n.subscriptions[number] != nil {
			s.unsubscribe(n, number)
			status = ua.StatusOK
		}
		response.Results = append(response.Results, status)
	}
	return response, nil
}

// unsubscribe ends a subscription. With the last one those who wait for news learn that there will be
// none. The caller holds the lock.
func (s *Server) unsubscribe(n *Session, number uint32) {
	sub := n.subscriptions[number]
	s.items -= len(sub.items)
	close(sub.ended)
	delete(n.subscriptions, number)
	if len(n.subscriptions) > 0 {
		return
	}
	for _, p := range n.waiting {
		s.feeds.Go(func() { s.send(p, s.fault(p.request, ua.StatusBadNoSubscription)) })
	}
	n.waiting = nil
}

// send answers a request for news. One whose client has gone is forgotten.
func (s *Server) send(to publishing, response ua.Response) {
	_ = to.channel.SendResponseWithContext(context.Background(), to.number, response)
}

func (s *Server) createItems(n *Session, r *ua.CreateMonitoredItemsRequest) (ua.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := n.subscriptions[r.SubscriptionID]
	if sub == nil {
		return nil, ua.StatusBadSubscriptionIDInvalid
	}
	response := &ua.CreateMonitoredItemsResponse{ResponseHeader: s.Header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, wanted := range r.ItemsToCreate {
		result := &ua.MonitoredItemCreateResult{StatusCode: s.watchable(wanted), FilterResult: ua.NewExtensionObject(nil)}
		response.Results = append(response.Results, result)
		if result.StatusCode != ua.StatusOK {
			continue
		}
		i := &item{node: wanted.ItemToMonitor, mode: wanted.MonitoringMode, stamps: r.TimestampsToReturn, next: time.Now()}
		if wanted.ItemToMonitor.AttributeID == ua.AttributeIDEventNotifier {
			i.filter, _ = eventFilter(wanted.RequestedParameters.Filter)
		}
		s.adjust(i, sub, wanted.RequestedParameters)
		s.newest++
		s.items++
		sub.items[s.newest] = i
		result.MonitoredItemID, result.RevisedSamplingInterval, result.RevisedQueueSize = s.newest, milliseconds(i.every), uint32(i.size)
	}
	sub.poke()
	return response, nil
}

// watchable tells why something cannot be watched. The caller holds the lock.
func (s *Server) watchable(wanted *ua.MonitoredItemCreateRequest) ua.StatusCode {
	switch {
	case wanted == nil || wanted.ItemToMonitor == nil || wanted.ItemToMonitor.NodeID == nil || wanted.RequestedParameters == nil:
		return ua.StatusBadNodeIDInvalid
	case s.items >= mostItems:
		return ua.StatusBadTooManyMonitoredItems
	case wanted.ItemToMonitor.IndexRange != "":
		return ua.StatusBadIndexRangeInvalid
	case wanted.ItemToMonitor.AttributeID == ua.AttributeIDEventNotifier:
		return s.notifies(wanted)
	}
	if status := filtered(wanted.RequestedParameters.Filter); status != ua.StatusOK {
		return status
	}
	switch status := s.cfg.Value(wanted.ItemToMonitor.NodeID, wanted.ItemToMonitor.AttributeID).Status; status {
	case ua.StatusBadNodeIDUnknown, ua.StatusBadAttributeIDInvalid:
		return status
	}
	return ua.StatusOK
}

// notifies tells why a node cannot be watched for events.
func (s *Server) notifies(wanted *ua.MonitoredItemCreateRequest) ua.StatusCode {
	v := s.cfg.Value(wanted.ItemToMonitor.NodeID, ua.AttributeIDEventNotifier)
	if v.Status != ua.StatusOK {
		return v.Status
	}
	if bits, ok := v.Value.Value().(byte); !ok || bits&1 == 0 {
		return ua.StatusBadNotSupported
	}
	_, status := eventFilter(wanted.RequestedParameters.Filter)
	return status
}

// filtered takes the one filter that there is: status and value, with no band in which a change does not count.
func filtered(filter *ua.ExtensionObject) ua.StatusCode {
	if filter == nil || filter.Value == nil {
		return ua.StatusOK
	}
	change, ok := filter.Value.(*ua.DataChangeFilter)
	if !ok || change.DeadbandType != 0 || change.Trigger == ua.DataChangeTriggerStatus {
		return ua.StatusBadMonitoredItemFilterUnsupported
	}
	return ua.StatusOK
}

// adjust grants the parameters of an item, within limits. A negative sampling interval is that of the subscription.
func (s *Server) adjust(i *item, sub *subscription, p *ua.MonitoringParameters) {
	i.handle, i.size, i.oldest = p.ClientHandle, int(min(max(p.QueueSize, 1), mostQueued)), p.DiscardOldest
	if i.filter != nil && p.QueueSize <= 1 {
		i.size = mostQueued // 0 and 1 ask for what the server thinks right
	}
	if i.every = interval(p.SamplingInterval, s.cfg.Shortest, longestInterval); p.SamplingInterval < 0 {
		i.every = sub.every
	}
}

func (s *Server) modifyItems(n *Session, r *ua.ModifyMonitoredItemsRequest) (ua.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := n.subscriptions[r.SubscriptionID]
	if sub == nil {
		return nil, ua.StatusBadSubscriptionIDInvalid
	}
	response := &ua.ModifyMonitoredItemsResponse{ResponseHeader: s.Header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, wanted := range r.ItemsToModify {
		result := &ua.MonitoredItemModifyResult{StatusCode: ua.StatusBadMonitoredItemIDInvalid, FilterResult: ua.NewExtensionObject(nil)}
		response.Results = append(response.Results, result)
		if wanted == nil || wanted.RequestedParameters == nil || sub.items[wanted.MonitoredItemID] == nil {
			continue
		}
		i := sub.items[wanted.MonitoredItemID]
		if filter := wanted.RequestedParameters.Filter; i.filter == nil {
			result.StatusCode = filtered(filter)
		} else if f, status := eventFilter(filter); status == ua.StatusOK {
			i.filter, result.StatusCode = f, status
		} else {
			result.StatusCode = status
		}
		if result.StatusCode != ua.StatusOK {
			continue
		}
		s.adjust(i, sub, wanted.RequestedParameters)
		i.stamps = r.TimestampsToReturn
		result.RevisedSamplingInterval, result.RevisedQueueSize = milliseconds(i.every), uint32(i.size)
	}
	sub.poke()
	return response, nil
}

func (s *Server) setMonitoringMode(n *Session, r *ua.SetMonitoringModeRequest) (ua.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := n.subscriptions[r.SubscriptionID]
	if sub == nil {
		return nil, ua.StatusBadSubscriptionIDInvalid
	}
	response := &ua.SetMonitoringModeResponse{ResponseHeader: s.Header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, number := range r.MonitoredItemIDs {
		status := ua.StatusBadMonitoredItemIDInvalid
		if i := sub.items[number]; i != nil {
			i.mode, i.last, i.queue, i.events, status = r.MonitoringMode, nil, nil, nil, ua.StatusOK
		}
		response.Results = append(response.Results, status)
	}
	return response, nil
}

func (s *Server) deleteItems(n *Session, r *ua.DeleteMonitoredItemsRequest) (ua.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := n.subscriptions[r.SubscriptionID]
	if sub == nil {
		return nil, ua.StatusBadSubscriptionIDInvalid
	}
	response := &ua.DeleteMonitoredItemsResponse{ResponseHeader: s.Header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, number := range r.MonitoredItemIDs {
		status := ua.StatusBadMonitoredItemIDInvalid
		if sub.items[number] != nil {
			delete(sub.items, number)
			s.items--
			status = ua.StatusOK
		}
		response.Results = append(response.Results, status)
	}
	return response, nil
}

func (s *Server) republish(n *Session, r *ua.RepublishRequest) (ua.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := n.subscriptions[r.SubscriptionID]
	if sub == nil {
		return nil, ua.StatusBadSubscriptionIDInvalid
	}
	for _, m := range sub.sent {
		if m.SequenceNumber == r.RetransmitSequenceNumber {
			return &ua.RepublishResponse{ResponseHeader: s.Header(r), NotificationMessage: m}, nil
		}
	}
	return nil, ua.StatusBadMessageNotAvailable
}

// publish keeps the request until there is something to say. It takes the acknowledgements at once.
func (s *Server) publish(n *Session, r *ua.PublishRequest, p publishing) (ua.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(n.subscriptions) == 0 {
		return nil, ua.StatusBadNoSubscription
	}
	if len(n.waiting) >= mostWaiting {
		oldest := n.waiting[0]
		n.waiting = n.waiting[1:]
		s.feeds.Go(func() { s.send(oldest, s.fault(oldest.request, ua.StatusBadTooManyPublishRequests)) })
	}
	n.waiting = append(n.waiting, p)
	for _, sub := range n.subscriptions {
		if sub.late {
			sub.poke()
		}
	}
	return nil, nil
}

// acknowledge drops what the client has received.
func (n *Session) acknowledge(r *ua.PublishRequest) []ua.StatusCode {
	results := []ua.StatusCode{}
	for _, a := range r.SubscriptionAcknowledgements {
		status := ua.StatusBadSubscriptionIDInvalid
		if a == nil {
			continue
		}
		if sub := n.subscriptions[a.SubscriptionID]; sub != nil {
			status = ua.StatusBadSequenceNumberUnknown
			if i := slices.IndexFunc(sub.sent, func(m *ua.NotificationMessage) bool { return m.SequenceNumber == a.SequenceNumber }); i >= 0 {
				sub.sent, status = slices.Delete(sub.sent, i, i+1), ua.StatusOK
			}
		}
		results = append(results, status)
	}
	return results
}
