package opcua

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/hint"
	"linectl/internal/opcua/pki"
)

// A session that was not closed stays at the PLC for so long, and small PLCs have only five.
const sessionTimeout = 15 * time.Second

// connect opens a session with a fresh client and verifies every tag. Nothing is written.
func (p peer) connect(ctx context.Context, limits limits) (*session, error) {
	if p.cfg.secure() {
		var err error
		if p.identity, err = pki.Open(p.folder, Name); err != nil { // anew: its follower may have taken over
			return nil, err
		}
	}
	asking, cancel := context.WithTimeout(ctx, limits.connect)
	endpoint, err := p.trusted(asking)
	cancel()
	if err != nil {
		return nil, err
	}
	ctx, cancel = context.WithTimeout(ctx, limits.open)
	defer cancel()
	// What a PLC cannot do it says by a service fault, after which the library takes its own connection for
	// lost. So each further try is a fresh one.
	for registers, most := true, usualNodes; ; {
		s, err := p.open(ctx, endpoint, limits, most)
		if s == nil {
			return nil, err
		}
		var refused ua.StatusCode
		if err == nil && registers {
			if err = s.register(ctx); errors.As(err, &refused) {
				s.close()
				registers = false
				continue
			}
		}
		if err == nil {
			s.rounds, err = s.round(ctx)
		}
		if err == nil {
			s.limits = limits.of(s.rounds)
			return s, nil
		}
		s.close()
		if !errors.Is(err, ua.StatusBadTooManyOperations) || most == fewestNodes {
			return nil, p.explain(err)
		}
		most = fewestNodes // it did not say how many it takes
	}
}

// open opens a session and verifies the tags.
func (p peer) open(ctx context.Context, endpoint *ua.EndpointDescription, limits limits, most int) (*session, error) {
	s, err := p.enter(ctx, endpoint, limits)
	if err != nil {
		return nil, err
	}
	if s.most, err = s.capacity(ctx, most); err == nil {
		err = s.verify(ctx, p.nodes)
	}
	return s, err
}

// enter opens a session. No tag is looked at.
func (p peer) enter(ctx context.Context, endpoint *ua.EndpointDescription, limits limits) (_ *session, err error) {
	notices, err := p.validity(endpoint)
	if err != nil {
		return nil, err
	}
	options, err := p.options(endpoint, limits)
	if err != nil {
		return nil, err
	}
	s := newSession(p.cfg, limits)
	s.notices, s.search = notices, p.search
	socket := &socket{}
	options = append(options, opcua.Dialer(socket.dialer()), opcua.StateChangedFunc(func(state opcua.ConnState) {
		if state == opcua.Disconnected {
			s.fail(in(Lost, errors.New("the connection to the PLC was lost")))
		}
	}))
	if s.client, err = opcua.NewClient(p.at, options...); err != nil {
		return nil, err
	}
	switch err := dial(ctx, s.client, socket, limits); {
	case hungUp(err) && p.cfg.secure():
		// The PLC spoke a moment ago, without certificates.
		return nil, in(NotTrusted, hint.New(hint.Failure, errors.New("the PLC closed the connection without a word, as it does when it does not trust linectl's certificate"), p.trustUs()))
	case err != nil:
		return nil, p.explain(err)
	}
	return s, nil
}

// dial connects. The library dereferences a session that it did not get when the server's signature
// over it is wrong; that must not end the daemon.
func dial(ctx context.Context, client *opcua.Client, socket *socket, limits limits) (err error) {
	defer func() {
		if recover() != nil {
			err = in(BadCertificate, errors.New("the PLC's signature of the session is wrong"))
		}
		if err != nil {
			client.Close(ctx)
		}
	}()
	return socket.within(ctx, client, limits.request, client.Connect)
}

func (p peer) options(endpoint *ua.EndpointDescription, limits limits) ([]opcua.Option, error) {
	options := []opcua.Option{
		opcua.AutoReconnect(false),
		opcua.RequestTimeout(limits.request),
		opcua.SessionTimeout(sessionTimeout),
		opcua.ApplicationName(Name),
		opcua.ProductURI("urn:linectl"),
	}
	if p.cfg.secure() {
		options = append(options, opcua.Certificate(p.identity.Certificate), opcua.PrivateKey(p.identity.Key))
	}
	kind := ua.UserTokenTypeAnonymous
	if p.cfg.User != "" {
		kind = ua.UserTokenTypeUserName
		password, err := p.password()
		if err != nil {
			return nil, err
		}
		options = append(options, opcua.AuthUsername(p.cfg.User, password))
	}
	if p.cfg.UserCertificate != "" {
		kind = ua.UserTokenTypeCertificate
		certificate, key, err := p.userPair()
		if err != nil {
			return nil, err
		}
		options = append(options, opcua.AuthCertificate(certificate), opcua.AuthPrivateKey(key))
	}
	token, err := userToken(endpoint, kind)
	if err != nil {
		return nil, err
	}
	if kind == ua.UserTokenTypeUserName && token.SecurityPolicyURI == ua.SecurityPolicyURINone && endpoint.SecurityMode != ua.MessageSecurityModeSignAndEncrypt {
		return nil, in(NotOffered, hint.New(hint.Usage, errors.New("the PLC asks for the password in clear text on a line that is only signed"), "set plc.security_mode to SignAndEncrypt"))
	}
	return append(options, opcua.SecurityFromEndpoint(endpoint, kind)), nil
}

