package camera

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
	"linectl/internal/raster"
	"linectl/internal/setting"
)

func dropIn(t *testing.T, change func(c *Config)) (Camera, string) {
	t.Helper()
	s := folderScene(t, "drop:")
	if change != nil {
		change(&s.config)
	}
	_, folder := s.config.split()
	return openCamera(t, s.config), folder
}

// patient gives a grab that will succeed all the time that a busy machine may need.
func patient(c *Config) { c.Timeout = setting.Duration(20 * time.Second) }

// soon does something while a grab waits, and has it done before the test ends.
func soon(t *testing.T, do func()) {
	done := make(chan struct{})
	time.AfterFunc(20*time.Millisecond, func() {
		defer close(done)
		do()
	})
	t.Cleanup(func() { <-done })
}

// hasReason checks the reason and a part of the text of an error.
func hasReason(t *testing.T, err error, reason part.Reason, text string) {
	t.Helper()
	if err == nil || part.ReasonOf(err, part.Unknown) != reason || !strings.Contains(err.Error(), text) {
		t.Errorf("error is %v, reason %s; want %s: %q", err, part.ReasonOf(err, part.Unknown), reason, text)
	}
}

// later waits until the folder's clock, which ticks every few milliseconds, has gone on.
func later() time.Time {
	time.Sleep(30 * time.Millisecond)
	return time.Now()
}

func TestPictureFromBeforeTheTriggerIsStale(t *testing.T) {
	cam, folder := dropIn(t, nil)
	put(t, filepath.Join(folder, "early.png"), encoded(t, picture(1)))
	_, err := cam.Grab(t.Context(), later())
	hasReason(t, err, part.StaleFrame, "only pictures from before the trigger in "+folder+": early.png")
	if hint.Of(err) != part.StaleFrame.Hint() {
		t.Errorf("hint is %q", hint.Of(err))
	}
	_, err = cam.Grab(t.Context(), time.Now()) // it is not named again: nothing has come
	hasReason(t, err, part.NoFrame, "no picture came into "+folder)
}

func TestPictureBetweenTriggerAndGrabIsTaken(t *testing.T) {
	cam, folder := dropIn(t, patient)
	after := time.Now()
	later()
	put(t, filepath.Join(folder, "a.png"), encoded(t, picture(1)))
	frame, err := cam.Grab(t.Context(), after)
	if err != nil || frame.Source != filepath.Join(folder, "a.png") || frame.ExposedAt.Before(after) {
		t.Errorf("frame is of %s, %v", frame.Source, err)
	}
}

func TestPicturesThatWereThereAtTheStartAreNotTaken(t *testing.T) {
	s := folderScene(t, "drop:")
	s.show(t, 1)
	cam := openCamera(t, s.config)
	_, err := cam.Grab(t.Context(), time.Now().Add(-time.Hour))
	hasReason(t, err, part.NoFrame, "no picture came")
}

func TestFileMovedWithItsOldTimeIsNew(t *testing.T) {
	cam, folder := dropIn(t, patient)
	elsewhere := filepath.Join(t.TempDir(), "old.png")
	put(t, elsewhere, encoded(t, picture(1)))
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(elsewhere, long, long); err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	later()
	if err := os.Rename(elsewhere, filepath.Join(folder, "old.png")); err != nil {
		t.Fatal(err)
	}
	if _, err := cam.Grab(t.Context(), after); err != nil {
		t.Error(err)
	}
}

func TestFileWithATimeInTheFutureIsNotNew(t *testing.T) {
	cam, folder := dropIn(t, nil)
	path := filepath.Join(folder, "a.png")
	put(t, path, encoded(t, picture(1)))
	future := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, future, future); err != nil {
		t.Fatal(err)
	}
	_, err := cam.Grab(t.Context(), later())
	hasReason(t, err, part.StaleFrame, "a.png")
}

