// Package serve owns what linectl's OPC UA servers have in common, the simulated PLC and the station that
// PLCs call: who gets in, the book of sessions, subscriptions, and the ways around the library's own.
//
// The library's server lets in everybody, serves requests that have no session, and its subscriptions
// outlive their sessions and take each other's numbers. So every service is answered here or by the
// owner of the server, and what nobody answers is refused.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/schema"
	"github.com/gopcua/opcua/server"
	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uasc"

	"linectl/internal/opcua/pki"
)

// Config says what kind of server it is.
type Config struct {
	Address   string // to listen at, HOST:PORT; port 0 is a free one
	Name      string // of the application, for people
	Identity  pki.Identity
	Policies  []string               // that are offered, by name; None for no security
	Mode      ua.MessageSecurityMode // that goes with all of them
	User      string                 // if set, anonymous sessions are refused
	Password  string
	Advertise string // address in the description of the endpoints; "" repeats the one that the client used

	Admit    func(certificate []byte) error // whether the owner of a certificate (DER) may have a session; nil lets in everybody
	Gate     bool                           // strict: nobody else may even open a secure channel, or send what is decoded for him
	Opened   func(client string)            // called when a client, by its application URI, has opened a session; may be nil
	Sessions int                            // open at once; one more ends the one that was not used for longest; 0 for any number
	Timeout  time.Duration                  // longest that a session may go unused; a client may ask for less

	AtOnce int              // requests of one connection in work side by side; 0: the whole server does one after the other
	Hold   func()           // called before any message of a subscription; it may take its time; may be nil
	Now    func() time.Time // the server's clock; nil for this machine's
	Log    *slog.Logger

	// Value reads an attribute, for subscriptions. Shortest is the shortest interval that they are granted.
	Value    func(*ua.NodeID, ua.AttributeID) *ua.DataValue
	Shortest time.Duration
}

// Server is an OPC UA server.
type Server struct {
	cfg     Config
	library *server.Server
	address string
	gate    *gate
	roster  *roster
	load    load
	feeds   sync.WaitGroup
	done    chan struct{}

	mu       sync.Mutex
	sessions map[string]*Session // by authentication token
	muted    bool
	newest   uint32 // number of a subscription or item
	items    int
}

// standardNodes is as much of the standard's own address space as the library itself needs. It would
// read all of it, 3.5 MB of XML, with every server that it makes, which takes seconds.
const standardNodes = `<UANodeSet>
<Aliases/>
<UAObject NodeId="i=84" BrowseName="Root"><DisplayName>Root</DisplayName><References/></UAObject>
<UAObject NodeId="i=85" BrowseName="Objects"><DisplayName>Objects</DisplayName><References/></UAObject>
<UAObject NodeId="i=2253" BrowseName="Server"><DisplayName>Server</DisplayName><References/></UAObject>
</UANodeSet>`

// small makes every server of this process begin with standardNodes: the library takes its address space
// from a variable and offers no other way.
var small = sync.OnceFunc(func() { schema.OpcUaNodeSet2 = []byte(standardNodes) })

// New makes a server that does not listen yet. Add what it answers with Answer and Within.
func New(cfg Config) (*Server, error) {
	small()
	host, port, err := freePort() // only the gate is for others
	if err != nil {
		return nil, err
	}
	user := ua.UserTokenTypeAnonymous
	if cfg.User != "" {
		user = ua.UserTokenTypeUserName
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	given := &roster{}
	options := []server.Option{
		server.SetLogger(given), // first: other options log
		server.EndPoint(host, port), server.Certificate(cfg.Identity.Certificate), server.PrivateKey(cfg.Identity.Key),
		server.EnableAuthMode(user), server.ServerName(cfg.Name),
	}
	for _, policy := range cfg.Policies {
		options = append(options, server.EnableSecurity(policy, cfg.Mode))
	}
	s := &Server{
		cfg: cfg, library: server.New(options...), roster: given, address: net.JoinHostPort(host, strconv.Itoa(port)),
		load: load{on: map[*uasc.SecureChannel]int{}}, done: make(chan struct{}), sessions: map[string]*Session{},
	}
	Answer(s, id.GetEndpointsRequest_Encoding_DefaultBinary, s.getEndpoints)
	Answer(s, id.CreateSessionRequest_Encoding_DefaultBinary, s.createSession)
	Answer(s, id.ActivateSessionRequest_Encoding_DefaultBinary, s.activateSession)
	Answer(s, id.CloseSessionRequest_Encoding_DefaultBinary, s.closeSession)
	if cfg.Value != nil {
		s.serveFeeds()
	}
	return s, nil
}

// freePort is one for the library, which cannot say which one it got. It is on an address of this machine that is drawn for each server:
// at one that others use, a connection that begins there or another server may take the port before the library listens.
func freePort() (host string, port int, err error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 128+rand.N(127), rand.N(256), 1+rand.N(254)))
	if err != nil {
		return "", 0, err
	}
	defer l.Close()
	address := l.Addr().(*net.TCPAddr)
	return address.IP.String(), address.Port, nil
}

