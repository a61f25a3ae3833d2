package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"linectl/internal/hint"
)

func shipped(t testing.TB) string {
	document, err := os.ReadFile("../../configs/linectl.toml")
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

// TestShippedConfig: the annotated file is right, names every key, and what it has commented out is
// the default.
func TestShippedConfig(t *testing.T) {
	document := shipped(t)
	plain, mistakes := Parse([]byte(document))
	if len(mistakes) > 0 {
		t.Fatal((&Error{"linectl.toml", mistakes}).Error())
	}
	// A commented key has no space after the #; a comment has one.
	commented := regexp.MustCompile(`(?m)^#(\w+ *=)`)
	full, mistakes := Parse([]byte(commented.ReplaceAllString(document, "$1")))
	if len(mistakes) > 0 {
		t.Fatal((&Error{"linectl.toml", mistakes}).Error())
	}
	tags := full.PLC.Tags
	full.PLC.Tags = plain.PLC.Tags // optional tags have no default, only an example
	if !reflect.DeepEqual(full, plain) {
		t.Errorf("a value that is commented out is not the default:\n%+v\n%+v", full, plain)
	}
	for i := range reflect.TypeOf(tags).NumField() {
		if reflect.ValueOf(tags).Field(i).String() == "" {
			t.Errorf("plc.tags.%s is not in the file", reflect.TypeOf(tags).Field(i).Tag.Get("toml"))
		}
	}
	var keys func(reflect.Type)
	keys = func(of reflect.Type) {
		for _, f := range reflect.VisibleFields(of) {
			name := f.Tag.Get("toml")
			if !regexp.MustCompile(`(?m)^(#?` + name + ` *=|\[+(plc\.)?` + name + `\]+)`).MatchString(document) {
				t.Errorf("%s.%s is not in the file", of, name)
			}
			if kind := f.Type.Kind(); kind == reflect.Struct {
				keys(f.Type)
			} else if kind == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
				keys(f.Type.Elem())
			}
		}
	}
	keys(reflect.TypeFor[Config]())
}

