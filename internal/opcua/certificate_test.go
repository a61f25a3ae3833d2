package opcua

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linectl/internal/hint"
	"linectl/internal/opcua/pki"
	"linectl/internal/opcua/pki/pkitest"
	"linectl/internal/sim/plc"
)

const day = 24 * time.Hour

// The PLC's certificate has run out, comes from the future, or is revoked: no session, and the reason.
func TestServersCertificateIsChecked(t *testing.T) {
	for _, c := range []struct {
		name        string
		from, until time.Duration
		revoked     bool
		want, next  string // "" for a session
		notice      string
	}{
		{"sound", -day, 300 * day, false, "", "", ""},
		{"its clock is ahead", 20 * time.Hour, 300 * day, false, "", "", ""},
		{"ends soon", -day, 20 * day, false, "", "", "the PLC's certificate runs out on "},
		{"run out", -300 * day, -time.Hour, false, "the PLC's certificate ran out on ", "is this machine's clock wrong?", ""},
		{"from the future", 30 * day, 300 * day, false, "the PLC's certificate is valid only from ", "is this machine's clock wrong?", ""},
		{"revoked", -day, 300 * day, true, "the PLC's certificate: the certificate is revoked since ", "plc trust", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			certificate := pkitest.Identity(t, folder, "plc", c.from, c.until)
			p := startPLC(t, plc.Config{Folder: folder, Tags: map[string]any{}})
			cfg := configFor(p)
			if c.revoked {
				cfg.Revoked = filepath.Join(t.TempDir(), "list.crl")
				pkitest.Revoke(t, cfg.Revoked, certificate, day, certificate)
			}
			err := Check(t.Context(), cfg, certificates, 0)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want) || !strings.Contains(hint.Of(err), c.next)) {
				t.Errorf("%v, hint %q", err, hint.Of(err))
			}
			if c.revoked && !errors.Is(err, pki.ErrRevoked) {
				t.Errorf("%v is not ErrRevoked", err)
			}
			if c.want != "" {
				return
			}
			know, err := know(cfg, certificates)
			if err != nil {
				t.Fatal(err)
			}
			notices, err := know.valid(certificate, time.Now())
			if err != nil || (len(notices) > 0) != (c.notice != "") || c.notice != "" && !strings.HasPrefix(notices[0], c.notice) {
				t.Errorf("notices %q, %v", notices, err)
			}
		})
	}
}

func TestRevocationLists(t *testing.T) {
	folder := t.TempDir()
	issuer, other := pkitest.Identity(t, t.TempDir(), "issuer", -day, day), pkitest.Identity(t, t.TempDir(), "bystander", -day, day)
	pkitest.Revoke(t, filepath.Join(folder, "old.crl"), issuer, -time.Hour, issuer)
	if err := os.WriteFile(filepath.Join(folder, "issuer.der"), issuer.Raw, 0o644); err != nil {
		t.Fatal(err)
	}
	lists, err := pki.ReadRevoked(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := lists.Check(issuer); !errors.Is(err, pki.ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	if err := lists.Check(other); err != nil {
		t.Errorf("not revoked: %v", err)
	}
	if out := lists.Outdated(time.Now()); len(out) != 1 || filepath.Base(out[0]) != "old.crl" {
		t.Errorf("out of date: %v", out)
	}

	// A bundle, as authorities give them out: the issuer's certificate, another's list and then the one that counts.
	alien := filepath.Join(t.TempDir(), "alien.crl")
	pkitest.Revoke(t, alien, other, time.Hour, other)
	var bundle []byte
	for _, block := range []struct{ kind, file string }{{"CERTIFICATE", filepath.Join(folder, "issuer.der")}, {"X509 CRL", alien}, {"X509 CRL", filepath.Join(folder, "old.crl")}} {
		content, err := os.ReadFile(block.file)
		if err != nil {
			t.Fatal(err)
		}
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: block.kind, Bytes: content})...)
	}
	whole := filepath.Join(t.TempDir(), "bundle.pem")
	os.WriteFile(whole, bundle, 0o644)
	if lists, err = pki.ReadRevoked(whole); err != nil || !errors.Is(lists.Check(issuer), pki.ErrRevoked) || !errors.Is(lists.Check(other), pki.ErrRevoked) {
		t.Errorf("of a bundle: %v, %v, %v", err, lists.Check(issuer), lists.Check(other))
	}
	os.WriteFile(whole, append(bundle, "rubbish"...), 0o644)
	if _, err := pki.ReadRevoked(whole); err == nil {
		t.Error("rubbish behind a bundle is passed over")
	}
	if _, err := pki.ReadRevoked(filepath.Join(folder, "issuer.der")); err == nil || !strings.Contains(err.Error(), "holds no revocation list") {
		t.Errorf("a certificate alone: %v", err)
	}

	// A list that does not bear its issuer's signature, and something that is no list.
	forged := filepath.Join(folder, "old.crl")
	content, err := os.ReadFile(forged)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-1] ^= 1
	os.WriteFile(forged, content, 0o644)
	if _, err := pki.ReadRevoked(folder); err == nil || !strings.Contains(err.Error(), "was not signed by its issuer") {
		t.Errorf("forged: %v", err)
	}
	os.WriteFile(forged, []byte("no list"), 0o644)
	cfg := goodConfig()
	cfg.SecurityPolicy, cfg.SecurityMode = "Basic256Sha256", "SignAndEncrypt"
	cfg.ServerCertificate, cfg.Revoked = filepath.Join(certificates, "plc.der"), folder
	if _, err := New(cfg, certificates, nil, nil); err == nil || !strings.Contains(err.Error(), "old.crl is no revocation list") || hint.KindOf(err) != hint.Usage {
		t.Errorf("no list: %v", err)
	}
	cfg.Revoked = filepath.Join(folder, "none")
	if _, err := New(cfg, certificates, nil, nil); err == nil || !strings.HasPrefix(err.Error(), "revocation lists: stat ") {
		t.Errorf("a place that is not there: %v", err)
	}
}

