package opcua

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
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
	lists, err := p.revoked()
	if err != nil {
		return nil, err
	}
	return lists.Valid(certificate, "the PLC's certificate", "trust that one with 'linectl plc trust'", now)
}

// Notices tells people what they have to know of a link that works, each thing once a day: in the log, and in the
// record where the listener keeps one.
type Notices struct {
	listener Listener
	log      *slog.Logger
	told     sync.Map // text: when
}

// NewNotices makes one for a link or a server.
func NewNotices(listener Listener, log *slog.Logger) *Notices {
	return &Notices{listener: listener, log: log}
}

const daily = 24 * time.Hour

// Tell tells one thing.
func (n *Notices) Tell(text string) {
	now := time.Now()
	if told, _ := n.told.Load(text); told != nil && now.Sub(told.(time.Time)) < daily-time.Minute {
		return
	}
	n.told.Store(text, now)
	n.log.Warn("PLC link: " + text)
	if keeper, ok := n.listener.(interface{ Note(kind, detail string) }); ok {
		keeper.Note("plc-link", text)
	}
}

// Renew makes linectl's next certificate where the present one is about to run out, and tells what is to be done
// with it. A link takes it with a new session, a server only when it is opened: its clients would lose theirs.
func (n *Notices) Renew(folder string, present pki.Identity) {
	switch next, err := pki.Next(folder, Name); {
	case err != nil:
		n.Tell("linectl's next certificate could not be made: " + err.Error())
	case next != nil:
		n.Tell(fmt.Sprintf("linectl's certificate runs out on %s: trust the next one on the PLC before, %s, SHA-256 %s; it is used from the day before on, by linectl's own server ([vision]) once it has been reloaded or restarted then",
			present.Until.Format(time.DateOnly), next.File, pki.Fingerprint(next.Certificate)))
	}
}

// Daily has something looked after now and once a day until ctx ends.
func Daily(ctx context.Context, look func()) {
	ticker := time.NewTicker(daily)
	defer ticker.Stop()
	for {
		look()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
