package vision

import (
	"bytes"
	"context"
	"crypto/x509"
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
