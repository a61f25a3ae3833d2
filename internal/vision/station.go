package vision

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uapolicy"

	"linectl/internal/hint"
	"linectl/internal/opcua"
	"linectl/internal/opcua/pki"
	"linectl/internal/opcua/serve"
	"linectl/internal/part"
)

// Station is the line as PLCs may call it. To the line it is the PLC.
type Station struct {
	cfg      Config
	folder   string // of certificates
	identity pki.Identity
	clients  []*x509.Certificate // pinned
	notices  *opcua.Notices
	listener opcua.Listener
	log      *slog.Logger
	recipe   string
	patience time.Duration // after which a job that the line did not answer is over
	space    *space
	server   *serve.Server
	events   chan serve.Event // on their way to whoever subscribed

	telling sync.Mutex
	watch   func(opcua.Status)
	serving opcua.Status

	mu     sync.Mutex
	up     bool
	mode   mode
	last   uint32 // newest sequence
	lost   bool   // up to it numbers were given out that have no row
	open   *job   // the one that waits for its verdict; nil where none does
	jobs   []*job // the newest, oldest first
	status part.Status

	handshake handshake
	numbers   Numbers
	reserved  reservation
}

// job is one part that a client brought.
type job struct {
	trigger part.Trigger
	meas    string // the client's own name of the measurement
	result  part.Result
	at      time.Time // of the verdict
	done    chan struct{}
	taken   bool // the client has its verdict
	single  bool // begun by StartSingleJob, which knows no acknowledgement
	aborted bool
	counter uint32 // the PLC's own, where it came by the handshake
}

func (j *job) over() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// name is the job's, unique as long as the record counts on.
func (j *job) name() string { return strconv.FormatUint(uint64(j.trigger.Sequence.Value), 10) }

const (
	keptJobs = 64 // whose verdicts can still be asked for
	grace    = 500 * time.Millisecond
)

// New checks what can be checked without listening, and makes linectl's certificate in the pki folder
// where there is none yet. The cycle is the line's.
func New(cfg Config, folder string, numbers Numbers, cycle time.Duration, recipe string, listener opcua.Listener, log *slog.Logger) (*Station, error) {
	if problems := cfg.Check(); len(problems) > 0 {
		return nil, hint.New(hint.Usage, fmt.Errorf("vision.%s: %s", problems[0].Key, problems[0].Message), "'linectl check' lists every mistake in the config")
	}
	s := &Station{
		cfg: cfg, folder: folder, listener: listener, log: log, recipe: recipe, patience: cycle + grace,
		notices: opcua.NewNotices(listener, log), events: make(chan serve.Event, keptJobs),
		numbers: numbers, reserved: reservation{low: make(chan struct{}, 1)},
	}
	s.last, s.lost = numbers.next()
	s.reserved.last = s.last // no number is given out before the first is reserved
	for _, file := range cfg.Clients {
		der, err := pki.Read(file)
		if err != nil {
			return nil, hint.New(hint.Usage, fmt.Errorf("vision.clients: %w", err), "export the PLC's client certificate from its engineering tool into that file")
		}
		certificate, err := x509.ParseCertificate(der)
		if err == nil {
			_, err = uapolicy.PublicKey(der)
		}
		if err != nil {
			return nil, hint.New(hint.Usage, fmt.Errorf("vision.clients: %s: %w", file, err), "the security policies need a certificate with an RSA key")
		}
		s.clients = append(s.clients, certificate)
	}
	if _, err := revoked(folder); err != nil {
		return nil, err
	}
	var err error
	if s.identity, err = pki.Open(folder, opcua.Name); err != nil {
		return nil, err
	}
	known()
	s.space = s.build()
	return s, nil
}

// bits is the width of the sequence.
const bits = 32

// Address is where it listens, while it runs.
func (s *Station) Address() string { return s.server.Address() }

// Watch has each change of the server's status told. It is called before Run; tell must not block.
func (s *Station) Watch(tell func(opcua.Status)) { s.watch = tell }

// enter tells how the server is.
func (s *Station) enter(state opcua.State, cause error) {
	s.telling.Lock()
	defer s.telling.Unlock()
	now := &s.serving
	now.State, now.Name, now.Since, now.Next, now.Error, now.Serves, now.Process = state, state.String(), time.Now(), state.Next(), "", s.cfg.Listen, os.Getpid()
	if cause != nil {
		now.Error, now.Next = cause.Error(), cmp.Or(hint.Of(cause), now.Next)
	}
	if s.watch != nil {
		s.watch(*now)
	}
}

// opened counts a client's session.
func (s *Station) opened(client string) {
	s.log.Info("a client has opened a session", "client", client)
	s.telling.Lock()
	defer s.telling.Unlock()
	if s.serving.Sessions++; s.watch != nil && s.serving.State == opcua.Up {
		s.watch(s.serving)
	}
}

