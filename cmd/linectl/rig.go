package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/opcua/pki"
	"linectl/internal/setting"
	"linectl/internal/sim/plc"
)

// rig is a whole line on one machine: a simulated PLC, a daemon as a process of its own with an ordinary
// config file, and between them a folder into which the "camera" puts the picture of the part in view.
// The demo runs on it, and so do the tests that kill the daemon.
type rig struct {
	folder  string
	config  string        // the daemon's config file
	cycle   time.Duration // of the line
	plc     *plc.PLC
	program string // the daemon's
	daemon  *exec.Cmd
	ended   chan error
	beat    any // linectl's heartbeat when the daemon was started

	mu      sync.Mutex
	picture string // of the part in view
	shots   int
	err     error // of the camera
}

// rigConfig says how a rig is made.
type rigConfig struct {
	folder  string // everything lies below it; a recipe of the name must be in state/recipes
	recipe  string
	cycle   time.Duration
	program string
}

// plcPatience is how much longer than the cycle the PLC waits before it rejects by itself.
const plcPatience = 300 * time.Millisecond

// transfer is how long the "camera" takes to expose and to send. A file system stamps its files by a clock
// that is up to 10 ms behind, so a picture that came at once could not be told from an old one.
const transfer = 15 * time.Millisecond

// newRig starts the PLC and writes the daemon's config.
func newRig(c rigConfig) (*rig, error) {
	r := &rig{folder: c.folder, config: filepath.Join(c.folder, "linectl.toml"), cycle: c.cycle, program: c.program}
	for _, folder := range []string{"state/pki", "inbox", "plc"} {
		if err := os.MkdirAll(filepath.Join(c.folder, folder), 0o750); err != nil {
			return nil, err
		}
	}
	own, err := pki.Open(filepath.Join(c.folder, "state/pki"), "linectl")
	if err != nil {
		return nil, err
	}
	r.plc, err = plc.Start(plc.Config{
		Folder:      filepath.Join(c.folder, "plc"),
		Width:       32,
		ResultLimit: c.cycle + plcPatience,
		Log:         filepath.Join(c.folder, "plc/seen.jsonl"),
		Trusted:     [][]byte{own.Certificate},
		OnBusy:      func(uint32) { r.expose() },
	})
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`# Made by 'linectl demo'. configs/linectl.toml explains every key.
state = %q

[line]
name = "demo"
cycle = %q

%s
[[camera]]
name = "demo"
source = %q

[inspect]
recipe = %q
`, filepath.Join(c.folder, "state"), setting.Duration(c.cycle), r.plc.Section(), "drop:"+filepath.Join(c.folder, "inbox"), c.recipe)
	if err := os.WriteFile(r.config, []byte(text), 0o640); err != nil {
		return nil, errors.Join(err, r.plc.Close())
	}
	if _, err := config.Load(r.config); err != nil {
		return nil, errors.Join(err, r.plc.Close())
	}
	return r, nil
}

// start starts the daemon; its log is appended to linectl.log.
func (r *rig) start() error {
	log, err := os.OpenFile(r.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	r.daemon = exec.Command(r.program, "run", "-c", r.config)
	r.daemon.Stdout, r.daemon.Stderr = log, log
	if err := r.daemon.Start(); err != nil {
		return err
	}
	r.beat = r.plc.Tag("vision_heartbeat")
	r.ended = make(chan error, 1)
	daemon := r.daemon
	go func() { r.ended <- daemon.Wait() }()
	return nil
}

func (r *rig) log() string { return filepath.Join(r.folder, "linectl.log") }

// ready waits until the daemon tells the PLC that it is ready. The tag alone does not say so: one that was
// killed has left it TRUE.
func (r *rig) ready(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if ready, _ := r.plc.Tag("ready").(bool); ready && r.plc.Tag("vision_heartbeat") != r.beat {
			return nil
		}
		select {
		case err := <-r.ended:
			r.ended <- err
			return hint.New(hint.Failure, fmt.Errorf("the daemon ended: %w", err), "its log says why: "+r.log())
		case <-ctx.Done():
			return hint.New(hint.Failure, fmt.Errorf("the daemon was not ready within %s", patience), "its log says why: "+r.log())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// inspect brings one part with its picture and returns what the PLC made of it.
func (r *rig) inspect(ctx context.Context, p plc.Part, picture string) (plc.Outcome, error) {
	r.mu.Lock()
	r.picture = picture
	r.mu.Unlock()
	outcome, err := r.plc.Inspect(ctx, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	return outcome, errors.Join(err, r.err)
}

// expose is the camera: when linectl is busy with a part, and so waits for a picture, the picture of the
// part in view appears in the inbox, whole from the first instant.
func (r *rig) expose() {
	time.Sleep(transfer)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.picture == "" {
		return
	}
	r.shots++
	name := fmt.Sprintf("%06d%s", r.shots, filepath.Ext(r.picture))
	data, err := os.ReadFile(r.picture)
	if err == nil {
		hidden := filepath.Join(r.folder, "inbox", "."+name+".part")
		if err = os.WriteFile(hidden, data, 0o640); err == nil {
			err = os.Rename(hidden, filepath.Join(r.folder, "inbox", name))
		}
	}
	r.err = errors.Join(r.err, err)
}

// stop ends the daemon as systemd does and waits for it.
func (r *rig) stop(patience time.Duration) error {
	if err := r.daemon.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-r.ended:
		return err
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("the daemon did not stop within %s", patience), r.kill())
	}
}

// kill ends the daemon at this instant, as a crash does.
func (r *rig) kill() error {
	err := r.daemon.Process.Kill()
	<-r.ended
	return err
}
