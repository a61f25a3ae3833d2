package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linectl/internal/part"
)

// frame is a picture with content of its own; seed 0 has no colour.
func frame(width, height, seed int) part.Frame {
	f := part.Frame{Camera: "top", Width: width, Height: height, Pixels: make([]byte, width*height*3), ExposedAt: noon, Source: "a.png"}
	for i := range f.Pixels {
		f.Pixels[i] = byte(i / 3 * 5)
		if seed != 0 {
			f.Pixels[i] = byte(i*7 + i*i*seed)
		}
	}
	return f
}

func TestPicturesAreKeptAsConfigured(t *testing.T) {
	for _, c := range []struct {
		keep    Keep
		verdict part.Verdict
		ending  string // "" if none is kept
	}{
		{KeepRejects, part.Reject, ".png"},
		{KeepRejects, part.Pass, ""},
		{KeepAll, part.Reject, ".png"},
		{KeepAll, part.Pass, ".jpg"},
		{KeepNone, part.Reject, ""},
		{KeepNone, part.Pass, ""},
	} {
		t.Run(string(c.keep)+" "+c.verdict.String(), func(t *testing.T) {
			config := configIn(t.TempDir())
			config.Keep = c.keep
			s := openStore(t, config)
			id := insert(t, s, good(1))
			kept := frame(31, 17, 3)
			s.KeepPicture(id, kept, c.verdict)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			reader, err := OpenReader(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			got, err := reader.Part(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if c.ending == "" {
				if got.Pictures != nil {
					t.Errorf("pictures are %+v", got.Pictures)
				}
				return
			}
			if len(got.Pictures) != 1 {
				t.Fatalf("pictures are %+v", got.Pictures)
			}
			p := got.Pictures[0]
			day := time.Now().UTC().Format("2006/01/02")
			if want := filepath.Join(config.Pictures, day, "1-top"+c.ending); p.Path != want || p.Camera != "top" || p.Source != "a.png" || !p.ExposedAt.Equal(noon) {
				t.Errorf("picture is %+v, want path %s", p, want)
			}
			data, err := os.ReadFile(p.Path)
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != p.SHA256 || int64(len(data)) != p.Bytes {
				t.Error("size or SHA-256 is not that of the file")
			}
			if c.ending == ".png" {
				samePixels(t, p.Path, kept)
			}
			if left, _ := os.ReadDir(filepath.Join(config.Pictures, unfinished)); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func samePixels(t *testing.T, path string, want part.Frame) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, _, err := image.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	for y := range want.Height {
		for x := range want.Width {
			r, g, b, _ := got.At(x, y).RGBA()
			i := 3 * (y*want.Width + x)
			if p := want.Pixels; byte(b>>8) != p[i] || byte(g>>8) != p[i+1] || byte(r>>8) != p[i+2] {
				t.Fatalf("pixel %d,%d is %d %d %d, want %v", x, y, b>>8, g>>8, r>>8, p[i:i+3])
			}
		}
	}
}

func TestPictureWithoutColourIsKeptGrey(t *testing.T) {
	grey, colour := frame(200, 200, 0), frame(200, 200, 0)
	colour.Pixels[0]++
	small, _, err := encode(grey, part.Reject)
	if err != nil {
		t.Fatal(err)
	}
	large, _, err := encode(colour, part.Reject)
	if err != nil {
		t.Fatal(err)
	}
	if len(small) >= len(large) {
		t.Errorf("the grey picture takes %d bytes, the coloured one %d", len(small), len(large))
	}
	path := filepath.Join(t.TempDir(), "grey.png")
	if err := os.WriteFile(path, small, 0o600); err != nil {
		t.Fatal(err)
	}
	samePixels(t, path, grey)
}

func TestTooManyPicturesAreDroppedAndCounted(t *testing.T) {
	c := configIn(t.TempDir())
	c.PictureQueue = 2
	s := openStore(t, c)
	const many = 200
	var ids []int64
	for n := range uint32(many) {
		ids = append(ids, insert(t, s, rejected(n, part.Anomaly)))
	}
	big := frame(1200, 900, 1)
	for _, id := range ids {
		s.KeepPicture(id, big, part.Reject)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	dropped, _ := s.dropped()
	s = openStore(t, c)
	defer s.Close()
	kept := rows(t, s, "frame")
	files := 0
	err := filepath.WalkDir(c.Pictures, func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".png") {
			files++
		}
		return err
	})
	if err != nil || files != kept {
		t.Errorf("%d rows and %d files, %v", kept, files, err)
	}
	if int(dropped)+kept != many || dropped == 0 {
		t.Errorf("%d kept and %d dropped of %d", kept, dropped, many)
	}
}

// A picture that never came is a loss where it was to be kept, in the count and in the log book.
func TestAPictureThatNeverCameIsCounted(t *testing.T) {
	c := configIn(t.TempDir())
	s := openStore(t, c)
	s.LosePicture(insert(t, s, good(1)), part.Pass, errors.New("too many wait")) // passes are not kept
	s.LosePicture(insert(t, s, rejected(2, part.Anomaly)), part.Reject, errors.New("too many wait"))
	s.settle(t)
	if pictures, _ := s.dropped(); pictures != 1 {
		t.Errorf("%d are lost, want 1", pictures)
	}
	if log, err := s.Events(t.Context(), time.Time{}, time.Time{}, 0); err != nil || len(log) != 1 || log[0].Kind != "pictures-lost" || log[0].Detail != "from record 2 on: too many wait" {
		t.Errorf("the log book says %+v, %v", log, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBadFrameIsDroppedAndCounted(t *testing.T) {
	s := newStore(t)
	id := insert(t, s, rejected(1, part.Anomaly))
	s.KeepPicture(id, part.Frame{Width: 10, Height: 10, Pixels: []byte{1}}, part.Reject)
	if err := s.pictures.close(); err != nil {
		t.Fatal(err)
	}
	if pictures, _ := s.dropped(); pictures != 1 {
		t.Errorf("%d were dropped, want 1", pictures)
	}
	s.pictures = newPictures(s.config, false, s.writer, s.log) // for Close
}

func TestWhatACrashLeftIsRemoved(t *testing.T) {
	c := configIn(t.TempDir())
	left := filepath.Join(c.Pictures, unfinished, "123")
	if err := os.MkdirAll(filepath.Dir(left), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("half a picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	openStore(t, c).Close()
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestCameraNameIsNoPath(t *testing.T) {
	if got := plain("../../etc/pa ss"); got != "______etc_pa_ss" {
		t.Errorf("name is %q", got)
	}
}
