package opcua

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// Listener hears what the PLC says. Its methods are called from one goroutine and must not block:
// while they run, nothing is polled.
type Listener interface {
	// Connected: a session is up, every tag is verified, the outputs are safe. The snapshot was read
	// before they were made so. It is the first call after each connect.
	Connected(part.Snapshot)
	// Disconnected: the session ended, or could not be had for a reason that was not reported yet.
	Disconnected(err error)
	// Triggered: a part is here. The same sequence is never reported twice in a row.
	Triggered(part.Trigger)
	// Withdrawn: the PLC took the result or gave up. At most one for each part.
	Withdrawn()
	// Stale: the PLC's program stopped, though its server still answers; or it runs, again or for the first time
	// since a snapshot that was Unproven.
	Stale(stale bool)
}

// ErrNoSession says that there is no session with the PLC at the moment, so that nothing was sent.
var ErrNoSession = fmt.Errorf("there is no session with the PLC: %w", part.ErrNotSent)

// limits are how long the parts of a session may take.
type limits struct {
	connect  time.Duration // until the endpoints are known
	open     time.Duration // from there until the tags are verified; a PLC's CPU may need seconds for each RSA operation
	request  time.Duration // any one answer meanwhile
	read     time.Duration // one answer of the poll
	patience int           // so many reads without an answer end the session
	write    time.Duration // one result, data and validity
	farewell time.Duration // making the outputs safe, and closing, each
	retry    time.Duration // first pause between two attempts to connect
	longest  time.Duration // longest such pause
}

func usual() limits {
	return limits{
		connect:  8 * time.Second,
		open:     15 * time.Second,
		request:  4 * time.Second,
		read:     250 * time.Millisecond,
		patience: 3,
		write:    time.Second,
		farewell: 300 * time.Millisecond,
		retry:    100 * time.Millisecond,
		longest:  time.Second, // with a greeting that was swallowed just before, 5 s hold
	}
}

// of are the limits for a PLC of the given round trip. They are there to notice silence: one that is slow by
// itself gets the time it takes, and is refused by name where that is too long for the cycle.
func (l limits) of(round time.Duration) limits {
	const (
		patience = 4 // hiccups take longer
		requests = 3 // of one result: data, reading back, validity
	)
	l.read = max(l.read, patience*round)
	l.write = max(l.write, patience*requests*round)
	l.farewell = max(l.farewell, requests*round)
	return l
}

// Link is the link to one PLC. Run keeps it up; the other methods talk to the PLC while it is up and
// may be called from any goroutine.
type Link struct {
	peer     peer
	listener Listener
	log      *recurring
	limits   limits
	cycle    time.Duration // what the path must fit into; 0 for any
	session  atomic.Pointer[session]
	notices  *Notices

	mu     sync.Mutex
	status Status
	cause  error
	watch  func(Status)
}

// New checks what can be checked without the PLC, and makes linectl's own certificate in the pki
// folder where there is none yet.
func New(cfg Config, folder string, listener Listener, log *slog.Logger) (*Link, error) {
	peer, err := know(cfg, folder)
	if err != nil {
		return nil, err
	}
	l := &Link{peer: peer, listener: listener, log: &recurring{log: log}, limits: usual(), notices: NewNotices(listener, log)}
	l.status = Status{State: Connecting, Since: time.Now(), Insecure: cfg.Insecure, Outages: map[string]int{}, Process: os.Getpid()}
	return l, nil
}

// Status is how the link is at this moment.
func (l *Link) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.copied()
}

// copied is the status as it may leave the link. The caller holds the lock.
func (l *Link) copied() Status {
	s := l.status
	s.Name, s.Next, s.Outages = s.State.String(), s.State.Next(), maps.Clone(s.Outages)
	if next := hint.Of(l.cause); next != "" {
		s.Next = next // knows more than the table
	}
	return s
}

// Watch has each change of the status told, in order. It is called before Run; tell must not block.
func (l *Link) Watch(tell func(Status)) { l.watch = tell }

