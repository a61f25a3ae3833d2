package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reloading is a program with a config that can be opened and a PLC that is not there.
func reloading(t *testing.T) (p *program, text string) {
	folder := t.TempDir()
	text = fmt.Sprintf(`state = %q
[line]
name = "press 4"
mode = "bypass"
[plc]
endpoint = "opc.tcp://127.0.0.1:1"
profile = "minimal"
server_sha256 = "%s"
[plc.tags]
part_present = "ns=1;i=1"
reject = "ns=1;i=2"
result_valid = "ns=1;i=3"
[[camera]]
name = "top"
source = "drop:%s"
`, filepath.Join(folder, "state"), strings.Repeat("ab", 32), folder)
	p = &program{configPath: filepath.Join(folder, "linectl.toml"), output: "table", out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	return p, text
}

func (p *program) write(t *testing.T, text string) *reading {
	t.Helper()
	if err := os.WriteFile(p.configPath, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := p.read()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestReloadRehearses: a config that can be read and not be opened is refused while the old line still runs.
func TestReloadRehearses(t *testing.T) {
	p, good := reloading(t)
	old := p.write(t, good)
	folder := filepath.Dir(p.configPath)
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte("nonsense\n"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	pin := fmt.Sprintf("server_sha256 = %q", strings.Repeat("ab", 32))
	source := "drop:" + folder
	plc := good[strings.Index(good, "[plc]"):strings.Index(good, "[[camera]]")]
	own := filepath.Join(folder, "state/pki/linectl.der")
	tests := []struct{ name, instead, by, want string }{
		{"no such certificate", pin, `server_certificate = "/none/plc.der"`, "/none/plc.der"},
		{"no such password file", pin, pin + "\nuser = \"u\"\npassword_file = \"/none/password\"", "/none/password"},
		{"a password that everybody reads", pin, pin + "\nuser = \"u\"\npassword_file = \"" + file("password", 0o644) + "\"", "can be read by everybody"},
		{"no revocation list", pin, pin + "\nrevoked = \"" + file("revoked", 0o600) + "\"", "revo"},
		{"no such folder", source, "drop:/none/inbox", "there is no folder /none/inbox"},
		{"no such device", source, "v4l2:/dev/none", "there is no device /dev/none"},
		{"no such client", plc, "[vision]\nlisten = \"127.0.0.1:0\"\nclients = [\"/none/client.der\"]\n", "/none/client.der"},
		{"an address that is taken", plc, "[vision]\nlisten = \"" + taken.Addr().String() + "\"\nclients = [\"" + own + "\"]\n", "address already in use"},
		{"another folder", "/state", "/elsewhere", "cannot move to another folder"},
		{"no recipe", `mode = "bypass"`, "mode = \"auto\"\n[inspect]\nrecipe = \"none\"", "none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p.write(t, strings.ReplaceAll(good, test.instead, test.by))
			if _, err := p.reload(old); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %q", err, test.want)
			}
		})
	}
	p.write(t, good)
	if _, err := p.reload(old); err != nil {
		t.Error(err)
	}
}

// pipe puts a pipe in place of the config: who reads it waits for what is written.
func pipe(t *testing.T, p *program) {
	t.Helper()
	if err := os.RemoveAll(p.configPath); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(p.configPath, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSumIsOfTheConfigThatRuns: a config that is exchanged while it is read is not taken for the one that was read.
func TestSumIsOfTheConfigThatRuns(t *testing.T) {
	p, first := reloading(t)
	second := p.configPath + ".new"
	if err := os.WriteFile(second, []byte(strings.ReplaceAll(first, "press 4", "press 5")), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe(t, p)
	wrote := make(chan error, 1)
	go func() {
		file, err := os.OpenFile(p.configPath, os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteString(first)
			err = errors.Join(err, os.Rename(second, p.configPath), file.Close())
		}
		wrote <- err
	}()
	r, err := p.read()
	if err = errors.Join(err, <-wrote); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte(first))); r.Line.Name != "press 4" || !strings.HasSuffix(r.sum, want) {
		t.Errorf("of %s the record has %s; want %s", r.Line.Name, r.sum, want)
	}
}

// TestStopDuringARehearsal: the end of the line is not held up by a reload that takes long.
func TestStopDuringARehearsal(t *testing.T) {
	p, good := reloading(t)
	now := p.write(t, good)
	quiet := slog.New(slog.DiscardHandler)
	s, err := openStation(t.Context(), now.Config, quiet)
	if err != nil {
		t.Fatal(err)
	}
	pipe(t, p) // nobody writes: the rehearsal does not end
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	hup := make(chan os.Signal)
	ended := make(chan error, 1)
	go func() {
		next, err := p.serveUntilReload(ctx, s, now, hup, quiet)
		if next != nil {
			err = errors.Join(err, errors.New("there is a next config"))
		}
		ended <- err
	}()
	hup <- syscall.SIGHUP
	stop()
	select {
	case err := <-ended:
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the line goes on")
	}
	file, err := os.OpenFile(p.configPath, os.O_WRONLY, 0) // lets the rehearsal go
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
}

// TestChange: a config with which the line cannot be opened after all leaves the line with the old one, and
// "config reloaded" is said of none but a line that was opened with it.
func TestChange(t *testing.T) {
	p, good := reloading(t)
	var log bytes.Buffer
	quiet := slog.New(slog.NewTextHandler(&log, nil))
	old := p.write(t, good)
	next := p.write(t, strings.ReplaceAll(good, "drop:", "drop:/none"))
	s, now, err := p.change(t.Context(), old, next, quiet)
	if err != nil || now != old || s == nil {
		t.Fatalf("%v; the config is %s", err, now.sum)
	}
	s.close()
	if said := log.String(); strings.Contains(said, "config reloaded") || !strings.Contains(said, "goes on with the old one") || !strings.Contains(said, "/none") {
		t.Errorf("the log says\n%s", said)
	}
	next = p.write(t, strings.ReplaceAll(good, "bypass", "maintenance"))
	if s, now, err = p.change(t.Context(), old, next, quiet); err != nil || now != next {
		t.Fatal(err)
	}
	s.close()
	if said := log.String(); !strings.Contains(said, "config reloaded") {
		t.Errorf("the log says\n%s", said)
	}
	if out, _ := ask(t, 0, "-c", p.configPath, "query", "--events", "-o", "csv"); strings.Count(out, ",config-refused,") != 1 || strings.Count(out, ",config-reloaded,") != 1 {
		t.Errorf("the log book says\n%s", out)
	}
	// With neither it ends, and says why of both.
	broken := p.write(t, strings.ReplaceAll(good, "drop:", "drop:/gone"))
	if _, _, err := p.change(t.Context(), broken, broken, quiet); err == nil || strings.Count(err.Error(), "/gone") != 2 {
		t.Errorf("%v", err)
	}
}

// TestKeepAwake: systemd hears of the daemon while no line runs.
func TestKeepAwake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	done := keepAwake(slog.New(slog.DiscardHandler))
	defer done()
	if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 100)
	for range 2 {
		if n, err := socket.Read(message); err != nil || string(message[:n]) != "WATCHDOG=1" {
			t.Fatalf("%q, %v", message[:n], err)
		}
	}
}
