package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/setting"
)

func TestOpenRefuses(t *testing.T) {
	_, r, cfg, folders := trained(t)
	other := filepath.Join(t.TempDir(), "other.onnx")
	model, err := os.ReadFile("../../backbones/" + network.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	card, err := os.ReadFile("../../backbones/linectl_resnet18.toml")
	if err != nil {
		t.Fatal(err)
	}
	// Another file with the same content is the same network; one more byte makes it another.
	if err := os.WriteFile(other, model, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimSuffix(other, ".onnx")+".toml", card, 0o644); err != nil {
		t.Fatal(err)
	}
	same := cfg
	same.Backbone = other
	i, err := Open(same, folders, quiet)
	if err != nil {
		t.Fatal(err)
	}
	i.Close()

	changed := *r
	changed.Manifest.Backbone.SHA256 = strings.Repeat("0", 64)
	if _, err := OpenRecipe(cfg, folders, &changed, quiet); err == nil || hint.KindOf(err) != hint.Usage ||
		!strings.HasPrefix(err.Error(), "recipe plate@1 was trained with backbone linectl_resnet18 (SHA-256 000000000000…); ") {
		t.Errorf("a recipe of another network: %v", err)
	}
	none := cfg
	none.Recipe = ""
	if _, err := Open(none, folders, quiet); err == nil || err.Error() != "inspect.recipe is empty" {
		t.Errorf("no recipe: %v", err)
	}
	path := filepath.Join(r.Path, "bank.f32")
	bank, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bank[len(bank)/2] ^= 1
	if err := os.WriteFile(path, bank, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg, folders, quiet); hint.KindOf(err) != hint.Damage {
		t.Errorf("a changed bank: %v", err)
	}
}

func TestTrainRefuses(t *testing.T) {
	cfg, folders, o := bench(t)
	dir := t.TempDir()
	few := filepath.Join(dir, "few")
	for i := range 20 {
		save(t, filepath.Join(few, fmt.Sprintf("%d.png", i)), plate(uint64(i%5), false)) // each four times
	}
	broken := filepath.Join(dir, "broken")
	for i := range 14 {
		save(t, filepath.Join(broken, fmt.Sprintf("%d.png", i)), plate(uint64(i), false))
	}
	many := filepath.Join(dir, "many")
	if err := os.CopyFS(many, os.DirFS(broken)); err != nil {
		t.Fatal(err)
	}
	for folder, names := range map[string][]string{broken: {"2.png", "7.png"}, many: {"0.png", "1.png", "2.png", "3.png", "4.png", "5.png", "6.png"}} {
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(folder, name), bytes.Repeat([]byte("x"), 64), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*TrainOptions)
		want   string
	}{
		{"name", func(o *TrainOptions) { o.Name = "a b" }, `"a b" is not a recipe name; use letters, digits, '.', '_' and '-', at most 64, the first a letter or digit`},
		{"bank", func(o *TrainOptions) { o.Bank = -1 }, "a bank of -1 vectors is out of range; allowed is 1 to 65536"},
		{"target", func(o *TrainOptions) { o.Target = 5000 }, "5000 false rejects in 10,000 cannot be promised; allowed is 1 to 1000"},
		{"size", func(o *TrainOptions) { o.Size = picture.Size{Width: 100, Height: 64} }, "input size 100x64: backbone linectl_resnet18 needs multiples of 32"},
		{"empty folder", func(o *TrainOptions) { o.Good = empty }, "folder " + empty + " holds no picture; looked for .png .jpg .jpeg .bmp .tif .tiff .webp, in folders inside it too"},
		{"copies", func(o *TrainOptions) { o.Good = few }, "folder " + few + " holds 5 different pictures; at least 12 are needed, 100 or more are better"},
		{"unreadable", func(o *TrainOptions) { o.Good = broken }, "2 of 14 pictures cannot be read: picture " + broken + "/2.png: is no JPEG, PNG, BMP, TIFF or WebP; picture " + broken + "/7.png: is no JPEG, PNG, BMP, TIFF or WebP"},
	} {
		var notes []string
		changed := o
		changed.Note = func(text string) { notes = append(notes, text) }
		test.change(&changed)
		if _, err := Train(t.Context(), cfg, folders, changed, nil); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
		if test.name == "unreadable" && len(notes) > 0 {
			t.Errorf("the error names both; notes: %q", notes)
		}
	}
	var notes []string
	changed := o
	changed.Good, changed.Note = many, func(text string) { notes = append(notes, text) }
	_, err := Train(t.Context(), cfg, folders, changed, nil)
	if said := fmt.Sprint(err, notes); !strings.Contains(said, "7 of 14 pictures cannot be read") || !strings.Contains(said, "and 2 more") {
		t.Error(said)
	} else {
		for i := range 7 {
			if name := fmt.Sprintf("many/%d.png:", i); strings.Count(said, name) != 1 {
				t.Errorf("%s is not named once: %s", name, said)
			}
		}
	}
	// The trial of the network in 8 bits learns from the first half, which is none here: training names the pictures.
	changed.BackbonePrecision = Auto
	if _, err := Train(t.Context(), cfg, folders, changed, nil); err == nil || !strings.Contains(err.Error(), "7 of 14 pictures cannot be read") {
		t.Errorf("with the trial of 8 bits: %v", err)
	}
	elsewhere := folders
	elsewhere.Recipes = filepath.Join(broken, "1.png")
	if _, err := Train(t.Context(), cfg, elsewhere, o, nil); err == nil ||
		err.Error() != "recipe plate cannot be kept in "+elsewhere.Recipes+": "+elsewhere.Recipes+"/plate: not a directory" {
		t.Errorf("a file in place of the folder of recipes: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	_, err = Train(ctx, cfg, folders, o, func(stage string, _, _ int) {
		if stage == "all pictures" {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if versions, err := recipe.Folder(folders.Recipes).Versions(o.Name); err != nil || len(versions) != 0 {
		t.Errorf("versions %v are left behind, %v", versions, err)
	}
}

func TestConfigCheck(t *testing.T) {
	ok := DefaultConfig()
	ok.Recipe = "bracket-a"
	if problems := ok.Check(); len(problems) != 0 {
		t.Errorf("%v", problems)
	}
	want := []setting.Problem{
		{Key: "device", Message: `"gpu" is no device; allowed is cpu, cuda:N and tensorrt:N for GPU N from 0, openvino:CPU, openvino:GPU and openvino:NPU:fp16; :fp16 may follow tensorrt:N and openvino:GPU`},
		{Key: "threads", Message: "-1 is out of range; allowed is 0 (every core) to 64"},
	}
	if got := (Config{Device: "gpu", Threads: -1}).Check(); !reflect.DeepEqual(got, want) {
		t.Errorf("problems %v, want %v", got, want)
	}
}
