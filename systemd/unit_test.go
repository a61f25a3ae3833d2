// Package systemd_test holds the service unit against systemd's own checks, and the installer against
// what it promises.
package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// greatestExposure is what 'systemd-analyze security' may find at most, in tenths: 25 is 2.5 of 10.
const greatestExposure = "25"

// unit writes the unit, as installed for a program that is there, and returns its path.
func unit(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not here; the Debian package systemd has it")
	}
	text := read(t, "linectl.service")
	path := filepath.Join(t.TempDir(), "linectl.service")
	text = strings.ReplaceAll(text, "/usr/bin/linectl", "/bin/true")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestUnitIsWellFormed(t *testing.T) {
	out, err := exec.Command("systemd-analyze", "verify", unit(t)).CombinedOutput()
	// Only what is said of this unit counts: some systems have broken ones of their own.
	if strings.Contains(string(out), "linectl.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func TestUnitIsHardened(t *testing.T) {
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+greatestExposure, unit(t)).CombinedOutput()
	overall := regexp.MustCompile(`Overall exposure level for linectl\.service: ([0-9.]+)`).FindSubmatch(out)
	if overall == nil {
		t.Fatalf("systemd-analyze security names no exposure: %v\n%s", err, out)
	}
	t.Logf("exposure %s of 10", overall[1])
	if err != nil {
		t.Errorf("exposure %s is above %s tenths: %v\n%s", overall[1], greatestExposure, err, out)
	}
}

// Some settings are promises to the line, whatever the exposure says of them.
func TestUnitKeepsItsPromises(t *testing.T) {
	lines := strings.Split(read(t, "linectl.service"), "\n")
	for _, want := range []string{
		"Type=notify", "WatchdogSec=10", // a line that hangs is restarted
		"Restart=always", "RestartSec=2", "StartLimitIntervalSec=0", // for ever
		"TimeoutStartSec=120", "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'",
		"User=linectl", "StateDirectory=linectl", "RuntimeDirectory=linectl", "ConfigurationDirectory=linectl",
		"ProtectSystem=strict", "CapabilityBoundingSet=", "SystemCallFilter=@system-service",
		"DevicePolicy=closed", "DeviceAllow=char-video4linux rw", "DeviceAllow=char-usb_device rw", // cameras
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("the unit lacks %s", want)
		}
	}
	for _, line := range lines {
		for _, never := range []string{"PrivateDevices=", "MemoryDenyWriteExecute=", "ProcSubset="} {
			if strings.HasPrefix(line, never) {
				t.Errorf("the unit has %s", line)
			}
		}
	}
}

// tree lists the files below a folder.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestInstallAndUninstall(t *testing.T) {
	built, target := t.TempDir(), t.TempDir()
	for _, name := range []string{"linectl", "lib/libonnxruntime.so.1", "backbones/net.onnx", "backbones/net.toml"} {
		path := filepath.Join(built, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(verb, from string) (string, error) {
		c := exec.Command("../scripts/install.sh", verb)
		c.Env = append(os.Environ(), "DESTDIR="+target, "PREFIX=/opt/here", "FROM="+from)
		out, err := c.CombinedOutput()
		return string(out), err
	}

	if out, err := run("install", t.TempDir()); err == nil || !strings.Contains(out, "run 'make build' first") {
		t.Errorf("without a build: %v\n%s", err, out)
	}
	if out, err := run("install", built); err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	installed := []string{
		"/etc/linectl/linectl.toml",
		"/opt/here/bin/linectl",
		"/opt/here/lib/linectl/libonnxruntime.so.1",
		"/opt/here/lib/systemd/system/linectl-backup.service",
		"/opt/here/lib/systemd/system/linectl-backup.timer",
		"/opt/here/lib/systemd/system/linectl.service",
		"/opt/here/share/linectl/backbones/net.onnx",
		"/opt/here/share/linectl/backbones/net.toml",
		"/usr/lib/sysusers.d/linectl.conf",
	}
	if got := tree(t, target); !slices.Equal(got, installed) {
		t.Errorf("installed %q, want %q", got, installed)
	}
	if text := read(t, target+"/opt/here/lib/systemd/system/linectl.service"); !strings.Contains(text, "\nExecStart=/opt/here/bin/linectl run ") {
		t.Error("the unit does not start the program where it was installed")
	}

	// What the plant has written stays, whatever is installed or taken away.
	config := target + "/etc/linectl/linectl.toml"
	if err := os.WriteFile(config, []byte("own"), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"install", "uninstall", "uninstall"} {
		if out, err := run(verb, built); err != nil {
			t.Fatalf("%s: %v\n%s", verb, err, out)
		}
		if read(t, config) != "own" {
			t.Fatalf("%s changed the config", verb)
		}
	}
	if got := tree(t, target); !slices.Equal(got, []string{"/etc/linectl/linectl.toml"}) {
		t.Errorf("after uninstall there are %q", got)
	}
}

// TestBackupUnits: the timer and its service hold against the same checks.
func TestBackupUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not here; the Debian package systemd has it")
	}
	folder := t.TempDir()
	for _, name := range []string{"linectl-backup.service", "linectl-backup.timer"} {
		text := strings.ReplaceAll(read(t, name), "/usr/bin/linectl", "/bin/true")
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", filepath.Join(folder, name)).CombinedOutput()
		if strings.Contains(string(out), "linectl-backup") {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
	if out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+greatestExposure, filepath.Join(folder, "linectl-backup.service")).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
