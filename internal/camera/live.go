package camera

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tklauser/numcpus"
	"gocv.io/x/gocv"

	"linectl/internal/hint"
	"linectl/internal/part"
	"linectl/internal/raster"
)

// live is a camera that runs by itself: V4L2, a network stream, a GStreamer pipeline. One goroutine
// reads all the time, so that no driver or network buffer ever holds old frames. When frames stop it
// opens the same source again, for ever.
//
// A frame is stamped when it leaves the buffer, and its exposure is taken to have begun the latency
// before that; see pace for what is done about frames that were held up on the way.
//
// The latency that nobody has set is what a camera that exposes, sends and is read at once may take, two frames, and of a stream
// of compressed video besides what is held back on the way to us (heldBack). What a GStreamer pipeline holds back only its owner can tell,
// so Check wants a latency for one that may.
type live struct {
	config Config
	log    *slog.Logger
	stop   context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	waiting []request
	turn    time.Duration // between two frames
	last    time.Time     // when the newest frame came that counts
	fault   error         // why there is none
}

// request is a grab that waits for a frame exposed at or after its instant.
type request struct {
	after time.Time
	frame chan result
}

type result struct {
	frame part.Frame
	err   error
}

const (
	assumedRate  = 25.0 // frames a second, where nobody says
	firstRetry   = 100 * time.Millisecond
	longestRetry = 5 * time.Second
	readTimeout  = 2 * time.Second // of a stream: longer without a frame means that it is gone
	silence      = 3 * time.Second // without a frame that counts: the camera is not healthy,
	silentTurns  = 3               // unless it is slower than that
)

func openLive(c Config, log *slog.Logger) source {
	ctx, stop := context.WithCancel(context.Background())
	l := &live{config: c, log: log, stop: stop, done: make(chan struct{}), last: time.Now(), fault: errors.New("it has not given a frame yet")}
	go l.run(ctx)
	return l
}

// checkDevice tells a device that is missing from one that is only gone for a moment: at start the
// config may be wrong, later the same device is waited for.
func checkDevice(path string) error {
	_, err := os.Stat(path)
	if err == nil {
		return nil
	}
	next := "no video device is there: check cable and power, and 'dmesg'"
	if devices := Devices(); len(devices) > 0 {
		next = "there are: " + strings.Join(devices, ", ")
	}
	return hint.New(hint.Failure, fmt.Errorf("there is no device %s", path), next)
}

// Devices lists the V4L2 devices of this machine, under names that stay the same where there are such.
func Devices() []string {
	devices, _ := filepath.Glob("/dev/v4l/by-id/*") // the pattern is well formed
	if len(devices) == 0 {
		devices, _ = filepath.Glob("/dev/video*")
	}
	return devices
}

// run opens the source, reads from it until it ends, and begins again.
func (l *live) run(ctx context.Context) {
	defer close(l.done)
	for wait := firstRetry; ctx.Err() == nil; {
		frames, err := l.read(ctx)
		if ctx.Err() != nil {
			return
		}
		if frames > 0 {
			wait = firstRetry
		}
		l.failed(err, wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, longestRetry)
	}
}

// failed remembers why there are no frames and says so once.
func (l *live) failed(err error, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil || l.fault.Error() != err.Error() {
		l.log.Error("no frames; opening the camera again until it answers", "error", err, "next", wait)
	}
	l.fault = err
}

// read opens the source and serves its frames until one does not come.
func (l *live) read(ctx context.Context) (frames int, err error) {
	capture, err := open(l.config)
	if err != nil {
		return 0, err
	}
	defer capture.Close()
	interval := l.interval(capture)
	l.mu.Lock()
	l.turn = interval
	l.mu.Unlock()
	latency := l.config.Latency.Std()
	if latency == 0 {
		latency = 2 * interval
		if kind, _ := l.config.split(); slices.Contains(streams, kind) && !ofJPEG(capture) {
			held, err := heldBack()
			if err != nil {
				return 0, err
			}
			latency += time.Duration(held) * interval
		}
	}
	mat := gocv.NewMat()
	defer mat.Close()
	pace := pace{interval: interval, latency: latency, queues: l.config.queues()}
	for ; ctx.Err() == nil; frames++ {
		asked := time.Now()
		if !capture.Read(&mat) || mat.Empty() {
			return frames, errors.New("the stream has ended or gives no more frames")
		}
		came := time.Now()
		if exposed, live := pace.exposed(asked, came); live {
			l.serve(mat, came, exposed)
		}
	}
	return frames, ctx.Err()
}

