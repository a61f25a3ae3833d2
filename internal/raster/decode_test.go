package raster

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"slices"
	"testing"

	"gocv.io/x/gocv"
)

// files is one picture of 16 x 12 pixels in every form.
func files(t testing.TB) map[string][]byte {
	colour := image.NewRGBA(image.Rect(0, 0, 16, 12))
	grey, deep := image.NewGray(colour.Rect), image.NewGray16(colour.Rect)
	clear := image.NewNRGBA(colour.Rect)
	for y := range 12 {
		for x := range 16 {
			shade := uint8(10*x + 5*y)
			colour.Set(x, y, color.RGBA{shade, 100, 200, 255})
			clear.Set(x, y, color.NRGBA{shade, 100, 200, 10})
			grey.Set(x, y, color.Gray{shade})
			deep.Set(x, y, color.Gray16{uint16(shade)<<8 | 7})
		}
	}
	forms := map[string][]byte{}
	for name, p := range map[string]image.Image{"colour.png": colour, "grey.png": grey, "deep.png": deep, "clear.png": clear} {
		var b bytes.Buffer
		if err := png.Encode(&b, p); err != nil {
			t.Fatal(err)
		}
		forms[name] = b.Bytes()
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, colour, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	forms["colour.jpg"] = b.Bytes()
	frame, err := Decode(forms["colour.png"])
	if err != nil {
		t.Fatal(err)
	}
	mat, err := gocv.NewMatFromBytes(frame.Height, frame.Width, gocv.MatTypeCV8UC3, frame.Pixels)
	if err != nil {
		t.Fatal(err)
	}
	defer mat.Close()
	for _, ending := range []gocv.FileExt{".bmp", ".tiff", ".webp"} {
		buffer, err := gocv.IMEncode(ending, mat)
		if err != nil {
			t.Fatal(err)
		}
		forms["colour"+string(ending)] = bytes.Clone(buffer.GetBytes())
		buffer.Close()
	}
	return forms
}

func TestEveryFormBecomesBGR(t *testing.T) {
	for name, data := range files(t) {
		frame, err := Decode(data)
		if err != nil || frame.Width != 16 || frame.Height != 12 || len(frame.Pixels) != 16*12*3 {
			t.Errorf("%s: %d x %d, %v", name, frame.Width, frame.Height, err)
			continue
		}
		want := [3]int{200, 100, 10*5 + 5*3}
		if name == "grey.png" || name == "deep.png" {
			want = [3]int{65, 65, 65}
		}
		for i, v := range frame.Pixels[3*(3*16+5):][:3] {
			if d := int(v) - want[i]; d < -12 || d > 12 {
				t.Errorf("%s: pixel is %v, want about %v", name, frame.Pixels[3*(3*16+5):][:3], want)
				break
			}
		}
	}
}

// TestCutFilesAreNeverPictures cuts each file at every byte.
func TestCutFilesAreNeverPictures(t *testing.T) {
	for name, data := range files(t) {
		for n := range len(data) {
			frame, err := Decode(data[:n])
			if err == nil {
				t.Errorf("%s cut to %d of %d bytes is a picture of %d x %d", name, n, len(data), frame.Width, frame.Height)
				break
			}
			if name != "colour.tiff" && n > 8 && !errors.Is(err, ErrCut) {
				t.Errorf("%s cut to %d bytes: %v", name, n, err)
				break
			}
		}
		if _, err := Decode(append(bytes.Clone(data), "padding behind the picture"...)); err != nil {
			t.Errorf("%s with padding: %v", name, err)
		}
	}
}

func TestFromMatRefusesOtherTypes(t *testing.T) {
	mat := gocv.NewMatWithSize(2, 2, gocv.MatTypeCV8UC1)
	defer mat.Close()
	if _, err := FromMat(mat); err == nil {
		t.Error("a grey Mat was taken")
	}
}

func TestNatural(t *testing.T) {
	want := []string{"", "01.png", "1.png", "2.png", "9.png", "10.png", "a1b2", "a1b10", "a2", "a10", "b"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, Natural)
	if !slices.Equal(got, want) {
		t.Errorf("order is %q, want %q", got, want)
	}
}

func TestNamed(t *testing.T) {
	for name, want := range map[string]bool{"a.png": true, "A.JPG": true, "a.jpeg.part": false, ".a.png": false, "png": false, "": false} {
		if Named(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for name, data := range files(f) {
		f.Add(data)
		f.Add(data[:len(data)/2])
		if huge := claiming(name, data); huge != nil {
			f.Add(huge)
		}
	}
	for _, file := range pillows(f) {
		f.Add(file.File)
	}
	f.Add([]byte("\xff\xd8\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("\x89PNG\r\n\x1a\n\xff\xff\xff\xffIEND"))
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := Decode(data)
		if err == nil && (len(frame.Pixels) == 0 || len(frame.Pixels) != 3*frame.Width*frame.Height) {
			t.Fatalf("%d x %d has %d bytes", frame.Width, frame.Height, len(frame.Pixels))
		}
	})
}

func FuzzNaturalIsAnOrder(f *testing.F) {
	f.Add("9.png", "10.png", "09.png")
	f.Add("a1b", "a01b", "a1")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		sign := func(n int) int { return min(max(n, -1), 1) }
		if sign(Natural(a, b)) != -sign(Natural(b, a)) {
			t.Errorf("%q and %q: both before or both after the other", a, b)
		}
		if (Natural(a, b) == 0) != (a == b) {
			t.Errorf("%q and %q are different names", a, b)
		}
		if Natural(a, b) < 0 && Natural(b, c) < 0 && Natural(a, c) >= 0 {
			t.Errorf("%q, %q, %q go round in a circle", a, b, c)
		}
	})
}
