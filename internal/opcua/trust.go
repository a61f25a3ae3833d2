package opcua

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/hint"
	"linectl/internal/opcua/pki"
)

// Name is what linectl's own certificate is called in the pki folder.
const Name = "linectl"

// peer is what is known of the PLC before it is connected to.
type peer struct {
	cfg      Config
	folder   string
	identity pki.Identity // empty without security
	nodes    [signals]node
	at       string // plc.endpoint with the host's address that answers
	search   bool   // whether a session looks for names like those of missing tags: nothing for a daemon
}

// know gathers what a connection needs and tells what is missing.
func know(cfg Config, folder string) (peer, error) {
	if problems := cfg.Check(); len(problems) > 0 {
		first := problems[0]
		return peer{}, hint.New(hint.Usage, fmt.Errorf("plc.%s: %s", first.Key, first.Message), "'linectl check' lists every mistake in the config")
	}
	return gather(cfg, folder)
}

// gather does so for a config whose mistakes were looked for already.
func gather(cfg Config, folder string) (peer, error) {
	p := peer{cfg: cfg, folder: folder}
	for s := range signals {
		if cfg.Tags.has(s) {
			n, err := parseNode(table[s].node(cfg.Tags))
			if err != nil {
				return peer{}, err
			}
			p.nodes[s] = n
		}
	}
	if cfg.secure() {
		var err error
		if p.identity, err = pki.Open(folder, Name); err != nil {
			return peer{}, err
		}
		if _, err := p.pinned(); err != nil {
			return peer{}, err
		}
	}
	if _, err := p.revoked(); err != nil {
		return peer{}, err
	}
	if cfg.UserCertificate != "" {
		if _, _, err := p.userPair(); err != nil {
			return peer{}, err
		}
	}
	_, err := p.password()
	return p, err
}

// pinned is the fingerprint of the certificate that the PLC must show. It is read at each connect, so
// that a new one can be trusted while the daemon runs.
func (p peer) pinned() (sum [sha256.Size]byte, err error) {
	if p.cfg.ServerSHA256 != "" {
		return pki.ParseFingerprint(p.cfg.ServerSHA256)
	}
	file := p.cfg.Pinned(p.folder)
	certificate, err := pki.Read(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return sum, hint.New(hint.Usage, fmt.Errorf("the PLC's certificate is not there: %s", file),
			"fetch it, compare its fingerprint with the PLC's and store it: 'linectl plc trust'")
	case err != nil:
		return sum, hint.New(hint.Usage, fmt.Errorf("the PLC's certificate: %w", err), "store the right one with 'linectl plc trust'")
	}
	return sha256.Sum256(certificate), nil
}

func (p peer) password() (string, error) {
	if p.cfg.User == "" {
		return "", nil
	}
	password, err := secret(p.cfg.PasswordFile)
	return password, hint.New(hint.Usage, wrap(err, "password of PLC user %q", p.cfg.User),
		"write the password into the file of plc.password_file and chmod 600 it, or have systemd hand it over: LoadCredential=NAME:FILE and password_file = \"credential:NAME\"")
}

// userPair is the user's certificate and key.
func (p peer) userPair() (certificate []byte, key *rsa.PrivateKey, err error) {
	text, err := secret(p.cfg.UserCertificate)
	if err == nil {
		certificate, key, err = pki.Pair([]byte(text))
	}
	return certificate, key, hint.New(hint.Usage, wrap(err, "certificate of the PLC user, %s", p.cfg.UserCertificate),
		"put certificate and RSA key (PKCS#8) of the user into one PEM file and chmod 600 it")
}

// revoked are the revocation lists; none where there is no folder of them and none is asked for.
func (p peer) revoked() (lists pki.Revoked, err error) {
	if p.cfg.Revoked != "" {
		lists, err = pki.ReadRevoked(p.cfg.Revoked)
	} else {
		lists, err = pki.RevokedIn(p.folder)
	}
	return lists, hint.New(hint.Usage, wrap(err, "revocation lists"), "put the issuer's list there as DER or PEM, or correct plc.revoked")
}

// wrap says what an error is about; nil stays nil.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}

// failure is what the PLC has to put right, with what to do next.
func failure(next, format string, args ...any) error {
	return hint.New(hint.Failure, fmt.Errorf(format, args...), next)
}

// Fetch asks the PLC for the certificate (DER) that it shows at the configured security policy and
// mode. Nobody vouches for the answer: a person has to compare its fingerprint.
func Fetch(ctx context.Context, cfg Config) ([]byte, error) {
	if !cfg.secure() {
		return nil, hint.New(hint.Usage, errors.New("plc.security_policy is None: there is no certificate to trust"), "choose a secure policy first")
	}
	ctx, cancel := context.WithTimeout(ctx, usual().connect)
	defer cancel()
	fitting, err := (&peer{cfg: cfg}).endpoints(ctx)
	if err != nil {
		return nil, err
	}
	return fitting[0].ServerCertificate, nil
}

// endpoints asks the PLC for those with exactly the configured policy and mode, at least one: the library's
// own choice may be one without security.
func (p *peer) endpoints(ctx context.Context) (fitting []*ua.EndpointDescription, err error) {
	offered, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	policy := ua.FormatSecurityPolicyURI(p.cfg.SecurityPolicy)
	var others []string
	for _, e := range offered {
		if e.SecurityPolicyURI == policy && e.SecurityMode == p.cfg.mode() {
			if err := p.own(e); err != nil {
				return nil, err
			}
			fitting = append(fitting, e)
		}
		others = append(others, fmt.Sprintf("%s/%s", strings.TrimPrefix(e.SecurityPolicyURI, ua.SecurityPolicyURIPrefix),
			strings.TrimPrefix(e.SecurityMode.String(), "MessageSecurityMode")))
	}
	if len(fitting) == 0 {
		return nil, in(NotOffered, failure("switch it on in the settings of the PLC's OPC UA server, or choose another with plc.security_policy and plc.security_mode",
			"the PLC does not offer %s/%s; it offers %s", p.cfg.SecurityPolicy, p.cfg.SecurityMode, strings.Join(others, ", ")))
	}
	return fitting, nil
}

// own cuts the certificate of an endpoint down to the PLC's own: some send the whole chain.
func (p *peer) own(e *ua.EndpointDescription) error {
	if !p.cfg.secure() {
		return nil
	}
	chain, err := x509.ParseCertificates(e.ServerCertificate)
	switch {
	case err != nil:
		return p.explain(err)
	case len(chain) == 0:
		return p.explain(errors.New("x509: there is none"))
	}
	e.ServerCertificate = chain[0].Raw
	return nil
}

// trusted is the endpoint to connect to: the one that shows the pinned certificate.
// The library compares nothing; but it encrypts to the certificate that it is given here, so that only
// the owner of that key can answer.
func (p *peer) trusted(ctx context.Context) (*ua.EndpointDescription, error) {
	fitting, err := p.endpoints(ctx)
	switch {
	case err != nil:
		return nil, err
	case !p.cfg.secure():
		return fitting[0], nil
	}
	want, err := p.pinned()
	if err != nil {
		return nil, in(BadCertificate, err)
	}
	for _, e := range fitting {
		if sha256.Sum256(e.ServerCertificate) == want {
			return e, nil
		}
	}
	return nil, in(BadCertificate, failure("was the PLC replaced or its certificate renewed? Compare the fingerprint at the PLC and run 'linectl plc trust'; otherwise somebody stands between",
		"the PLC shows a certificate that is not the trusted one: its SHA-256 is %s", pki.Fingerprint(fitting[0].ServerCertificate)))
}