// keeper hears what goes into the record.
type keeper struct {
	ear
	notes chan string
}

func (k keeper) Note(kind, detail string) { k.notes <- kind + ": " + detail }

// linectl's own certificate is about to run out: its follower is made, told in log and record, and takes over.
func TestOwnCertificateIsRenewed(t *testing.T) {
	folder := t.TempDir()
	pkitest.Identity(t, folder, Name, -300*day, 40*day)
	p := startPLC(t, plc.Config{})
	cfg := configFor(p)
	var logged bytes.Buffer
	k := keeper{make(ear, 100), make(chan string, 10)}
	l, err := New(cfg, folder, k, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var told string
	select {
	case told = <-k.notes:
	case <-time.After(patience):
		t.Fatal("nothing was told")
	}
	connectedAgain(t, k.ear) // with the present one
	stop()
	<-done
	next, err := pki.Next(folder, Name)
	if err != nil || next == nil {
		t.Fatalf("%v, %v", next, err)
	}
	want := "trust the next one on the PLC before, " + next.File + ", SHA-256 " + pki.Fingerprint(next.Certificate)
	if !strings.HasPrefix(told, "plc-link: linectl's certificate runs out on ") || !strings.Contains(told, want) || !strings.Contains(logged.String(), want) {
		t.Errorf("told %q\nlogged %s", told, logged.String())
	}

	// On the last day it is the one that the PLC sees.
	pkitest.Identity(t, folder, Name, -300*day, time.Hour)
	p.Withdraw()
	only := startPLC(t, plc.Config{Trusted: [][]byte{next.Certificate}})
	if err := Check(t.Context(), configFor(only), folder, 0); err != nil {
		t.Errorf("with the follower: %v", err)
	}
	now, err := pki.Open(folder, Name)
	if err != nil || !bytes.Equal(now.Certificate, next.Certificate) || now.File != filepath.Join(folder, Name+".der") {
		t.Errorf("%+v, %v", now, err)
	}
	if shown, err := pki.Read(now.File); err != nil || !bytes.Equal(shown, now.Certificate) {
		t.Errorf("the copy for the PLC: %v", err)
	}
	if again, err := pki.Next(folder, Name); err != nil || again != nil {
		t.Errorf("one more: %v, %v", again, err)
	}
}

func TestInsecureIsTold(t *testing.T) {
	k := keeper{make(ear, 100), make(chan string, 10)}
	l, err := New(insecure(t), certificates, k, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	defer func() { stop(); <-done }()
	select {
	case told := <-k.notes:
		if !strings.Contains(told, "insecure = true: the link to the PLC is neither signed nor encrypted") {
			t.Error(told)
		}
	case <-time.After(patience):
		t.Error("nothing was told")
	}
}

func TestSecrets(t *testing.T) {
	folder := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil { // past the umask
			t.Fatal(err)
		}
		return file
	}
	sound := write("sound", " a secret \r\n", 0o640)
	everybody := write("everybody", "x", 0o644)
	empty := write("empty", "\n", 0o600)
	for _, c := range []struct{ place, credentials, want, err string }{
		{sound, "", " a secret ", ""},
		{"credential:sound", folder, " a secret ", ""},
		{"credential:sound", "", "", "credential:sound: systemd handed over no credentials ($CREDENTIALS_DIRECTORY is not set)"},
		{"credential:none", folder, "", "open " + folder + "/none: no such file or directory"},
		{everybody, "", "", everybody + " can be read by everybody on this machine (mode 0644)"},
		{empty, "", "", empty + " is empty"},
	} {
		t.Setenv("CREDENTIALS_DIRECTORY", c.credentials)
		got, err := secret(c.place)
		if got != c.want || c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err) {
			t.Errorf("%s: %q, %v; want %q, %s", c.place, got, err, c.want, c.err)
		}
	}
	for _, place := range []string{"credential:", "credential:a/b", "credential:.."} {
		cfg := goodConfig()
		cfg.User, cfg.PasswordFile = "line", place
		if problems := cfg.Check(); len(problems) != 1 || problems[0].Key != "password_file" {
			t.Errorf("%s: %v", place, problems)
		}
	}
}

// A key that others can read is not used.
func TestKeyOfEverybody(t *testing.T) {
	folder := t.TempDir()
	pkitest.Identity(t, folder, Name, -day, 300*day)
	file := filepath.Join(folder, Name+".pem")
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.Open(folder, Name); err == nil || !strings.HasSuffix(err.Error(), "can be read by others than its owner (mode 0640)") || hint.KindOf(err) != hint.Usage {
		t.Errorf("%v", err)
	}
}