// heldBack is the most frames of a stream of compressed video that have come and are not given out yet. FFmpeg begins a frame on each
// processor before it gives out the first, and OpenCV lets it take all of them; three more wait for their turn where frames refer to later
// ones, and for the beginning of the next.
func heldBack() (int, error) {
	processors, err := numcpus.GetOnline()
	if err != nil {
		return 0, fmt.Errorf("how many frames the decoder holds back is unknown, so camera.latency must be set: %w", err)
	}
	return processors + 3, nil
}

// ofJPEG tells whether each frame stands by itself, so that none is held back. FFmpeg says "MJPG", or the beginning of its own name "mjpeg".
func ofJPEG(capture *gocv.VideoCapture) bool {
	return strings.HasPrefix(strings.ToLower(capture.CodecString()), "mjp")
}

// pace tells when a frame was exposed from when it came. That is only worth something if the frame was
// not held up on the way: after a stall a stream delivers what it held back in a burst, old frames that
// look new. So a frame that did not have to be waited for does not count, nor does the next one; and
// one that came later than its turn may be older by the delay. Where decoding takes nearly as long as a frame, each seems to be waited
// for while what was held back is worked off. Of a stream, which has no end of room for it, all delay therefore adds up, and
// what comes before its turn takes from it. It is forgotten where frames have come exactly at their rate for a while (a
// decoder with more to do would be faster, and one that cannot follow is slower), and where several in turn were waited for much longer than
// decoding takes at its quickest: then nothing was there to be worked off.
type pace struct {
	interval, latency time.Duration
	queues            bool      // what is not read waits on the way, however much it is
	last              time.Time // when the frame before came
	settled           bool      // it had to be waited for
	behind            time.Duration
	gaps              []time.Duration // before the newest frames, paceFrames at most
	quickest          time.Duration   // that a frame came when it was asked for: decoding takes that at least
	waits             int             // so many in turn took much longer
}

const (
	paceFrames = 25   // so many tell whether frames come at their rate,
	paceWithin = 0.01 // to within this share
	paceWaits  = 3    // more than one: a frame that is coded by itself takes longer to decode than those that follow it
)

// exposed returns an instant before which the frame was not exposed, and whether the frame counts.
func (p *pace) exposed(asked, came time.Time) (at time.Time, live bool) {
	gap, took := came.Sub(p.last), came.Sub(asked)
	waited := took >= p.interval/2
	first := p.last.IsZero()
	live = waited && p.settled && !first
	p.last, p.settled = came, waited
	if first {
		p.quickest = took
		return came.Add(-p.latency), false
	}
	p.quickest, p.waits = min(p.quickest, took), p.waits+1
	if took < p.interval/2+2*p.quickest {
		p.waits = 0
	}
	if !p.queues || p.atRate() || p.waits >= paceWaits {
		p.behind = 0
	}
	p.behind = max(0, p.behind+gap-p.interval)
	p.gaps = append(p.gaps[max(0, len(p.gaps)-paceFrames+1):], gap)
	return came.Add(-p.latency - p.behind), live
}

// atRate tells whether the newest frames came at their rate.
func (p *pace) atRate() bool {
	if len(p.gaps) < paceFrames {
		return false
	}
	var took time.Duration
	for _, gap := range p.gaps {
		took += gap
	}
	turn := paceFrames * float64(p.interval)
	return math.Abs(float64(took)-turn) <= paceWithin*turn
}

