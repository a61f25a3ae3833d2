package vision

import (
	"context"
	"errors"
	"fmt"
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

	"linectl/internal/hint"
)

const (
	perRequest = 100 // nodes or calls in one request
	mostAtOnce = 16  // requests of one connection in work; further ones get no answer
)

// bare keeps the library from reading the standard's whole address space, 3.5 MB of XML, with every
// server: ours has its own. The library takes it from a variable and offers no other way.
var bare = sync.OnceFunc(func() {
	schema.OpcUaNodeSet2 = []byte(`<UANodeSet><Aliases/>` +
		`<UAObject NodeId="i=84" BrowseName="Root"><DisplayName>Root</DisplayName><References/></UAObject>` +
		`<UAObject NodeId="i=85" BrowseName="Objects"><DisplayName>Objects</DisplayName><References/></UAObject>` +
		`<UAObject NodeId="i=2253" BrowseName="Server"><DisplayName>Server</DisplayName><References/></UAObject></UANodeSet>`)
})

// policies are those that we offer, each with SignAndEncrypt.
var policies = []string{"Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"}

// everyService is every service that the library would answer by itself, and with it everybody.
var everyService = []uint16{
	id.FindServersRequest_Encoding_DefaultBinary, id.FindServersOnNetworkRequest_Encoding_DefaultBinary,
	id.RegisterServerRequest_Encoding_DefaultBinary, id.RegisterServer2Request_Encoding_DefaultBinary,
	id.CancelRequest_Encoding_DefaultBinary,
	id.AddNodesRequest_Encoding_DefaultBinary, id.AddReferencesRequest_Encoding_DefaultBinary,
	id.DeleteNodesRequest_Encoding_DefaultBinary, id.DeleteReferencesRequest_Encoding_DefaultBinary,
	id.BrowseNextRequest_Encoding_DefaultBinary, id.RegisterNodesRequest_Encoding_DefaultBinary, id.UnregisterNodesRequest_Encoding_DefaultBinary,
	id.QueryFirstRequest_Encoding_DefaultBinary, id.QueryNextRequest_Encoding_DefaultBinary,
	id.HistoryReadRequest_Encoding_DefaultBinary, id.HistoryUpdateRequest_Encoding_DefaultBinary,
	id.CreateSubscriptionRequest_Encoding_DefaultBinary, id.ModifySubscriptionRequest_Encoding_DefaultBinary,
	id.SetPublishingModeRequest_Encoding_DefaultBinary, id.PublishRequest_Encoding_DefaultBinary, id.RepublishRequest_Encoding_DefaultBinary,
	id.TransferSubscriptionsRequest_Encoding_DefaultBinary, id.DeleteSubscriptionsRequest_Encoding_DefaultBinary,
	id.CreateMonitoredItemsRequest_Encoding_DefaultBinary, id.ModifyMonitoredItemsRequest_Encoding_DefaultBinary,
	id.SetMonitoringModeRequest_Encoding_DefaultBinary, id.SetTriggeringRequest_Encoding_DefaultBinary, id.DeleteMonitoredItemsRequest_Encoding_DefaultBinary,
}

// listen starts the server.
func (s *Station) listen(ctx context.Context) error {
	bare()
	host, port, err := address(s.cfg.Listen)
	if err != nil {
		return err
	}
	if port == 0 { // the library cannot say which one it got
		l, err := net.Listen("tcp", s.cfg.Listen)
		if err != nil {
			return err
		}
		port = l.Addr().(*net.TCPAddr).Port
		l.Close()
	}
	s.at = net.JoinHostPort(host, strconv.Itoa(port))
	options := []server.Option{
		server.EndPoint(host, port), server.Certificate(s.identity.Certificate), server.PrivateKey(s.identity.Key),
		server.EnableAuthMode(ua.UserTokenTypeAnonymous), server.ServerName("linectl"),
	}
	for _, policy := range policies {
		options = append(options, server.EnableSecurity(policy, ua.MessageSecurityModeSignAndEncrypt))
	}
	s.server = server.New(options...)
	on := func(service uint16, h func(*uasc.SecureChannel, ua.Request) (ua.Response, error)) {
		s.server.RegisterHandler(service, s.apart(h))
	}
	on(id.GetEndpointsRequest_Encoding_DefaultBinary, open(s.getEndpoints))
	on(id.CreateSessionRequest_Encoding_DefaultBinary, open(s.createSession))
	on(id.ActivateSessionRequest_Encoding_DefaultBinary, open(s.activateSession))
	on(id.CloseSessionRequest_Encoding_DefaultBinary, open(s.closeSession))
	on(id.ReadRequest_Encoding_DefaultBinary, guarded(s, s.read))
	on(id.BrowseRequest_Encoding_DefaultBinary, guarded(s, s.browse))
	on(id.TranslateBrowsePathsToNodeIDsRequest_Encoding_DefaultBinary, guarded(s, s.translate))
	on(id.WriteRequest_Encoding_DefaultBinary, guarded(s, s.write))
	on(id.CallRequest_Encoding_DefaultBinary, guarded(s, s.call))
	for _, service := range everyService {
		on(service, func(*uasc.SecureChannel, ua.Request) (ua.Response, error) { return nil, ua.StatusBadServiceUnsupported })
	}
	if err := s.server.Start(ctx); err != nil {
		return hint.New(hint.Failure, fmt.Errorf("linectl's own OPC UA server: listen at %s: %w", s.cfg.Listen, err), "is another program there? Correct vision.listen")
	}
	return nil
}

