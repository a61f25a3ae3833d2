package opcua

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"linectl/internal/hint"
	"linectl/internal/opcua/pki"
	"linectl/internal/part"
)

// foreign are simulated PLCs whose OPC UA nobody of this project wrote, where set-up put them.
func foreign(t testing.TB, name string) *exec.Cmd {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	installed := filepath.Join(root, ".tools/interop", name)
	if _, err := os.Stat(installed); errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%s is not there: 'scripts/setup.sh test' brings it", installed)
	}
	switch name {
	case "node":
		cmd := exec.Command("node", filepath.Join(root, "tools/interop/node/plc.js"))
		cmd.Env = append(os.Environ(), "LINECTL_INTEROP_NODE="+installed)
		return cmd
	default:
		cmd := exec.Command("python3", filepath.Join(root, "tools/interop/asyncua/plc.py"))
		cmd.Env = append(os.Environ(), "PYTHONPATH="+installed)
		return cmd
	}
}

// foreignPLC is a running one.
type foreignPLC struct {
	in  io.WriteCloser
	out *bufio.Scanner
	cfg Config
}

func startForeign(t testing.TB, name string, profile Profile, parts int, user, password string) foreignPLC {
	return startForeignWith(t, name, profile, parts, user, password, false, 0)
}

// startForeignWith starts one that has, where it is open, no security at all (node only), or whose clock is behind (asyncua only).
func startForeignWith(t testing.TB, name string, profile Profile, parts int, user, password string, open bool, behind time.Duration) foreignPLC {
	identity, err := pki.Open(certificates, "plc")
	if err != nil {
		t.Fatal(err)
	}
	order, err := json.Marshal(map[string]any{
		"certificate": filepath.Join(certificates, map[string]string{"node": "plc.pem", "asyncua": "plc.der"}[name]), "key": filepath.Join(certificates, "plc.pem"), "uri": identity.URI,
		"trusted": filepath.Join(certificates, Name+".der"), "user": user, "password": password, "profile": profile, "parts": parts, "open": open, "behind": behind.Seconds(),
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := foreign(t, name)
	cmd.Args = append(cmd.Args, string(order))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := foreignPLC{in: in, out: bufio.NewScanner(out), cfg: Default()}
	t.Cleanup(func() {
		in.Close()
		kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	var begun struct {
		Endpoint string
		Tags     map[string]string
	}
	p.line(t, &begun)
	p.cfg.Endpoint, p.cfg.Profile, p.cfg.ServerCertificate = begun.Endpoint, profile, filepath.Join(certificates, "plc.der")
	if open {
		p.cfg.SecurityPolicy, p.cfg.SecurityMode, p.cfg.Insecure, p.cfg.ServerCertificate = policyNone, modeNone, true, ""
	}
	tags := reflect.ValueOf(&p.cfg.Tags).Elem()
	for i := range tags.NumField() {
		tags.Field(i).SetString(begun.Tags[tags.Type().Field(i).Tag.Get("toml")])
	}
	return p
}

// check is Check, again while the server does not answer: one that was just started may be busy with itself.
func (p foreignPLC) check(t testing.TB, cycle time.Duration) (err error) {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if err = Check(t.Context(), p.cfg, certificates, cycle); outage(err, Failed) != Unreachable {
			break
		}
	}
	return err
}

func (p foreignPLC) line(t testing.TB, into any) {
	t.Helper()
	if !p.out.Scan() {
		t.Fatalf("the PLC ended: %v", p.out.Err())
	}
	if err := json.Unmarshal(p.out.Bytes(), into); err != nil {
		t.Fatalf("%s: %v", p.out.Text(), err)
	}
}

// Servers that nobody here wrote: signed and encrypted, every profile, with and without a user.
func TestForeignServers(t *testing.T) {
	const parts = 6
	for _, name := range []string{"node", "asyncua"} {
		for i, profile := range append(slices.Clone(profiles), Standard) {
			source := Polling
			if i >= len(profiles) {
				source = Subscribing
			}
			t.Run(fmt.Sprintf("%s/%s/%s", name, profile, source), func(t *testing.T) {
				t.Parallel()
				user, password := "", ""
				if profile == Full {
					user, password = "line", "a long secret"
				}
				p := startForeign(t, name, profile, parts, user, password)
				p.cfg.Trigger = source
				if user != "" {
					p.cfg.User, p.cfg.PasswordFile = user, filepath.Join(t.TempDir(), "password")
					if err := os.WriteFile(p.cfg.PasswordFile, []byte("wrong\n"), 0o600); err != nil {
						t.Fatal(err)
					}
					if err := Check(t.Context(), p.cfg, certificates, 0); err == nil {
						t.Error("a wrong password was accepted")
					}
					if err := os.WriteFile(p.cfg.PasswordFile, []byte(password+"\n"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				stranger := t.TempDir()
				if err := Check(t.Context(), p.cfg, stranger, 0); err == nil {
					t.Error("a client that is not trusted was let in")
				}
				heard := make(ear, 64)
				l, err := New(p.cfg, certificates, heard, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				l.limits = calm()
				done := make(chan error)
				ctx, stop := context.WithCancel(context.Background())
				go func() { done <- l.Run(ctx) }()
				defer func() { stop(); <-done }()
				connectedAgain(t, heard) // the first try may find the server still busy with itself
				beat(t, l)
				fmt.Fprintln(p.in, "begin")
				for n := uint32(1); n <= parts; n++ {
					trigger := heard.want(t, "triggered").trigger
					if profile != Minimal && trigger.Sequence != (part.Sequence{Value: n, Bits: 16}) {
						t.Errorf("part %d: sequence %s", n, trigger.Sequence)
					}
					if want := fmt.Sprint("P", n); profile == Full && (trigger.PartID != want || trigger.Lot != "L7") {
						t.Errorf("part %d: %+v", n, trigger)
					}
					result := part.Result{Trigger: trigger, Verdict: part.Pass, Reason: part.None, Score: 0.5}
					if n%2 == 0 {
						result.Verdict, result.Reason = part.Reject, part.Anomaly
					}
					if err := l.Answer(t.Context(), result); err != nil {
						t.Fatal(err)
					}
					heard.want(t, "withdrawn")
					if err := l.Clear(t.Context()); err != nil {
						t.Fatal(err)
					}
					var o struct {
						Seq        uint32
						Told, Pass bool
						Code       int16
						Part       string
					}
					p.line(t, &o)
					if o.Seq != n || !o.Told || o.Pass != (n%2 == 1) {
						t.Errorf("the PLC's view of part %d: %+v", n, o)
					}
					if profile == Full && o.Part != trigger.PartID {
						t.Errorf("part %d was told as %q", n, o.Part)
					}
				}
			})
		}
	}
}

// A user may prove itself by a certificate that the PLC trusts; one that it does not know is refused.
func TestUserCertificate(t *testing.T) {
	p := startForeign(t, "node", Standard, 0, "", "")
	p.cfg.UserCertificate = filepath.Join(certificates, Name+".pem") // the one that this PLC trusts
	if err := p.check(t, 0); err != nil {
		t.Error(err)
	}
	p.cfg.UserCertificate = filepath.Join(certificates, "other.pem")
	if err := p.check(t, 0); outage(err, Failed) != UserRefused {
		t.Errorf("a stranger: %v", err)
	}
	p.cfg.UserCertificate = filepath.Join(certificates, Name+".der")
	if _, err := New(p.cfg, certificates, nil, nil); err == nil || hint.KindOf(err) != hint.Usage {
		t.Errorf("no key: %v", err)
	}
	noneLeft(t)
}
