// Package plc owns a simulated PLC: a real OPC UA server with signed and encrypted sessions, and behind
// it the PLC's side of the handshake. It is there to commission against, for the demo, and for tests.
//
// It is as strict as the strictest PLC that linectl may meet. It refuses a value of the wrong type, a
// status or timestamp beside a value, a write to its own tags, a wrong password, and a session without
// security; it carries out the writes of one request in another order than they were sent; and it
// passes a part only on positive proof.
package plc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/server"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/opcua/pki"
	"linectl/internal/opcua/serve"
)

// Config says what kind of PLC it is. The zero value, but for Folder, is a good one.
type Config struct {
	Address     string        // to listen at; default 127.0.0.1:0, a free port
	Folder      string        // holds the PLC's certificate; made if absent
	Name        string        // of the certificate in the folder; default plc
	Profile     string        // whose tags it has: minimal, standard or full (default), which is all there are
	Width       int           // of the part counter in bits: 16 (default) or 32
	ResultLimit time.Duration // how long the PLC waits for a result; default 600ms
	Log         string        // file to which every result is appended that was seen as valid; "" for none

	Policy  string                 // security policy; default Basic256Sha256
	Mode    ua.MessageSecurityMode // default SignAndEncrypt
	User    string                 // if set, anonymous sessions are refused
	Pass    string
	Trusted [][]byte // client certificates (DER) that are let in; nil lets in every one

	Tags           map[string]any // by key: another initial value, and with it another type; nil for a tag that is not there
	ReadOnly       []string       // outputs of linectl that it cannot write
	NoRegister     bool           // RegisterNodes is not supported
	NoSubscription bool           // nor are subscriptions
	Shortest       time.Duration  // interval that a subscription is granted; default 10ms
	PerRequest     int            // nodes that the server takes in one request; default 32
	Silent         bool           // it does not say how many
	SessionTimeout time.Duration  // longest that a session is granted; default 30s
	Advertise      string         // address in the description of its endpoints; "" is the one that the client used
	Namespaces     int            // how many others come before that of the tags
	IgnoreWatchdog bool           // pass parts even though vision_heartbeat stands: for a client that has no such signal

	OnBusy    func(seq uint32)             // called when linectl raises busy
	OnWrite   func(written map[string]any) // called with every write request that was carried out whole
	OnSession func(client string)          // called when a client, by its application URI, has opened a session
}

// PLC is a running simulated PLC.
type PLC struct {
	cfg      Config
	identity pki.Identity
	endpoint string
	server   *serve.Server
	cancel   context.CancelFunc
	log      *resultLog
	done     chan struct{}
	work     sync.WaitGroup
	space    *space

	reading, writing atomic.Int64 // delay of each service, ns
	frozen           atomic.Bool  // the PLC's program stands; its server goes on
	hung             atomic.Int64 // until when the server answers nothing, ns since 1970
	clock            atomic.Int64 // how far the PLC's clock is off, ns
	revoked          atomic.Bool  // no client is trusted any more

	mu      sync.Mutex
	tags    map[string]any
	refused map[string]ua.StatusCode
	spoiled map[string]ua.StatusCode
	program program
	closed  bool
}

