package vision

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/hint"
	"linectl/internal/opcua/pki"
	"linectl/internal/opcua/serve"
)

const (
	perRequest     = 100 // nodes or calls in one request
	mostAtOnce     = 16  // requests of one connection in work; further ones get no answer
	mostSessions   = 8
	sessionTimeout = time.Hour
	shortest       = 50 * time.Millisecond // interval of a subscription
)

// policies are those that we offer, each with SignAndEncrypt. There is no setting to soften that.
var policies = []string{"Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"}

// listen starts the server.
func (s *Station) listen(ctx context.Context) (err error) {
	next := func(err error) error {
		return hint.New(hint.Failure, fmt.Errorf("linectl's own OPC UA server: listen at %s: %w", s.cfg.Listen, err), "is another program there? Correct vision.listen")
	}
	s.server, err = serve.New(serve.Config{
		Address: s.cfg.Listen, Name: "linectl", Identity: s.identity, Policies: policies, Mode: ua.MessageSecurityModeSignAndEncrypt,
		Admit: s.admit, Gate: true, Opened: s.opened, Sessions: mostSessions, Timeout: sessionTimeout, AtOnce: mostAtOnce, Log: s.log,
		Value: s.attribute, Shortest: shortest,
	})
	if err != nil {
		return next(err)
	}
	serve.Within(s.server, id.ReadRequest_Encoding_DefaultBinary, s.read)
	serve.Within(s.server, id.BrowseRequest_Encoding_DefaultBinary, s.browse)
	serve.Within(s.server, id.TranslateBrowsePathsToNodeIDsRequest_Encoding_DefaultBinary, s.translate)
	serve.Within(s.server, id.WriteRequest_Encoding_DefaultBinary, s.write)
	serve.Within(s.server, id.CallRequest_Encoding_DefaultBinary, s.call)
	if err := s.server.Start(ctx); err != nil {
		return next(err)
	}
	return nil
}

// admit tells whether a client with this certificate may have a session.
func (s *Station) admit(certificate []byte) error {
	chain, err := x509.ParseCertificates(certificate)
	if err != nil || len(chain) == 0 {
		return ua.StatusBadCertificateInvalid
	}
	if !slices.ContainsFunc(s.clients, func(pinned *x509.Certificate) bool { return pinned.Equal(chain[0]) }) {
		s.log.Warn("a client that is not trusted was refused", "sha256", pki.Fingerprint(chain[0].Raw), "subject", chain[0].Subject.String())
		return ua.StatusBadCertificateUntrusted
	}
	if err := s.valid(chain[0]); err != nil {
		s.log.Warn("a client was refused", "error", err, "hint", hint.Of(err))
		switch {
		case errors.Is(err, pki.ErrRevoked):
			return ua.StatusBadCertificateRevoked
		case errors.Is(err, errLists):
			return ua.StatusBadCertificateRevocationUnknown
		}
		return ua.StatusBadCertificateTimeInvalid
	}
	return nil
}

// valid tells why a pinned certificate does not count now, and tells people what will keep its owner out one day.
func (s *Station) valid(certificate *x509.Certificate) error {
	lists, err := revoked(s.folder)
	if err != nil {
		return err
	}
	notices, err := lists.Valid(certificate, fmt.Sprintf("the certificate of the client %q", certificate.Subject), "name its file in vision.clients", time.Now())
	for _, notice := range notices {
		s.notices.Tell(notice)
	}
	return err
}

var errLists = errors.New("revocation lists")

func revoked(folder string) (pki.Revoked, error) {
	lists, err := pki.RevokedIn(folder)
	if err != nil {
		err = hint.New(hint.Usage, fmt.Errorf("%w: %w", errLists, err), "put the issuer's list there as DER or PEM, or take away what is none")
	}
	return lists, err
}

// lookAfter keeps the certificates of both sides from running out unheard.
func (s *Station) lookAfter() {
	s.notices.Renew(s.folder, s.identity)
	for _, certificate := range s.clients {
		if err := s.valid(certificate); err != nil {
			s.notices.Tell(err.Error() + ": " + hint.Of(err))
		}
	}
}

// attribute reads for a subscription.
func (s *Station) attribute(node *ua.NodeID, attribute ua.AttributeID) *ua.DataValue {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.space.attribute(node, attribute)
}

func (s *Station) read(_ *serve.Session, r *ua.ReadRequest) (ua.Response, error) {
	if len(r.NodesToRead) > perRequest {
		return nil, ua.StatusBadTooManyOperations
	}
	response := &ua.ReadResponse{ResponseHeader: s.server.Header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	s.mu.Lock() // around all of them: what one request reads is of one moment
	defer s.mu.Unlock()
	for _, n := range r.NodesToRead {
		response.Results = append(response.Results, s.space.attribute(n.NodeID, n.AttributeID))
	}
	return response, nil
}

func (s *Station) browse(_ *serve.Session, r *ua.BrowseRequest) (ua.Response, error) {
	if len(r.NodesToBrowse) > perRequest {
		return nil, ua.StatusBadTooManyOperations
	}
	response := &ua.BrowseResponse{ResponseHeader: s.server.Header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, n := range r.NodesToBrowse {
		response.Results = append(response.Results, s.space.browse(n))
	}
	return response, nil
}

func (s *Station) translate(_ *serve.Session, r *ua.TranslateBrowsePathsToNodeIDsRequest) (ua.Response, error) {
	if len(r.BrowsePaths) > perRequest {
		return nil, ua.StatusBadTooManyOperations
	}
	response := &ua.TranslateBrowsePathsToNodeIDsResponse{ResponseHeader: s.server.Header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, path := range r.BrowsePaths {
		response.Results = append(response.Results, s.space.translate(path))
	}
	return response, nil
}

func (s *Station) call(_ *serve.Session, r *ua.CallRequest) (ua.Response, error) {
	if len(r.MethodsToCall) > perRequest {
		return nil, ua.StatusBadTooManyOperations
	}
	response := &ua.CallResponse{ResponseHeader: s.server.Header(r), DiagnosticInfos: []*ua.DiagnosticInfo{}}
	for _, m := range r.MethodsToCall {
		response.Results = append(response.Results, s.space.call(m))
	}
	return response, nil
}
