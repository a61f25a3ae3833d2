package plc

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uapolicy"
	"github.com/gopcua/opcua/uasc"
)

// sessions are the server's own book of sessions: the library's lets in every user, and serves
// requests that have no session.
type sessions struct {
	mu   sync.Mutex
	open map[string]*session
}

type session struct {
	nonce  []byte
	client []byte // certificate, DER
	uri    string // of the client's application, as it says
	active bool
}

func (s *sessions) add(token *ua.NodeID, n *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[string]*session{}
	}
	s.open[token.String()] = n
}

func (s *sessions) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.open)
}

func (s *sessions) find(h *ua.RequestHeader) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.open[h.AuthenticationToken.String()]; found != nil {
		return found, nil
	}
	return nil, ua.StatusBadSessionIDInvalid
}

// check lets a request through only if it belongs to a session of an accepted user.
func (s *sessions) check(h *ua.RequestHeader) error {
	found, err := s.find(h)
	if err == nil && !found.active {
		return ua.StatusBadSessionNotActivated
	}
	return err
}

const (
	nonceLength    = 32
	sessionTimeout = 30 * time.Second
)

func (p *PLC) createSession(sc *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
	request, ok := r.(*ua.CreateSessionRequest)
	if !ok {
		return nil, ua.StatusBadRequestTypeInvalid
	}
	signature, algorithm, err := sc.NewSessionSignature(request.ClientCertificate, request.ClientNonce)
	if err != nil {
		return nil, ua.StatusBadCertificateInvalid
	}
	if open := signature == nil; open != (p.cfg.Mode == ua.MessageSecurityModeNone) {
		return nil, ua.StatusBadSecurityModeRejected
	}
	if p.revoked.Load() {
		return nil, ua.StatusBadCertificateRevoked
	}
	if p.cfg.Trusted != nil && !slices.ContainsFunc(p.cfg.Trusted, func(t []byte) bool { return bytes.Equal(t, request.ClientCertificate) }) {
		return nil, ua.StatusBadSecurityChecksFailed
	}
	token := make([]byte, 32)
	n := &session{client: request.ClientCertificate, uri: request.ClientDescription.ApplicationURI, nonce: make([]byte, nonceLength)}
	rand.Read(token)
	rand.Read(n.nonce)
	authentication := ua.NewByteStringNodeID(0, token)
	p.sessions.add(authentication, n)
	return &ua.CreateSessionResponse{
		ResponseHeader:        p.header(r),
		SessionID:             ua.NewNumericNodeID(1, binary.LittleEndian.Uint32(token)),
		AuthenticationToken:   authentication,
		RevisedSessionTimeout: float64(sessionTimeout.Milliseconds()),
		ServerSignature:       &ua.SignatureData{Signature: signature, Algorithm: algorithm},
		ServerCertificate:     p.identity.Certificate,
		ServerNonce:           n.nonce,
		ServerEndpoints:       p.endpoints(request.EndpointURL),
	}, nil
}

func (p *PLC) activateSession(sc *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
	request, ok := r.(*ua.ActivateSessionRequest)
	if !ok {
		return nil, ua.StatusBadRequestTypeInvalid
	}
	s, err := p.sessions.find(request.RequestHeader)
	if err != nil {
		return nil, err
	}
	if sc.VerifySessionSignature(s.client, s.nonce, request.ClientSignature.Signature) != nil {
		return nil, ua.StatusBadSecurityChecksFailed
	}
	if err := p.checkUser(request.UserIdentityToken, s); err != nil {
		return nil, err
	}
	p.sessions.mu.Lock()
	s.active = true
	p.sessions.mu.Unlock()
	if p.cfg.OnSession != nil {
		p.cfg.OnSession(s.uri)
	}
	return &ua.ActivateSessionResponse{ResponseHeader: p.header(r), ServerNonce: s.nonce}, nil
}

// checkUser compares the user and password. The password comes encrypted as its length, itself, and
// the nonce (Part 4, 7.41.2.2).
func (p *PLC) checkUser(token *ua.ExtensionObject, s *session) error {
	if p.cfg.User == "" {
		return nil
	}
	user, ok := token.Value.(*ua.UserNameIdentityToken)
	if !ok {
		return ua.StatusBadIdentityTokenInvalid
	}
	client, err := uapolicy.PublicKey(s.client)
	if err != nil {
		return ua.StatusBadCertificateInvalid
	}
	algorithm, err := uapolicy.Asymmetric(ua.FormatSecurityPolicyURI(p.cfg.Policy), p.identity.Key, client)
	if err != nil {
		return ua.StatusBadSecurityChecksFailed
	}
	secret, err := algorithm.Decrypt(user.Password)
	if err != nil || len(secret) < 4 {
		return ua.StatusBadIdentityTokenInvalid
	}
	length := int(binary.LittleEndian.Uint32(secret))
	if secret = secret[4:]; length > len(secret) {
		return ua.StatusBadIdentityTokenInvalid
	}
	password, found := bytes.CutSuffix(secret[:length], s.nonce)
	if !found || user.UserName != p.cfg.User || string(password) != p.cfg.Pass {
		return ua.StatusBadUserAccessDenied
	}
	return nil
}

func (p *PLC) closeSession(_ *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
	request, ok := r.(*ua.CloseSessionRequest)
	if !ok {
		return nil, ua.StatusBadRequestTypeInvalid
	}
	p.sessions.mu.Lock()
	delete(p.sessions.open, request.RequestHeader.AuthenticationToken.String())
	p.sessions.mu.Unlock()
	return &ua.CloseSessionResponse{ResponseHeader: p.header(r)}, nil
}

func (p *PLC) header(r ua.Request) *ua.ResponseHeader {
	return &ua.ResponseHeader{
		Timestamp:          time.Now().Add(time.Duration(p.clock.Load())),
		RequestHandle:      r.Header().RequestHandle,
		ServiceDiagnostics: &ua.DiagnosticInfo{},
		StringTable:        []string{},
		AdditionalHeader:   ua.NewExtensionObject(nil),
	}
}