// apart answers each request in a goroutine of its own: a call that waits for its verdict, or a client
// that does not read its answer, holds up nobody else. The library has one goroutine for all.
func (s *Station) apart(h func(*uasc.SecureChannel, ua.Request) (ua.Response, error)) server.Handler {
	return func(channel *uasc.SecureChannel, r ua.Request, number uint32) (ua.Response, error) {
		if !s.work.begin(channel) {
			return nil, nil // it does not read its answers: one more would hold up everybody
		}
		go func() {
			defer s.work.end(channel)
			defer func() {
				if cause := recover(); cause != nil {
					s.log.Error("a request made the server panic", "request", fmt.Sprintf("%T", r), "cause", cause, "stack", string(debug.Stack()))
				}
			}()
			response, err := h(channel, r)
			if err != nil {
				status := ua.StatusBadUnexpectedError
				errors.As(err, &status)
				fault := header(r)
				fault.ServiceResult = status
				response = &ua.ServiceFault{ResponseHeader: fault}
			}
			if err := channel.SendResponseWithContext(context.Background(), number, response); err != nil {
				s.log.Warn("a client did not get its answer", "error", err)
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

func (l *load) begin(channel *uasc.SecureChannel) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on[channel] >= mostAtOnce {
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

func open[R ua.Request](h func(*uasc.SecureChannel, R) (ua.Response, error)) func(*uasc.SecureChannel, ua.Request) (ua.Response, error) {
	return func(channel *uasc.SecureChannel, r ua.Request) (ua.Response, error) {
		request, ok := r.(R)
		if !ok {
			return nil, ua.StatusBadRequestTypeInvalid
		}
		return h(channel, request)
	}
}

// guarded answers only within a session.
func guarded[R ua.Request](s *Station, h func(R) (ua.Response, error)) func(*uasc.SecureChannel, ua.Request) (ua.Response, error) {
	return open(func(channel *uasc.SecureChannel, r R) (ua.Response, error) {
		if err := s.sessions.check(channel, r.Header()); err != nil {
			return nil, err
		}
		return h(r)
	})
}

// getEndpoints answers for whatever name the client used: this machine may have several.
func (s *Station) getEndpoints(_ *uasc.SecureChannel, r *ua.GetEndpointsRequest) (ua.Response, error) {
	return &ua.GetEndpointsResponse{ResponseHeader: header(r), Endpoints: s.endpoints(r.EndpointURL)}, nil
}

func (s *Station) endpoints(url string) (all []*ua.EndpointDescription) {
	for _, e := range s.server.Endpoints() {
		named := *e
		named.EndpointURL = url
		all = append(all, &named)
	}
	return all
}

func (s *Station) read(r *ua.ReadRequest) (ua.Response, error) {
	if len(r.NodesToRead) > perRequest {
		return nil, ua.StatusBadTooManyOperations
	}
	response := &ua.ReadResponse{ResponseHeader: header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, n := range r.NodesToRead {
		response.Results = append(response.Results, s.space.attribute(n.NodeID, n.AttributeID))
	}
	return response, nil
}

// write refuses: what comes to linectl comes by methods.
func (s *Station) write(r *ua.WriteRequest) (ua.Response, error) {
	response := &ua.WriteResponse{ResponseHeader: header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, n := range r.NodesToWrite {
		status := ua.StatusBadNotWritable
		if s.space.find(n.NodeID) == nil {
			status = ua.StatusBadNodeIDUnknown
		}
		response.Results = append(response.Results, status)
	}
	return response, nil
}

func (s *Station) browse(r *ua.BrowseRequest) (ua.Response, error) {
	if len(r.NodesToBrowse) > perRequest {
		return nil, ua.StatusBadTooManyOperations
	}
	response := &ua.BrowseResponse{ResponseHeader: header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, n := range r.NodesToBrowse {
		response.Results = append(response.Results, s.space.browse(n))
	}
	return response, nil
}

func (s *Station) translate(r *ua.TranslateBrowsePathsToNodeIDsRequest) (ua.Response, error) {
	if len(r.BrowsePaths) > perRequest {
		return nil, ua.StatusBadTooManyOperations
	}
	response := &ua.TranslateBrowsePathsToNodeIDsResponse{ResponseHeader: header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, path := range r.BrowsePaths {
		response.Results = append(response.Results, s.space.translate(path))
	}
	return response, nil
}

func (s *Station) call(r *ua.CallRequest) (ua.Response, error) {
	if len(r.MethodsToCall) > perRequest {
		return nil, ua.StatusBadTooManyOperations
	}
	response := &ua.CallResponse{ResponseHeader: header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, m := range r.MethodsToCall {
		response.Results = append(response.Results, s.space.call(m))
	}
	return response, nil
}

func header(r ua.Request) *ua.ResponseHeader {
	return &ua.ResponseHeader{
		Timestamp: time.Now(), RequestHandle: r.Header().RequestHandle, ServiceDiagnostics: &ua.DiagnosticInfo{},
		StringTable: []string{}, AdditionalHeader: ua.NewExtensionObject(nil),
	}
}
