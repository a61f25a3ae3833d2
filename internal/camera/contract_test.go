package camera

import (
	"bytes"
	"context"
	"encoding/hex"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"linectl/internal/part"
	"linectl/internal/setting"
)

// scene is what a camera looks at in a test.
type scene struct {
	config Config
	show   func(t *testing.T, seed int) // the camera sees this picture from now on, or once
	blind  func(t *testing.T)           // the camera gives nothing any more
}

// scenes makes one scene for each kind of camera.
var scenes = map[string]func(t *testing.T) scene{
	"folder": func(t *testing.T) scene { return folderScene(t, "folder:") },
	"drop":   func(t *testing.T) scene { return folderScene(t, "drop:") },
	"stream": streamScene,
}

func folderScene(t *testing.T, kind string) scene {
	folder := t.TempDir()
	n := 0
	c := DefaultConfig()
	c.Name, c.Source, c.Timeout = "top", kind+folder, setting.Duration(500*time.Millisecond)
	return scene{
		config: c,
		show: func(t *testing.T, seed int) {
			n++
			put(t, filepath.Join(folder, string(rune('a'+n))+".png"), encoded(t, picture(seed)))
		},
		blind: func(*testing.T) {},
	}
}

// picture is one with 64 x 48 pixels that no other seed has.
func picture(seed int) *image.RGBA {
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	p := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for y := range 48 {
		for x := range 64 {
			p.Set(x, y, color.RGBA{uint8(4 * x), uint8(5 * y), uint8(random.IntN(256)), 255})
		}
	}
	return p
}

func encoded(t *testing.T, p image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// put puts a file into a folder as a whole.
func put(t *testing.T, path string, data []byte) {
	t.Helper()
	hidden := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(hidden, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(hidden, path); err != nil {
		t.Fatal(err)
	}
}

func openCamera(t *testing.T, c Config) Camera {
	t.Helper()
	cam, err := Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cam.Close(); err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); cam.Healthy() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(cam.Healthy())
		}
	}
	return cam
}

// see makes the camera see a picture while a grab waits for it.
func see(t *testing.T, cam Camera, s scene, seed int) (part.Frame, time.Time, error) {
	t.Helper()
	after := time.Now()
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		time.Sleep(20 * time.Millisecond)
		s.show(t, seed)
	}()
	frame, err := cam.Grab(t.Context(), after)
	<-shown
	return frame, after, err
}

// TestContract holds every kind of camera to the same promise.
func TestContract(t *testing.T) {
	for kind, make := range scenes {
		t.Run(kind, func(t *testing.T) {
			t.Run("frames are of the part in view", func(t *testing.T) {
				s := make(t)
				s.config.Timeout = setting.Duration(10 * time.Second)
				cam := openCamera(t, s.config)
				for seed := range 5 {
					frame, after, err := see(t, cam, s, seed+1)
					if err != nil {
						t.Fatal(err)
					}
					if frame.ExposedAt.Before(after) || frame.ExposedAt.After(time.Now()) {
						t.Errorf("exposed %s after the trigger", frame.ExposedAt.Sub(after))
					}
					if frame.Width != 64 || frame.Height != 48 || len(frame.Pixels) != 64*48*3 || frame.Camera != "top" || cam.Name() != "top" {
						t.Errorf("frame is %d x %d, %d bytes, of %q", frame.Width, frame.Height, len(frame.Pixels), frame.Camera)
					}
					if digest := frame.Digest(); frame.SHA256 != hex.EncodeToString(digest[:]) {
						t.Errorf("SHA-256 is %s", frame.SHA256)
					}
					// Blue, green, red of the pixel at 32, 24, of which a JPEG keeps about the same.
					if p := frame.Pixels[3*(24*64+32):]; !near(p[1], 120, 40) || !near(p[2], 128, 40) {
						t.Errorf("pixel is %v", p[:3])
					}
				}
			})
			t.Run("no frame", func(t *testing.T) {
				s := make(t)
				cam := openCamera(t, s.config)
				s.blind(t)
				begun := time.Now()
				_, err := cam.Grab(t.Context(), begun)
				if part.ReasonOf(err, part.Unknown) != part.NoFrame || !strings.HasPrefix(err.Error(), `camera "top": no `) || !strings.Contains(err.Error(), "camera.timeout is over") {
					t.Errorf("error is %v, reason %s", err, part.ReasonOf(err, part.Unknown))
				}
				if took := time.Since(begun); took < 400*time.Millisecond || took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
			})
			t.Run("the cycle ends the wait", func(t *testing.T) {
				s := make(t)
				s.config.Timeout = setting.Duration(time.Minute)
				cam := openCamera(t, s.config)
				s.blind(t)
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				begun := time.Now()
				_, err := cam.Grab(ctx, begun)
				if part.ReasonOf(err, part.Unknown) != part.NoFrame || !strings.Contains(err.Error(), "the cycle's time is over") {
					t.Errorf("error is %v", err)
				}
				if took := time.Since(begun); took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
			})
			t.Run("a repeated picture", func(t *testing.T) {
				s := make(t)
				s.config.Timeout = setting.Duration(10 * time.Second)
				cam := openCamera(t, s.config)
				var err error
				for range 3 { // the first grab of a stream may still get a frame from before it froze
					if _, _, err = see(t, cam, s, frozen); err != nil {
						break
					}
				}
				if part.ReasonOf(err, part.Unknown) != part.RepeatedFrame || !strings.Contains(err.Error(), "the same, pixel for pixel, as") {
					t.Errorf("error is %v", err)
				}
			})
			t.Run("close waits", func(t *testing.T) {
				s := make(t)
				cam, err := Open(s.config, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				before := runtime.NumGoroutine()
				if err := cam.Close(); err != nil {
					t.Error(err)
				}
				if n := runtime.NumGoroutine(); n > before {
					t.Errorf("%d goroutines became %d", before, n)
				}
			})
		})
	}
}

func near(got byte, want, within int) bool {
	d := int(got) - want
	return d >= -within && d <= within
}
