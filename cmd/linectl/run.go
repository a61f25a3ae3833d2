package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"linectl/internal/camera"
	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/recipe"
	"linectl/internal/line"
	"linectl/internal/opcua"
	"linectl/internal/store"
	"linectl/internal/vision"
)

func (p *program) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "the daemon: inspect every part until stopped",
		Long: `Run is the daemon. It speaks systemd's protocol where systemd started it, and works without.

SIGTERM and SIGINT end it: the part in view gets its verdict, the PLC's outputs are left safe, the
record is completed. SIGHUP reads the config again. One with which no line can be opened changes nothing
and is reported in the log. With a good one the line is opened anew, with a new session with the PLC: a part
in view is rejected as interrupted (41), one that comes meanwhile as present at the start (25). So reload
between two parts.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.serve(c.Context()) },
	}
}

// serve runs the line, and runs it anew for each good config that a SIGHUP brings.
func (p *program) serve(ctx context.Context) error {
	log := slog.New(newLogHandler(p.err))
	now, err := p.read()
	if err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	station, err := openStation(ctx, now.Config, log)
	for err == nil {
		var next *reading
		next, err = p.serveUntilReload(ctx, station, now, hup, log)
		if err != nil || next == nil {
			break
		}
		before := station.called
		if station, now, err = p.change(ctx, now, next, log); err == nil && before != nil && station.called != nil {
			station.called.Follow(before)
		}
	}
	notify(log, daemon.SdNotifyStopping)
	return err
}

// serveUntilReload runs the line until ctx ends (nil) or a SIGHUP brings a good config, and closes it.
func (p *program) serveUntilReload(ctx context.Context, station *station, now *reading, hup <-chan os.Signal, log *slog.Logger) (*reading, error) {
	awake := func() {}
	defer func() { awake() }() // closing writes what waits, which can take longer than the watchdog allows
	defer station.close()
	station.store.Event("config", "linectl", now.sum)
	notify(log, daemon.SdNotifyReady+"\nSTATUS=line "+now.Line.Name+" in mode "+string(now.Line.Mode)+notSecure(now.Config))
	log.Info("line runs", "line", now.Line.Name, "mode", now.Line.Mode, "cycle", now.Line.Cycle, "version", version, "config", p.configPath)

	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- station.run(running) }()
	asked, tried := hup, make(chan attempt, 1)
	for {
		select {
		case err := <-ended:
			awake = keepAwake(log)
			return nil, err
		case <-asked:
			notify(log, daemon.SdNotifyReloading+fmt.Sprintf("\nMONOTONIC_USEC=%d", monotonic().Microseconds()))
			asked = nil // the next one waits for the end of this one
			// Loading a network can take minutes, in which the line may end. Then nobody waits for it: it closes what it has opened.
			go func() {
				next, err := p.reload(now)
				tried <- attempt{next, err}
			}()
		case try := <-tried:
			if try.err != nil {
				refuse(station, try.err, log)
				notify(log, daemon.SdNotifyReady)
				asked = hup
				continue
			}
			awake = keepAwake(log)
			stop()
			return try.next, <-ended
		}
	}
}

// attempt is how a reload has come out.
type attempt struct {
	next *reading
	err  error
}

// station is a line with everything that it works with.
type station struct {
	store     *store.Store
	camera    camera.Camera
	inspector *inspect.Inspector
	runner    *line.Runner
	link      *opcua.Link
	called    *vision.Station // in place of the link
	status    *statusKeeper
	log       *slog.Logger
	hangs     bool // an inspection is still running: what it uses must stay open
}

// openStation opens all that the line needs. What cannot be opened now would not work later either,
// but for the PLC: that one is waited for.
func openStation(ctx context.Context, cfg *config.Config, log *slog.Logger) (s *station, err error) {
	s = &station{log: log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.store, err = store.Open(ctx, cfg.Store, log); err != nil { // first: it refuses a second daemon
		return s, err
	}
	if s.camera, err = camera.Open(cfg.Cameras[0], log); err != nil {
		return s, err
	}
	deps := line.Deps{
		Camera:    s.camera,
		Store:     s.store,
		Log:       log,
		Software:  version + " " + commit,
		NoJournal: cfg.Vision.Serves(),
		Alive:     func() { notify(log, daemon.SdNotifyWatchdog) },
	}
	decides := "none: parts are not inspected"
	if cfg.Line.Mode.Inspects() {
		if s.inspector, err = inspect.Open(cfg.Inspect, cfg.Folders(), log); err != nil {
			return s, err
		}
		deps.Inspector = s.inspector
		r := s.inspector.Recipe()
		decides = fmt.Sprintf("%s@%d %s%s", r.Name, r.Version, r.Hash, activation(cfg.Folders().Recipes, r.Name, r.Version))
	}
	s.runner = line.NewRunner(cfg.Line, deps)
	s.status = keepStatus(statusFile(cfg), "line "+cfg.Line.Name+" in mode "+string(cfg.Line.Mode)+notSecure(cfg), log)
	if cfg.Vision.Serves() {
		if err = s.openVision(ctx, cfg, log); err != nil {
			return s, err
		}
		s.called.Watch(s.status.tell)
		s.runner.UsePLC(s.called)
		s.store.Event("start", "linectl", fmt.Sprintf("version %s, mode %s, recipe %s, called at %s", version, cfg.Line.Mode, decides, cfg.Vision.Listen))
		return s, nil
	}
	if s.link, err = opcua.New(cfg.PLC, cfg.PKI(), s.runner, log); err != nil {
		return s, err
	}
	s.link.Within(cfg.Line.Cycle.Std())
	s.link.Watch(s.status.tell)
	s.runner.UsePLC(s.link)
	s.store.Event("start", "linectl", fmt.Sprintf("version %s, mode %s, recipe %s", version, cfg.Line.Mode, decides))
	return s, nil
}

// activation tells who made the version the active one, and why.
func activation(folder, name string, version int) string {
	history, err := recipe.Folder(folder).History(name)
	if err != nil {
		return ""
	}
	for _, e := range slices.Backward(history) {
		if e.What == recipe.Activated && e.Version == version {
			return fmt.Sprintf(" (activated %s by %s: %s)", e.At.UTC().Format(time.RFC3339), cmp.Or(e.Who, "?"), cmp.Or(e.Why, "-"))
		}
	}
	return ""
}

// run runs the line until ctx ends. The link outlives the line, so that the last verdict can still reach
// the PLC; then it leaves the outputs safe.
func (s *station) run(ctx context.Context) error {
	linking, unlink := context.WithCancel(context.WithoutCancel(ctx))
	defer unlink()
	var both errgroup.Group
	both.Go(func() error { return s.edge().Run(linking) })
	both.Go(func() error {
		defer unlink()
		return s.runner.Run(ctx)
	})
	err := both.Wait()
	if errors.Is(err, line.ErrHangs) {
		s.hangs = true
	}
	return err
}

func (s *station) close() {
	if s.status != nil {
		s.status.close()
	}
	if s.store != nil {
		s.store.Event("stop", "linectl", "")
		if err := s.store.Close(); err != nil {
			s.log.Error("not everything is in the record", "error", err, "hint", hint.Of(err))
		}
	}
	if s.hangs {
		return
	}
	if s.camera != nil {
		s.camera.Close()
	}
	if s.inspector != nil {
		s.inspector.Close()
	}
}

func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Error("systemd cannot be told", "state", state, "error", err)
	}
}

// monotonic is the clock that systemd compares reloads by.
func monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
