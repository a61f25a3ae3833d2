package serve

import (
	"crypto/rand"
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uapolicy"
	"github.com/gopcua/opcua/uasc"
)

// Session is one client's. It belongs to the channel that activated it last.
type Session struct {
	channel *uasc.SecureChannel
	client  []byte // certificate, DER
	uri     string // of the client's application, as it says
	nonce   []byte
	timeout time.Duration
	active  bool
	used    time.Time

	subscriptions map[uint32]*subscription
	waiting       []publishing // requests for news, oldest first
}

const nonceLength = 32

// add keeps a new session. Those that nobody used for too long go, and where there are too many the one that
// was not used for longest: a client that lost its connection must always get a new one.
func (s *Server) add(token *ua.NodeID, n *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := ""
	for key, old := range s.sessions {
		if old.outdated(n.used) {
			s.end(key)
		} else if oldest == "" || old.used.Before(s.sessions[oldest].used) {
			oldest = key
		}
	}
	if s.cfg.Sessions > 0 && len(s.sessions) >= s.cfg.Sessions {
		s.end(oldest)
	}
	s.sessions[token.String()] = n
}

func (n *Session) outdated(now time.Time) bool { return now.Sub(n.used) > n.timeout }

// end forgets a session with all that is its. The caller holds the lock.
func (s *Server) end(key string) {
	for number := range s.sessions[key].subscriptions {
		s.unsubscribe(s.sessions[key], number)
	}
	delete(s.sessions, key)
}

// DropSessions forgets every session, as after a download of a PLC's program.
func (s *Server) DropSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.sessions {
		s.end(key)
	}
}

// check lets a request through only if it belongs to an active session of this very channel.
func (s *Server) check(channel *uasc.SecureChannel, h *ua.RequestHeader) (*Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, now := h.AuthenticationToken.String(), time.Now()
	found := s.sessions[key]
	switch {
	case found == nil || found.channel != channel && found.active:
		return nil, ua.StatusBadSessionIDInvalid
	case found.outdated(now):
		s.end(key)
		return nil, ua.StatusBadSessionIDInvalid
	case !found.active:
		return nil, ua.StatusBadSessionNotActivated
	}
	found.used = now
	return found, nil
}

// security is the policy of a channel, if it is one that is offered. The library lets a client choose any
// policy and mode, offered or not, and again at any time, and has no method that says which.
func (s *Server) security(channel *uasc.SecureChannel) (policy string, ok bool) {
	cfg := reflect.ValueOf(channel).Elem().FieldByName("cfg")
	if cfg.Kind() != reflect.Pointer || cfg.IsNil() {
		return "", false
	}
	mode, uri := cfg.Elem().FieldByName("SecurityMode"), cfg.Elem().FieldByName("SecurityPolicyURI")
	if !mode.IsValid() || !mode.CanUint() || ua.MessageSecurityMode(mode.Uint()) != s.cfg.Mode || uri.Kind() != reflect.String {
		return "", false
	}
	policy = uri.String()
	return policy, slices.Contains(s.cfg.Policies, strings.TrimPrefix(policy, ua.SecurityPolicyURIPrefix))
}

// seal is how both sides sign a session. The library's own way goes by what the channel says at that
// instant, which the other side can change to no security at all; this goes by the policy that was checked.
func (s *Server) seal(policy string, client []byte) (*uapolicy.EncryptionAlgorithm, error) {
	if policy == ua.SecurityPolicyURINone {
		return uapolicy.Asymmetric(policy, nil, nil)
	}
	key, err := uapolicy.PublicKey(client)
	if err != nil {
		return nil, ua.StatusBadCertificateInvalid
	}
	return uapolicy.Asymmetric(policy, s.cfg.Identity.Key, key)
}

