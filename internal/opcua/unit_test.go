package opcua

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/hint"
	"linectl/internal/part"
)

func goodConfig() Config {
	cfg := Default()
	cfg.Endpoint = "opc.tcp://192.0.2.10:4840"
	tags := reflect.ValueOf(&cfg.Tags).Elem()
	for i := range tags.NumField() {
		tags.Field(i).SetString("ns=3;s=" + tags.Type().Field(i).Name)
	}
	return cfg
}

func TestConfigMistakes(t *testing.T) {
	if problems := goodConfig().Check(); len(problems) > 0 {
		t.Errorf("a good config: %v", problems)
	}
	for _, c := range []struct {
		edit func(*Config)
		want string
	}{
		{func(c *Config) { c.Endpoint = "" }, "endpoint: is missing; write opc.tcp://HOST:PORT, as in opc.tcp://192.0.2.10:4840"},
		{func(c *Config) { c.Endpoint = "192.0.2.10:4840" }, `endpoint: "192.0.2.10:4840" is no endpoint; write opc.tcp://HOST:PORT, as in opc.tcp://192.0.2.10:4840`},
		{func(c *Config) { c.Profile = "big" }, `profile: "big" is not a profile; choose minimal, standard or full`},
		{func(c *Config) { c.Trigger = "push" }, `trigger: "push" is no way to learn of a part; choose poll or subscription`},
		{func(c *Config) { c.User, c.PasswordFile, c.UserCertificate = "line", "p", "u.pem" }, "user_certificate: is set beside user; one of them is enough"},
		{func(c *Config) {
			c.SecurityPolicy, c.SecurityMode, c.Insecure, c.UserCertificate = "None", "None", true, "u.pem"
		}, "user_certificate: proves nothing, because security_policy is None; use a secure policy or no user"},
		{func(c *Config) { c.UserCertificate = "credential:a/b" }, `user_certificate: "credential:a/b" names no credential; write credential:NAME with the name from systemd's LoadCredential=`},
		{func(c *Config) { c.Poll = 0 }, "poll: 0s is out of range; allowed is 1ms to 1s"},
		{func(c *Config) { c.Stale = c.Poll }, "stale: 5ms is out of range; allowed is ten times plc.poll (50ms) to 1m"},
		{func(c *Config) { c.SecurityPolicy = "Basic256" }, `security_policy: "Basic256" is not a policy; choose Basic256Sha256, Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss or None`},
		{func(c *Config) { c.SecurityMode = "auto" }, `security_mode: "auto" is not a mode; choose SignAndEncrypt, Sign or None`},
		{func(c *Config) { c.SecurityMode = "None" }, `security_mode: "None" does not go with security_policy "Basic256Sha256"; None stands in both or in neither`},
		{func(c *Config) { c.SecurityPolicy, c.SecurityMode = "None", "None" }, "security_policy: is None, so anybody on the network could pass parts; choose Basic256Sha256, or accept the risk with insecure = true"},
		{func(c *Config) {
			c.SecurityPolicy, c.SecurityMode, c.Insecure, c.ServerCertificate = "None", "None", true, "plc.der"
		}, "server_certificate: would be ignored, because security_policy is None: the PLC shows no certificate; remove it, or choose Basic256Sha256"},
		{func(c *Config) {
			c.SecurityPolicy, c.SecurityMode, c.Insecure, c.ServerSHA256 = "None", "None", true, strings.Repeat("0a", 32)
		}, "server_sha256: would be ignored, because security_policy is None: the PLC shows no certificate; remove it, or choose Basic256Sha256"},
		{func(c *Config) {
			c.SecurityPolicy, c.SecurityMode, c.Insecure, c.Revoked = "None", "None", true, "plc.crl"
		}, "revoked: would be ignored, because security_policy is None: the PLC shows no certificate; remove it, or choose Basic256Sha256"},
		{func(c *Config) { c.Insecure = true }, "insecure: is true, but the security policy is Basic256Sha256; remove it, or write None for security_policy and security_mode"},
		{func(c *Config) { c.ServerCertificate, c.ServerSHA256 = "plc.der", strings.Repeat("0a", 32) }, "server_sha256: is set beside server_certificate; one of them is enough"},
		{func(c *Config) { c.ServerSHA256 = "0a:0b" }, `server_sha256: "0a:0b" is no SHA-256 fingerprint; write its 64 hex digits, with or without colons`},
		{func(c *Config) { c.User = "line" }, `password_file: is missing; name the file that holds the password of user "line"`},
		{func(c *Config) { c.PasswordFile = "p" }, "user: is missing, but password_file is set; name the user"},
		{func(c *Config) {
			c.SecurityPolicy, c.SecurityMode, c.Insecure, c.User, c.PasswordFile = "None", "None", true, "line", "p"
		}, "user: would send its password in clear text, because security_policy is None; use a secure policy or no user"},
		{func(c *Config) { c.Tags.Reject = "" }, "tags.reject: is missing; profile standard needs it"},
		{func(c *Config) { c.Profile = Full; c.Tags.Lot = "" }, "tags.lot: is missing; profile full needs it"},
		{func(c *Config) { c.Profile = Minimal; c.Tags.ResultSeq = "" }, "tags.result_seq: goes with tags.trigger_seq: configure both or neither"},
		{func(c *Config) { c.Tags.Reject = c.Tags.Accept }, "tags.reject: is the same node as tags.accept: ns=3;s=Accept"},
		{func(c *Config) { c.Tags.Reject = "Reject" }, `tags.reject: "Reject" is no node id; write ns=3;s="DB"."Tag", or nsu=URI;s=… with the namespace's URI`},
	} {
		cfg := goodConfig()
		c.edit(&cfg)
		var got []string
		for _, p := range cfg.Check() {
			got = append(got, p.Key+": "+p.Message)
		}
		if !slices.Equal(got, []string{c.want}) {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
	if problems := (Config{}).Check(); len(problems) < 6 {
		t.Errorf("an empty config has %d mistakes: %v", len(problems), problems)
	}
}

func TestProfileText(t *testing.T) {
	var p Profile
	if err := p.UnmarshalText([]byte("full")); err != nil || p != Full {
		t.Errorf("full: %q, %v", p, err)
	}
	err := p.UnmarshalText([]byte("Standard"))
	if want := `"Standard" is not a profile; choose minimal, standard or full`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestNodes(t *testing.T) {
	namespaces := []string{"http://opcfoundation.org/UA/", "urn:a", "urn:b"}
	for text, want := range map[string]string{
		`ns=3;s="Inspect"."Trigger;Seq"`:              `ns=3;s="Inspect"."Trigger;Seq"`,
		`ns=4;s=|var|PLC.Application.PLC_PRG.x`:       `ns=4;s=|var|PLC.Application.PLC_PRG.x`,
		"nsu=urn:b;s=x":                               "ns=2;s=x",
		"ns=2;i=77":                                   "ns=2;i=77",
		"ns=1;g=5eac051c-c313-43d7-b790-24aa2c3cfd37": "ns=1;g=5EAC051C-C313-43D7-B790-24AA2C3CFD37",
		"ns=1;b=YWJj":                                 "ns=1;b=YWJj",
	} {
		n, err := parseNode(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		id, err := n.resolve(namespaces)
		if err != nil || id.String() != want {
			t.Errorf("%s is %v, %v; want %s", text, id, err, want)
		}
	}
	for text, want := range map[string]string{
		"":             "is no node id",
		"abc":          "is no node id",
		"i=1":          "is no node id",
		"ns=3":         "is no node id",
		"ns=3;":        "has an empty identifier",
		"ns=3;s=":      "has an empty identifier",
		"ns=3;x":       "has an empty identifier",
		"ns=3;x=1":     "has an identifier that is not s=, i=, g= or b=",
		" ns=3;s=a":    "begins or ends with a space",
		"ns=3;s=a ":    "begins or ends with a space",
		"ns=65536;s=a": "has no namespace number from 0 to 65535",
		"ns=-1;s=a":    "has no namespace number from 0 to 65535",
		"nsu=;s=a":     "does not begin with a namespace",
		"svr=1;s=a":    "does not begin with a namespace",
		"ns=3;i=-1":    "has no number from 0 to 4294967295 after i=",
		"ns=3;g=1":     "has no GUID after g=",
		"ns=3;b=%":     "has no base64 after b=",
	} {
		_, err := parseNode(text)
		if want := fmt.Sprintf("%q %s; write ns=3;s=\"DB\".\"Tag\", or nsu=URI;s=… with the namespace's URI", text, want); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// Whatever is accepted is a node id that means what it says.
func FuzzParseNode(f *testing.F) {
	for _, text := range []string{`ns=3;s="DB"."Tag"`, "nsu=urn:x;i=1", "ns=0;b=YQ==", "ns=1;g=5eac051c-c313-43d7-b790-24aa2c3cfd37", "ns=;s=", ";;"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseNode(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), fmt.Sprintf("%q ", text)) {
				t.Errorf("the error does not say what is wrong: %v", err)
			}
			return
		}
		id, err := n.resolve([]string{"", n.uri})
		if err != nil {
			t.Fatal(err)
		}
		space, _, _ := strings.Cut(text, ";")
		if number, found := strings.CutPrefix(space, "ns="); found && strings.TrimLeft(number, "0") != strings.TrimLeft(fmt.Sprint(id.Namespace()), "0") {
			t.Errorf("%q became %s", text, id)
		}
		if _, err := id.Encode(); err != nil {
			t.Errorf("%q cannot be sent: %v", text, err)
		}
	})
}

func TestWatch(t *testing.T) {
	start := time.Now()
	seq := func(n uint32) part.Sequence { return part.Sequence{Value: n, Bits: 16} }
	const T, W = "triggered", "withdrawn"
	for _, c := range []struct {
		name    string
		byAck   bool
		first   sample
		samples []sample
		want    [][]string
	}{
		{"a part", false, sample{sequence: seq(4)},
			[]sample{{sequence: seq(5)}, {sequence: seq(5), present: true}, {sequence: seq(5), present: true}, {sequence: seq(5)}, {sequence: seq(5)}},
			[][]string{nil, {T}, nil, {W}, nil}},
		{"two parts between two polls", false, sample{sequence: seq(4)},
			[]sample{{sequence: seq(5), present: true}, {sequence: seq(6), present: true}, {sequence: seq(8), present: true}},
			[][]string{{T}, {W, T}, {W, T}}},
		{"there at the start", false, sample{sequence: seq(4), present: true},
			[]sample{{sequence: seq(4), present: true}, {sequence: seq(4)}, {sequence: seq(5), present: true}},
			[][]string{nil, {W}, {T}}},
		{"counter written, part not there yet, at the start", false, sample{sequence: seq(5)},
			[]sample{{sequence: seq(5), present: true}, {sequence: seq(5), present: true}},
			[][]string{{T}, nil}},
		{"the same part again", false, sample{sequence: seq(4)},
			[]sample{{sequence: seq(5), present: true}, {sequence: seq(5)}, {sequence: seq(5), present: true}},
			[][]string{{T}, {W}, nil}},
		{"wrap and restart", false, sample{sequence: seq(65535)},
			[]sample{{sequence: seq(0), present: true}, {sequence: seq(0)}, {sequence: seq(65000), present: true}},
			[][]string{{T}, {W}, {T}}},
		{"no counter", false, sample{},
			[]sample{{present: true}, {present: true}, {}, {present: true}},
			[][]string{{T}, nil, {W}, {T}}},
		{"no counter, there at the start", false, sample{present: true},
			[]sample{{present: true}, {}, {present: true}},
			[][]string{nil, {W}, {T}}},
		{"acknowledged", true, sample{sequence: seq(4), ack: true},
			[]sample{{sequence: seq(5), present: true, ack: true}, {sequence: seq(5), present: true}, {sequence: seq(5)}, {sequence: seq(5), ack: true}, {sequence: seq(5), ack: true}},
			[][]string{{T}, nil, nil, {W}, nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWatch(c.first, c.byAck, time.Second)
			for i, s := range c.samples {
				s.at = start
				var got []string
				changes := w.see(s)
				if changes.withdrawn {
					got = append(got, W)
				}
				if changes.triggered {
					got = append(got, T)
					w.taken()
				}
				if !slices.Equal(got, c.want[i]) {
					t.Errorf("sample %d: got %v, want %v", i, got, c.want[i])
				}
			}
		})
	}
}

// A part whose names could not be read yet is not forgotten.
func TestWatchAsksAgain(t *testing.T) {
	for _, sequence := range []part.Sequence{{}, {Value: 5, Bits: 16}} {
		w := newWatch(sample{}, false, time.Second)
		first := time.Now()
		for n := range 3 {
			if !w.see(sample{present: true, sequence: sequence, at: first.Add(time.Duration(n) * time.Second)}).triggered {
				t.Fatalf("sequence %s: forgotten", sequence)
			}
			if w.since != first {
				t.Errorf("sequence %s: seen %s after it was", sequence, w.since.Sub(first))
			}
		}
		w.taken()
		if w.see(sample{present: true, sequence: sequence}).triggered {
			t.Errorf("sequence %s: reported twice", sequence)
		}
	}
}

func TestHeartbeatStands(t *testing.T) {
	start := time.Now()
	w := newWatch(sample{beat: uint16(1), at: start}, false, time.Second)
	for _, c := range []struct {
		after time.Duration
		beat  any
		stale bool
	}{
		{900 * time.Millisecond, uint16(1), false},
		{time.Second, uint16(1), true},
		{5 * time.Second, uint16(1), true},
		{6 * time.Second, uint16(2), false},
		{6999 * time.Millisecond, uint16(2), false},
		{7 * time.Second, uint16(2), true},
	} {
		before := w.stale
		changed := w.see(sample{beat: c.beat, at: start.Add(c.after)}).stale
		if w.stale != c.stale || changed != (before != c.stale) {
			t.Errorf("after %s: stale %t, changed %t", c.after, w.stale, changed)
		}
	}
	w = newWatch(sample{beat: false, at: start}, false, time.Second)
	for i, beat := range []bool{false, true, true, false} {
		if told := w.see(sample{beat: beat, at: start}).stale; told != (i == 1) || w.stale {
			t.Errorf("sample %d: told %t, stale %t; a PLC that runs is told once", i, told, w.stale)
		}
	}
	w = newWatch(sample{at: start}, false, time.Second)
	if w.see(sample{at: start.Add(time.Hour)}).stale {
		t.Error("a PLC without a heartbeat is stale")
	}
}

// Whatever the PLC does: no sequence is reported twice in a row, every part is closed before the next
// begins, and a part that is seen present is reported.
func TestWatchLaw(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		byAck := seed%2 == 0
		w := newWatch(sample{}, byAck, time.Second)
		open, last := false, part.Sequence{}
		s := sample{sequence: part.Sequence{Bits: 16}}
		for range 100 {
			switch random.IntN(4) {
			case 0:
				s.present = !s.present
			case 1:
				s.sequence.Value = uint32(random.IntN(4))
			case 2:
				s.ack = !s.ack
			}
			c := w.see(s)
			if c.withdrawn {
				if !open {
					t.Fatalf("seed %d: withdrawn, but no part was open", seed)
				}
				open = false
			}
			if c.triggered {
				if open || s.sequence == last {
					t.Fatalf("seed %d: sequence %s after %s, open %t", seed, s.sequence, last, open)
				}
				open, last = true, s.sequence
				w.taken()
			}
			if s.present && last != s.sequence {
				t.Fatalf("seed %d: sequence %s is there and was not reported", seed, s.sequence)
			}
		}
	}
}

func TestVariants(t *testing.T) {
	for _, c := range []struct {
		kind  ua.TypeID
		value any
		want  any
	}{
		{ua.TypeIDUint16, uint32(65537), uint16(1)},
		{ua.TypeIDUint32, uint32(65537), uint32(65537)},
		{ua.TypeIDInt16, int16(-3), int16(-3)},
		{ua.TypeIDFloat, 0.5, float32(0.5)},
		{ua.TypeIDDouble, 0.1, 0.1},
		{ua.TypeIDFloat, math.NaN(), float32(-1)},
		{ua.TypeIDDouble, math.Inf(1), -1.0},
		{ua.TypeIDFloat, 1e300, float32(-1)},
		{ua.TypeIDDouble, 1e300, 1e300},
		{ua.TypeIDBoolean, true, true},
		{ua.TypeIDString, "x", "x"},
	} {
		v := variant(c.kind, c.value)
		if v.Type() != c.kind || v.Value() != c.want {
			t.Errorf("%v as %s is %v (%s), want %v", c.value, c.kind, v.Value(), v.Type(), c.want)
		}
	}
}

// What was told reads back as what was told.
func TestToldWithoutTags(t *testing.T) {
	var v values
	v[partPresent], v[reject], v[resultValid] = true, false, true
	told := first{values: v}.snapshot().Told
	if told.Verdict != part.Pass || told.Reason != part.None || !math.IsNaN(told.Score) || told.Sequence.Known() || !told.Valid {
		t.Errorf("minimal: %+v", told)
	}
	v[accept] = false
	if got := (first{values: v}).snapshot().Told.Verdict; got != part.Reject {
		t.Error("pass, though accept is FALSE")
	}
	v[score] = float32(-1)
	if got := (first{values: v}).snapshot().Told.Score; !math.IsNaN(got) {
		t.Errorf("score -1 reads as %v", got)
	}
	v[resultCode] = int16(77)
	if got := (first{values: v}).snapshot().Told.Reason; got != part.Unknown {
		t.Errorf("code 77 reads as %v", got)
	}
}

func TestRecurring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		r := recurring{log: slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))}
		gone := hint.New(hint.Failure, errors.New("gone"), "find it")
		for i := range 70 {
			if fresh := r.failure(gone); fresh != (i == 0) {
				t.Errorf("failure %d: fresh %t", i, fresh)
			}
			time.Sleep(time.Second)
		}
		if !r.failure(errors.New("another")) {
			t.Error("another failure is not fresh")
		}
		r.success("back")
		r.success("back again")
		if want := `level=WARN msg="no session with the PLC" error=gone failures=1 hint="find it"
level=WARN msg="no session with the PLC" error=gone failures=31 hint="find it"
level=WARN msg="no session with the PLC" error=gone failures=61 hint="find it"
level=WARN msg="no session with the PLC" error=another failures=71
level=INFO msg=back failures=71
level=INFO msg="back again"
`; b.String() != want {
			t.Errorf("got\n%swant\n%s", b.String(), want)
		}
	})
}