// interval is the time between two frames.
func (l *live) interval(capture *gocv.VideoCapture) time.Duration {
	rate := l.config.FPS
	if rate == 0 {
		rate = capture.Get(gocv.VideoCaptureFPS)
	}
	if !(rate >= 0.1 && rate <= 1000) { // some streams say 90000
		rate = assumedRate
	}
	return time.Duration(float64(time.Second) / rate)
}

// serve hands the frame to every grab for which it is new enough.
func (l *live) serve(mat gocv.Mat, now, exposed time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		l.log.Info("frames come", "width", mat.Cols(), "height", mat.Rows())
	}
	l.last, l.fault = now, nil
	var r *result
	l.waiting = slices.DeleteFunc(l.waiting, func(w request) bool {
		if exposed.Before(w.after) {
			return false
		}
		if r == nil { // copied only if somebody wants it
			r = &result{}
			r.frame, r.err = asFrame(mat)
			r.frame.ExposedAt = exposed
		}
		w.frame <- *r
		return true
	})
}

// asFrame turns what a driver gives into 8-bit BGR.
func asFrame(mat gocv.Mat) (part.Frame, error) {
	if mat.Type() == gocv.MatTypeCV8UC3 {
		return bad(raster.FromMat(mat))
	}
	eight := gocv.NewMat()
	defer eight.Close()
	scale := float32(1)
	switch mat.Type() {
	case gocv.MatTypeCV16UC1, gocv.MatTypeCV16UC3, gocv.MatTypeCV16UC4:
		scale = 1.0 / 256
	}
	if err := mat.ConvertToWithParams(&eight, gocv.MatTypeCV8U, scale, 0); err != nil {
		return bad(part.Frame{}, err)
	}
	var conversion gocv.ColorConversionCode
	switch mat.Channels() {
	case 1:
		conversion = gocv.ColorGrayToBGR
	case 4:
		conversion = gocv.ColorBGRAToBGR
	case 3:
		return bad(raster.FromMat(eight))
	default:
		return bad(part.Frame{}, fmt.Errorf("a frame has %d channels", mat.Channels()))
	}
	colour := gocv.NewMat()
	defer colour.Close()
	if err := gocv.CvtColor(eight, &colour, conversion); err != nil {
		return bad(part.Frame{}, err)
	}
	return bad(raster.FromMat(colour))
}

func bad(frame part.Frame, err error) (part.Frame, error) {
	if err != nil {
		err = part.Because(part.BadFrame, err)
	}
	return frame, err
}

func (l *live) grab(ctx context.Context, after time.Time) (part.Frame, error) {
	begun := time.Now()
	want := request{after, make(chan result, 1)}
	l.mu.Lock()
	l.waiting = append(l.waiting, want)
	l.mu.Unlock()
	select {
	case r := <-want.frame:
		return r.frame, r.err
	case <-l.done:
		return part.Frame{}, errClosed
	case <-ctx.Done():
		return part.Frame{}, l.withdraw(want, waited(ctx, begun), begun)
	}
}

// withdraw takes back a request and says why nothing came of it.
func (l *live) withdraw(want request, waited string, begun time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(r request) bool { return r.frame == want.frame })
	if l.fault == nil && l.last.After(begun) {
		return part.Because(part.StaleFrame, fmt.Errorf("no frame is new enough yet: each may be as old as its latency, and older where frames come slower than camera.fps says (%s)", waited))
	}
	fault := l.fault
	if fault == nil {
		fault = errors.New("the stream stands, or its frames were held up on the way")
	}
	return hint.New(hint.Failure, fmt.Errorf("no frame (%s): %w", waited, fault), part.NoFrame.Hint())
}

func (l *live) healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return hint.New(hint.Failure, fmt.Errorf("no frames: %w", l.fault), part.NoFrame.Hint())
	}
	if quiet := time.Since(l.last); quiet > max(silence, silentTurns*l.turn) {
		return hint.New(hint.Failure, fmt.Errorf("no live frame for %s", quiet.Round(time.Second)), "if frames come faster than camera.fps says, set it right; else check the camera")
	}
	return nil
}

func (l *live) close() error {
	l.stop()
	<-l.done
	return nil
}