func (s *Server) createSession(channel *uasc.SecureChannel, r *ua.CreateSessionRequest) (ua.Response, error) {
	policy, ok := s.security(channel)
	if !ok {
		return nil, ua.StatusBadSecurityModeRejected
	}
	if s.cfg.Admit != nil {
		if err := s.cfg.Admit(r.ClientCertificate); err != nil {
			return nil, err
		}
	}
	algorithm, err := s.seal(policy, r.ClientCertificate)
	if err != nil {
		return nil, err
	}
	signature, err := algorithm.Signature(slices.Concat(r.ClientCertificate, r.ClientNonce))
	if err != nil {
		return nil, ua.StatusBadSecurityChecksFailed
	}
	n := &Session{
		channel: channel, client: r.ClientCertificate, nonce: random(nonceLength), used: time.Now(),
		timeout: interval(r.RequestedSessionTimeout, time.Second, s.cfg.Timeout), subscriptions: map[uint32]*subscription{},
	}
	if r.ClientDescription != nil {
		n.uri = r.ClientDescription.ApplicationURI
	}
	token := ua.NewByteStringNodeID(0, random(32))
	s.add(token, n)
	return &ua.CreateSessionResponse{
		ResponseHeader:        s.Header(r),
		SessionID:             ua.NewNumericNodeID(1, binary.LittleEndian.Uint32(random(4))),
		AuthenticationToken:   token,
		RevisedSessionTimeout: float64(n.timeout.Milliseconds()),
		ServerSignature:       &ua.SignatureData{Signature: signature, Algorithm: algorithm.SignatureURI()},
		ServerCertificate:     s.cfg.Identity.Certificate,
		ServerNonce:           n.nonce,
		ServerEndpoints:       s.endpoints(r.EndpointURL),
	}, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// interval is a time in milliseconds as a client asks for it, within limits. What is no number is the shortest.
func interval(ms float64, shortest, longest time.Duration) time.Duration {
	switch {
	case !(ms > float64(shortest)/float64(time.Millisecond)):
		return shortest
	case ms > float64(longest)/float64(time.Millisecond):
		return longest
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// activateSession takes the client's signature over our last nonce as the proof that it owns its
// certificate's key.
func (s *Server) activateSession(channel *uasc.SecureChannel, r *ua.ActivateSessionRequest) (ua.Response, error) {
	nonce, uri, err := s.activate(channel, r)
	if err != nil {
		return nil, err
	}
	if s.cfg.Opened != nil {
		s.cfg.Opened(uri)
	}
	return &ua.ActivateSessionResponse{ResponseHeader: s.Header(r), ServerNonce: nonce, Results: []ua.StatusCode{}, DiagnosticInfos: []*ua.DiagnosticInfo{}}, nil
}

func (s *Server) activate(channel *uasc.SecureChannel, r *ua.ActivateSessionRequest) (nonce []byte, uri string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.sessions[r.RequestHeader.AuthenticationToken.String()]
	policy, ok := s.security(channel)
	switch {
	case found == nil:
		return nil, "", ua.StatusBadSessionIDInvalid
	case !ok:
		return nil, "", ua.StatusBadSecurityModeRejected
	}
	algorithm, err := s.seal(policy, found.client)
	if err != nil {
		return nil, "", err
	}
	if policy != ua.SecurityPolicyURINone && (r.ClientSignature == nil || algorithm.VerifySignature(slices.Concat(s.cfg.Identity.Certificate, found.nonce), r.ClientSignature.Signature) != nil) {
		return nil, "", ua.StatusBadApplicationSignatureInvalid
	}
	if err := s.checkUser(r.UserIdentityToken, algorithm, found.nonce); err != nil {
		return nil, "", err
	}
	found.channel, found.nonce, found.active, found.used = channel, random(nonceLength), true, time.Now()
	return found.nonce, found.uri, nil
}

// checkUser compares the user and password. Where there are no users, the certificate is the identity.
func (s *Server) checkUser(token *ua.ExtensionObject, algorithm *uapolicy.EncryptionAlgorithm, nonce []byte) error {
	var given any
	if token != nil {
		given = token.Value
	}
	user, named := given.(*ua.UserNameIdentityToken)
	if s.cfg.User == "" {
		if _, anonymous := given.(*ua.AnonymousIdentityToken); !anonymous && given != nil {
			return ua.StatusBadIdentityTokenInvalid
		}
		return nil
	}
	if !named {
		return ua.StatusBadIdentityTokenInvalid
	}
	secret, err := algorithm.Decrypt(user.Password)
	if err != nil {
		return ua.StatusBadIdentityTokenInvalid
	}
	password, ok := unseal(secret, nonce)
	switch {
	case !ok:
		return ua.StatusBadIdentityTokenInvalid
	case user.UserName != s.cfg.User, password != s.cfg.Password:
		return ua.StatusBadUserAccessDenied
	}
	return nil
}

// unseal takes a password out of its length, itself, and the nonce (Part 4, 7.41.2.2). The nonce proves that
// it was sealed for this very session.
func unseal(secret, nonce []byte) (password string, ok bool) {
	if len(secret) < 4 {
		return "", false
	}
	length := binary.LittleEndian.Uint32(secret)
	if secret = secret[4:]; uint64(length) > uint64(len(secret)) {
		return "", false
	}
	return strings.CutSuffix(string(secret[:length]), string(nonce))
}

// closeSession also ends a session that was never activated: a client whose password is wrong tidies up, too.
func (s *Server) closeSession(channel *uasc.SecureChannel, r *ua.CloseSessionRequest) (ua.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.RequestHeader.AuthenticationToken.String()
	if found := s.sessions[key]; found == nil || found.channel != channel {
		return nil, ua.StatusBadSessionIDInvalid
	}
	s.end(key)
	return &ua.CloseSessionResponse{ResponseHeader: s.Header(r)}, nil
}