// Run serves until ctx ends. An address that is not there yet is no error: it is tried again for ever.
func (s *Station) Run(ctx context.Context) error {
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer s.enter(opcua.Away, nil)
	var work sync.WaitGroup
	defer work.Wait() // who hears of the status hears nothing after Run
	work.Go(func() { opcua.Daily(ctx, s.lookAfter) })
	for told := false; ; told = true {
		err := s.listen(serving)
		if err == nil {
			break
		}
		if !told {
			s.enter(opcua.Failed, err)
			s.log.Warn("linectl's own OPC UA server does not serve", "error", err, "hint", hint.Of(err))
			s.listener.Disconnected(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second/2 + rand.N(time.Second)):
		}
	}
	s.enter(opcua.Up, nil)
	s.log.Info("linectl's own OPC UA server serves", "address", s.Address(), "clients", len(s.clients))
	err := s.reserve()
	s.mu.Lock()
	s.up = true
	at := s.sequence()
	if s.lost {
		at.Value++ // all before it have gone by
	}
	s.listener.Connected(part.Snapshot{Trigger: part.Trigger{Sequence: at, SeenAt: time.Now()}})
	s.mu.Unlock()
	ended := make(chan struct{})
	defer close(ended)
	work.Go(func() { s.keepRoom(ended, err) })
	work.Go(func() { s.watchBeat(ended) })
	work.Go(func() { s.tell(ended) })
	<-ctx.Done()
	s.mu.Lock()
	s.up = false
	s.finish(s.open, part.Result{Reason: part.Interrupted})
	s.mu.Unlock()
	time.Sleep(50 * time.Millisecond) // for the last answer to go out
	return s.server.Close()
}

// tell passes events on until the server is closed.
func (s *Station) tell(ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case e := <-s.events:
			s.server.Emit(e)
		}
	}
}

func (s *Station) sequence() part.Sequence { return part.Sequence{Value: s.last, Bits: bits} }

// trigger begins a job. One that is still open is over then: the PLC went on. What is not accepted is no
// trigger and gets no verdict: the PLC has the refusal.
func (s *Station) trigger(t part.Trigger) (*job, error) { return s.begin(&job{trigger: t}) }

func (s *Station) begin(j *job) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.accepts(1) {
		return nil, ua.StatusBadInvalidState
	}
	s.bring(j, 1)
	return j, nil
}

// accepts tells whether a part may come, so many after the one before. The caller holds the lock.
func (s *Station) accepts(after uint32) bool { return s.up && s.mode == automatic && s.room(after) }

// bring brings a part to the line, so many after the one before: what lies between went by unseen. The caller holds
// the lock.
func (s *Station) bring(j *job, after uint32) {
	s.finish(s.open, part.Result{Reason: part.Overrun})
	s.last += after
	j.trigger.Sequence, j.trigger.SeenAt = s.sequence(), time.Now()
	j.done = make(chan struct{})
	s.open = j
	s.jobs = append(s.jobs, j)
	if len(s.jobs) > keptJobs {
		s.jobs = s.jobs[1:]
	}
	// The line answers within its cycle. Should it not, the call must still end.
	time.AfterFunc(s.patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.finish(j, part.Result{Reason: part.Deadline})
	})
	s.emitStarted(j)
	s.listener.Triggered(j.trigger)
}

// finish gives a job its verdict, if it has none yet. The caller holds the lock.
func (s *Station) finish(j *job, result part.Result) bool {
	if j == nil || j.over() {
		return false
	}
	result.Trigger = j.trigger
	j.result, j.at = result, time.Now()
	if s.open == j {
		s.open = nil
	}
	close(j.done)
	s.emitReady(j)
	return true
}

// taken says that a client has the verdict of a job.
func (s *Station) taken(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acknowledge(j)
}

// acknowledge tells the line so, once. The caller holds the lock.
func (s *Station) acknowledge(j *job) {
	newest := len(s.jobs) > 0 && s.jobs[len(s.jobs)-1] == j
	if !j.taken && newest && s.up {
		s.listener.Withdrawn()
	}
	j.taken = true
}

// abort ends the open job at once.
func (s *Station) abort() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return false
	}
	s.open.aborted, s.open.taken = true, true
	s.finish(s.open, part.Result{Reason: part.Overrun}) // as the row has it
	s.listener.Withdrawn()
	return true
}

// job finds one of the newest by its sequence.
func (s *Station) job(sequence uint32) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if j.trigger.Sequence.Value == sequence {
			return j
		}
	}
	return nil
}

// newest is the newest job with a verdict; nil where there is none yet. The caller holds the lock.
func (s *Station) newest() *job {
	for i := len(s.jobs) - 1; i >= 0; i-- {
		if s.jobs[i].over() {
			return s.jobs[i]
		}
	}
	return nil
}

var errOver = fmt.Errorf("the call is over already: %w", part.ErrNotSent)

// Answer gives a job its verdict.
func (s *Station) Answer(ctx context.Context, result part.Result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", part.ErrNotSent, err)
	}
	for _, j := range s.jobs {
		if j.trigger.Sequence == result.Trigger.Sequence && s.finish(j, result) {
			if j.single {
				j.taken = true
				s.listener.Withdrawn()
			}
			return nil
		}
	}
	return part.Because(part.LinkLost, errOver)
}

// Clear takes back what the handshake shows. For a call there is nothing to take back: a verdict belongs to its
// sequence for ever.
func (s *Station) Clear(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handshake.valid() {
		s.handshake.over = true
	}
	return nil
}

// Report keeps how the station is.
func (s *Station) Report(_ context.Context, status part.Status) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return errors.New("the server does not serve")
	}
	s.status = status
	return nil
}
