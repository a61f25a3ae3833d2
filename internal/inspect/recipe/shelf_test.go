package recipe

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"linectl/internal/hint"
)

// TestRollbackLeadsBack: each rollback goes one step back and none goes forth again.
func TestRollbackLeadsBack(t *testing.T) {
	f := Folder(t.TempDir())
	for range 4 {
		save(t, f, "x")
	}
	activate := func(v int) {
		t.Helper()
		if err := f.Activate("x", v, Event{Who: "eva", Why: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	activate(2)
	activate(4)
	for _, want := range []int{2, 1} {
		previous, err := f.Previous("x")
		if err != nil || previous != want {
			t.Fatalf("previous is %d, %v; want %d", previous, err, want)
		}
		activate(previous)
	}
	if v, err := f.Previous("x"); hint.KindOf(err) != hint.NoMatch {
		t.Errorf("before the first there is %d, %v", v, err)
	}
	events, err := f.History("x")
	if err != nil || len(events) != 5 || events[1].Who != "eva" || events[1].Version != 2 || len(events[1].Hash) != 64 {
		t.Errorf("history %+v, %v", events, err)
	}
	put(t, filepath.Join(string(f), "x"), historyName, "{\n")
	if _, err := f.Previous("x"); hint.KindOf(err) != hint.Damage {
		t.Errorf("a damaged history: %v", err)
	}
}

// TestNumbersAreNotUsedAgain: records name recipes by version.
func TestNumbersAreNotUsedAgain(t *testing.T) {
	f := Folder(t.TempDir())
	save(t, f, "x")
	second := save(t, f, "x")
	if err := f.Remove("x", 1, Change{}); hint.KindOf(err) != hint.Usage {
		t.Errorf("the active version is removed: %v", err)
	}
	if err := f.Remove("x", 3, Change{}); hint.KindOf(err) != hint.Usage {
		t.Errorf("a version that is not there: %v", err)
	}
	put(t, second.Path, bankName, "damaged") // can be removed all the same
	if err := f.Remove("x", 2, Change{Who: "eva", Why: "damaged"}); err != nil {
		t.Fatal(err)
	}
	if r := save(t, f, "x"); r.Version != 3 {
		t.Errorf("the next version is %d", r.Version)
	}
	if versions, err := f.Versions("x"); err != nil || !slices.Equal(versions, []int{1, 3}) {
		t.Errorf("versions %v, %v", versions, err)
	}
}

func TestChallenges(t *testing.T) {
	f := Folder(t.TempDir())
	d := draft("x")
	d.Challenge = []Challenge{{Name: "scratch.png", Picture: []byte("one"), Kind: "scratch"}}
	if _, err := f.Save(d); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Active("x"); err == nil {
		t.Error("a first version is active before it has met its challenge pictures")
	}
	more := []Challenge{{Name: "hole.png", Picture: []byte("two")}, {Name: "again.png", Picture: []byte("one")}}
	if err := f.AddChallenges("x", more, Change{Who: "eva"}); err != nil {
		t.Fatal(err)
	}
	all, err := f.Challenges("x")
	if err != nil || len(all) != 2 || all[0].Name != "scratch.png" || all[0].Kind != "scratch" || string(all[1].Picture) != "two" {
		t.Fatalf("%+v, %v", all, err)
	}
	if _, err := f.RemoveChallenge("x", "dent.png", Change{}); hint.KindOf(err) != hint.NoMatch {
		t.Errorf("one that is not there: %v", err)
	}
	if gone, err := f.RemoveChallenge("x", all[0].SHA256[:10], Change{}); err != nil || gone.Name != "scratch.png" {
		t.Errorf("%+v, %v", gone, err)
	}
	if all, err = f.Challenges("x"); err != nil || len(all) != 1 || all[0].Name != "hole.png" {
		t.Errorf("%+v, %v", all, err)
	}
	put(t, filepath.Join(string(f), "x", challengeFolder), all[0].SHA256, "changed")
	if _, err := f.Challenges("x"); hint.KindOf(err) != hint.Damage {
		t.Errorf("a changed picture: %v", err)
	}
}

func exported(t testing.TB) []byte {
	t.Helper()
	f := Folder(t.TempDir())
	d := full("x")
	d.Challenge = []Challenge{{Name: "scratch.png", Picture: []byte("one")}}
	r, err := f.Save(d)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := f.Export(&file, "x", r.Version); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestExportAndImport(t *testing.T) {
	archive := exported(t)
	f := Folder(t.TempDir())
	first, err := f.Import(bytes.NewReader(archive), "", Change{Who: "eva"})
	if err != nil {
		t.Fatal(err)
	}
	want := full("x")
	want.Format, want.Version, want.Created, want.Hash, want.Path = Format, 1, first.Created, first.Hash, first.Path
	if !reflect.DeepEqual(first, want) {
		t.Errorf("imported\n%+v\nwant\n%+v", first, want)
	}
	if _, err := f.Active("x"); err == nil {
		t.Error("an imported version is active at once")
	}
	if all, err := f.Challenges("x"); err != nil || len(all) != 1 || string(all[0].Picture) != "one" {
		t.Errorf("challenge pictures %+v, %v", all, err)
	}
	if again, err := f.Import(bytes.NewReader(archive), "", Change{}); err != nil || again.Version != 1 {
		t.Errorf("a second time it is %+v, %v", again, err)
	}
	other, err := f.Import(bytes.NewReader(archive), "y", Change{Who: "eva"})
	if err != nil || other.Name != "y" || other.Version != 1 || other.Hash == first.Hash {
		t.Fatalf("under another name: %+v, %v", other, err)
	}
	if last := other.History[len(other.History)-1]; last.Who != "eva" || last.What != "imported from x@1, hash "+first.Hash {
		t.Errorf("history %+v", last)
	}
	g := Folder(t.TempDir())
	save(t, g, "x") // another x@1
	if r, err := g.Import(bytes.NewReader(archive), "", Change{}); err != nil || r.Version != 2 {
		t.Errorf("where the number is taken: %+v, %v", r, err)
	}
}

type entry struct {
	header tar.Header
	data   string
}

func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var file bytes.Buffer
	packed, err := gzip.NewWriterLevel(&file, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(packed)
	for _, e := range entries {
		if e.header.Typeflag == 0 {
			e.header.Typeflag = tar.TypeReg
		}
		if e.header.Typeflag == tar.TypeReg {
			e.header.Size = int64(len(e.data))
		}
		if err := archive.WriteHeader(&e.header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(e.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestHostileArchives: each is refused by name and leaves nothing behind, inside the folder or outside.
func TestHostileArchives(t *testing.T) {
	good := exported(t)
	for _, test := range []struct {
		name    string
		archive []byte
		want    string
	}{
		{"no archive", []byte("hello"), "EOF"},
		{"cut off", good[:len(good)/2], "EOF"},
		{"empty", pack(t), "holds no recipe"},
		{"path out of the folder", pack(t, entry{tar.Header{Name: "version/../../evil"}, "x"}), "is no plain name"},
		{"absolute path", pack(t, entry{tar.Header{Name: "/etc/cron.d/evil"}, "x"}), "is no plain name"},
		{"symbolic link", pack(t, entry{tar.Header{Name: "version/bank.f32", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, ""}), "is no plain file"},
		{"hard link", pack(t, entry{tar.Header{Name: "version/bank.f32", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}, ""}), "is no plain file"},
		{"device", pack(t, entry{tar.Header{Name: "version/null", Typeflag: tar.TypeChar}, ""}), "is no plain file"},
		{"a file twice", pack(t, entry{tar.Header{Name: "version/a"}, "x"}, entry{tar.Header{Name: "version/a"}, "y"}), "is there twice"},
		{"a file of something else", pack(t, entry{tar.Header{Name: "readme"}, "x"}), "belongs to no recipe"},
		{"seal that names a file outside", pack(t, entry{tar.Header{Name: "version/" + sealName}, strings.Repeat("0", 64) + "  ../../secret\n"}), "is not a hash and a name"},
		{"seal of nothing", pack(t, entry{tar.Header{Name: "version/" + sealName}, ""}), "recipe.toml is missing"},
	} {
		f := Folder(filepath.Join(t.TempDir(), "recipes"))
		_, err := f.Import(bytes.NewReader(test.archive), "", Change{})
		if hint.KindOf(err) != hint.Damage || !strings.Contains(err.Error(), test.want) || hint.Of(err) == "" {
			t.Errorf("%s: %v", test.name, err)
		}
		if _, err := os.Stat(string(f)); err == nil {
			t.Errorf("%s has left something in %s", test.name, f)
		}
	}
}

// TestArchiveBomb: what unpacks to more than any recipe holds is refused by what it announces.
func TestArchiveBomb(t *testing.T) {
	for _, size := range []int64{mostArchive + 1, math.MaxInt64} {
		var file bytes.Buffer
		packed := gzip.NewWriter(&file)
		archive := tar.NewWriter(packed)
		for _, h := range []tar.Header{{Name: "version/empty"}, {Name: "version/bank.f32", Size: size}} {
			if err := archive.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := packed.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := unpack(&file); err == nil || !strings.Contains(err.Error(), "holds more than 2048 MB") {
			t.Errorf("%v", err)
		}
	}
	many := make([]entry, mostFiles+1)
	for i := range many {
		many[i].header.Name = fmt.Sprintf("version/%d", i)
	}
	if _, err := unpack(bytes.NewReader(pack(t, many...))); err == nil || !strings.Contains(err.Error(), "files") {
		t.Errorf("%v", err)
	}
}

// TestManyPictures: a recipe of thousands of pictures comes back from its archive, and setting its threshold writes
// none of their copies anew.
func TestManyPictures(t *testing.T) {
	const pictures = 2100
	f := Folder(t.TempDir())
	d := draft("x")
	d.Pictures, d.Thumbnails = make([]Picture, pictures), make([][]byte, pictures)
	for i := range pictures {
		d.Pictures[i] = Picture{File: fmt.Sprintf("%d.png", i), SHA256: "00", Score: 1}
		d.Thumbnails[i] = fmt.Appendf(nil, "jpeg %d", i)
	}
	first, err := f.Save(d)
	if err != nil {
		t.Fatal(err)
	}
	revised := *first
	revised.Threshold.Value *= 2
	revised.Thumbnails = slices.Clone(first.Thumbnails)
	revised.Thumbnails[1] = []byte("another picture")
	second, err := f.Save(&revised)
	if err != nil {
		t.Fatal(err)
	}
	for name, same := range map[string]bool{thumbnailName(1): true, thumbnailName(2): false, thumbnailName(pictures): true, bankName: false} {
		a, errA := os.Stat(filepath.Join(first.Path, name))
		b, errB := os.Stat(filepath.Join(second.Path, name))
		if errA != nil || errB != nil || os.SameFile(a, b) != same {
			t.Errorf("%s is one file of both versions: %v; %v, %v", name, !same, errA, errB)
		}
	}
	if err := f.Remove("x", 1, Change{}); hint.KindOf(err) != hint.Usage { // the active one
		t.Error(err)
	}
	if err := errors.Join(f.Activate("x", 2, Event{}), f.Remove("x", 1, Change{})); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if _, err := f.Export(&archive, "x", 2); err != nil {
		t.Fatal(err)
	}
	back, err := Folder(t.TempDir()).Import(&archive, "", Change{})
	if err != nil {
		t.Fatal(err)
	}
	if back.Hash != second.Hash || !reflect.DeepEqual(back.Thumbnails, revised.Thumbnails) {
		t.Error("the recipe came back as another one")
	}
}

// FuzzUnpack: whatever is in an archive, what is taken from it has plain names.
func FuzzUnpack(f *testing.F) {
	f.Add(exported(f))
	f.Add(pack(f, entry{tar.Header{Name: "version/../x"}, "x"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := unpack(bytes.NewReader(data))
		if err != nil {
			return
		}
		for name := range files {
			if !filepath.IsLocal(name) {
				t.Errorf("%q is taken", name)
			}
		}
	})
}

func FuzzParseMaps(f *testing.F) {
	data, err := encodeMaps(full("x").Pictures)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(mapsMagic + "\xff\xff\xff\x00\xff\x3f\x00\x00\xff\x3f\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		maps, err := parseMaps(data)
		if err != nil {
			return
		}
		pictures := make([]Picture, len(maps))
		for i := range maps {
			pictures[i].Map = maps[i]
		}
		if again, err := encodeMaps(pictures); err != nil || !bytes.Equal(again, data) {
			t.Errorf("maps that were read are not written as they were: %v", err)
		}
	})
}

func FuzzParseGauss(f *testing.F) {
	f.Add([]byte(gaussMagic + "\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x80\x3f\x00\x00\x80\x3f"))
	f.Add([]byte(gaussMagic + "\x00\x40\x00\x00\x00\x40\x00\x00\x00\x40\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseGauss(data)
		if err == nil && !bytes.Equal(encodeGauss(m), data) {
			t.Error("a model that was read is not written as it was")
		}
	})
}

func FuzzParseChallenges(f *testing.F) {
	f.Add([]byte(`[{"name":"a","sha256":"` + strings.Repeat("0", 64) + `"}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parseChallenges(text)
		for _, c := range all {
			if err == nil && !filepath.IsLocal(c.SHA256) {
				t.Errorf("%q is taken", c.SHA256)
			}
		}
	})
}
