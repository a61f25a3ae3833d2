package opcua

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/opcua/pki"
)

// Notices are what people have to know of a config that works: that nothing protects the link, say.
func (c Config) Notices() []string {
	var notices []string
	if c.Insecure {
		notices = append(notices, "insecure = true: the link to the PLC is neither signed nor encrypted, anybody on the network can pass parts")
	}
	if c.Profile == Minimal {
		notices = append(notices, "profile minimal cannot notice a missed trigger, a late result that hits the next part, or a PLC in STOP")
	}
	return notices
}

// warnBefore is how long before the PLC's certificate runs out each connect says so.
const warnBefore = 30 * 24 * time.Hour

// skew is how far the clock of a PLC may be ahead when it makes its certificate.
const skew = 24 * time.Hour

// validity does so for the certificate of an endpoint, and adds what has to be known of linectl's own.
func (p peer) validity(e *ua.EndpointDescription) ([]string, error) {
	if !p.cfg.secure() {
		return nil, nil
	}
	certificate, err := x509.ParseCertificate(e.ServerCertificate)
	if err != nil {
		return nil, p.explain(err)
	}
	notices, err := p.valid(certificate, time.Now())
	return notices, in(BadCertificate, err)
}

// valid refuses a certificate of the PLC that has run out or is revoked. The notices are what will stop
// the link one day.
func (p peer) valid(certificate *x509.Certificate, now time.Time) (notices []string, err error) {
	const next = "have the PLC make a new certificate and trust that one with 'linectl plc trust'; or is this machine's clock wrong?"
	switch {
	case now.After(certificate.NotAfter):
		return nil, failure(next, "the PLC's certificate ran out on %s", certificate.NotAfter.Format(time.DateOnly))
	case now.Add(skew).Before(certificate.NotBefore):
		return nil, failure(next, "the PLC's certificate is valid only from %s on", certificate.NotBefore.Format(time.DateOnly))
	case certificate.NotAfter.Sub(now) < warnBefore:
		notices = append(notices, fmt.Sprintf("the PLC's certificate runs out on %s: have the PLC renew it and trust the new one with 'linectl plc trust', or there is no session any more",
			certificate.NotAfter.Format(time.DateOnly)))
	}
	lists, err := p.revoked()
	if err != nil {
		return nil, err
	}
	if err := lists.Check(certificate); err != nil {
		return nil, failure("have the PLC make a new certificate and trust that one with 'linectl plc trust'", "the PLC's certificate: %w", err)
	}
	for _, file := range lists.Outdated(now) {
		notices = append(notices, fmt.Sprintf("the revocation list %s is out of date: fetch the issuer's newest", file))
	}
	return notices, nil
}

// renewal makes linectl's next certificate where the present one is about to run out, and says what is to be
// done with it; "" where there is time yet.
func (p peer) renewal() (string, error) {
	next, err := pki.Next(p.folder, Name)
	if err != nil || next == nil {
		return "", err
	}
	return fmt.Sprintf("linectl's certificate runs out on %s: trust the next one on the PLC before, %s, SHA-256 %s; it is used from the day before on",
		p.identity.Until.Format(time.DateOnly), next.File, pki.Fingerprint(next.Certificate)), nil
}