// enter changes the state. A failure counts once for as long as it lasts.
func (l *Link) enter(state State, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.status.Error
	fresh := l.status.State != state || cause == nil
	if l.status.State != state {
		l.status.State, l.status.Since = state, time.Now()
		if state != Up && state != Away {
			l.status.Outages[state.String()]++
		}
	}
	l.cause, l.status.Error = cause, ""
	if cause != nil {
		l.status.Error, l.status.Last = cause.Error(), state
	}
	if l.watch != nil && (fresh || l.status.Error != before) { // the same failure again is no news
		l.watch(l.copied())
	}
}

// hearing is the listener with the link's state beside it.
type hearing struct {
	Listener
	link *Link
}

// Stale tells that the PLC's program stands or runs again.
func (h hearing) Stale(stale bool) {
	if stale {
		h.link.enter(Stopped, nil)
	} else {
		h.link.enter(Up, nil)
	}
	h.Listener.Stale(stale)
}

// Within makes the link refuse a path to the PLC that is too slow for the line's cycle. It is called before Run.
func (l *Link) Within(cycle time.Duration) { l.cycle = cycle }

// Check connects once, verifies every tag, and holds the path against the line's cycle (0 for any). It
// writes nothing: a daemon may be at work with the same PLC.
func Check(ctx context.Context, cfg Config, folder string, cycle time.Duration) error {
	peer, err := know(cfg, folder)
	if err != nil {
		return err
	}
	peer.search = true
	s, err := peer.connect(ctx, usual())
	if err != nil {
		return err
	}
	defer s.close()
	return peer.explain(s.prepare(ctx, cfg, cycle))
}

// Run keeps a session with the PLC until ctx ends, and then leaves the outputs safe. A PLC that is
// absent is no error: it is tried again for ever.
func (l *Link) Run(ctx context.Context) error {
	for _, notice := range l.peer.cfg.Notices() {
		l.notices.Tell(notice)
	}
	if l.peer.cfg.secure() {
		watched := make(chan struct{})
		defer func() { <-watched }()
		go func() {
			defer close(watched)
			Daily(ctx, func() { l.notices.Renew(l.peer.folder, l.peer.identity) })
		}()
	}
	l.enter(Connecting, nil)
	defer l.enter(Away, nil)
	pause := l.limits.retry
	for {
		lasted, err := l.serve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if lasted > l.limits.longest {
			pause = l.limits.retry // a new failure, not the same again
		}
		l.enter(outage(err, Failed), err)
		if l.log.failure(err) {
			l.listener.Disconnected(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, l.limits.longest)
	}
}

// serve is one session from connect to end. It returns how long it lasted, and why it ended.
func (l *Link) serve(ctx context.Context) (lasted time.Duration, err error) {
	s, err := l.peer.connect(ctx, l.limits)
	if err != nil {
		return 0, err
	}
	defer s.close()
	s.outage = l.Status().Last
	first, err := s.begin(ctx)
	if err != nil {
		return 0, err
	}
	if err := s.prepare(ctx, l.peer.cfg, l.cycle); err != nil {
		return 0, l.peer.explain(err)
	}
	l.session.Store(s)
	for _, notice := range s.notices {
		l.notices.Tell(notice)
	}
	l.log.success("connected to the PLC", "endpoint", l.peer.cfg.Endpoint, "policy", l.peer.cfg.SecurityPolicy, "mode", l.peer.cfg.SecurityMode,
		"trigger", s.path.Trigger, "path", s.path.Whole().Round(10*time.Microsecond))
	l.mu.Lock()
	l.status.Sessions++
	l.status.Path = s.path
	l.mu.Unlock()
	l.enter(Up, nil)
	l.listener.Connected(first.snapshot())

	listen := s.poll
	if s.feed != nil {
		listen = s.follow
	}
	err = listen(ctx, first, hearing{l.listener, l})

	l.session.Store(nil)
	s.leave(ctx)
	return time.Since(s.began), in(outage(err, Lost), err)
}