// Address is where it listens, HOST:PORT, once it has started.
func (s *Server) Address() string { return s.address }

// Library is the library's server, for its namespaces.
func (s *Server) Library() *server.Server { return s.library }

// services are those that the library would answer by itself, and with it everybody.
var services = []uint16{
	id.FindServersRequest_Encoding_DefaultBinary, id.FindServersOnNetworkRequest_Encoding_DefaultBinary,
	id.RegisterServerRequest_Encoding_DefaultBinary, id.RegisterServer2Request_Encoding_DefaultBinary,
	id.CancelRequest_Encoding_DefaultBinary, id.CallRequest_Encoding_DefaultBinary,
	id.AddNodesRequest_Encoding_DefaultBinary, id.AddReferencesRequest_Encoding_DefaultBinary,
	id.DeleteNodesRequest_Encoding_DefaultBinary, id.DeleteReferencesRequest_Encoding_DefaultBinary,
	id.BrowseRequest_Encoding_DefaultBinary, id.BrowseNextRequest_Encoding_DefaultBinary, id.TranslateBrowsePathsToNodeIDsRequest_Encoding_DefaultBinary,
	id.RegisterNodesRequest_Encoding_DefaultBinary, id.UnregisterNodesRequest_Encoding_DefaultBinary,
	id.QueryFirstRequest_Encoding_DefaultBinary, id.QueryNextRequest_Encoding_DefaultBinary,
	id.ReadRequest_Encoding_DefaultBinary, id.WriteRequest_Encoding_DefaultBinary,
	id.HistoryReadRequest_Encoding_DefaultBinary, id.HistoryUpdateRequest_Encoding_DefaultBinary,
	id.CreateSubscriptionRequest_Encoding_DefaultBinary, id.ModifySubscriptionRequest_Encoding_DefaultBinary,
	id.SetPublishingModeRequest_Encoding_DefaultBinary, id.PublishRequest_Encoding_DefaultBinary, id.RepublishRequest_Encoding_DefaultBinary,
	id.TransferSubscriptionsRequest_Encoding_DefaultBinary, id.DeleteSubscriptionsRequest_Encoding_DefaultBinary,
	id.CreateMonitoredItemsRequest_Encoding_DefaultBinary, id.ModifyMonitoredItemsRequest_Encoding_DefaultBinary,
	id.SetMonitoringModeRequest_Encoding_DefaultBinary, id.SetTriggeringRequest_Encoding_DefaultBinary, id.DeleteMonitoredItemsRequest_Encoding_DefaultBinary,
}

// Start begins to listen. What has no answer yet is refused.
func (s *Server) Start(ctx context.Context) error {
	for _, service := range services {
		s.on(service, func(*uasc.SecureChannel, ua.Request, uint32) (ua.Response, error) {
			return nil, ua.StatusBadServiceUnsupported
		})
	}
	host, _, err := net.SplitHostPort(s.cfg.Address)
	if err != nil {
		return err
	}
	gate, err := openGate(s.cfg.Address, s.address, s.cfg.Gate, s.cfg.Admit, s.roster) // first: what of the library has started ends only with ctx
	if err != nil {
		return err
	}
	s.gate, s.address = gate, net.JoinHostPort(host, strconv.Itoa(gate.listener.Addr().(*net.TCPAddr).Port))
	if err := s.library.Start(ctx); err != nil {
		return errors.Join(err, gate.close())
	}
	return nil
}

// Close ends the server and every connection. The context of Start must end only afterwards: the library's
// readers wait for its dispatcher.
func (s *Server) Close() error {
	close(s.done)
	s.DropSessions()
	err := s.gate.close()
	s.roster.settled()
	err = errors.Join(err, s.library.Close())
	s.feeds.Wait()
	return err
}

// handler answers a request, or returns nil for one that is answered later under its number.
type handler func(channel *uasc.SecureChannel, r ua.Request, number uint32) (ua.Response, error)

