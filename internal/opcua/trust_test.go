package opcua

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/hint"
	"linectl/internal/opcua/pki"
	"linectl/internal/sim/plc"
)

func TestCheckWritesNothing(t *testing.T) {
	p := startPLC(t, plc.Config{OnWrite: func(w map[string]any) { t.Errorf("wrote %v", w) }})
	if err := Check(t.Context(), configFor(p), certificates, 0); err != nil {
		t.Error(err)
	}
	noneLeft(t)
}

func TestWrongTags(t *testing.T) {
	const next = "correct [plc.tags], or the tag and its access rights in the PLC program; 'linectl check --connect' tries again"
	p := startPLC(t, plc.Config{ReadOnly: []string{"busy"}})
	whole := configFor(p)
	whole.Tags.Busy = ""
	whole.Profile = Standard
	for _, c := range []struct {
		name string
		tags map[string]any // at the PLC
		edit func(*Tags)
		want string
	}{
		{"type", map[string]any{"reject": int16(0)}, nil,
			`plc.tags.reject: nsu=urn:linectl:simulated-plc;s="Inspect"."Reject": is Int16; allowed is Boolean`},
		{"counter", map[string]any{"trigger_seq": int32(0)}, nil,
			`plc.tags.trigger_seq: nsu=urn:linectl:simulated-plc;s="Inspect"."TriggerSeq": is Int32; allowed is UInt16 or UInt32`},
		{"widths", map[string]any{"result_seq": uint32(0)}, nil,
			`plc.tags.result_seq: nsu=urn:linectl:simulated-plc;s="Inspect"."ResultSeq": is UInt32; it must have the type of trigger_seq, UInt16`},
		{"array", map[string]any{"accept": []bool{false}}, nil,
			`plc.tags.accept: nsu=urn:linectl:simulated-plc;s="Inspect"."Accept": is an array of Boolean; allowed is Boolean: name the node of one element`},
		{"access", nil, func(t *Tags) { t.Busy = p.Tags()["busy"] },
			`plc.tags.busy: nsu=urn:linectl:simulated-plc;s="Inspect"."Busy": cannot be written by this user`},
		{"unknown node", nil, func(t *Tags) { t.Score = `ns=1;s="Inspect"."Sorce"` },
			`plc.tags.score: ns=1;s="Inspect"."Sorce": does not exist on the PLC; there is nsu=urn:linectl:simulated-plc;s="Inspect"."Score"`},
		{"unknown namespace", nil, func(t *Tags) { t.Score = `nsu=urn:other;s=Score` },
			`plc.tags.score: nsu=urn:other;s=Score: the PLC has no namespace urn:other; it has http://opcfoundation.org/UA/, urn:linectl:simulated-plc`},
		{"the same node", nil, func(t *Tags) { t.Score = `ns=01;s="Inspect"."Reject"` },
			`plc.tags.score: ns=01;s="Inspect"."Reject": is the same node as plc.tags.reject`},
		{"all at once", map[string]any{"reject": "no", "accept": float32(1)}, func(t *Tags) { t.Ready = "ns=7;i=1" },
			`3 tags are wrong:
plc.tags.accept: nsu=urn:linectl:simulated-plc;s="Inspect"."Accept": is Float; allowed is Boolean
plc.tags.ready: ns=7;i=1: does not exist on the PLC
plc.tags.reject: nsu=urn:linectl:simulated-plc;s="Inspect"."Reject": is String; allowed is Boolean`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for key, value := range c.tags {
				defer p.Set(key, p.Tag(key))
				p.Set(key, value)
			}
			cfg := whole
			if c.edit != nil {
				c.edit(&cfg.Tags)
			}
			err := Check(t.Context(), cfg, certificates, 0)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if hint.Of(err) != next {
				t.Errorf("hint %q, want %q", hint.Of(err), next)
			}
		})
	}
}

// A wrong tag does not end the daemon: the PLC program may be put right meanwhile.
func TestWrongTagIsPutRight(t *testing.T) {
	p := startPLC(t, plc.Config{Tags: map[string]any{"reject": int16(0)}})
	_, heard := calmLink(t, configFor(p))
	got := heard.want(t, "disconnected")
	if !strings.Contains(got.err.Error(), "is Int16; allowed is Boolean") {
		t.Errorf("heard %q", got)
	}
	p.Set("reject", true)
	heard.want(t, "connected")
}