// Start starts a PLC. It serves when Start returns.
func Start(cfg Config) (*PLC, error) {
	cfg.Address = cmp.Or(cfg.Address, "127.0.0.1:0")
	cfg.Name = cmp.Or(cfg.Name, "plc")
	cfg.Profile = cmp.Or(cfg.Profile, "full")
	cfg.Width = cmp.Or(cfg.Width, 16)
	cfg.ResultLimit = cmp.Or(cfg.ResultLimit, 600*time.Millisecond)
	cfg.Shortest = cmp.Or(cfg.Shortest, 10*time.Millisecond)
	cfg.PerRequest = cmp.Or(cfg.PerRequest, 32)
	cfg.SessionTimeout = cmp.Or(cfg.SessionTimeout, 30*time.Second)
	if cfg.Policy == "" {
		cfg.Policy, cfg.Mode = "Basic256Sha256", ua.MessageSecurityModeSignAndEncrypt
	}
	if cfg.Width != 16 && cfg.Width != 32 {
		return nil, fmt.Errorf("simulated PLC: a counter of %d bits; choose 16 or 32", cfg.Width)
	}
	if profiles[cfg.Profile] == nil && cfg.Profile != "full" {
		return nil, fmt.Errorf("simulated PLC: profile %q; choose minimal, standard or full", cfg.Profile)
	}
	folder, err := filepath.Abs(cfg.Folder) // a config that is pasted elsewhere must still find the certificate
	if err != nil {
		return nil, fmt.Errorf("simulated PLC: %w", err)
	}
	identity, err := pki.Open(folder, cfg.Name)
	if err != nil {
		return nil, fmt.Errorf("simulated PLC: %w", err)
	}
	p := &PLC{
		cfg:      cfg,
		identity: identity,
		done:     make(chan struct{}),
		tags:     initial(cfg),
		refused:  map[string]ua.StatusCode{},
		spoiled:  map[string]ua.StatusCode{},
	}
	// What stands in the tags at the start is no news: no result, no sign of life.
	p.program = program{wasValid: p.is("result_valid"), wasBusy: p.is("busy"), beat: p.tags["vision_heartbeat"]}
	if p.log, err = openLog(cfg.Log); err != nil {
		return nil, fmt.Errorf("simulated PLC: %w", err)
	}
	if err := p.serve(); err != nil {
		return nil, errors.Join(fmt.Errorf("simulated PLC: listen at %s: %w", cfg.Address, err), p.log.close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	if err := p.server.Start(ctx); err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("simulated PLC: listen at %s: %w", cfg.Address, err), p.log.close())
	}
	p.endpoint = "opc.tcp://" + p.server.Address()
	p.work.Go(p.beat)
	return p, nil
}

func (p *PLC) serve() (err error) {
	cfg := serve.Config{
		Address: p.cfg.Address, Name: "linectl simulated PLC", Identity: p.identity, Policies: []string{p.cfg.Policy}, Mode: p.cfg.Mode,
		User: p.cfg.User, Password: p.cfg.Pass, Advertise: p.cfg.Advertise, Admit: p.admit, Opened: p.cfg.OnSession, Timeout: p.cfg.SessionTimeout,
		Hold: p.hangs, Now: p.now, Shortest: p.cfg.Shortest,
	}
	if !p.cfg.NoSubscription {
		cfg.Value = p.attribute
	}
	if p.server, err = serve.New(cfg); err != nil {
		return err
	}
	for i := range p.cfg.Namespaces {
		p.server.Library().AddNamespace(server.NewNameSpace(fmt.Sprintf("urn:linectl:other-%d", i)))
	}
	p.space = newSpace(p)
	p.server.Library().AddNamespace(p.space)
	serve.Within(p.server, id.BrowseRequest_Encoding_DefaultBinary, p.browse)
	serve.Within(p.server, id.ReadRequest_Encoding_DefaultBinary, p.read)
	serve.Within(p.server, id.WriteRequest_Encoding_DefaultBinary, p.write)
	if !p.cfg.NoRegister {
		serve.Within(p.server, id.RegisterNodesRequest_Encoding_DefaultBinary, p.registerNodes)
	}
	return nil
}

// admit tells whether a client is trusted.
func (p *PLC) admit(certificate []byte) error {
	switch {
	case p.revoked.Load():
		return ua.StatusBadCertificateRevoked
	case p.cfg.Trusted != nil && !slices.ContainsFunc(p.cfg.Trusted, func(t []byte) bool { return bytes.Equal(t, certificate) }):
		return ua.StatusBadSecurityChecksFailed
	}
	return nil
}

// now is what the PLC's clock shows.
func (p *PLC) now() time.Time { return time.Now().Add(time.Duration(p.clock.Load())) }

