package camera

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gocv.io/x/gocv"

	"linectl/internal/hint"
	"linectl/internal/part"
	"linectl/internal/setting"
)

// frozen is the seed of a scene that gives the same frame again and again; all others have noise of
// their own in each frame, as a real sensor has.
const frozen = -1

// stream is a real camera on the network: MJPEG over HTTP.
type stream struct {
	address string
	server  *http.Server

	mu    sync.Mutex
	seed  int
	rate  float64
	held  bool // nothing is sent
	burst int  // so many frames are sent at once
	sent  int
}

func newStream(t *testing.T) *stream {
	s := &stream{seed: 1, rate: 25}
	s.start(t, "127.0.0.1:0")
	t.Cleanup(func() { s.server.Close() })
	return s
}

func (s *stream) start(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	s.server = &http.Server{Handler: s}
	go s.server.Serve(listener)
}

func (s *stream) set(change func(s *stream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	for {
		s.mu.Lock()
		seed, pause, held, burst := s.seed, time.Duration(float64(time.Second)/s.rate), s.held, max(s.burst, 1)
		s.burst = 0
		s.mu.Unlock()
		if !held {
			for range burst {
				s.mu.Lock()
				s.sent++
				noise := s.sent
				s.mu.Unlock()
				if seed == frozen {
					noise = 0
				}
				data := jpegOf(seed, noise)
				fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", len(data))
				w.Write(data)
				if _, err := fmt.Fprint(w, "\r\n"); err != nil {
					return
				}
			}
			w.(http.Flusher).Flush()
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(pause):
		}
	}
}

// jpegOf is a picture that differs with seed and noise in more than a JPEG takes away.
func jpegOf(seed, noise int) []byte {
	p := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for y := range 48 {
		for x := range 64 {
			p.Set(x, y, color.RGBA{uint8(4 * x), uint8(5 * y), uint8(seed * 16), 255})
		}
	}
	for bit := range 16 { // the noise as sixteen black or white squares
		shade := uint8(255 * (noise >> bit & 1))
		for y := range 8 {
			for x := range 8 {
				p.Set(bit%8*8+x, bit/8*40+y, color.RGBA{shade, shade, shade, 255})
			}
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, p, &jpeg.Options{Quality: 95}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// noiseOf reads the noise back.
func noiseOf(f part.Frame) (noise int) {
	for bit := range 16 {
		if f.Pixels[3*((bit/8*40+4)*f.Width+bit%8*8+4)] > 127 {
			noise |= 1 << bit
		}
	}
	return noise
}

func streamConfig(s *stream) Config {
	c := DefaultConfig()
	c.Name, c.Source, c.FPS, c.Timeout = "top", "http://"+s.address+"/video", 25, setting.Duration(500*time.Millisecond)
	return c
}

func streamScene(t *testing.T) scene {
	s := newStream(t)
	return scene{
		config: streamConfig(s),
		show:   func(_ *testing.T, seed int) { s.set(func(s *stream) { s.seed = seed }) },
		blind: func(*testing.T) {
			s.set(func(s *stream) { s.held = true })
			time.Sleep(100 * time.Millisecond) // what was on the way
		},
	}
}

func TestStreamComesBack(t *testing.T) {
	s := newStream(t)
	c := streamConfig(s)
	c.Timeout = setting.Duration(10 * time.Second)
	cam := openCamera(t, c)
	if _, err := cam.Grab(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	s.server.Close()
	deadline := time.Now().Add(10 * time.Second)
	for cam.Healthy() == nil {
		if time.Now().After(deadline) {
			t.Fatal("a camera that is gone is healthy")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := cam.Healthy(); part.ReasonOf(err, part.Unknown) != part.NoFrame {
		t.Errorf("healthy says %v", err)
	}
	s.start(t, s.address)
	if _, err := cam.Grab(t.Context(), time.Now()); err != nil {
		t.Fatalf("it does not come back: %v", err)
	}
	if err := cam.Healthy(); err != nil {
		t.Errorf("healthy says %v", err)
	}
}

// TestBurstAfterAStallIsNotTakenForNew: frames that were held up on the way come at once, and look new.
func TestBurstAfterAStallIsNotTakenForNew(t *testing.T) {
	s := newStream(t)
	c := streamConfig(s)
	c.Timeout = setting.Duration(20 * time.Second)
	cam := openCamera(t, c)
	s.set(func(s *stream) { s.held = true })
	time.Sleep(200 * time.Millisecond)
	after := time.Now()
	time.Sleep(300 * time.Millisecond) // longer than the latency
	var last int
	s.set(func(s *stream) { s.held, s.burst, last = false, 30, s.sent+30 })
	frame, err := cam.Grab(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	if n := noiseOf(frame); n <= last {
		t.Errorf("frame %d was taken, %d was the last of the burst", n, last)
	}
}

func TestPace(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name     string
		waited   time.Duration // for this frame
		gap      time.Duration // since the one before
		settled  bool
		exposed  time.Duration // before it came
		live     bool
		settling bool // the next one may count
	}{
		{"regular", 40 * ms, 40 * ms, true, 80 * ms, true, true},
		{"a little early", 25 * ms, 30 * ms, true, 80 * ms, true, true},
		{"a little late", 60 * ms, 60 * ms, true, 100 * ms, true, true},
		{"after a stall", 1000 * ms, 1000 * ms, true, 1040 * ms, true, true},
		{"in a burst", 1 * ms, 1 * ms, true, 80 * ms, false, false},
		{"the first after a burst", 35 * ms, 35 * ms, false, 80 * ms, false, true},
		{"after a pause of our own", 1 * ms, 300 * ms, true, 340 * ms, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			came := time.Now()
			p := pace{interval: 40 * ms, latency: 80 * ms, last: came.Add(-c.gap), settled: c.settled}
			at, live := p.exposed(came.Add(-c.waited), came)
			if got := came.Sub(at); got != c.exposed || live != c.live || p.settled != c.settling {
				t.Errorf("exposed %s before, live %v, settled %v", got, live, p.settled)
			}
		})
	}
	p := pace{interval: 40 * ms, latency: 80 * ms}
	if _, live := p.exposed(time.Now().Add(-time.Second), time.Now()); live {
		t.Error("the first frame counts, of which nobody knows how long it had been in a buffer")
	}
}

// TestPaceOfABacklog: no frame is given out as younger than it is, whatever a stream that queues does: it stalls, is
// worked off at any speed, and is then live again.
func TestPaceOfABacklog(t *testing.T) {
	const interval, latency = 40 * time.Millisecond, 80 * time.Millisecond
	for _, decoding := range []time.Duration{interval / 40, interval / 2, interval * 3 / 4, interval * 9 / 10, interval * 9 / 8} {
		t.Run(decoding.String(), func(t *testing.T) {
			p := pace{interval: interval, latency: latency, queues: true}
			begin := time.Now()
			read, late, live := begin, 0, 0
			for n := range 2000 {
				sent := begin.Add(time.Duration(n) * interval)
				if n >= 100 && n < 125 {
					sent = begin.Add(125 * interval) // the network stood
				}
				asked, came := read, read.Add(decoding)
				if ready := sent.Add(decoding); came.Before(ready) {
					came = ready
				}
				read = came
				exposed, counts := p.exposed(asked, came)
				if !counts {
					continue
				}
				if n >= 1900 {
					live++
				}
				if exposed.After(begin.Add(time.Duration(n) * interval)) {
					late++
				}
			}
			if late > 0 {
				t.Errorf("%d frames were given out as younger than they were", late)
			}
			if decoding < interval && live == 0 {
				t.Error("no frame counts any more")
			}
			if decoding < interval && p.behind != 0 {
				t.Errorf("it is still behind by %s", p.behind)
			}
		})
	}
}

// TestPaceOfASlowerCamera: one whose clock differs, as cameras' do, stays usable.
func TestPaceOfASlowerCamera(t *testing.T) {
	p := pace{interval: time.Second / 30, latency: time.Second / 15, queues: true}
	came := time.Now()
	for range 100_000 {
		asked := came
		came = came.Add(time.Second * 1001 / 30000) // 29.97 a second
		if p.exposed(asked, came); p.behind > 2*time.Millisecond {
			t.Fatalf("behind by %s", p.behind)
		}
	}
}

// TestWhatADecoderHoldsBack: of a stream that stands, all frames but those that the default latency reckons with are given out.
func TestWhatADecoderHoldsBack(t *testing.T) {
	const frames, stands = 60, 3 * time.Second
	held, err := heldBack()
	if err != nil {
		t.Fatal(err)
	}
	for _, codec := range []string{"H264", "MPG2"} {
		t.Run(codec, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "belt.ts")
			film, err := gocv.VideoWriterFile(path, codec, assumedRate, 128, 96, true)
			if err != nil || !film.IsOpened() {
				t.Fatalf("OpenCV cannot write %s: %v", codec, err)
			}
			for n := range frames {
				mat := gocv.NewMatWithSize(96, 128, gocv.MatTypeCV8UC3)
				err := errors.Join(gocv.Rectangle(&mat, image.Rect(n, n/2, n+30, n/2+30), color.RGBA{255, 255, 255, 0}, -1), film.Write(mat), mat.Close())
				if err != nil {
					t.Fatal(err)
				}
			}
			film.Close()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Write(data)
				http.NewResponseController(w).Flush()
				time.Sleep(stands)
			}))
			defer server.Close()
			capture, err := open(Config{Source: server.URL + "/belt.ts"})
			if err != nil {
				t.Fatal(err)
			}
			defer capture.Close()
			mat := gocv.NewMat()
			defer mat.Close()
			given, began := 0, time.Now()
			for capture.Read(&mat) && time.Since(began) < stands*2/3 {
				given++
			}
			if ofJPEG(capture) {
				t.Errorf("%q is taken for JPEG", capture.CodecString())
			}
			if given < frames-held {
				t.Errorf("%d of %d frames are held back, reckoned with are %d", frames-given, frames, held)
			}
			t.Logf("%d frames are held back, %d at most", frames-given, held)
		})
	}
	capture, err := open(streamConfig(newStream(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer capture.Close()
	if !ofJPEG(capture) {
		t.Errorf("a stream of JPEG is taken for %q", capture.CodecString())
	}
}

// TestPaceOfACameraThatIsSlowerThanItSays: it stays usable where decoding is quick, as a burst at the beginning has shown.
func TestPaceOfACameraThatIsSlowerThanItSays(t *testing.T) {
	p := pace{interval: 40 * time.Millisecond, latency: 80 * time.Millisecond, queues: true}
	came := time.Now()
	for n := range 1000 {
		asked := came
		if came = came.Add(45 * time.Millisecond); n < 5 {
			came = asked.Add(2 * time.Millisecond)
		}
		if p.exposed(asked, came); p.behind > 20*time.Millisecond {
			t.Fatalf("behind by %s after %d frames", p.behind, n)
		}
	}
}

func TestFramesAreNotOlderThanTheTrigger(t *testing.T) {
	s := newStream(t)
	c := streamConfig(s)
	c.Timeout = setting.Duration(20 * time.Second)
	cam := openCamera(t, c)
	for range 20 {
		var sent int
		s.set(func(s *stream) { sent = s.sent })
		frame, err := cam.Grab(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if n := noiseOf(frame); n <= sent {
			t.Fatalf("frame %d was taken, %d had been sent before the trigger", n, sent)
		}
	}
}

// TestSlowCameraIsHealthy: between two frames of a camera that is slower than the silence nothing is wrong.
func TestSlowCameraIsHealthy(t *testing.T) {
	c := streamConfig(newStream(t))
	c.FPS = 0.5
	l := openLive(c, slog.New(slog.DiscardHandler)).(*live)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		turn := l.turn
		l.mu.Unlock()
		if turn == 2*time.Second {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a frame comes each %s", turn)
		}
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	l.fault = nil
	for quiet, healthy := range map[time.Duration]bool{5 * time.Second: true, 7 * time.Second: false} {
		l.last = time.Now().Add(-quiet)
		if err := l.healthy(); (err == nil) != healthy {
			t.Errorf("after %s it says %v", quiet, err)
		}
	}
}

func TestDeviceThatIsNotThere(t *testing.T) {
	c := DefaultConfig()
	c.Name, c.Source = "top", "v4l2:/dev/video97"
	_, err := Open(c, slog.New(slog.DiscardHandler))
	if want := `open camera "top": there is no device /dev/video97`; err == nil || err.Error() != want || hint.Of(err) == "" {
		t.Errorf("error is %v, hint %q; want %s", err, hint.Of(err), want)
	}
}

func TestPasswordIsNotShown(t *testing.T) {
	for source, want := range map[string]string{
		"rtsp://admin:secret@camera/stream":                                    "rtsp://admin:xxxxx@camera/stream",
		"rtsp://admin:se%ret@camera/stream":                                    "rtsp://admin:xxxxx@camera/stream",
		"RTSP://admin:p@ss:w/rd@camera/stream":                                 "RTSP://admin:xxxxx@camera/stream",
		"gstreamer:rtspsrc location=rtsp://admin:secret@camera ! appsink":      "gstreamer:rtspsrc location=rtsp://admin:xxxxx@camera ! appsink",
		`gstreamer:rtspsrc location=rtsp://c user-pw="a secret" ! appsink`:     "gstreamer:rtspsrc location=rtsp://c user-pw=xxxxx ! appsink",
		"rtsp://camera:554/stream":                                             "rtsp://camera:554/stream",
		"v4l2:/dev/v4l/by-id/usb-Firm_Camera@2-index0":                         "v4l2:/dev/v4l/by-id/usb-Firm_Camera@2-index0",
		"gstreamer:aravissrc camera-name=Firm-1 ! videoconvert ! appsink name": "gstreamer:aravissrc camera-name=Firm-1 ! videoconvert ! appsink name",
	} {
		c := Config{Source: source}
		if got := c.Shown(); got != want {
			t.Errorf("%s is shown as %s", source, got)
		}
		for _, p := range c.Check() {
			if strings.Contains(p.Message, "secret") || strings.Contains(p.Message, "se%ret") {
				t.Errorf("the password is in: %s", p.Message)
			}
		}
	}
}

func TestFramesOfAnyTypeBecomeBGR(t *testing.T) {
	for _, c := range []struct {
		kind  gocv.MatType
		value gocv.Scalar
		want  [3]byte
	}{
		{gocv.MatTypeCV8UC3, gocv.NewScalar(10, 20, 30, 0), [3]byte{10, 20, 30}},
		{gocv.MatTypeCV8UC1, gocv.NewScalar(10, 0, 0, 0), [3]byte{10, 10, 10}},
		{gocv.MatTypeCV8UC4, gocv.NewScalar(10, 20, 30, 99), [3]byte{10, 20, 30}},
		{gocv.MatTypeCV16UC1, gocv.NewScalar(10*256, 0, 0, 0), [3]byte{10, 10, 10}},
		{gocv.MatTypeCV16UC3, gocv.NewScalar(10*256, 20*256, 30*256, 0), [3]byte{10, 20, 30}},
	} {
		mat := gocv.NewMatWithSizeFromScalar(c.value, 3, 5, c.kind)
		frame, err := asFrame(mat)
		mat.Close()
		if err != nil || frame.Width != 5 || frame.Height != 3 || [3]byte(frame.Pixels[3:6]) != c.want {
			t.Errorf("%v became %+v, %v", c.kind, frame, err)
		}
	}
	mat := gocv.NewMatWithSize(3, 5, gocv.MatTypeCV8UC2)
	defer mat.Close()
	if _, err := asFrame(mat); part.ReasonOf(err, part.Unknown) != part.BadFrame || err.Error() != "a frame has 2 channels" {
		t.Errorf("error is %v", err)
	}
}

// TestMemoryDoesNotGrow: what OpenCV allocates is outside of Go's accounts, so the process is asked.
func TestMemoryDoesNotGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	mat := gocv.NewMatWithSize(1000, 1000, gocv.MatTypeCV16UC1)
	defer mat.Close()
	convert := func(times int) {
		for range times {
			if _, err := asFrame(mat); err != nil {
				t.Fatal(err)
			}
		}
	}
	convert(30)
	before := resident(t)
	convert(200) // 200 x (1 + 3 MB) of OpenCV's memory
	if grown := resident(t) - before; grown > 100<<20 {
		t.Errorf("the process has grown by %d MB", grown>>20)
	}
}

func resident(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
