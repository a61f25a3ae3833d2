package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"linectl/internal/inspect/realset"
	"linectl/internal/part"
	"linectl/internal/sim/plc"
)

// TestDaemon takes a daemon through its life as systemd sees it: ready, alive, reload with a bad and a good
// config, a second daemon that is refused, stop.
func TestDaemon(t *testing.T) {
	r, pictures := testRig(t, 2*time.Second)
	path := filepath.Join(r.folder, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	// told waits until systemd is told so.
	told := func(what string) {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		message := make([]byte, 4096)
		for {
			n, err := socket.Read(message)
			if err != nil {
				log, _ := os.ReadFile(r.log())
				t.Fatalf("systemd was not told %s: %v\n%s", what, err, log)
			}
			if strings.Contains(string(message[:n]), what) {
				return
			}
		}
	}
	inspect := func(code part.Reason) {
		t.Helper()
		o, err := r.inspect(t.Context(), plc.Part{ID: "SN-1"}, pictures[0])
		pictures = pictures[1:]
		if err != nil || !o.Told || o.Code != code.Code() {
			t.Fatalf("the PLC was told %+v, %v; want code %d", o, err, code.Code())
		}
	}
	change := func(pattern, by string) {
		t.Helper()
		text, err := os.ReadFile(r.config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.config, regexp.MustCompile(pattern).ReplaceAll(text, []byte(by)), 0o640); err != nil {
			t.Fatal(err)
		}
	}

	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	told("READY=1")
	told("WATCHDOG=1")
	if err := r.ready(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	inspect(part.None)

	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"-c", r.config, "run"}, strings.NewReader(""), &bytes.Buffer{}, &stderr); code != 1 ||
		!strings.Contains(stderr.String(), "another linectl") {
		t.Errorf("a second daemon: exit code %d\n%s", code, stderr.String())
	}

	change(`name = "demo"\ncycle`, "nmae = \"demo\"\ncycle")
	if err := r.daemon.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	told("RELOADING=1\nMONOTONIC_USEC=")
	told("READY=1")
	inspect(part.None) // a bad config changes nothing

	change(`nmae = "demo"`, "name = \"demo\"\nmode = \"shadow\"")
	if err := r.daemon.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	told("RELOADING=1")
	told("READY=1")
	r.beat = r.plc.Tag("vision_heartbeat")
	if err := r.ready(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	inspect(part.Shadow)

	// Where nothing is inspected no recipe is needed: the PLC can be commissioned before there is one.
	change(`mode = "shadow"`, `mode = "maintenance"`)
	change(`recipe = "test"`, `recipe = ""`)
	if err := r.daemon.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	told("RELOADING=1")
	told("READY=1")
	r.beat = r.plc.Tag("vision_heartbeat")
	for deadline := time.Now().Add(time.Minute); r.plc.Tag("vision_heartbeat") == r.beat; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no heartbeat in maintenance")
		}
	}
	inspect(part.Maintenance)

	if err := r.stop(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	told("STOPPING=1")
	for tag, safe := range map[string]bool{"reject": true, "accept": false, "result_valid": false, "ready": false} {
		if r.plc.Tag(tag) != safe {
			t.Errorf("after the stop %s is %v", tag, r.plc.Tag(tag))
		}
	}
	// The record tells which config ran, and from when on.
	text, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := ask(t, 0, "-c", r.config, "query", "--events", "-o", "csv"); strings.Count(out, ",config,") != 3 || strings.Count(out, fmt.Sprintf("%x", sha256.Sum256(text))) != 1 || strings.Count(out, ",config-refused,") != 1 {
		t.Errorf("the log book says\n%s", out)
	}
	log, err := os.ReadFile(r.log())
	if err != nil {
		t.Fatal(err)
	}
	if want := "line.nmae: there is no such key; did you mean name?"; !strings.Contains(string(log), want) {
		t.Errorf("the log does not say %q:\n%s", want, log)
	}
}

// TestDemo runs the demo as a newcomer does, with rendered parts; fewer of them, for the race detector takes ten times as long.
func TestDemo(t *testing.T) { demoRun(t, "--parts", "12", "--training", "30") }

// TestDemoRealPictures runs it on pictures of real parts, where they are at hand.
func TestDemoRealPictures(t *testing.T) {
	figure := filepath.Join(realset.Folder(t), "figure")
	if _, err := os.Stat(figure); err != nil {
		t.Skipf("no real pictures: %v; LINECTL_DATA names their folder", err)
	}
	pictures := t.TempDir()
	for from, to := range map[string]string{"normal": "good", "anomaly": "bad"} {
		if err := os.Symlink(filepath.Join(figure, from), filepath.Join(pictures, to)); err != nil {
			t.Fatal(err)
		}
	}
	demoRun(t, "--parts", "24", "--pictures", pictures)
}

func demoRun(t *testing.T, args ...string) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "demo")
	var stdout, stderr bytes.Buffer
	// As a process of its own, for it starts the daemon as itself; the race detector takes its time.
	command := exec.CommandContext(t.Context(), "linectl", append([]string{"demo", "--folder", folder, "--cycle", "5s"}, args...)...)
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	t.Logf("%s", stdout.String())
	if _, err := os.Stat(filepath.Join(folder, "heatmap.png")); err != nil {
		t.Error(err)
	}
	// The commands that it proposes work.
	proposed := regexp.MustCompile(`(?m)^  \S+ (-c .*)$`).FindAllStringSubmatch(stdout.String(), -1)
	if len(proposed) != 3 {
		t.Fatalf("%d commands are proposed, want 3", len(proposed))
	}
	t.Chdir(t.TempDir()) // show writes its picture into the current folder
	for _, command := range proposed {
		if code := run(t.Context(), strings.Fields(command[1]), strings.NewReader(""), &stdout, &stderr); code != 0 {
			t.Errorf("linectl %s: exit code %d\n%s", command[1], code, stderr.String())
		}
	}
}
