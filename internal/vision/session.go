package vision

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uapolicy"
	"github.com/gopcua/opcua/uasc"

	"linectl/internal/opcua/pki"
)

// sessions are the server's own book of sessions: the library's lets in everybody.
type sessions struct {
	mu   sync.Mutex
	open map[string]*session
}

// session is one client's. It belongs to the channel that activated it last.
type session struct {
	channel *uasc.SecureChannel
	client  []byte // certificate, DER
	nonce   []byte
	active  bool
	used    time.Time
}

const (
	mostSessions   = 8
	nonceLength    = 32
	sessionTimeout = time.Minute
)

// add keeps a new session. One that nobody used for long goes, and where there are too many the one that
// was not used for longest: a PLC that lost its connection must always get a new one.
func (s *sessions) add(token *ua.NodeID, n *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := ""
	for key, old := range s.open {
		if n.used.Sub(old.used) > sessionTimeout {
			delete(s.open, key)
		} else if oldest == "" || old.used.Before(s.open[oldest].used) {
			oldest = key
		}
	}
	if len(s.open) >= mostSessions {
		delete(s.open, oldest)
	}
	s.open[token.String()] = n
}

// check lets a request through only if it belongs to an active session of this very channel.
func (s *sessions) check(channel *uasc.SecureChannel, h *ua.RequestHeader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.open[h.AuthenticationToken.String()]
	switch {
	case found == nil || found.channel != channel && found.active:
		return ua.StatusBadSessionIDInvalid
	case !found.active:
		return ua.StatusBadSessionNotActivated
	}
	found.used = time.Now()
	return nil
}

// secured is the policy of a channel that is encrypted by one that we offer. The library lets a client
// choose any policy and mode, offered or not, and again at any time, and has no method that says which.
func secured(channel *uasc.SecureChannel) (policy string, ok bool) {
	cfg := reflect.ValueOf(channel).Elem().FieldByName("cfg")
	if cfg.Kind() != reflect.Pointer || cfg.IsNil() {
		return "", false
	}
	mode, uri := cfg.Elem().FieldByName("SecurityMode"), cfg.Elem().FieldByName("SecurityPolicyURI")
	if !mode.IsValid() || !mode.CanUint() || ua.MessageSecurityMode(mode.Uint()) != ua.MessageSecurityModeSignAndEncrypt || uri.Kind() != reflect.String {
		return "", false
	}
	policy = uri.String()
	return policy, slices.Contains(policies, strings.TrimPrefix(policy, ua.SecurityPolicyURIPrefix))
}

// seal is how both sides sign a session. The library's own way goes by what the channel says at that
// instant, which the other side can change to no security at all; this goes by the policy that was checked.
func (s *Station) seal(policy string, client []byte) (*uapolicy.EncryptionAlgorithm, error) {
	key, err := uapolicy.PublicKey(client)
	if err != nil {
		return nil, ua.StatusBadCertificateInvalid
	}
	return uapolicy.Asymmetric(policy, s.identity.Key, key)
}

// admit tells whether a client with this certificate may have a session.
func (s *Station) admit(certificate []byte) error {
	chain, err := x509.ParseCertificates(certificate)
	if err != nil || len(chain) == 0 {
		return ua.StatusBadCertificateInvalid
	}
	switch now := time.Now(); {
	case !slices.ContainsFunc(s.clients, func(pinned []byte) bool { return bytes.Equal(pinned, chain[0].Raw) }):
		s.log.Warn("a client that is not trusted was refused", "sha256", pki.Fingerprint(chain[0].Raw), "subject", chain[0].Subject.String())
		return ua.StatusBadCertificateUntrusted
	case now.Before(chain[0].NotBefore), now.After(chain[0].NotAfter):
		s.log.Warn("a client's certificate is not valid today", "sha256", pki.Fingerprint(chain[0].Raw), "until", chain[0].NotAfter)
		return ua.StatusBadCertificateTimeInvalid
	}
	return nil
}

func (s *Station) createSession(channel *uasc.SecureChannel, r *ua.CreateSessionRequest) (ua.Response, error) {
	policy, ok := secured(channel)
	if !ok {
		return nil, ua.StatusBadSecurityModeRejected
	}
	if err := s.admit(r.ClientCertificate); err != nil {
		return nil, err
	}
	algorithm, err := s.seal(policy, r.ClientCertificate)
	if err != nil {
		return nil, err
	}
	signature, err := algorithm.Signature(slices.Concat(r.ClientCertificate, r.ClientNonce))
	if err != nil {
		return nil, ua.StatusBadSecurityChecksFailed
	}
	token := make([]byte, 32)
	n := &session{channel: channel, client: r.ClientCertificate, nonce: make([]byte, nonceLength), used: time.Now()}
	rand.Read(token)
	rand.Read(n.nonce)
	authentication := ua.NewByteStringNodeID(0, token)
	s.sessions.add(authentication, n)
	id := make([]byte, 4)
	rand.Read(id)
	return &ua.CreateSessionResponse{
		ResponseHeader:        header(r),
		SessionID:             ua.NewNumericNodeID(1, binary.LittleEndian.Uint32(id)),
		AuthenticationToken:   authentication,
		RevisedSessionTimeout: float64(sessionTimeout.Milliseconds()),
		ServerSignature:       &ua.SignatureData{Signature: signature, Algorithm: algorithm.SignatureURI()},
		ServerCertificate:     s.identity.Certificate,
		ServerNonce:           n.nonce,
		ServerEndpoints:       s.endpoints(r.EndpointURL),
	}, nil
}

// activateSession takes the client's signature over our last nonce as the proof that it owns its
// certificate's key. The certificate is its identity: there are no users.
func (s *Station) activateSession(channel *uasc.SecureChannel, r *ua.ActivateSessionRequest) (ua.Response, error) {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	found := s.sessions.open[r.RequestHeader.AuthenticationToken.String()]
	policy, ok := secured(channel)
	switch {
	case found == nil:
		return nil, ua.StatusBadSessionIDInvalid
	case !ok:
		return nil, ua.StatusBadSecurityModeRejected
	}
	algorithm, err := s.seal(policy, found.client)
	if err != nil {
		return nil, err
	}
	if r.ClientSignature == nil || algorithm.VerifySignature(slices.Concat(s.identity.Certificate, found.nonce), r.ClientSignature.Signature) != nil {
		return nil, ua.StatusBadApplicationSignatureInvalid
	}
	if r.UserIdentityToken != nil {
		if _, anonymous := r.UserIdentityToken.Value.(*ua.AnonymousIdentityToken); !anonymous && r.UserIdentityToken.Value != nil {
			return nil, ua.StatusBadIdentityTokenInvalid
		}
	}
	nonce := make([]byte, nonceLength)
	rand.Read(nonce)
	found.channel, found.nonce, found.active, found.used = channel, nonce, true, time.Now()
	return &ua.ActivateSessionResponse{ResponseHeader: header(r), ServerNonce: nonce}, nil
}

func (s *Station) closeSession(channel *uasc.SecureChannel, r *ua.CloseSessionRequest) (ua.Response, error) {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	key := r.RequestHeader.AuthenticationToken.String()
	if found := s.sessions.open[key]; found == nil || found.channel != channel {
		return nil, ua.StatusBadSessionIDInvalid
	}
	delete(s.sessions.open, key)
	return &ua.CloseSessionResponse{ResponseHeader: header(r)}, nil
}