func TestLatencyMakesAPictureOlder(t *testing.T) {
	cam, folder := dropIn(t, func(c *Config) { c.Latency = setting.Duration(time.Hour) })
	soon(t, func() { put(t, filepath.Join(folder, "a.png"), encoded(t, picture(1))) })
	_, err := cam.Grab(t.Context(), time.Now())
	hasReason(t, err, part.StaleFrame, "a.png")

	const latency = 100 * time.Millisecond
	cam, folder = dropIn(t, func(c *Config) { patient(c); c.Latency = setting.Duration(latency) })
	after := time.Now()
	soon(t, func() {
		time.Sleep(2 * latency)
		put(t, filepath.Join(folder, "b.png"), encoded(t, picture(2)))
	})
	frame, err := cam.Grab(t.Context(), after)
	if err != nil || frame.ExposedAt.Before(after) || time.Since(frame.ExposedAt) < latency {
		t.Errorf("frame is of %s, exposed %s after the trigger, %v", frame.Source, frame.ExposedAt.Sub(after), err)
	}
}

// grow writes a file bit by bit.
func grow(t *testing.T, path string, data []byte, pieces int, pause time.Duration) {
	f, err := os.Create(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for i := range pieces {
		if _, err := f.Write(data[i*len(data)/pieces : (i+1)*len(data)/pieces]); err != nil {
			t.Error(err)
		}
		time.Sleep(pause)
	}
}

func TestPictureThatIsStillBeingWritten(t *testing.T) {
	for name, data := range map[string][]byte{"a.png": encoded(t, picture(1)), "b.jpg": jpegOf(1, 77)} {
		t.Run(name, func(t *testing.T) {
			cam, folder := dropIn(t, patient)
			after := time.Now()
			soon(t, func() { grow(t, filepath.Join(folder, name), data, 12, 8*time.Millisecond) })
			frame, err := cam.Grab(t.Context(), after)
			if err != nil {
				t.Fatal(err)
			}
			if name == "b.jpg" && noiseOf(frame) != 77 {
				t.Errorf("the picture is not whole")
			}
		})
	}
}

// TestPictureThatIsCompleteTooLate: the picture of a part that was given up must not be taken for that
// of the next one, though most of it came after the next trigger.
func TestPictureThatIsCompleteTooLate(t *testing.T) {
	cam, folder := dropIn(t, func(c *Config) { c.Timeout = setting.Duration(2 * time.Second) })
	path, data := filepath.Join(folder, "a.png"), encoded(t, picture(1))
	if err := os.WriteFile(path, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := cam.Grab(t.Context(), time.Now().Add(-time.Second))
	hasReason(t, err, part.BadFrame, "picture a.png: is cut off: the file ends in the middle of the picture")

	soon(t, func() { // the rest comes while the next part waits
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			f.Write(data[len(data)/2:])
			f.Close()
		}
	})
	if frame, err := cam.Grab(t.Context(), time.Now()); err == nil {
		t.Fatalf("the picture of the part before was taken: %s", frame.Source)
	}
	// From then on the file is complete: one of the same name that is written anew is new.
	after := time.Now()
	soon(t, func() { os.WriteFile(path, encoded(t, picture(2)), 0o600) })
	if _, err := cam.Grab(t.Context(), after); err != nil {
		t.Error(err)
	}
}

// TestOldPictureStaysOld: neither another name nor other rights nor a second name make a picture new.
func TestOldPictureStaysOld(t *testing.T) {
	for how, touch := range map[string]func(path string) error{
		"renamed":        func(path string) error { return os.Rename(path, path+".done.png") },
		"other rights":   func(path string) error { return os.Chmod(path, 0o644) },
		"linked besides": func(path string) error { return os.Link(path, path+".kept.png") },
	} {
		t.Run(how, func(t *testing.T) {
			folder := t.TempDir()
			path := filepath.Join(folder, "a.png")
			put(t, path, encoded(t, picture(1)))
			c := DefaultConfig()
			c.Name, c.Source, c.Timeout = "top", "drop:"+folder, setting.Duration(300*time.Millisecond)
			cam := openCamera(t, c)
			soon(t, func() {
				if err := touch(path); err != nil {
					t.Error(err)
				}
			})
			_, err := cam.Grab(t.Context(), time.Now())
			hasReason(t, err, part.NoFrame, "no picture came")
		})
	}
}

// TestLatePictureCostsOnePartOnly: one that came after its part was given up is replaced by that of the next under the same name.
func TestLatePictureCostsOnePartOnly(t *testing.T) {
	cam, folder := dropIn(t, patient)
	path := filepath.Join(folder, "image.png")
	put(t, path, encoded(t, picture(1))) // nobody asked for it
	after := later()
	soon(t, func() { put(t, path, encoded(t, picture(2))) })
	frame, err := cam.Grab(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := raster.Decode(encoded(t, picture(2))); err != nil || !bytes.Equal(frame.Pixels, want.Pixels) {
		t.Errorf("the late picture was taken, %v", err)
	}
}

// TestTimesOfAnotherClock: where files have the times of another machine's clock, what is there at the first look may be as old as it likes.
func TestTimesOfAnotherClock(t *testing.T) {
	folder := t.TempDir()
	d, err := openDrop(folder, 0, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d.(*drop).ours = func(string) (bool, error) { return false, nil }
	after := time.Now()
	later()
	put(t, filepath.Join(folder, "a.png"), encoded(t, picture(1)))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = d.grab(ctx, after)
	hasReason(t, err, part.StaleFrame, "a.png")
	soon(t, func() { put(t, filepath.Join(folder, "b.png"), encoded(t, picture(2))) })
	if _, err := d.grab(t.Context(), time.Now()); err != nil {
		t.Error(err)
	}
}

func TestSameNameAgainAndAgain(t *testing.T) {
	for how, write := range map[string]func(t *testing.T, path string, data []byte){
		"moved over":       put,
		"written in place": func(t *testing.T, path string, data []byte) { os.WriteFile(path, data, 0o600) },
	} {
		t.Run(how, func(t *testing.T) {
			cam, folder := dropIn(t, patient)
			path := filepath.Join(folder, "image.png")
			var before string
			for seed := range 5 {
				after := time.Now()
				soon(t, func() { write(t, path, encoded(t, picture(seed))) })
				frame, err := cam.Grab(t.Context(), after)
				if err != nil {
					t.Fatal(err)
				}
				if frame.SHA256 == before {
					t.Fatal("the same picture again")
				}
				before = frame.SHA256
			}
		})
	}
}

func TestTakenPicturesAreDeletedIfAsked(t *testing.T) {
	for _, remove := range []bool{false, true} {
		cam, folder := dropIn(t, func(c *Config) { patient(c); c.DeleteTaken = remove })
		after := time.Now()
		soon(t, func() { put(t, filepath.Join(folder, "a.png"), encoded(t, picture(1))) })
		if _, err := cam.Grab(t.Context(), after); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(folder, "a.png")); os.IsNotExist(err) != remove {
			t.Errorf("delete_taken %v: %v", remove, err)
		}
	}
}

func TestWhatIsNoPictureIsPassedOver(t *testing.T) {
	cam, folder := dropIn(t, nil)
	after := time.Now()
	for name, data := range map[string]string{"notes.txt": "hello", ".hidden.png": "x", "a.png.part": "x"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, "folder.png"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere.png", filepath.Join(folder, "dangling.png")); err != nil {
		t.Fatal(err)
	}
	_, err := cam.Grab(t.Context(), after)
	hasReason(t, err, part.NoFrame, "no picture came")
}

func TestPictureThatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		data, text string
	}{
		"empty.png":   {"", "picture empty.png: is empty"},
		"text.png":    {"this is no picture at all", "picture text.png: is no JPEG, PNG, BMP, TIFF or WebP"},
		"damaged.jpg": {"\xff\xd8\xff\xd9 and more than sixteen bytes", "picture damaged.jpg: is no picture that can be read, or is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			cam, folder := dropIn(t, nil)
			after := time.Now()
			soon(t, func() { put(t, filepath.Join(folder, name), []byte(c.data)) })
			_, err := cam.Grab(t.Context(), after)
			hasReason(t, err, part.BadFrame, c.text)
		})
	}
}