// Close ends the PLC. Its tags can still be read.
func (p *PLC) Close() error {
	close(p.done)
	err := p.server.Close() // before cancel: the library's readers wait for its dispatcher
	p.cancel()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.work.Wait()
	return errors.Join(err, p.log.close())
}

// beatEvery is how often the PLC's program shows that it runs.
const beatEvery = 100 * time.Millisecond

func (p *PLC) beat() {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-ticker.C:
		}
		if p.frozen.Load() {
			continue
		}
		p.mu.Lock()
		if n, ok := p.tags["plc_heartbeat"].(uint16); ok {
			p.tags["plc_heartbeat"] = n + 1
		}
		p.mu.Unlock()
	}
}

// Endpoint is the address to connect to.
func (p *PLC) Endpoint() string { return p.endpoint }

// Address is where it listens, for a restart at the same place.
func (p *PLC) Address() string { return p.endpoint[len("opc.tcp://"):] }

// CertificateFile holds the certificate (DER) to pin.
func (p *PLC) CertificateFile() string { return p.identity.File }

// Certificate is the certificate (DER) to pin.
func (p *PLC) Certificate() []byte { return p.identity.Certificate }

// Width is that of the part counter in bits.
func (p *PLC) Width() int { return p.cfg.Width }

// StopHeartbeat stops the PLC's program, as in STOP, or lets it run again. The server goes on either way.
func (p *PLC) StopHeartbeat(stop bool) { p.frozen.Store(stop) }

// DelayReads makes every read take so much longer; the server does nothing else meanwhile.
func (p *PLC) DelayReads(d time.Duration) { p.reading.Store(int64(d)) }

// DelayWrites makes every write take so much longer before it is carried out.
func (p *PLC) DelayWrites(d time.Duration) { p.writing.Store(int64(d)) }

// Refuse makes every write to a tag fail with the status; a good status lets it succeed again.
func (p *PLC) Refuse(key string, status ua.StatusCode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused[key] = status
}

// Spoil makes every read of a tag's value come with the status; a good status makes it sound again.
func (p *PLC) Spoil(key string, status ua.StatusCode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spoiled[key] = status
}

// DropSessions makes the server forget every session, as after a download of the PLC program.
func (p *PLC) DropSessions() { p.server.DropSessions() }

// DropSubscriptions makes the server forget every subscription; the sessions stay.
func (p *PLC) DropSubscriptions() { p.server.DropSubscriptions() }

// Mute keeps the subscriptions from telling anything, while everything else goes on; or lets them go on.
func (p *PLC) Mute(mute bool) { p.server.Mute(mute) }

// Hang makes the server answer nothing for so long; what comes meanwhile is answered afterwards.
func (p *PLC) Hang(d time.Duration) { p.hung.Store(time.Now().Add(d).UnixNano()) }

// SetClock lets the PLC's clock go wrong by so much.
func (p *PLC) SetClock(off time.Duration) { p.clock.Store(int64(off)) }

// Revoke withdraws the trust in every client, and ends their sessions; or trusts them again.
func (p *PLC) Revoke(revoke bool) {
	p.revoked.Store(revoke)
	if revoke {
		p.DropSessions()
	}
}

// Lose makes a tag one that is not there; or brings it back.
func (p *PLC) Lose(key string, lose bool) {
	status := ua.StatusOK
	if lose {
		status = ua.StatusBadNodeIDUnknown
	}
	p.Refuse(key, status)
	p.Spoil(key, status)
}

func (p *PLC) delay(d *atomic.Int64) {
	p.hangs()
	p.wait(time.Duration(d.Load()))
}

// hangs holds the server, and with it every client, as long as Hang said.
func (p *PLC) hangs() { p.wait(time.Until(time.Unix(0, p.hung.Load()))) }

func (p *PLC) wait(d time.Duration) {
	if d > 0 {
		select {
		case <-time.After(d):
		case <-p.done:
		}
	}
}
