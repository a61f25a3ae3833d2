package line

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// Deps is what the line works with.
type Deps struct {
	PLC       PLC
	Camera    Camera
	Inspector Inspector // nil where the mode does not inspect
	Store     Store
	Log       *slog.Logger
	Software  string
	NoJournal bool // the PLC cannot say after a crash what it was told last
	// Alive is called while the line's loop turns and no inspection hangs; it feeds the watchdog.
	Alive func()
}

const (
	beatEvery    = 250 * time.Millisecond // the line's heartbeat (plc.md section 2.2: watchdog of the PLC four times that)
	healthEvery  = time.Second
	plcPatience  = 2 * time.Second  // for what has no deadline of its own
	stopGrace    = 2 * time.Second  // for the last verdict to reach the PLC
	longestGrace = 10 * time.Second // at most, and no longer than a cycle, for an inspection that runs; systemd's patience is 20 s
	recordGrace  = 5 * time.Second  // for the last rows to become durable
	hangLimit    = 30 * time.Second
)

// Runner carries out what Step decides: one goroutine turns the state, one speaks to the PLC, one
// writes the record, one the log book, and one inspects. None of them waits for another.
type Runner struct {
	deps     Deps
	config   Config
	events   *queue[happening]
	speaker  *speaker
	recorder *recorder
	logbook  *logbook
	giveUp   func(error)     // ends Run
	grabs    context.Context // ends when no more frames are wanted

	session struct { // of the PLC, as the link reports it
		sync.Mutex
		cancel context.CancelFunc
	}
}

// happening is an event, and for Connected the context that lives as long as its session.
type happening struct {
	event   Event
	session context.Context
}

// NewRunner makes the runner of one line.
func NewRunner(config Config, deps Deps) *Runner {
	if deps.Alive == nil {
		deps.Alive = func() {}
	}
	r := &Runner{deps: deps, config: config, events: newQueue[happening]()}
	r.speaker = newSpeaker(deps.PLC, r.post)
	r.recorder = newRecorder(deps.Store, config.Name, deps.Log, r.post)
	r.logbook = newLogbook(deps.Store, deps.Log)
	return r
}

// UsePLC sets the PLC: the link is made with the runner as its listener, so it comes after it.
func (r *Runner) UsePLC(plc PLC) { r.speaker.plc = plc }

func (r *Runner) post(e Event) { r.events.put(happening{event: e}) }

func at() At { return At{time.Now()} }

// Connected is called by the link when a session is up.
func (r *Runner) Connected(snapshot part.Snapshot) {
	ctx, cancel := context.WithCancel(context.Background())
	r.session.Lock()
	if r.session.cancel != nil {
		r.session.cancel()
	}
	r.session.cancel = cancel
	r.session.Unlock()
	r.events.put(happening{event: Connected{at(), snapshot}, session: ctx})
}

// Disconnected is called by the link when a session has ended, before the next one begins: from here
// on nothing that was decided for the old session can be written in a new one.
func (r *Runner) Disconnected(err error) {
	r.session.Lock()
	if r.session.cancel != nil {
		r.session.cancel()
		r.session.cancel = nil
	}
	r.session.Unlock()
	r.post(Disconnected{at(), err})
}

// Triggered is called by the link for each new part.
func (r *Runner) Triggered(t part.Trigger) { r.post(Triggered{at(), t}) }

// Withdrawn is called by the link when part_present falls.
func (r *Runner) Withdrawn() { r.post(Withdrawn{at()}) }

// Stale is called by the link when the PLC's heartbeat stops and when it runs again.
func (r *Runner) Stale(stale bool) { r.post(Stale{at(), stale}) }

// Note is called by the link for what people should find in the record later.
func (r *Runner) Note(kind, detail string) { r.logbook.notes.put(Note{kind, detail}) }

// ErrHangs says that an inspection did not return before the line ended: camera and inspector are
// still in use and must not be closed.
var ErrHangs = errors.New("an inspection did not return; camera and network are still in use")

// ErrBroken says that the line ended by itself, since every inspection failed.
var ErrBroken = errors.New("the inspection fails, whatever the part")