// TestMistakes: each mistake has its place and its own words, and all of a file are reported at once.
func TestMistakes(t *testing.T) {
	change := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(shipped(t)) }
	line := func(document, at string) string {
		return regexp.MustCompile(`(?s)^.*?` + regexp.QuoteMeta(at)).FindString(document)
	}
	tests := []struct {
		name, document string
		want           []string // LINE stands for the line on which the second column is found
		at             string
	}{
		{"unknown key", change(`name = "press 4"`, `nmae = "press 4"`), []string{"LINE:1: line.nmae: there is no such key; did you mean name?"}, "nmae"},
		{"unknown section", shipped(t) + "\n[forward]\nto = 1\n", []string{"LINE:2: forward: there is no such key"}, "[forward]"},
		{"bare number", change(`#cycle = "500ms"`, `cycle = 400`), []string{"LINE:1: line.cycle: is no text; write it in quotes"}, "cycle = 400"},
		{"no unit", change(`#cycle = "500ms"`, `cycle = "400"`), []string{`LINE:1: line.cycle: "400" is not a duration; write a number with a unit: 5ms, 2s, 1h30m`}, `cycle = "400"`},
		{"out of range", change(`#cycle = "500ms"`, `cycle = "2h"`), []string{"7:2: line.ack_timeout: 5s is shorter than line.cycle (2h0m0s); the PLC needs time to take the result",
			"LINE:1: line.cycle: 2h0m0s is out of range; allowed is more than 0s, up to 1m"}, `cycle = "2h"`},
		{"unknown mode", change(`#mode = "auto"`, `mode = "fast"`), []string{`LINE:1: line.mode: "fast" is not a mode; choose auto, shadow, bypass or maintenance`}, `mode = "fast"`},
		{"unknown keep", change(`#keep = "rejects"`, `keep = "some"`), []string{`LINE:1: store.keep: "some" is not known; choose rejects, all or none`}, `keep = "some"`},
		{"wrong type", change(`#threads = 0`, `threads = "two"`), []string{"LINE:11: inspect.threads: is a TOML string; write a whole number"}, `threads = "two"`},
		{"truth", change(`#insecure = false`, `insecure = "no"`), []string{"LINE:12: plc.insecure: is a TOML string; write true or false"}, `insecure = "no"`},
		{"amount of storage", change(`#min_free = "2GB"`, `min_free = "2 apples"`), []string{`LINE:1: store.min_free: "2 apples" is not an amount of storage; write a number with a unit: 500MB, 2GB, 1TB`}, `min_free = "2 apples"`},
		{"missing camera", shipped(t)[:strings.Index(shipped(t), "[[camera]]")] + "[inspect]\nrecipe = \"a\"\n", []string{"1:1: camera: no camera is configured; add a section [[camera]] with name and source"}, ""},
		{"second camera", shipped(t) + "\n[[camera]]\nname = \"b\"\nsource = \"v4l2:/dev/video1\"\n", []string{"LINE:3: camera[1]: a line has one camera in this version; remove the other 1"}, "[[camera]]\nname = \"b\""},
		{"relative state", change(`#state = "/var/lib/linectl"`, `state = "var"`), []string{`LINE:1: state: "var" is not an absolute path; a daemon has no folder of its own to start from`}, `state = "var"`},
		{"two masters", change(`#listen = ""`, `listen = "0.0.0.0:4840"`, `#clients = []`, `clients = ["plc.der"]`), []string{"LINE:1: vision.listen: is set beside plc.endpoint; a line has one master"}, `listen = "0.0.0.0:4840"`},
		{"capital letter", change(`#cycle = "500ms"`, `Cycle = 400`), []string{"LINE:1: line.Cycle: there is no such key; did you mean line.cycle?", "LINE:1: line.cycle: is no text; write it in quotes"}, `Cycle = 400`},
		{"capital section", change("[store]", "[Store]", `#quota = "0B"`, `quota = 200`), []string{"LINE:2: Store: there is no such key; did you mean store?", "store.quota: is no text; write it in quotes"}, "[Store]"},
		{"capitals in a camera", change(`#timeout = "1s"`, `Timeout = "10s"`), []string{"LINE:1: camera[0].Timeout: there is no such key; did you mean camera[0].timeout?"}, `Timeout = "10s"`},
		{"section in a line", "store = { quota = 200 }\n" + strings.Replace(shipped(t), "[store]", "", 1), []string{"1:1: store: is a section: give it a heading of its own, and each of its keys a line"}, ""},
		{"no TOML", "[line\nname = 1", []string{"1:6: expected ']' to close table name"}, ""},
		{"key twice", change(`name = "press 4"`, "name = \"a\"\nname = \"b\""), []string{"LINE:1: line.name: key name is already defined"}, "name = \"b\""},
		{"two at once", change(`name = "press 4"`, `name = ""`, `#threads = 0`, `threads = -1`), []string{
			"line.name: is empty; give the station the name that it has in the plant", "inspect.threads: -1 is out of range; allowed is 0 (every core) to 64"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, mistakes := Parse([]byte(test.document))
			got := strings.Split((&Error{"f", mistakes}).Error(), "\n")
			place := "f:"
			if test.at != "" {
				number := 1 + strings.Count(line(test.document, test.at), "\n") - strings.Count(test.at, "\n")
				for i := range test.want {
					test.want[i] = strings.Replace(test.want[i], "LINE", strconv.Itoa(number), 1)
				}
			}
			if len(got) != len(test.want) {
				t.Fatalf("%d mistakes, want %d:\n%s", len(got), len(test.want), strings.Join(got, "\n"))
			}
			for i, want := range test.want {
				if !strings.Contains(got[i], want) && !strings.HasPrefix(got[i], place+want) {
					t.Errorf("got  %s\nwant %s", got[i], want)
				}
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	folder := t.TempDir()
	_, err := Load(filepath.Join(folder, "no.toml"))
	if want := "there is no config file " + filepath.Join(folder, "no.toml"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if hint.KindOf(err) != hint.Usage || hint.Of(err) == "" {
		t.Errorf("kind %d, hint %q", hint.KindOf(err), hint.Of(err))
	}
}

// FuzzParse: no document crashes the reader or keeps it for ever, and every mistake has a place in it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(shipped(f)))
	f.Add([]byte("[[camera]]\n[[camera]]\nname=1\n[plc.tags]\nreject = {a=1}\n"))
	f.Add([]byte("line.cycle = 1\nline = 3\n[line]\n"))
	f.Fuzz(func(t *testing.T, document []byte) {
		_, mistakes := Parse(document)
		lines := strings.Count(string(document), "\n") + 1
		for _, m := range mistakes {
			if m.Line < 1 || m.Line > lines || m.Column < 1 || m.Message == "" {
				t.Errorf("%+v in a document of %d lines", m, lines)
			}
		}
	})
}