// on sets what answers a service; the first one stays.
func (s *Server) on(service uint16, h handler) {
	if s.cfg.AtOnce > 0 {
		h = s.apart(h)
	}
	s.library.RegisterHandler(service, server.Handler(h))
}

// Answer answers a service to anybody.
func Answer[R ua.Request](s *Server, service uint16, h func(*uasc.SecureChannel, R) (ua.Response, error)) {
	s.on(service, func(channel *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
		request, ok := r.(R)
		if !ok {
			return nil, ua.StatusBadRequestTypeInvalid
		}
		return h(channel, request)
	})
}

// Within answers a service within a session only.
func Within[R ua.Request](s *Server, service uint16, h func(*Session, R) (ua.Response, error)) {
	within(s, service, func(found *Session, r R, _ publishing) (ua.Response, error) { return h(found, r) })
}

func within[R ua.Request](s *Server, service uint16, h func(*Session, R, publishing) (ua.Response, error)) {
	s.on(service, func(channel *uasc.SecureChannel, r ua.Request, number uint32) (ua.Response, error) {
		request, ok := r.(R)
		if !ok {
			return nil, ua.StatusBadRequestTypeInvalid
		}
		found, err := s.check(channel, r.Header())
		if err != nil {
			return nil, err
		}
		return h(found, request, publishing{channel, number, r})
	})
}

// apart answers each request in a goroutine of its own: a call that waits for its verdict, or a client
// that does not read its answer, holds up nobody else. The library has one goroutine for all.
func (s *Server) apart(h handler) handler {
	return func(channel *uasc.SecureChannel, r ua.Request, number uint32) (ua.Response, error) {
		if !s.load.begin(channel, s.cfg.AtOnce) {
			return nil, nil // it does not read its answers: one more would hold up everybody
		}
		go func() {
			defer s.load.end(channel)
			defer func() {
				if cause := recover(); cause != nil {
					s.cfg.Log.Error("a request made the server panic", "request", fmt.Sprintf("%T", r), "cause", cause, "stack", string(debug.Stack()))
				}
			}()
			response, err := h(channel, r, number)
			if err != nil {
				response = s.fault(r, err)
			}
			if response == nil {
				return
			}
			if err := channel.SendResponseWithContext(context.Background(), number, response); err != nil {
				s.cfg.Log.Warn("a client did not get its answer", "error", err)
			}
		}()
		return nil, nil
	}
}

// load is how many requests each connection has in work.
type load struct {
	mu sync.Mutex
	on map[*uasc.SecureChannel]int
}

func (l *load) begin(channel *uasc.SecureChannel, most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on[channel] >= most {
		return false
	}
	l.on[channel]++
	return true
}

func (l *load) end(channel *uasc.SecureChannel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on[channel]--; l.on[channel] == 0 {
		delete(l.on, channel)
	}
}

// Header is that of an answer.
func (s *Server) Header(r ua.Request) *ua.ResponseHeader {
	return &ua.ResponseHeader{
		Timestamp: s.cfg.Now(), RequestHandle: r.Header().RequestHandle, ServiceDiagnostics: &ua.DiagnosticInfo{},
		StringTable: []string{}, AdditionalHeader: ua.NewExtensionObject(nil),
	}
}

func (s *Server) fault(r ua.Request, err error) ua.Response {
	status := ua.StatusBadUnexpectedError
	errors.As(err, &status)
	header := s.Header(r)
	header.ServiceResult = status
	return &ua.ServiceFault{ResponseHeader: header}
}

// getEndpoints answers for whatever name the client used: a machine may have several.
func (s *Server) getEndpoints(_ *uasc.SecureChannel, r *ua.GetEndpointsRequest) (ua.Response, error) {
	if s.cfg.Hold != nil {
		s.cfg.Hold()
	}
	return &ua.GetEndpointsResponse{ResponseHeader: s.Header(r), Endpoints: s.endpoints(r.EndpointURL)}, nil
}

func (s *Server) endpoints(url string) (all []*ua.EndpointDescription) {
	if s.cfg.Advertise != "" {
		url = s.cfg.Advertise
	}
	for _, e := range s.library.Endpoints() {
		named := *e
		named.EndpointURL = url
		all = append(all, &named)
	}
	return all
}

// Known is the value of an attribute.
func Known(v any) *ua.DataValue {
	return &ua.DataValue{EncodingMask: ua.DataValueValue, Value: ua.MustVariant(v)}
}

// Refused is an attribute that has no value, and why.
func Refused(status ua.StatusCode) *ua.DataValue {
	return &ua.DataValue{EncodingMask: ua.DataValueStatusCode, Status: status}
}
