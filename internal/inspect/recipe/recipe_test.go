package recipe

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/part"
)

func draft(name string) *Recipe {
	return &Recipe{
		Manifest: Manifest{
			Name:      name,
			Backbone:  Backbone{Name: "net", SHA256: strings.Repeat("ab", 32), Layers: []string{"layer2", "layer3"}},
			Input:     Input{Width: 64, Height: 32, Resize: picture.Resize, Mean: [3]float32{0.5, 0.4, 0.3}, Std: [3]float32{0.1, 0.2, 0.3}},
			Method:    Method{Name: PatchCore, Bank: 2, Dim: 3, Score: patchcore.Max, Precision: patchcore.FP32, Seed: 1},
			Threshold: Threshold{Threshold: calibrate.Threshold{Value: 1.0 / 3, Rule: calibrate.Rule, Target: 50, Expected: 50, Low: 1, High: 200, Scores: 2, Tail: 2, Greatest: 0.3}},
			Quality:   picture.Limits{Darkest: 10, Brightest: 200, Dullest: 0.25},
			Training:  Training{Pictures: 2, Folds: 5, Patches: 64, Sampled: 64},
		},
		Bank: patchcore.Bank{Rows: 2, Dim: 3, Vectors: []float32{1, 2, 3, 4, 5, 0.1}},
		Pictures: []Picture{
			{File: "a, with comma.png", SHA256: "00", Score: 1.0 / 3, Quality: part.Quality{Brightness: 100, Spread: 10, Sharpness: 1e-9}},
			{File: "sub/b.png", SHA256: "01", Score: 2, Quality: part.Quality{Brightness: 101, Spread: 11, Sharpness: 12345.678}},
		},
		Thumbnails: [][]byte{[]byte("jpeg one"), []byte("jpeg two")},
	}
}

