// Package camera owns where pictures come from, and the proof that a picture is of the part in view:
// every frame bears an instant before which its exposure did not begin, and no picture is handed out
// twice. It refuses a frame that is older than asked for, a repeated one and one that cannot be read
// whole, and never goes over to another device. What the picture shows is not its business.
package camera

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// Camera is one source of frames.
type Camera interface {
	Name() string
	// Grab returns a frame whose exposure began at or after the given instant. Its errors carry the
	// reason for which the part is rejected: no-frame, stale-frame, repeated-frame, bad-frame.
	Grab(ctx context.Context, after time.Time) (part.Frame, error)
	// Healthy says what is wrong with the camera while nobody grabs.
	Healthy() error
	// Close ends the camera and waits for what it has under way.
	Close() error
}

// source is what differs between the kinds of camera.
type source interface {
	// grab returns a frame with its pixels, size, ExposedAt and Source.
	grab(ctx context.Context, after time.Time) (part.Frame, error)
	healthy() error
	close() error
}

// Open opens the camera that the config names. A live camera that gives no frame yet is not an error: it
// is tried again for as long as the camera is open, and Healthy says so.
func Open(c Config, log *slog.Logger) (Camera, error) {
	if err := Try(c); err != nil {
		return nil, err
	}
	log = log.With("camera", c.Name)
	var s source
	var err error
	switch kind, rest := c.split(); kind {
	case kindFolder:
		s = openFolder(rest)
	case kindDrop:
		s, err = openDrop(rest, c.Latency.Std(), c.DeleteTaken, log)
	default:
		s = openLive(c, log)
	}
	if err != nil {
		return nil, fmt.Errorf("open camera %q: %w", c.Name, err)
	}
	return &guard{name: c.Name, timeout: c.Timeout.Std(), source: s}, nil
}

// Try looks whether what the config names is there. It opens no device: a running line may be using it.
func Try(c Config) (err error) {
	switch kind, rest := c.split(); kind {
	case kindFolder, kindDrop:
		err = checkFolder(rest)
	case kindV4L2:
		err = checkDevice(rest)
	}
	if err != nil {
		return fmt.Errorf("open camera %q: %w", c.Name, err)
	}
	return nil
}

// remembered is how many frames back a repeated one is recognised: a driver that is stuck hands out
// the few buffers it has in turn.
const remembered = 16

// guard holds every kind of camera to the same promise.
type guard struct {
	name    string
	timeout time.Duration
	source  source

	mu     sync.Mutex
	recent [][sha256.Size]byte // digests of the frames handed out last
}

func (g *guard) Name() string { return g.name }

func (g *guard) Grab(ctx context.Context, after time.Time) (part.Frame, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, g.timeout, errTimeout)
	defer cancel()
	frame, err := g.source.grab(ctx, after)
	if err == nil {
		err = g.examine(&frame, after)
	}
	if err != nil {
		err = fmt.Errorf("camera %q: %w", g.name, err)
		return part.Frame{}, part.Because(part.ReasonOf(err, part.NoFrame), err)
	}
	return frame, nil
}

var errTimeout = errors.New("camera.timeout is over")

// waited explains why a wait ended.
func waited(ctx context.Context, since time.Time) string {
	cause := "the cycle's time is over"
	switch {
	case errors.Is(context.Cause(ctx), errTimeout):
		cause = errTimeout.Error()
	case errors.Is(context.Cause(ctx), context.Canceled):
		cause = "interrupted"
	}
	return fmt.Sprintf("waited %s, %s", time.Since(since).Round(time.Millisecond), cause)
}

// examine is the law for every frame that leaves this room.
func (g *guard) examine(frame *part.Frame, after time.Time) error {
	if len(frame.Pixels) == 0 || len(frame.Pixels) != frame.Width*frame.Height*3 {
		return part.Because(part.BadFrame, fmt.Errorf("a frame of %d x %d pixels has %d bytes", frame.Width, frame.Height, len(frame.Pixels)))
	}
	if frame.ExposedAt.Before(after) {
		return part.Because(part.StaleFrame, fmt.Errorf("the frame may be %s older than the trigger", after.Sub(frame.ExposedAt).Round(time.Microsecond)))
	}
	digest := frame.Digest()
	frame.Camera, frame.SHA256 = g.name, hex.EncodeToString(digest[:])
	g.mu.Lock()
	defer g.mu.Unlock()
	if back := slices.Index(g.recent, digest); back >= 0 {
		err := fmt.Errorf("the picture is the same, pixel for pixel, as %d before", len(g.recent)-back)
		if frame.Source != "" {
			err = fmt.Errorf("%w (%s)", err, frame.Source)
		}
		return hint.New(hint.Failure, part.Because(part.RepeatedFrame, err), part.RepeatedFrame.Hint())
	}
	if len(g.recent) == remembered {
		g.recent = slices.Delete(g.recent, 0, 1)
	}
	g.recent = append(g.recent, digest)
	return nil
}

func (g *guard) Healthy() error {
	if err := g.source.healthy(); err != nil {
		return part.Because(part.NoFrame, fmt.Errorf("camera %q: %w", g.name, err))
	}
	return nil
}

func (g *guard) Close() error {
	if err := g.source.close(); err != nil {
		return fmt.Errorf("close camera %q: %w", g.name, err)
	}
	return nil
}