// userToken is the endpoint's own rule for the kind of user; without one the library would try an
// anonymous session in silence.
func userToken(endpoint *ua.EndpointDescription, kind ua.UserTokenType) (*ua.UserTokenPolicy, error) {
	for _, t := range endpoint.UserIdentityTokens {
		if t.TokenType == kind {
			return t, nil
		}
	}
	if kind == ua.UserTokenTypeAnonymous {
		return nil, in(NotOffered, hint.New(hint.Usage, errors.New("the PLC wants a user name"), "set plc.user and plc.password_file to a user of the PLC's OPC UA server"))
	}
	if kind == ua.UserTokenTypeCertificate {
		return nil, in(NotOffered, hint.New(hint.Usage, errors.New("the PLC takes no users with certificates at this endpoint"), "switch them on in the PLC's OPC UA server, or use plc.user and plc.password_file"))
	}
	return nil, in(NotOffered, hint.New(hint.Usage, errors.New("the PLC takes no user names at this endpoint"), "switch user names on in the PLC's OPC UA server, or remove plc.user"))
}

// explain turns an error of the network or the library into what it means here and what to do next.
func (p peer) explain(err error) error {
	if err == nil || hint.Of(err) != "" {
		return err
	}
	err = plain(err)
	say := func(state State, next, what string, args ...any) error {
		return in(state, hint.New(hint.Failure, wrap(err, what, args...), next))
	}
	endpoint := p.cfg.Endpoint
	var timeout net.Error
	var name *net.DNSError
	var status ua.StatusCode
	switch {
	case errors.As(err, &name):
		return say(Unreachable, "correct the name in plc.endpoint, or write the PLC's IP address; 'getent hosts NAME' asks the same question", "the host name in %s leads nowhere", endpoint)
	case errors.Is(err, syscall.ECONNREFUSED):
		return say(Unreachable, "start the PLC's OPC UA server, or correct plc.endpoint", "nothing listens at %s", endpoint)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH),
		errors.Is(err, ua.StatusBadTimeout), errors.As(err, &timeout) && timeout.Timeout():
		return say(Unreachable, "check the cable, the PLC's address in plc.endpoint, and the firewall between", "no answer from %s", endpoint)
	case errors.As(err, &status):
		return p.explainStatus(err, status)
	case strings.HasPrefix(err.Error(), "x509:"), strings.Contains(err.Error(), ": x509:"):
		return say(BadCertificate, "have the PLC make a new certificate, and trust that one with 'linectl plc trust'", "the PLC's certificate is malformed")
	}
	if strings.Contains(err.Error(), "opcua: message too large") { // the library has no name for it
		return say(BadValue, "shorten what the PLC keeps in the tags part_id, lot, recipe_id and user_data", "the PLC's answer is too long")
	}
	return say(NotOPCUA, "is that the address of the PLC's OPC UA server? Its usual port is 4840", "what listens at %s does not speak OPC UA as it should", endpoint)
}

// plain leaves the ports out of a network error: they differ each time, and the same failure has to
// read the same each time.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}

// hungUp tells whether the other side closed the connection.
func hungUp(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) }