func save(t testing.TB, f Folder, name string) *Recipe {
	t.Helper()
	r, err := f.Save(draft(name))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRoundTrip(t *testing.T) {
	f := Folder(filepath.Join(t.TempDir(), "recipes"))
	first := save(t, f, "bracket-a")
	want := draft("bracket-a")
	want.Format, want.Version, want.Created, want.Hash, want.Path = Format, 1, first.Created, first.Hash, first.Path
	if !reflect.DeepEqual(first, want) {
		t.Errorf("saved\n%+v\nand read\n%+v", want, first)
	}
	if len(first.Hash) != 64 || first.Created.IsZero() {
		t.Errorf("hash %q, created %v", first.Hash, first.Created)
	}
	if id := first.ID(); id != (part.Recipe{Name: "bracket-a", Version: 1, Hash: first.Hash, Backbone: strings.Repeat("ab", 32)}) {
		t.Errorf("ID %+v", id)
	}

	second := save(t, f, "bracket-a")
	if second.Version != 2 {
		t.Errorf("second version is %d", second.Version)
	}
	if r, err := f.Load("bracket-a", 0); err != nil || r.Version != 1 {
		t.Errorf("the first version must stay active until another is activated: %v", err)
	}
	if err := f.Activate("bracket-a", 2, Event{}); err != nil {
		t.Fatal(err)
	}
	if r, err := f.Load("bracket-a", 0); err != nil || r.Version != 2 {
		t.Errorf("activated version 2: %v", err)
	}
	if names, err := f.Names(); err != nil || !slices.Equal(names, []string{"bracket-a"}) {
		t.Errorf("names %v, %v", names, err)
	}
}

// TestSealIsWhatSha256sumReads: a person can check a version without linectl.
func TestSealIsWhatSha256sumReads(t *testing.T) {
	r := save(t, Folder(t.TempDir()), "x")
	check := exec.Command("sha256sum", "--check", "--strict", "--quiet", sealName)
	check.Dir = r.Path
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestEveryFlippedByteIsFound flips one bit of every byte of every file in turn.
func TestEveryFlippedByteIsFound(t *testing.T) {
	f := Folder(t.TempDir())
	r := save(t, f, "x")
	names, err := list(r.Path)
	if err != nil || len(names) != 6 {
		t.Fatalf("files %v, %v", names, err)
	}
	flips := 0
	for _, name := range names {
		path := filepath.Join(r.Path, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range data {
			changed := bytes.Clone(data)
			changed[i] ^= 1 << (i % 8)
			if err := os.WriteFile(path, changed, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Load("x", 1); hint.KindOf(err) != hint.Damage {
				t.Fatalf("%s with byte %d changed: %v", name, i, err)
			}
			flips++
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Load("x", 1); err != nil {
		t.Errorf("restored after %d flips: %v", flips, err)
	}
}

func TestDamage(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, path string)
		want   string
	}{
		{"bank missing", func(t *testing.T, path string) { remove(t, path, bankName) }, "bank.f32 is missing"},
		{"seal missing", func(t *testing.T, path string) { remove(t, path, sealName) }, "seal: open PATH/SHA256SUMS: no such file or directory"},
		{"file added", func(t *testing.T, path string) { put(t, path, "notes.txt", "x") }, "notes.txt is not in the seal"},
		{"seal of another place", func(t *testing.T, path string) {
			put(t, path, sealName, strings.Repeat("0", 64)+"  ../../../etc/passwd\n")
		}, "SHA256SUMS: line \"" + strings.Repeat("0", 64) + "  ../../../etc/passwd\\n\" is not a hash and a name"},
		{"newer format", func(t *testing.T, path string) {
			replace(t, path, "format = 5", "format = 6\nwhatever = 'new'")
		}, "recipe.toml: was made by a newer linectl: it is written in format 6, this one reads formats up to 5"},
		{"precision of the network", func(t *testing.T, path string) { replace(t, path, "[input]", "precision = 'int4'\n[input]") }, `recipe.toml: there is no precision "int4" of the backbone`},
		{"network missing", func(t *testing.T, path string) { replace(t, path, "[input]", "precision = 'int8'\n[input]") }, "network.onnx is missing"},
		{"unknown key", func(t *testing.T, path string) { replace(t, path, "[input]", "[input]\nlens = 'new'") }, "recipe.toml: unknown key input.lens"},
		{"other resize", func(t *testing.T, path string) { replace(t, path, picture.Resize, "other/7") }, `recipe.toml: pictures were resized by "other/7"; this linectl knows "area-linear/1"`},
		{"no threshold", func(t *testing.T, path string) { replace(t, path, "value = 0.3333333333333333", "value = nan") }, "recipe.toml: the threshold is not a positive number"},
		{"other version", func(t *testing.T, path string) { replace(t, path, "version = 1", "version = 7") }, "the folder holds x@7"},
		{"means missing", func(t *testing.T, path string) { replace(t, path, "score = 'max'", "score = 'max_appearance'") }, "means.f32 is missing"},
		{"appearance of no score", func(t *testing.T, path string) {
			replace(t, path, "score = 'max'", "score = 'max'\nappearance = 0.5")
		}, "recipe.toml: method: an appearance of 0.5 with the score max"},
		{"shrunk beyond all", func(t *testing.T, path string) {
			replace(t, path, "score = 'max'", "score = 'max'\nappearance_shrinkage = 1.5")
		}, "recipe.toml: method: an appearance with a shrinkage of 1.5; it reaches from 0 to 1"},
		{"bank of another size", func(t *testing.T, path string) { replace(t, path, "bank = 2", "bank = 3") }, "bank.f32: holds 2 vectors of 3 numbers; recipe.toml says 3 of 3"},
	} {
		f := Folder(t.TempDir())
		path := save(t, f, "x").Path
		test.damage(t, path)
		_, err := f.Load("x", 0)
		want := "recipe x@1 in " + path + ": " + strings.ReplaceAll(test.want, "PATH", path)
		if err == nil || err.Error() != want || hint.KindOf(err) != hint.Damage || hint.Of(err) == "" {
			t.Errorf("%s: error %q (kind %d), want %q", test.name, err, hint.KindOf(err), want)
		}
	}
}

func remove(t *testing.T, folder, name string) {
	if err := os.Remove(filepath.Join(folder, name)); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, folder, name, text string) {
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// replace changes the manifest and seals the folder again, as somebody would who means well.
func replace(t *testing.T, folder, from, to string) {
	t.Helper()
	path := filepath.Join(folder, manifestName)
	text, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(text, []byte(from)) {
		t.Fatalf("%q is not in the manifest: %v\n%s", from, err, text)
	}
	put(t, folder, manifestName, strings.Replace(string(text), from, to, 1))
	names, err := list(folder)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		if name != sealName {
			if files[name], err = os.ReadFile(filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(t, folder, sealName, string(sealOf(files)))
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	f := Folder(dir)
	save(t, f, "x")
	for _, test := range []struct {
		name    string
		version int
		want    string
		kind    hint.Kind
	}{
		{"y", 0, `there is no recipe "y" in ` + dir, hint.Usage},
		{"x", 3, "recipe x has no version 3", hint.Usage},
		{"../x", 0, `"../x" is not a recipe name; use letters, digits, '.', '_' and '-', at most 64, the first a letter or digit`, hint.Usage},
		{"", 0, `"" is not a recipe name; use letters, digits, '.', '_' and '-', at most 64, the first a letter or digit`, hint.Usage},
		{".x", 0, `".x" is not a recipe name; use letters, digits, '.', '_' and '-', at most 64, the first a letter or digit`, hint.Usage},
	} {
		if _, err := f.Load(test.name, test.version); err == nil || err.Error() != test.want || hint.KindOf(err) != test.kind {
			t.Errorf("%s@%d: %v, want %s", test.name, test.version, err, test.want)
		}
	}
	if _, err := f.Save(draft("a/b")); err == nil {
		t.Error("a name with a slash is taken")
	}
	if err := f.Activate("x", 2, Event{}); err == nil {
		t.Error("a version that is not there is activated")
	}
	put(t, filepath.Join(dir, "x"), activeName, "latest\n")
	if _, err := f.Load("x", 0); hint.KindOf(err) != hint.Damage {
		t.Errorf("active names no version: %v", err)
	}
	remove(t, filepath.Join(dir, "x"), activeName)
	if _, err := f.Load("x", 0); err == nil || err.Error() != "recipe x has no active version" {
		t.Errorf("nothing is active: %v", err)
	}
}

// TestHalfWritten: what an interrupted training leaves behind is no version.
func TestHalfWritten(t *testing.T) {
	f := Folder(t.TempDir())
	half := filepath.Join(string(f), "x", ".new-123")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, half, manifestName, "format = 1")
	if versions, err := f.Versions("x"); err != nil || len(versions) != 0 {
		t.Errorf("versions %v, %v", versions, err)
	}
	if r := save(t, f, "x"); r.Version != 1 {
		t.Errorf("version %d", r.Version)
	}
}

// TestWriteFails: a folder that cannot be written gives an error and no version.
func TestWriteFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "recipes")
	put(t, filepath.Dir(file), "recipes", "a file where the folder should be")
	if _, err := Folder(file).Save(draft("x")); err == nil || !strings.HasPrefix(err.Error(), "save recipe x: ") {
		t.Errorf("%v", err)
	}
}

func TestSaveAtTheSameTime(t *testing.T) {
	f := Folder(t.TempDir())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := f.Save(draft("x")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if versions, err := f.Versions("x"); err != nil || !slices.Equal(versions, []int{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("versions %v, %v", versions, err)
	}
}

func FuzzParseManifest(f *testing.F) {
	d := draft("x")
	d.Format, d.Version = Format, 1
	text, err := d.Manifest.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("format = 99"))
	f.Add([]byte("format = 1\n[input]\nwidth = -5"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		if CheckName(m.Name) != nil || m.Version < 1 || m.Input.Width < 1 || !(m.Threshold.Value > 0) {
			t.Errorf("taken: %+v", m)
		}
		if again, err := m.encode(); err != nil {
			t.Errorf("cannot be written again: %v", err)
		} else if _, err := parseManifest(again); err != nil {
			t.Errorf("cannot be read again: %v", err)
		}
	})
}

func FuzzParseBank(f *testing.F) {
	f.Add(encodeBank(draft("x").Bank))
	f.Add([]byte(bankMagic + "\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := parseBank(data)
		if err == nil && !bytes.Equal(encodeBank(b), data) {
			t.Error("a bank that was read is not written as it was")
		}
	})
}

func FuzzParseMeans(f *testing.F) {
	f.Add(encodeMeans(full("x").Means))
	f.Add([]byte("LINEMEAN\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\xc0\x7f"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMeans(data)
		if err == nil && !bytes.Equal(encodeMeans(m), data) {
			t.Errorf("means %+v are written otherwise", m)
		}
	})
}

func FuzzParsePictures(f *testing.F) {
	text, err := encodePictures(draft("x").Pictures)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		pictures, err := parsePictures(text)
		if err != nil {
			return
		}
		if again, err := encodePictures(pictures); err != nil {
			t.Error(err)
		} else if more, err := parsePictures(again); err != nil || len(more) != len(pictures) {
			t.Errorf("%d pictures became %d: %v", len(pictures), len(more), err)
		}
	})
}