func TestFolderThatGoesAway(t *testing.T) {
	cam, folder := dropIn(t, patient)
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	_, err := cam.Grab(t.Context(), time.Now())
	hasReason(t, err, part.NoFrame, "no such file or directory")
	if err := cam.Healthy(); err == nil || err.Error() != `camera "top": there is no folder `+folder {
		t.Errorf("healthy says %v", err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	soon(t, func() { put(t, filepath.Join(folder, "a.png"), encoded(t, picture(1))) })
	if _, err := cam.Grab(t.Context(), after); err != nil {
		t.Errorf("it does not come back: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "a.png")
	put(t, file, encoded(t, picture(1)))
	for _, kind := range []string{"folder", "drop"} {
		for path, text := range map[string]string{
			folder + "/none": "there is no folder " + folder + "/none",
			file:             file + " is not a folder",
		} {
			_, err := Open(Config{Name: "top", Source: kind + ":" + path}, slog.New(slog.DiscardHandler))
			if want := `open camera "top": ` + text; err == nil || err.Error() != want || hint.Of(err) == "" {
				t.Errorf("error is %v, hint %q; want %s", err, hint.Of(err), want)
			}
		}
	}
}

func TestFolderIsPlayedInNaturalOrderAndOnce(t *testing.T) {
	folder := t.TempDir()
	for i, name := range []string{"10.png", "9.png", "1.png", "a2.png", "a10.png"} {
		put(t, filepath.Join(folder, name), encoded(t, picture(i)))
	}
	c := Config{Name: "top", Source: "folder:" + folder, Timeout: setting.Duration(50 * time.Millisecond)}
	cam := openCamera(t, c)
	for _, want := range []string{"1.png", "9.png", "10.png", "a2.png", "a10.png"} {
		frame, err := cam.Grab(t.Context(), time.Now())
		if err != nil || filepath.Base(frame.Source) != want {
			t.Errorf("frame is of %s, %v; want %s", frame.Source, err, want)
		}
	}
	_, err := cam.Grab(t.Context(), time.Now())
	hasReason(t, err, part.NoFrame, "no unused picture in "+folder)
}

func TestFolderPassesOverABadPicture(t *testing.T) {
	folder := t.TempDir()
	put(t, filepath.Join(folder, "1.png"), []byte("this is no picture at all"))
	put(t, filepath.Join(folder, "2.png"), encoded(t, picture(2)))
	cam := openCamera(t, Config{Name: "top", Source: "folder:" + folder, Timeout: setting.Duration(50 * time.Millisecond)})
	_, err := cam.Grab(t.Context(), time.Now())
	hasReason(t, err, part.BadFrame, "picture 1.png: is no JPEG, PNG, BMP, TIFF or WebP")
	if _, err := cam.Grab(t.Context(), time.Now()); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestRepeatedPictureNamesItself(t *testing.T) {
	cam, folder := dropIn(t, patient)
	for n, name := range []string{"a.png", "b.png", "c.png"} {
		after := time.Now()
		soon(t, func() { put(t, filepath.Join(folder, name), encoded(t, picture(n%2))) })
		_, err := cam.Grab(t.Context(), after)
		if n < 2 {
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		hasReason(t, err, part.RepeatedFrame, "the picture is the same, pixel for pixel, as 2 before ("+folder+"/c.png)")
		if hint.Of(err) != part.RepeatedFrame.Hint() {
			t.Errorf("hint is %q", hint.Of(err))
		}
	}
}

func TestInterruptedGrab(t *testing.T) {
	cam, _ := dropIn(t, patient)
	ctx, cancel := context.WithCancel(t.Context())
	soon(t, cancel)
	_, err := cam.Grab(ctx, time.Now())
	hasReason(t, err, part.NoFrame, "interrupted")
}

func TestCheckFindsAllMistakes(t *testing.T) {
	good := Config{Name: "top", Source: "drop:/var/spool/pictures", Timeout: setting.Duration(time.Second)}
	if problems := good.Check(); problems != nil {
		t.Errorf("a good config has mistakes: %v", problems)
	}
	for _, source := range []string{"v4l2:/dev/v4l/by-id/usb-x", "rtsp://user:pw@10.0.0.3/stream1", "http://10.0.0.3:8080/video", "gstreamer:aravissrc ! videoconvert ! appsink", "folder:/x"} {
		c := good
		c.Source = source
		if problems := c.Check(); problems != nil {
			t.Errorf("%s: %v", source, problems)
		}
	}
	for key, c := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"name":                {func(c *Config) { c.Name = "top view" }, `name: "top view" is not a name; use 1 to 64 letters, digits, - and _`},
		"no source":           {func(c *Config) { c.Source = "" }, "source: is empty; write v4l2:/dev/video0, rtsp://…, http://…, gstreamer:PIPELINE, drop:FOLDER or folder:FOLDER"},
		"unknown source":      {func(c *Config) { c.Source = "usb:0" }, `source: "usb:0" is of no known kind; write v4l2:/dev/video0, rtsp://…, http://…, gstreamer:PIPELINE, drop:FOLDER or folder:FOLDER`},
		"relative folder":     {func(c *Config) { c.Source = "drop:pictures" }, `source: "pictures" is not an absolute path; a daemon has no folder of its own to start from`},
		"a number for device": {func(c *Config) { c.Source = "v4l2:0" }, `source: "0" is not a device; write v4l2:/dev/video0, or better a name below /dev/v4l/by-id, which stays the same`},
		"no host":             {func(c *Config) { c.Source = "rtsp:///stream" }, `source: "rtsp:///stream" is not a URL with a host`},
		"no sink":             {func(c *Config) { c.Source = "gstreamer:videotestsrc" }, "source: the pipeline must end in appsink; for example gstreamer:aravissrc ! videoconvert ! appsink drop=true max-buffers=1"},
		"timeout":             {func(c *Config) { c.Timeout = 0 }, "timeout: 0s is out of range; allowed is more than 0s, up to 1m"},
		"a jitter buffer": {func(c *Config) {
			c.Source = "gstreamer:rtspsrc location=rtsp://u:pw@c ! rtph264depay ! avdec_h264 ! videoconvert ! appsink"
		},
			`latency: 0s is allowed where nothing in the pipeline can hold frames back, as in aravissrc ! videoconvert ! appsink drop=true max-buffers=1; of "rtspsrc" that is not known: measure the latency (docs/first-line.md) and set it`},
		"latency": {func(c *Config) { c.Latency = -1 }, "latency: -1ns is out of range; allowed is 0s to 10s"},
		"size":    {func(c *Config) { c.Width = 640 }, "width: width and height belong together; set both or none"},
		"large":   {func(c *Config) { c.Width, c.Height = 1e6, 1 }, "width: 1000000 x 1 is out of range; allowed is 0 to 32768"},
		"fps":     {func(c *Config) { c.FPS = 1e6 }, "fps: 1e+06 is out of range; allowed is 0 to 1000"},
		"delete":  {func(c *Config) { c.Source, c.DeleteTaken = "folder:/x", true }, "delete_taken: only pictures of a drop folder can be deleted; source is folder"},
	} {
		t.Run(key, func(t *testing.T) {
			bad := good
			c.change(&bad)
			problems := bad.Check()
			if len(problems) != 1 || problems[0].Key+": "+problems[0].Message != c.want {
				t.Errorf("mistakes are %v, want %s", problems, c.want)
			}
		})
	}
	all := Config{FPS: -1, Width: -1, Latency: -1}
	if problems := all.Check(); len(problems) != 6 {
		t.Errorf("%d mistakes: %v", len(problems), problems)
	}
}
