package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"linectl/internal/camera"
	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/opcua"
	"linectl/internal/vision"
)

// reading is the config as it was read at one time. The sum ties it to the record: a file that is kept elsewhere
// is shown to be the one that ran.
type reading struct {
	*config.Config
	sum string
}

func (p *program) read() (*reading, error) {
	cfg, document, err := config.Read(p.configPath)
	if err != nil {
		return nil, err
	}
	calendar, err := cfg.Store.Calendar()
	if err != nil {
		return nil, hint.New(hint.Usage, err, "correct time_zone and shifts in [store]")
	}
	p.zone = calendar.Zone
	return &reading{&cfg, fmt.Sprintf("%s SHA-256 %x", p.configPath, sha256.Sum256(document))}, nil
}

// reload reads the config again and tries what can be tried while the old line still runs: a config with which
// no line could be opened must not take a working one down.
func (p *program) reload(old *reading) (*reading, error) {
	next, err := p.read()
	if err != nil {
		return nil, err
	}
	return next, rehearse(old.Config, next.Config)
}

// rehearse tries what openStation opens, but for the record, which the old line holds.
func rehearse(old, next *config.Config) error {
	quiet := slog.New(slog.DiscardHandler)
	if next.State != old.State {
		return errors.New("state: a running daemon cannot move to another folder; restart it")
	}
	if err := camera.Try(next.Cameras[0]); err != nil {
		return err
	}
	if next.Vision.Serves() {
		if _, err := newVision(next, vision.Numbers{}, "", nil, quiet); err != nil {
			return err
		}
		if err := tryVision(freeOf(old.Vision.Listen, next.Vision.Listen)); err != nil {
			return err
		}
	} else if _, err := opcua.New(next.PLC, next.PKI(), nil, quiet); err != nil {
		return err
	}
	if !next.Line.Mode.Inspects() {
		return nil
	}
	inspector, err := inspect.Open(next.Inspect, next.Folders(), quiet)
	if err != nil {
		return err
	}
	return inspector.Close()
}

// freeOf is the address, with any port in place of the one that the old line holds.
func freeOf(old, address string) string {
	_, held, _ := net.SplitHostPort(old)
	host, port, err := net.SplitHostPort(address)
	if err == nil && port == held {
		return net.JoinHostPort(host, "0")
	}
	return address
}

// change opens the next line in place of the old one, which is closed already. Should that fail whatever was tried
// before, the old one is opened again: a line with the old config is better than none.
func (p *program) change(ctx context.Context, old, next *reading, log *slog.Logger) (*station, *reading, error) {
	defer keepAwake(log)()
	station, err := openStation(ctx, next.Config, log)
	if err == nil {
		log.Info("config reloaded", "config", p.configPath)
		station.store.Event("config-reloaded", "SIGHUP", p.configPath)
		return station, next, nil
	}
	if ctx.Err() != nil {
		return nil, nil, err
	}
	station, again := openStation(ctx, old.Config, log)
	if again != nil {
		return nil, nil, fmt.Errorf("%w; nor can the line with the old config be opened: %v", err, again)
	}
	refuse(station, err, log)
	return station, old, nil
}

func refuse(s *station, err error, log *slog.Logger) {
	log.Error("config not reloaded; the line goes on with the old one", "error", err)
	s.store.Event("config-refused", "SIGHUP", err.Error())
}

const (
	feedEvery     = 2 * time.Second // the unit's WatchdogSec is 10
	longestChange = 2 * time.Minute // for a line to end or begin, the unit's TimeoutStartSec: what takes longer hangs
)

// keepAwake feeds the watchdog while no line does, until done is called.
func keepAwake(log *slog.Logger) (done func()) {
	ctx, cancel := context.WithTimeout(context.Background(), longestChange)
	go func() {
		ticker := time.NewTicker(feedEvery)
		defer ticker.Stop()
		for {
			notify(log, daemon.SdNotifyWatchdog)
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return cancel
}