func TestCertificates(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "plc.der")
	garbage := filepath.Join(t.TempDir(), "plc.der")
	if err := os.WriteFile(garbage, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := pki.Open(certificates, Name)
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.Open(certificates, "other")
	if err != nil {
		t.Fatal(err)
	}
	usual := startPLC(t, plc.Config{})
	for _, c := range []struct {
		name string
		plc  plc.Config
		edit func(*Config)
		want string // how the error begins; "" for none
		hint string // what the hint holds
		kind hint.Kind
	}{
		{"pinned file", plc.Config{}, nil, "", "", 0},
		{"pinned fingerprint", plc.Config{}, func(c *Config) {
			certificate, _ := pki.Read(c.ServerCertificate)
			c.ServerCertificate, c.ServerSHA256 = "", strings.ToLower(pki.Fingerprint(certificate))
		}, "", "", 0},
		{"no file", plc.Config{}, func(c *Config) { c.ServerCertificate = missing },
			"the PLC's certificate is not there: " + missing, "'linectl plc trust'", hint.Usage},
		{"unreadable file", plc.Config{}, func(c *Config) { c.ServerCertificate = garbage },
			"the PLC's certificate: " + garbage + " is no certificate", "'linectl plc trust'", hint.Usage},
		{"another PLC", plc.Config{Name: "other"}, func(c *Config) { c.ServerCertificate = filepath.Join(certificates, "plc.der") },
			"the PLC shows a certificate that is not the trusted one: its SHA-256 is " + pki.Fingerprint(other.Certificate), "linectl plc trust", hint.Failure},
		{"another fingerprint", plc.Config{}, func(c *Config) { c.ServerCertificate, c.ServerSHA256 = "", pki.Fingerprint(other.Certificate) },
			"the PLC shows a certificate that is not the trusted one", "linectl plc trust", hint.Failure},
		{"linectl is trusted", plc.Config{Trusted: [][]byte{own.Certificate}}, nil, "", "", 0},
		{"linectl is not trusted", plc.Config{Trusted: [][]byte{other.Certificate}}, nil,
			"the PLC does not trust linectl's certificate (BadSecurityChecksFailed)", own.File + ", SHA-256 " + pki.Fingerprint(own.Certificate), hint.Failure},
		{"user", plc.Config{User: "line", Pass: "wrong"}, func(c *Config) { c.User, c.PasswordFile = "line", password }, "", "", 0},
		{"wrong password", plc.Config{User: "line", Pass: "secret"}, func(c *Config) { c.User, c.PasswordFile = "line", password },
			`the PLC refuses user "line" (BadUserAccessDenied)`, "plc.password_file", hint.Failure},
		{"no user", plc.Config{User: "line", Pass: "secret"}, nil, "the PLC wants a user name", "plc.user", hint.Usage},
		{"user not wanted", plc.Config{}, func(c *Config) { c.User, c.PasswordFile = "line", password },
			"the PLC takes no user names at this endpoint", "plc.user", hint.Usage},
		{"no password file", plc.Config{}, func(c *Config) { c.User, c.PasswordFile = "line", missing },
			`password of PLC user "line": open ` + missing, "plc.password_file", hint.Usage},
		{"policy not offered", plc.Config{Policy: "Aes256_Sha256_RsaPss", Mode: ua.MessageSecurityModeSignAndEncrypt}, nil,
			"the PLC does not offer Basic256Sha256/SignAndEncrypt; it offers Aes256_Sha256_RsaPss/SignAndEncrypt", "plc.security_policy", hint.Failure},
		{"another policy", plc.Config{Policy: "Aes256_Sha256_RsaPss", Mode: ua.MessageSecurityModeSignAndEncrypt}, func(c *Config) { c.SecurityPolicy = "Aes256_Sha256_RsaPss" }, "", "", 0},
		{"only signed", plc.Config{Policy: "Basic256Sha256", Mode: ua.MessageSecurityModeSign}, func(c *Config) { c.SecurityMode = "Sign" }, "", "", 0},
		{"no security", plc.Config{Policy: "None", Mode: ua.MessageSecurityModeNone},
			func(c *Config) {
				c.SecurityPolicy, c.SecurityMode, c.Insecure, c.ServerCertificate = "None", "None", true, ""
			}, "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := usual
			if !reflect.ValueOf(c.plc).IsZero() {
				p = startPLC(t, c.plc)
			}
			cfg := configFor(p)
			if c.edit != nil {
				c.edit(&cfg)
			}
			err := Check(t.Context(), cfg, certificates, 0)
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want == "":
				return
			case err == nil || !strings.HasPrefix(err.Error(), c.want):
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if !strings.Contains(hint.Of(err), c.hint) {
				t.Errorf("hint %q, want %q in it", hint.Of(err), c.hint)
			}
			if hint.KindOf(err) != c.kind {
				t.Errorf("kind %d, want %d", hint.KindOf(err), c.kind)
			}
		})
	}
	noneLeft(t)
}

func TestFetch(t *testing.T) {
	p := startPLC(t, plc.Config{})
	got, err := Fetch(t.Context(), configFor(p))
	if err != nil || !bytes.Equal(got, p.Certificate()) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// Every signal has its tag at the simulated PLC, and the other way round.
func TestSignalsMatchThePLC(t *testing.T) {
	p := startPLC(t, plc.Config{})
	var keys []string
	for s := range signals {
		keys = append(keys, table[s].key)
	}
	slices.Sort(keys)
	if got := slices.Sorted(maps.Keys(p.Tags())); !slices.Equal(got, keys) {
		t.Errorf("the PLC has %v\nthe table has %v", got, keys)
	}
}