func (p peer) explainStatus(err error, status ua.StatusCode) error {
	say := func(state State, next, what string) error {
		return in(state, failure(next, "%s (%s)", what, statusName(status)))
	}
	switch status {
	case ua.StatusBadSecurityChecksFailed, ua.StatusBadCertificateUntrusted, ua.StatusBadCertificateInvalid, ua.StatusBadCertificateURIInvalid:
		return say(NotTrusted, p.trustUs(), "the PLC does not trust linectl's certificate")
	case ua.StatusBadUserAccessDenied, ua.StatusBadIdentityTokenRejected:
		return say(UserRefused, "check plc.user, the password in plc.password_file (or plc.user_certificate, which the PLC has to trust), and the user's rights in the PLC", fmt.Sprintf("the PLC refuses user %q", cmp.Or(p.cfg.User, p.cfg.UserCertificate)))
	case ua.StatusBadIdentityTokenInvalid:
		return say(UserRefused, "set plc.user and plc.password_file to a user of the PLC's OPC UA server", "the PLC wants another kind of user")
	case ua.StatusBadCertificateUseNotAllowed, ua.StatusBadCertificateHostNameInvalid, ua.StatusBadCertificatePolicyCheckFailed,
		ua.StatusBadCertificateChainIncomplete, ua.StatusBadCertificateRevocationUnknown, ua.StatusBadCertificateIssuerRevocationUnknown:
		return say(NotTrusted, p.trustUs()+"; it is self-signed: where the PLC takes only what an authority of the plant has issued, put certificate and key from there into linectl.pem beside it", "the PLC's rules for certificates refuse linectl's")
	case ua.StatusBadTooManySessions, ua.StatusBadMaxConnectionsReached, ua.StatusBadTCPNotEnoughResources, ua.StatusBadTCPServerTooBusy, ua.StatusBadResourceUnavailable, ua.StatusBadOutOfMemory:
		return say(NoSessionLeft, "close other OPC UA clients of this PLC; abandoned sessions end by themselves after a while", "the PLC has no session left")
	case ua.StatusBadCertificateTimeInvalid, ua.StatusBadCertificateIssuerTimeInvalid:
		return say(NotTrusted, "set the PLC's clock: a certificate that is valid today is not at a time years off. Otherwise remove linectl's certificate, which makes a new one, and trust that: "+p.identity.File, "by the PLC's clock linectl's certificate is not valid")
	case ua.StatusBadCertificateRevoked, ua.StatusBadCertificateIssuerRevoked:
		return say(NotTrusted, "take linectl's certificate off the PLC's list of revoked ones, or remove it here, which makes a new one, and trust that: "+p.identity.File, "the PLC holds linectl's certificate for revoked")
	case ua.StatusBadInvalidTimestamp:
		return say(NotTrusted, "set the PLC's clock and this machine's, best by NTP; 'linectl plc probe' shows how far they are apart", "the PLC refuses requests of this machine's time")
	case ua.StatusBadServerHalted, ua.StatusBadShutdown, ua.StatusBadOutOfService, ua.StatusBadServerNotConnected:
		return say(Unreachable, "wait for the end of the start or download, or switch the PLC's OPC UA server on", "the PLC's OPC UA server does not work at the moment")
	case ua.StatusBadTCPEndpointURLInvalid, ua.StatusBadServerURIInvalid:
		return say(NotOffered, "write the address as the PLC's engineering tool shows it, path included", "the PLC's OPC UA server goes by another address than "+p.cfg.Endpoint)
	case ua.StatusBadLicenseExpired, ua.StatusBadLicenseLimitsExceeded, ua.StatusBadLicenseNotAvailable:
		return say(Failed, "buy or activate the runtime licence of the PLC's OPC UA server", "the PLC's OPC UA server has no licence for this")
	case ua.StatusBadRequestTooLarge, ua.StatusBadResponseTooLarge, ua.StatusBadEncodingLimitsExceeded, ua.StatusBadTCPMessageTooLarge:
		return say(BadValue, "shorten what the PLC keeps in the tags part_id, lot, recipe_id and user_data, or raise the server's limit of a message", "a message is too long for the PLC's OPC UA server")
	case ua.StatusBadTooManyOperations:
		return say(Failed, fmt.Sprintf("raise the server's limit of nodes in one request to %d or more", fewestNodes), "the PLC takes too few nodes in one request")
	case ua.StatusBadSecurityPolicyRejected, ua.StatusBadSecurityModeRejected:
		return say(NotOffered, "choose what the PLC offers with plc.security_policy and plc.security_mode", "the PLC refuses the security policy")
	}
	return fmt.Errorf("%s: %w", p.cfg.Endpoint, err)
}

// trustUs is what to do where the PLC does not know linectl.
func (p peer) trustUs() string {
	return fmt.Sprintf("trust linectl's certificate on the PLC: %s, SHA-256 %s", p.identity.File, pki.Fingerprint(p.identity.Certificate))
}

// statusName is the status as PLC manuals write it.
func statusName(status ua.StatusCode) string {
	if known, ok := ua.StatusCodes[status]; ok {
		return strings.TrimPrefix(known.Name, "Status")
	}
	return fmt.Sprintf("0x%08X", uint32(status))
}