// Run turns the line until ctx ends; then the part in view gets its verdict and the record is completed.
func (r *Runner) Run(ctx context.Context) error {
	last, err := r.deps.Store.Last(ctx, r.config.Name)
	if err != nil {
		return fmt.Errorf("read the last record: %w", err)
	}
	var recipe part.Recipe
	if r.deps.Inspector != nil {
		recipe = r.deps.Inspector.Recipe()
	}
	state := NewState(Settings{
		Station:     r.config.Name,
		Cycle:       r.config.Cycle.Std(),
		WriteMargin: r.config.WriteMargin.Std(),
		AckTimeout:  r.config.AckTimeout.Std(),
		HangLimit:   max(hangLimit, 10*r.config.Cycle.Std()),
		Mode:        r.config.Mode,
		Recipe:      recipe,
		Software:    r.deps.Software,
		NoJournal:   r.deps.NoJournal,
	}, last)

	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	r.giveUp = func(err error) {
		giveUp(hint.New(hint.Failure, fmt.Errorf("%w: %v", ErrBroken, err), part.InspectionFault.Hint()))
	}
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var stopGrabs context.CancelFunc
	r.grabs, stopGrabs = context.WithCancel(working)
	var workers sync.WaitGroup
	workers.Go(func() { r.speaker.run(working) })
	go r.watch(working, theStore, part.NotStored, r.deps.Store.Healthy)
	if camera, ok := r.deps.Camera.(interface{ Healthy() error }); ok {
		go r.watch(working, "camera", part.NoFrame, camera.Healthy)
	}
	recording, endRecording := context.WithCancel(context.WithoutCancel(ctx))
	var record sync.WaitGroup
	record.Go(func() { r.recorder.run(recording) })
	record.Go(func() { r.logbook.run(recording) })

	hangs := r.turn(ctx, state, stopGrabs)
	r.speaker.finish(stopGrace) // a write that is cut off leaves the PLC's outputs as nobody knows
	cancel()
	workers.Wait()
	r.recorder.finish(recordGrace)
	endRecording()
	record.Wait()
	if hangs {
		return ErrHangs
	}
	if err := context.Cause(ctx); errors.Is(err, ErrBroken) {
		return err
	}
	return nil
}

// turn is the line's own loop. It tells whether an inspection still runs when it returns.
func (r *Runner) turn(ctx context.Context, state State, stopGrabs func()) (hangs bool) {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	session := context.Background()
	step := func(e Event) {
		var actions []Action
		state, actions = Step(state, e)
		for _, a := range actions {
			r.carryOut(a, session)
		}
	}
	stopped, grace, told := ctx.Done(), (<-chan time.Time)(nil), false
	for {
		select {
		case <-r.events.ready():
			for _, h := range r.events.take() {
				if h.session != nil {
					session = h.session
				}
				step(h.event)
			}
		case <-beat.C:
			step(Tick{at()})
		case <-stopped:
			step(Stop{at()})
			stopGrabs()
			stopped, grace = nil, time.After(stopGrace)
		case <-grace:
			if more := min(r.config.Cycle.Std(), longestGrace) - stopGrace; !told && more > 0 {
				told, grace = true, time.After(more)
				break
			}
			return state.working != 0
		}
		if grace != nil && (state.settled() || told && state.working == 0) {
			return false
		}
	}
}

func (r *Runner) carryOut(a Action, session context.Context) {
	switch a := a.(type) {
	case Inspect:
		go r.inspect(a)
	case StartTimer:
		time.AfterFunc(time.Until(a.When), func() { r.post(Expired{at(), a.Cycle, a.Timer}) })
	case Answer, Clear:
		r.speaker.say(a, session)
	case Report:
		r.speaker.report(a.Status, session)
	case Note:
		r.logbook.notes.put(a)
	case GiveUp:
		r.giveUp(a.Err)
	case Alive:
		r.deps.Alive()
	default:
		r.recorder.put(a)
	}
}

// inspect grabs a frame and has it inspected. It may outlive its cycle, never its usefulness: what it
// finds late is kept.
func (r *Runner) inspect(a Inspect) {
	done := Inspected{Cycle: a.Cycle}
	defer func() {
		if cause := recover(); cause != nil {
			r.deps.Log.Error("inspection panicked", "cause", cause, "stack", string(debug.Stack()))
			done.Finding, done.Err = nil, part.Because(part.InspectionFault, fmt.Errorf("inspection panicked: %v", cause))
		}
		done.At = at()
		r.post(done)
	}()
	// A frame that comes in the last tenth could not be inspected in time; ending the grab before the
	// deadline gives the part the camera's own reason instead of "deadline".
	enough := a.Deadline.Sub(a.Trigger.SeenAt) * 9 / 10
	ctx, cancel := context.WithDeadline(r.grabs, a.Trigger.SeenAt.Add(enough))
	defer cancel()
	begun := time.Now()
	frame, err := r.deps.Camera.Grab(ctx, a.Trigger.SeenAt)
	done.Stages = append(done.Stages, part.Stage{Name: "grab", Took: time.Since(begun)})
	if err != nil {
		done.Err = part.Because(part.ReasonOf(err, part.NoFrame), err)
		return
	}
	done.Frame, done.Digest = &frame, frame.SHA256
	r.post(Began{at(), a.Cycle, "inspect"})
	finding, err := r.deps.Inspector.Inspect(context.WithoutCancel(ctx), frame)
	done.Stages = append(done.Stages, finding.Stages...)
	if err != nil {
		done.Err = err
		return
	}
	done.Finding = &finding
}

// watch asks what can say so whether it works. Each has a goroutine of its own, which nobody waits for: a disk that hangs hangs
// the question too.
func (r *Runner) watch(ctx context.Context, what string, reason part.Reason, healthy func() error) {
	ticker := time.NewTicker(healthEvery)
	defer ticker.Stop()
	for {
		r.post(Health{at(), what, reason, healthy()})
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
