package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"linectl/internal/hint"
	"linectl/internal/opcua"
	"linectl/internal/opcua/pki"
	"linectl/internal/sim/plc"
)

// plcProgram is a program with the config of a line whose PLC is at the endpoint.
func plcProgram(t *testing.T, sim *plc.PLC, server string) (p *program, folder string) {
	t.Helper()
	folder = t.TempDir()
	text := fmt.Sprintf("state = %q\n", folder)
	for line := range strings.SplitAfterSeq(sim.Section(), "\n") {
		if strings.HasPrefix(line, "server_certificate") {
			line = server
		}
		text += line
	}
	text += "\n[[camera]]\nname = \"top\"\nsource = \"drop:" + folder + "\"\n\n[inspect]\nrecipe = \"bracket\"\n"
	config := filepath.Join(folder, "linectl.toml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &program{configPath: config, output: "table"}, folder
}

// plcCommandLine runs one 'linectl plc' command with a person who types answer.
func plcCommandLine(p *program, answer string, args ...string) (out string, err error) {
	var b, asked bytes.Buffer
	p.in, p.out, p.err = strings.NewReader(answer), &b, &asked
	c := p.plcCommand()
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetArgs(args)
	err = c.ExecuteContext(context.Background())
	return b.String(), err
}

func TestPLCTrust(t *testing.T) {
	sim, err := plc.Start(plc.Config{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	p, folder := plcProgram(t, sim, "")
	file := filepath.Join(folder, "pki", "plc.der")
	fingerprint := "SHA-256      " + pki.Fingerprint(sim.Certificate())

	for _, answer := range []string{"", "\n", "n\n", "yeah, why not\n"} {
		out, err := plcCommandLine(p, answer, "trust")
		if err == nil || err.Error() != "not confirmed; nothing was changed" || !strings.Contains(out, fingerprint) {
			t.Errorf("answer %q: %v\n%s", answer, err, out)
		}
		if _, err := os.Stat(file); err == nil {
			t.Fatalf("answer %q: it was stored", answer)
		}
	}
	out, err := plcCommandLine(p, "y\n", "trust")
	if err != nil || !strings.HasSuffix(out, "trusted: "+file+"\n") {
		t.Errorf("yes: %v\n%s", err, out)
	}
	if stored, err := pki.Read(file); err != nil || !bytes.Equal(stored, sim.Certificate()) {
		t.Errorf("stored: %v", err)
	}
	out, err = plcCommandLine(p, "", "trust")
	if err != nil || !strings.HasSuffix(out, "it is trusted already: "+file+"\n") {
		t.Errorf("again: %v\n%s", err, out)
	}

	// Another PLC in the place of the trusted one is never taken without a word.
	other, err := pki.Open(t.TempDir(), "other")
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.Keep(file, other.Certificate); err != nil {
		t.Fatal(err)
	}
	out, err = plcCommandLine(p, "", "trust", "--yes")
	if err != nil || !strings.Contains(out, "it would replace the one that is trusted now, SHA-256 "+pki.Fingerprint(other.Certificate)) {
		t.Errorf("another: %v\n%s", err, out)
	}
}

func TestPLCTrustWithFingerprintInConfig(t *testing.T) {
	sim, err := plc.Start(plc.Config{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	p, _ := plcProgram(t, sim, fmt.Sprintf("server_sha256 = %q\n", pki.Fingerprint(sim.Certificate())))
	_, err = plcCommandLine(p, "", "trust", "--yes")
	if err == nil || err.Error() != "plc.server_sha256 pins the PLC's certificate already" || hint.KindOf(err) != hint.Usage {
		t.Errorf("got %v", err)
	}
}

func TestPLCCert(t *testing.T) {
	sim, err := plc.Start(plc.Config{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	p, folder := plcProgram(t, sim, "")
	first, err := plcCommandLine(p, "", "cert")
	if err != nil {
		t.Fatal(err)
	}
	own, err := pki.Open(filepath.Join(folder, "pki"), "linectl")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{own.File, own.URI, pki.Fingerprint(own.Certificate)} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is missing in\n%s", want, first)
		}
	}
	if again, err := plcCommandLine(p, "", "cert"); err != nil || again != first {
		t.Errorf("the second time: %v\n%s", err, again)
	}
}

func TestPLCSimulate(t *testing.T) {
	p := &program{output: "table"}
	folder := t.TempDir()
	out, err := plcCommandLine(p, "", "simulate", "--address", "127.0.0.1:0", "--folder", folder, "--count", "2", "--limit", "10ms", "--rate", "6000")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"[plc]\nendpoint = \"opc.tcp://127.0.0.1:", "[plc.tags]\n", "P000001", "P000002", "REJECT", "no result within 10ms"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, "P000003") {
		t.Error("it did not end after two parts")
	}

	sim, err := plc.Start(plc.Config{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	_, err = plcCommandLine(p, "", "simulate", "--address", sim.Address(), "--folder", folder)
	if err == nil || !strings.Contains(hint.Of(err), "choose another with --address") {
		t.Errorf("address in use: %v, hint %q", err, hint.Of(err))
	}
	_, err = plcCommandLine(p, "", "simulate", "--rate", "0")
	if err == nil || err.Error() != "--rate 0 is out of range; allowed is more than 0, up to 60000" || hint.KindOf(err) != hint.Usage {
		t.Errorf("rate 0: %v", err)
	}
}

// A config that lacks tags, camera and recipe is good enough to probe with.
func TestPLCProbe(t *testing.T) {
	sim, err := plc.Start(plc.Config{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	p, folder := plcProgram(t, sim, fmt.Sprintf("server_certificate = %q\n", sim.CertificateFile()))
	text := fmt.Sprintf("state = %q\n[plc]\nendpoint = %q\nserver_certificate = %q\n", folder, sim.Endpoint(), sim.CertificateFile())
	if err := os.WriteFile(p.configPath, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := plcCommandLine(p, "", "probe")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Basic256Sha256  SignAndEncrypt  anonymous  " + pki.Fingerprint(sim.Certificate()),
		"urn:linectl:simulated-plc",
		"not configured; found by its name",
		"readings: p50 ", "subscription at best every 10.00 ms, sampled every 10.00 ms", "this machine", `profile = "full"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	// What it prints is a [plc] section that works.
	section := out[strings.LastIndex(out, "[plc]\n"):]
	text = fmt.Sprintf("state = %q\n%s[[camera]]\nname = \"top\"\nsource = \"drop:%s\"\n[inspect]\nrecipe = \"bracket\"\n", folder, section, folder)
	if err := os.WriteFile(p.configPath, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := p.load()
	if err != nil {
		t.Fatal(err)
	}
	if err := opcua.Check(t.Context(), cfg.PLC, cfg.PKI(), 0); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(p.configPath, []byte("[plc]\nendpoint = \"192.0.2.1\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := plcCommandLine(p, "", "probe"); err == nil || !strings.Contains(err.Error(), `plc.endpoint: "192.0.2.1" is no endpoint`) {
		t.Errorf("a wrong endpoint: %v", err)
	}
}

// A link is set up from nothing but an address: own certificate, trust, probe, and the section that it prints.
func TestPLCFromAnAddress(t *testing.T) {
	sim, err := plc.Start(plc.Config{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	folder := t.TempDir()
	p := &program{configPath: filepath.Join(folder, "linectl.toml"), output: "table"}
	write := func(text string) {
		if err := os.WriteFile(p.configPath, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(fmt.Sprintf("state = %q\n", folder))
	if out, err := plcCommandLine(p, "", "cert"); err != nil || !strings.Contains(out, filepath.Join(folder, "pki", "linectl.der")) {
		t.Errorf("cert: %v\n%s", err, out)
	}
	if _, err := plcCommandLine(p, "", "trust", "--yes"); hint.KindOf(err) != hint.Usage || !strings.Contains(err.Error(), "plc.endpoint: is missing") {
		t.Errorf("trust without an address: %v", err)
	}
	if out, err := plcCommandLine(p, "", "probe", sim.Endpoint()); hint.KindOf(err) != hint.Usage || !strings.Contains(out, "Basic256Sha256") {
		t.Errorf("probe of an address: %v\n%s", err, out)
	}
	if _, err := plcCommandLine(p, "", "probe", "192.0.2.10"); hint.KindOf(err) != hint.Usage || !strings.Contains(err.Error(), "write opc.tcp://HOST:PORT") {
		t.Errorf("probe of no address: %v", err)
	}
	if out, err := plcCommandLine(p, "n\n", "trust", sim.Endpoint()); err == nil || !strings.Contains(out, pki.Fingerprint(sim.Certificate())) {
		t.Errorf("trust of an address: %v\n%s", err, out)
	}
	write(fmt.Sprintf("state = %q\n[plc]\nendpoint = %q\n", folder, sim.Endpoint()))
	if _, err := plcCommandLine(p, "", "probe"); hint.KindOf(err) != hint.Usage || !strings.Contains(hint.Of(err), "linectl plc trust") {
		t.Errorf("probe without trust: %v", err)
	}
	if _, err := plcCommandLine(p, "", "trust", "--yes"); err != nil {
		t.Errorf("trust: %v", err)
	}
	if _, err := plcCommandLine(p, "", "probe", "--watch"); hint.KindOf(err) != hint.Usage || !strings.Contains(err.Error(), "no tag is configured") {
		t.Errorf("watch without tags: %v", err)
	}
	out, err := plcCommandLine(p, "", "probe")
	if err != nil {
		t.Fatal(err)
	}
	write(fmt.Sprintf("state = %q\n%s[[camera]]\nname = \"top\"\nsource = \"drop:%s\"\n[inspect]\nrecipe = \"bracket\"\n", folder, out[strings.LastIndex(out, "[plc]\n"):], folder))
	cfg, err := p.load()
	if err != nil {
		t.Fatal(err)
	}
	if err := opcua.Check(t.Context(), cfg.PLC, cfg.PKI(), 0); err != nil {
		t.Error(err)
	}
}

// What a PLC calls itself and its tags cannot look like a line of linectl's: nobody vouches for it before it is trusted.
func TestPLCCannotForgeALine(t *testing.T) {
	folder := t.TempDir()
	own, err := pki.Open(folder, "plc")
	if err != nil {
		t.Fatal(err)
	}
	template, err := x509.ParseCertificate(own.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	template.RawSubject, template.Subject = nil, pkix.Name{CommonName: "plc\n  SHA-256      AA:BB\x1b[8m"}
	forged, err := x509.CreateCertificate(rand.Reader, template, template, own.Key.Public(), own.Key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(own.Key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: forged})...)
	if err := os.WriteFile(filepath.Join(folder, "plc.pem"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	sim, err := plc.Start(plc.Config{Folder: folder, Tags: map[string]any{"part_id": "A\x1b[2K\nB"}})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	p, _ := plcProgram(t, sim, "")
	out, err := plcCommandLine(p, "y\n", "trust")
	if err != nil || strings.Count(out, "\n  SHA-256 ") != 2 || strings.Contains(out, "\x1b") || !strings.Contains(out, `plc\n  SHA-256`) {
		t.Errorf("trust: %v\n%q", err, out)
	}
	out, err = plcCommandLine(p, "", "probe")
	if err != nil || strings.Contains(out, "\x1b") || !strings.Contains(out, `A\x1b[2K\nB`) {
		t.Errorf("probe: %v\n%q", err, out)
	}
}
