package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/opcua/pki"
	"linectl/internal/opcua/pki/pkitest"
)

var certificates string

func TestMain(m *testing.M) { os.Exit(pkitest.Main(m, &certificates, "server", "client", "stranger")) }

// patience is how long a test waits for what must happen; nothing is measured by it.
const patience = 20 * time.Second

func identity(t testing.TB, name string) pki.Identity {
	t.Helper()
	i, err := pki.Open(certificates, name)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// counter is a server with one variable, which counts how often it is read.
type counter struct {
	*Server
	reads atomic.Uint32
	moves atomic.Bool // with every read
}

func start(t *testing.T, edit func(*Config)) *counter {
	t.Helper()
	c := &counter{}
	cfg := Config{
		Address: "127.0.0.1:0", Name: "test", Identity: identity(t, "server"), Policies: []string{"Basic256Sha256"}, Mode: ua.MessageSecurityModeSignAndEncrypt,
		Timeout: time.Hour, Shortest: 5 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Value: func(n *ua.NodeID, a ua.AttributeID) *ua.DataValue {
			switch {
			case n.Namespace() != 1 || n.IntID() != 7:
				return Refused(ua.StatusBadNodeIDUnknown)
			case a != ua.AttributeIDValue:
				return Refused(ua.StatusBadAttributeIDInvalid)
			case c.moves.Load():
				c.reads.Add(1)
			}
			return Known(c.reads.Load())
		},
	}
	if edit != nil {
		edit(&cfg)
	}
	var err error
	if c.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	Within(c.Server, id.ReadRequest_Encoding_DefaultBinary, func(_ *Session, r *ua.ReadRequest) (ua.Response, error) {
		response := &ua.ReadResponse{ResponseHeader: c.Header(r)}
		for _, n := range r.NodesToRead {
			v := cfg.Value(n.NodeID, n.AttributeID)
			if n.NodeID.Namespace() == 0 {
				v = Known([]string{"http://opcfoundation.org/UA/", "urn:test"})
			}
			response.Results = append(response.Results, v)
		}
		return response, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	})
	return c
}

func dial(t *testing.T, s *counter, name string, options ...opcua.Option) (*opcua.Client, error) {
	t.Helper()
	own := identity(t, name)
	endpoint := &ua.EndpointDescription{
		EndpointURL: "opc.tcp://" + s.Address(), SecurityMode: ua.MessageSecurityModeSignAndEncrypt, SecurityPolicyURI: ua.SecurityPolicyURIBasic256Sha256,
		ServerCertificate: identity(t, "server").Certificate, Server: &ua.ApplicationDescription{},
		UserIdentityTokens: []*ua.UserTokenPolicy{{PolicyID: "anonymous_None", TokenType: ua.UserTokenTypeAnonymous}},
	}
	options = append([]opcua.Option{opcua.AutoReconnect(false), opcua.RequestTimeout(patience), opcua.Certificate(own.Certificate), opcua.PrivateKey(own.Key)}, options...)
	options = append(options, opcua.SecurityFromEndpoint(endpoint, ua.UserTokenTypeAnonymous))
	client, err := opcua.NewClient(endpoint.EndpointURL, options...)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Connect(t.Context()); err != nil {
		return nil, err
	}
	t.Cleanup(func() { client.Close(context.Background()) })
	return client, nil
}

func connect(t *testing.T, s *counter, options ...opcua.Option) *opcua.Client {
	t.Helper()
	client, err := dial(t, s, "client", options...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// watch subscribes to the variable.
func watch(t *testing.T, client *opcua.Client, p opcua.SubscriptionParameters, edit func(*ua.MonitoredItemCreateRequest)) (*opcua.Subscription, chan *opcua.PublishNotificationData, *ua.MonitoredItemCreateResult) {
	t.Helper()
	heard := make(chan *opcua.PublishNotificationData, 1000)
	sub, err := client.Subscribe(t.Context(), &p, heard)
	if err != nil {
		t.Fatal(err)
	}
	item := opcua.NewMonitoredItemCreateRequestWithDefaults(ua.NewNumericNodeID(1, 7), ua.AttributeIDValue, 42)
	if edit != nil {
		edit(item)
	}
	result, err := sub.Monitor(t.Context(), ua.TimestampsToReturnBoth, item)
	if err != nil || len(result.Results) != 1 {
		t.Fatalf("%v, %v", err, result)
	}
	return sub, heard, result.Results[0]
}

func next(t *testing.T, heard chan *opcua.PublishNotificationData) *ua.DataChangeNotification {
	t.Helper()
	for {
		select {
		case n := <-heard:
			if n.Error != nil {
				t.Fatal(n.Error)
			}
			if told, ok := n.Value.(*ua.DataChangeNotification); ok {
				return told
			}
		case <-time.After(patience):
			t.Fatal("nothing was told")
		}
	}
}

// What changes is told once, with its times; what does not change is not.
func TestChangesAreTold(t *testing.T) {
	s := start(t, nil)
	sub, heard, result := watch(t, connect(t, s), opcua.SubscriptionParameters{Interval: time.Millisecond, MaxKeepAliveCount: 2}, nil)
	if sub.RevisedPublishingInterval != 5*time.Millisecond || sub.RevisedMaxKeepAliveCount != 2 || sub.RevisedLifetimeCount < 6 || result.StatusCode != ua.StatusOK {
		t.Errorf("granted: %+v, %+v", sub, result)
	}
	first := next(t, heard).MonitoredItems[0]
	if first.ClientHandle != 42 || first.Value.Value.Value() != uint32(0) || first.Value.SourceTimestamp.IsZero() || first.Value.ServerTimestamp.IsZero() {
		t.Errorf("the first: %+v", first.Value)
	}
	for n := uint32(1); n <= 20; n++ {
		s.reads.Store(n)
		if got := next(t, heard).MonitoredItems[0].Value.Value.Value(); got != n {
			t.Fatalf("told %v, want %d", got, n)
		}
	}
	select {
	case n := <-heard:
		if _, news := n.Value.(*ua.DataChangeNotification); news {
			t.Errorf("told although nothing changed: %+v", n.Value)
		}
	case <-time.After(50 * time.Millisecond):
	}
	if err := sub.Cancel(t.Context()); err != nil {
		t.Error(err)
	}
}

// A queue keeps the newest or the oldest values and marks that others were lost.
func TestQueue(t *testing.T) {
	value := func(n uint32) *ua.DataValue { return Known(n) }
	for _, c := range []struct {
		size   int
		oldest bool
		want   string
	}{
		{1, true, "[5]"}, {1, false, "[5]"}, {3, true, "[3! 4 5]"}, {3, false, "[1 2 5!]"}, {9, true, "[1 2 3 4 5]"},
	} {
		i := &item{size: c.size, oldest: c.oldest}
		for n := range uint32(5) {
			i.sample(value(n+1), time.Now())
			i.sample(value(n+1), time.Now()) // no change
		}
		var got []string
		for _, v := range i.queue {
			mark := ""
			if v.Status&overflow == overflow {
				mark = "!"
			}
			got = append(got, fmt.Sprint(v.Value.Value(), mark))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("size %d, discard oldest %v: %v, want %s", c.size, c.oldest, got, c.want)
		}
	}
}

// What cannot be watched is refused item by item.
func TestRefusedItems(t *testing.T) {
	s := start(t, nil)
	client := connect(t, s)
	deadband := ua.NewExtensionObject(&ua.DataChangeFilter{Trigger: ua.DataChangeTriggerStatusValue, DeadbandType: 1, DeadbandValue: 2})
	for want, edit := range map[ua.StatusCode]func(*ua.MonitoredItemCreateRequest){
		ua.StatusOK:                                func(*ua.MonitoredItemCreateRequest) {},
		ua.StatusBadNodeIDUnknown:                  func(r *ua.MonitoredItemCreateRequest) { r.ItemToMonitor.NodeID = ua.NewNumericNodeID(1, 8) },
		ua.StatusBadAttributeIDInvalid:             func(r *ua.MonitoredItemCreateRequest) { r.ItemToMonitor.AttributeID = ua.AttributeIDInverseName },
		ua.StatusBadIndexRangeInvalid:              func(r *ua.MonitoredItemCreateRequest) { r.ItemToMonitor.IndexRange = "0:1" },
		ua.StatusBadMonitoredItemFilterUnsupported: func(r *ua.MonitoredItemCreateRequest) { r.RequestedParameters.Filter = deadband },
	} {
		if _, _, result := watch(t, client, opcua.SubscriptionParameters{Interval: time.Second}, edit); result.StatusCode != want {
			t.Errorf("%v, want %v", result.StatusCode, want)
		}
	}
}

// A muted subscription tells nothing while the session lives; a dropped one is told of as gone.
func TestMuteAndDrop(t *testing.T) {
	s := start(t, nil)
	s.moves.Store(true)
	client := connect(t, s)
	_, heard, _ := watch(t, client, opcua.SubscriptionParameters{Interval: 5 * time.Millisecond}, nil)
	next(t, heard)
	s.Mute(true)
	// What is on its way still comes, which takes its time on a busy machine; then there is silence.
	for until, silent := time.Now().Add(patience), false; !silent; {
		select {
		case <-heard:
			if time.Now().After(until) {
				t.Fatal("a muted subscription goes on telling")
			}
		case <-time.After(100 * time.Millisecond):
			silent = true
		}
	}
	if _, err := client.Node(ua.NewNumericNodeID(1, 7)).Value(t.Context()); err != nil {
		t.Errorf("the session: %v", err)
	}
	s.Mute(false)
	next(t, heard)
	s.DropSubscriptions()
	time.Sleep(20 * time.Millisecond)
	for len(heard) > 0 {
		<-heard
	}
	request := &ua.PublishRequest{SubscriptionAcknowledgements: []*ua.SubscriptionAcknowledgement{}}
	if err := client.Send(t.Context(), request, func(ua.Response) error { return nil }); !errors.Is(err, ua.StatusBadNoSubscription) {
		t.Errorf("asking without a subscription: %v", err)
	}
}

// Nobody asks for news of a subscription: it ends after its lifetime, and asks no variable any more.
func TestLifetime(t *testing.T) {
	s := start(t, nil)
	s.moves.Store(true)
	n := &Session{subscriptions: map[uint32]*subscription{}}
	r, err := s.createSubscription(n, &ua.CreateSubscriptionRequest{RequestHeader: &ua.RequestHeader{}, RequestedPublishingInterval: 5, RequestedMaxKeepAliveCount: 1, RequestedLifetimeCount: 1, PublishingEnabled: true})
	if err != nil || r.(*ua.CreateSubscriptionResponse).RevisedLifetimeCount != 3 {
		t.Fatalf("%v, %+v", err, r)
	}
	for until := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		left := len(n.subscriptions)
		s.mu.Unlock()
		if left == 0 {
			break
		}
		if time.Now().After(until) {
			t.Fatal("it never ends")
		}
	}
}

// What was sent and not acknowledged can be asked for again.
func TestAcknowledgement(t *testing.T) {
	s := start(t, nil)
	n := &Session{subscriptions: map[uint32]*subscription{}}
	sub := &subscription{number: 9}
	n.subscriptions[9] = sub
	for i := range uint32(3) {
		sub.sent = append(sub.sent, &ua.NotificationMessage{SequenceNumber: i + 1})
	}
	got := n.acknowledge(&ua.PublishRequest{SubscriptionAcknowledgements: []*ua.SubscriptionAcknowledgement{
		{SubscriptionID: 9, SequenceNumber: 2}, {SubscriptionID: 9, SequenceNumber: 2}, {SubscriptionID: 8, SequenceNumber: 1}, nil,
	}})
	if want := []ua.StatusCode{ua.StatusOK, ua.StatusBadSequenceNumberUnknown, ua.StatusBadSubscriptionIDInvalid}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	header := &ua.RequestHeader{}
	for number, want := range map[uint32]error{1: nil, 2: ua.StatusBadMessageNotAvailable, 3: nil} {
		if _, err := s.republish(n, &ua.RepublishRequest{RequestHeader: header, SubscriptionID: 9, RetransmitSequenceNumber: number}); !errors.Is(err, want) {
			t.Errorf("message %d: %v, want %v", number, err, want)
		}
	}
}

// A session that is not used for its time is over; its time is what is granted, not what is asked for.
func TestSessionTimeout(t *testing.T) {
	s := start(t, func(c *Config) { c.Timeout = time.Second })
	client := connect(t, s, opcua.SessionTimeout(time.Hour))
	node := client.Node(ua.NewNumericNodeID(1, 7))
	if _, err := node.Value(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	for _, n := range s.sessions {
		if n.timeout != time.Second {
			t.Errorf("granted %s", n.timeout)
		}
		n.used = n.used.Add(-2 * time.Second)
	}
	s.mu.Unlock()
	if _, err := node.Value(t.Context()); !errors.Is(err, ua.StatusBadSessionIDInvalid) {
		t.Errorf("%v", err)
	}
}

// One session too many ends the one that was not used for longest.
func TestMostSessions(t *testing.T) {
	s := start(t, func(c *Config) { c.Sessions = 2 })
	read := func(c *opcua.Client) error {
		_, err := c.Node(ua.NewNumericNodeID(1, 7)).Value(t.Context())
		return err
	}
	a, b := connect(t, s), connect(t, s)
	if err := errors.Join(read(b), read(a)); err != nil {
		t.Fatal(err)
	}
	c := connect(t, s)
	if err := errors.Join(read(a), read(c)); err != nil {
		t.Error(err)
	}
	if err := read(b); !errors.Is(err, ua.StatusBadSessionIDInvalid) {
		t.Errorf("the oldest: %v", err)
	}
}

func TestStranger(t *testing.T) {
	pinned := identity(t, "client").Certificate
	s := start(t, func(c *Config) {
		c.Admit = func(certificate []byte) error {
			if !slices.Equal(certificate, pinned) {
				return ua.StatusBadCertificateUntrusted
			}
			return nil
		}
	})
	if _, err := dial(t, s, "stranger"); !errors.Is(err, ua.StatusBadCertificateUntrusted) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := dial(t, s, "client"); err != nil {
		t.Error(err)
	}
}

// An interval lies between the limits, whatever is asked for.
func FuzzInterval(f *testing.F) {
	for _, ms := range []float64{0, -1, 5, 1e300, math.NaN(), math.Inf(1), math.Inf(-1)} {
		f.Add(ms)
	}
	f.Fuzz(func(t *testing.T, ms float64) {
		got := interval(ms, time.Millisecond, time.Hour)
		if got < time.Millisecond || got > time.Hour {
			t.Errorf("%g ms became %s", ms, got)
		}
		if ms > 1 && ms < 3_600_000 && math.Abs(milliseconds(got)-ms) > 1e-3 {
			t.Errorf("%g ms became %s", ms, got)
		}
	})
}

// A password comes out only of a secret that was sealed with the session's own nonce.
func FuzzUnseal(f *testing.F) {
	f.Add([]byte{4, 0, 0, 0, 'p', 'w', 1, 2}, []byte{1, 2}, "pw")
	f.Add([]byte{255, 255, 255, 255}, []byte{}, "")
	f.Fuzz(func(t *testing.T, secret, nonce []byte, password string) {
		if got, ok := unseal(secret, nonce); ok && len(got)+len(nonce)+4 > len(secret) {
			t.Errorf("%q out of %q", got, secret)
		}
		length := len(password) + len(nonce)
		sealed := slices.Concat([]byte{byte(length), byte(length >> 8), byte(length >> 16), byte(length >> 24)}, []byte(password), nonce)
		if got, ok := unseal(sealed, nonce); !ok || got != password {
			t.Errorf("%q became %q, %v", password, got, ok)
		}
	})
}

// A client may ask for anything: what is granted keeps within the limits, and nothing panics.
func FuzzSubscription(f *testing.F) {
	f.Add(float64(5), uint32(1), uint32(1), uint32(0), float64(-1), uint32(0), byte(2), uint32(1))
	f.Add(math.NaN(), uint32(1<<31), uint32(1<<31), uint32(1<<31), math.Inf(1), uint32(1<<31), byte(0), uint32(3))
	f.Fuzz(func(t *testing.T, every float64, lifetime, keepAlive, most uint32, sampling float64, queue uint32, mode byte, acknowledged uint32) {
		n := uint32(0)
		s := &Server{cfg: Config{Now: time.Now, Shortest: time.Millisecond, Value: func(*ua.NodeID, ua.AttributeID) *ua.DataValue { n++; return Known(n) }}}
		sub := &subscription{number: 1, enabled: true, items: map[uint32]*item{}, ended: make(chan struct{}), wake: make(chan struct{}, 1)}
		s.revise(sub, every, lifetime, keepAlive, most)
		if sub.every < s.cfg.Shortest || sub.keepAlive < 1 || sub.lifetime < 3*sub.keepAlive {
			t.Fatalf("granted %+v", sub)
		}
		i := &item{node: &ua.ReadValueID{}, mode: ua.MonitoringMode(mode)}
		s.adjust(i, sub, &ua.MonitoringParameters{SamplingInterval: sampling, QueueSize: queue})
		if i.every < s.cfg.Shortest || i.size < 1 || i.size > mostQueued {
			t.Fatalf("granted %+v", i)
		}
		sub.items[1] = i
		session := &Session{subscriptions: map[uint32]*subscription{1: sub}}
		for range 5 {
			i.next, sub.next = time.Time{}, time.Time{}
			session.waiting = append(session.waiting, publishing{request: &ua.PublishRequest{RequestHeader: &ua.RequestHeader{},
				SubscriptionAcknowledgements: []*ua.SubscriptionAcknowledgement{{SubscriptionID: 1, SequenceNumber: acknowledged}}}})
			_, response, wait := s.turn(session, sub)
			if response != nil {
				if _, err := ua.Encode(response); err != nil {
					t.Fatal(err)
				}
			} else if wait < 0 || wait > longestInterval {
				t.Fatalf("waits for %s", wait)
			}
			if len(i.queue) > i.size || len(sub.sent) > mostSent {
				t.Fatalf("%d values, %d messages are kept", len(i.queue), len(sub.sent))
			}
		}
	})
}
