package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"linectl/internal/sim/plc"
)

// TestBadInput: whatever is wrong around linectl, one clear message says what, where, and what to do
// next, the exit code says of which kind it is, and nothing is lost.
func TestBadInput(t *testing.T) {
	r, pictures := testRig(t, time.Second)
	folder := r.folder
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		return path
	}
	read := func(path string) string {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	// changed is the rig's config with one line replaced.
	changed := func(name, pattern, by string) string {
		text := regexp.MustCompile("(?m)"+pattern).ReplaceAllString(read(r.config), by)
		if text == read(r.config) {
			t.Fatalf("the config has no %s", pattern)
		}
		return write(name, text)
	}
	whole := read(pictures[0])
	torn := write("torn/0001.png", whole[:len(whole)/2])
	for _, p := range pictures {
		write("torn/"+filepath.Base(p), read(p))
	}
	if err := os.MkdirAll(filepath.Join(folder, "empty"), 0o750); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(folder, "damaged/state/recipes")
	if err := os.CopyFS(damaged, os.DirFS(filepath.Join(folder, "state/recipes"))); err != nil {
		t.Fatal(err)
	}
	bank := []byte(read(filepath.Join(damaged, "test/1/bank.f32")))
	bank[len(bank)/2] ^= 1
	write("damaged/state/recipes/test/1/bank.f32", string(bank))
	wrongType, err := plc.Start(plc.Config{Folder: filepath.Join(folder, "wrong"), Tags: map[string]any{"reject": int16(1), "score": nil}})
	if err != nil {
		t.Fatal(err)
	}
	defer wrongType.Close()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()

	tests := []struct {
		name   string
		args   []string
		code   int
		stderr string // whole; FOLDER and PORT stand for this run's own
		stdout string // a part of it
	}{
		{
			name: "unreadable picture in training", code: 1,
			args: []string{"-c", r.config, "train", "other", "--good", filepath.Join(folder, "torn")},
			stderr: `pictures
linectl: 1 of 15 pictures cannot be read: picture FOLDER/torn/0001.png: is cut off: the file ends in the middle of the picture
linectl: hint: replace these files or take them away, then train again
`,
		},
		{
			name: "unreadable picture in inspection", code: 1,
			args: []string{"-c", r.config, "inspect", "test", torn, pictures[1]},
			stderr: `linectl: 1 of 2 pictures could not be inspected
linectl: hint: the detail of each says why
`,
			stdout: `picture FOLDER/torn/0001.png: is cut off: the file ends in the middle of the picture`,
		},
		{
			name: "empty folder", code: 2,
			args: []string{"-c", r.config, "train", "other", "--good", filepath.Join(folder, "empty")},
			stderr: `linectl: folder FOLDER/empty holds no picture; looked for .png .jpg .jpeg .bmp .tif .tiff .webp, in folders inside it too
linectl: hint: put the pictures there or name another folder
`,
		},
		{
			name: "recipe whose hash is wrong, run", code: 4,
			args: []string{"-c", changed("damaged.toml", `^state = .*$`, `state = "`+filepath.Join(folder, "damaged/state")+`"`), "run"},
			stderr: `linectl: recipe test@1 in FOLDER/damaged/state/recipes/test/1: bank.f32 is not what was sealed: its SHA-256 is HASH, the seal says HASH
linectl: hint: activate another version, restore this one from a backup, or train again; nothing of it is used
`,
		},
		{
			name: "recipe whose hash is wrong, verify", code: 4,
			args: []string{"-c", filepath.Join(folder, "damaged.toml"), "recipe", "verify"},
			stderr: `linectl: 1 of 1 recipe versions are damaged
linectl: hint: activate another version, restore the folder from a backup, or train again; the line uses nothing of a damaged version
`,
			stdout: `recipe test@1 in FOLDER/damaged/state/recipes/test/1: bank.f32 is not what was sealed`,
		},
		{
			name: "recipe that is not there", code: 2,
			args: []string{"-c", changed("norecipe.toml", `^recipe = .*$`, `recipe = "gone"`), "run"},
			stderr: `linectl: there is no recipe "gone" in FOLDER/state/recipes
linectl: hint: there is: test
`,
		},
		{
			name: "tag of the wrong type, tag that is not there", code: 1,
			args: []string{"-c", write("wrongtype.toml", strings.NewReplacer(r.plc.Endpoint(), wrongType.Endpoint(), filepath.Join(folder, "plc/plc.der"), wrongType.CertificateFile()).
				Replace(read(r.config))), "check", "--connect"},
			stderr: `linectl: 1 of 4 checks failed
`,
			stdout: `plc: 2 tags are wrong:
  plc.tags.reject: nsu=urn:linectl:simulated-plc;s="Inspect"."Reject": is Int16; allowed is Boolean
  plc.tags.score: nsu=urn:linectl:simulated-plc;s="Inspect"."Score": does not exist on the PLC
  next: correct [plc.tags], or the tag and its access rights in the PLC program; 'linectl check --connect' tries again
`,
		},
		{
			name: "missing certificate", code: 2,
			args: []string{"-c", changed("nocert.toml", `^server_certificate = .*\n`, ""), "run"},
			stderr: `linectl: the PLC's certificate is not there: FOLDER/state/pki/plc.der
linectl: hint: fetch it, compare its fingerprint with the PLC's and store it: 'linectl plc trust'
`,
		},
		{
			name: "disk without space", code: 1,
			args: []string{"-c", write("full.toml", read(r.config)+"\n[store]\nmin_free = \"900000TB\"\n"), "check", "--connect"},
			stderr: `linectl: 1 of 4 checks failed
`,
			stdout: `next: make room on that file system, or lower store.min_free
`,
		},
		{
			name: "port in use", code: 1,
			args: []string{"plc", "simulate", "--folder", filepath.Join(folder, "sim"), "--address", busy.Addr().String()},
			stderr: `linectl: simulated PLC: listen at PORT: listen tcp PORT: bind: address already in use
linectl: hint: another program listens there: end it, or choose another with --address
`,
		},
		{
			name: "no config", code: 2,
			args: []string{"-c", filepath.Join(folder, "no.toml"), "run"},
			stderr: `linectl: there is no config file FOLDER/no.toml
linectl: hint: name one with -c FILE, or start from configs/linectl.toml
`,
		},
		{
			name: "nothing found", code: 3,
			args: []string{"-c", r.config, "query", "--part", "nobody"},
			stderr: `linectl: no part in the record matches
linectl: hint: widen --since, or leave a condition out
`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), test.args, strings.NewReader(""), &stdout, &stderr)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			known := strings.NewReplacer(folder, "FOLDER", busy.Addr().String(), "PORT")
			said := regexp.MustCompile(`(?m)^time=.*\n`).ReplaceAllString(known.Replace(stderr.String()), "") // the daemon's log
			said = regexp.MustCompile(`\b[0-9a-f]{64}\b`).ReplaceAllString(said, "HASH")
			if said != test.stderr {
				t.Errorf("said\n%s\nwant\n%s", said, test.stderr)
			}
			if !strings.Contains(known.Replace(stdout.String()), test.stdout) {
				t.Errorf("printed\n%s\nwant in it\n%s", stdout.String(), test.stdout)
			}
		})
	}
}
