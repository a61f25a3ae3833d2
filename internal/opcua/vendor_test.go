package opcua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/hint"
	"linectl/internal/part"
	"linectl/internal/setting"
	"linectl/internal/sim/plc"
)

// Servers as the makers of PLCs build them: small ones, strict ones, ones with types of their own. Each takes a
// good and a bad part.
func TestPLCsOfOtherMakers(t *testing.T) {
	for _, c := range []struct {
		name string
		plc  plc.Config
		edit func(*Config)
	}{
		{"10 nodes in one request", plc.Config{PerRequest: 10}, nil},
		{"5 nodes in one request", plc.Config{PerRequest: 5}, nil},
		{"10 nodes in one request, and it does not say so", plc.Config{PerRequest: 10, Silent: true}, nil},
		{"9 nodes in one request and no fast names", plc.Config{PerRequest: 9, NoRegister: true}, nil},
		{"an address that leads nowhere in its endpoints", plc.Config{Advertise: "opc.tcp://plc-of-the-engineer.invalid:4840"}, nil},
		{"sessions of one second", plc.Config{SessionTimeout: time.Second}, nil},
		{"subscriptions of 100 ms and sessions of one second", plc.Config{SessionTimeout: time.Second, Shortest: 100 * time.Millisecond}, func(cfg *Config) { cfg.Trigger = Subscribing }},
		{"five namespaces before ours", plc.Config{Namespaces: 5}, nil},
		{"DINT and UDINT", plc.Config{Width: 32, Tags: map[string]any{
			"result_code": int32(0), "fault_code": uint32(0), "station_state": uint16(0), "last_outage": int32(0), "vision_heartbeat": int32(0),
			"missed_count": int32(0), "overrun_count": int16(0), "deadline_count": uint16(0), "score": float64(0), "plc_heartbeat": true,
		}}, nil},
		{"INT", plc.Config{Tags: map[string]any{"vision_heartbeat": int16(0), "missed_count": int16(0), "result_code": uint16(0), "plc_heartbeat": int16(-1)}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.plc.IgnoreWatchdog, c.plc.ResultLimit = true, patience
			p := startPLC(t, c.plc)
			cfg := configFor(p)
			if c.edit != nil {
				c.edit(&cfg)
			}
			l, heard, stop := runLinkWithin(t, cfg, usual())
			defer stop()
			connectedAgain(t, heard)
			time.Sleep(c.plc.SessionTimeout + c.plc.SessionTimeout/5) // a session that is used does not run out
			for n, verdict := range []part.Verdict{part.Pass, part.Reject} {
				heardOnly(heard, "triggered")
				if o := inspect(t, p, l, heard, verdict); o.Pass != (verdict == part.Pass) || !o.Told {
					t.Errorf("part %d: %+v", n+1, o)
				}
			}
			if code := fmt.Sprint(p.Tag("result_code")); code != "2" {
				t.Errorf("result_code is %s", code)
			}
			atRest(t, p)
			report, err := Probe(t.Context(), cfg, certificates)
			if err != nil || !strings.Contains(report.Section, `profile = "full"`) {
				t.Errorf("probe: %v\n%s", err, report.Section)
			}
		})
	}
}

// The simulated PLC has the tags of each profile, and judges by them.
func TestProfilesOfTheSimulator(t *testing.T) {
	for _, profile := range profiles {
		p := startPLC(t, plc.Config{Profile: string(profile), ResultLimit: patience, IgnoreWatchdog: true})
		cfg := configFor(p)
		cfg.Profile = profile
		for sig := range signals {
			if demanded := profile.demands(table[sig].from); demanded && !cfg.Tags.has(sig) || !demanded && profile != Full && cfg.Tags.has(sig) {
				t.Errorf("%s: tag %s is there: %v", profile, table[sig].key, cfg.Tags.has(sig))
			}
		}
		l, heard, stop := runLink(t, cfg)
		connectedAgain(t, heard)
		for _, verdict := range []part.Verdict{part.Pass, part.Reject, part.Pass} {
			if o := inspect(t, p, l, heard, verdict); o.Pass != (verdict == part.Pass) || !o.Told {
				t.Errorf("%s: %+v", profile, o)
			}
			time.Sleep(50 * time.Millisecond) // without a counter the fall of part_present has to be seen
		}
		if want := fmt.Sprintf("profile = %q\n", profile); !strings.Contains(p.Section(), want) {
			t.Errorf("section:\n%s", p.Section())
		}
		stop()
	}
}

// heardOnly drops what was heard up to the kind, for PLCs whose heartbeat stands by their type.
func heardOnly(heard ear, kind string) {
	for len(heard) > 0 {
		e := <-heard
		if e.kind == kind {
			heard <- e
			return
		}
	}
}

// The last result is read back from a code of any type.
func TestCodesOfEveryType(t *testing.T) {
	for _, code := range []any{int16(20), uint16(20), int32(20), uint32(20)} {
		if got := (values{resultCode: code}).reason(); got != part.Deadline {
			t.Errorf("%T: %v", code, got)
		}
	}
	for _, code := range []any{int16(-1), int32(-1), uint32(1 << 31), nil, "20", true} {
		if got := (values{resultCode: code}).reason(); got == part.Deadline {
			t.Errorf("%T %v: %v", code, code, got)
		}
	}
}

// A recipe goes back as the type that it came in; that nothing was asked for is 0.
func TestRecipesOfEveryType(t *testing.T) {
	for _, asked := range []any{"bracket", "", int8(-7), uint8(7), int16(7), uint16(7), int32(-7), uint32(1 << 31), int64(7), uint64(1 << 63), int16(0)} {
		v := ua.MustVariant(asked)
		if got := variant(v.Type(), values{recipeID: asked}.text(recipeID)).Value(); got != asked {
			t.Errorf("%T %v became %T %v", asked, asked, got, got)
		}
	}
	if got := variant(ua.TypeIDInt16, "bracket").Value(); got != int16(0) {
		t.Errorf("a name as a number: %v", got)
	}
}

// What a server may answer in place of a session, and what a person is told to do.
func TestRefusalsAreExplained(t *testing.T) {
	p := peer{cfg: goodConfig()}
	p.identity.File = "/var/lib/linectl/pki/linectl.der"
	for status, want := range map[ua.StatusCode]struct {
		state State
		what  string
		next  string
	}{
		ua.StatusBadServerHalted:             {Unreachable, "the PLC's OPC UA server does not work at the moment (BadServerHalted)", "wait for the end"},
		ua.StatusBadShutdown:                 {Unreachable, "the PLC's OPC UA server does not work at the moment (BadShutdown)", "wait for the end"},
		ua.StatusBadTooManyOperations:        {Failed, "the PLC takes too few nodes in one request (BadTooManyOperations)", "raise the server's limit"},
		ua.StatusBadInvalidTimestamp:         {NotTrusted, "the PLC refuses requests of this machine's time (BadInvalidTimestamp)", "set the PLC's clock"},
		ua.StatusBadCertificateTimeInvalid:   {NotTrusted, "by the PLC's clock linectl's certificate is not valid (BadCertificateTimeInvalid)", "set the PLC's clock"},
		ua.StatusBadCertificateRevoked:       {NotTrusted, "the PLC holds linectl's certificate for revoked (BadCertificateRevoked)", "take linectl's certificate off"},
		ua.StatusBadTooManySessions:          {NoSessionLeft, "the PLC has no session left (BadTooManySessions)", "close other OPC UA clients"},
		ua.StatusBadSecurityPolicyRejected:   {NotOffered, "the PLC refuses the security policy (BadSecurityPolicyRejected)", "choose what the PLC offers"},
		ua.StatusBadCertificateUseNotAllowed: {NotTrusted, "the PLC's rules for certificates refuse linectl's (BadCertificateUseNotAllowed)", "trust linectl's certificate"},
		ua.StatusBadTCPServerTooBusy:         {NoSessionLeft, "the PLC has no session left (BadTCPServerTooBusy)", "close other OPC UA clients"},
		ua.StatusBadTCPEndpointURLInvalid:    {NotOffered, "the PLC's OPC UA server goes by another address than opc.tcp://", "write the address as"},
		ua.StatusBadLicenseExpired:           {Failed, "the PLC's OPC UA server has no licence for this (BadLicenseExpired)", "buy or activate"},
		ua.StatusBadResponseTooLarge:         {BadValue, "a message is too long for the PLC's OPC UA server (BadResponseTooLarge)", "shorten"},
		ua.StatusBadUserAccessDenied:         {UserRefused, `the PLC refuses user ""`, "check plc.user"},
	} {
		err := p.explain(fmt.Errorf("connect: %w", status))
		if outage(err, Up) != want.state || !strings.HasPrefix(err.Error(), want.what) || !strings.HasPrefix(hint.Of(err), want.next) {
			t.Errorf("%s: state %s, %v\nhint %s", statusName(status), outage(err, Up), err, hint.Of(err))
		}
	}
}

// A PLC whose server is halted, or has no room for a whole part's names in one request, gets no session, and the
// reason is told.
func TestPLCThatTakesTooLittle(t *testing.T) {
	p := startPLC(t, plc.Config{PerRequest: 4})
	err := Check(t.Context(), configFor(p), certificates, 0)
	if err == nil || !strings.HasPrefix(err.Error(), "the PLC takes too few nodes in one request") {
		t.Errorf("%v", err)
	}
	noneLeft(t)
}

// A PLC that takes its time for everything is slow and not silent: it keeps its session as long as the cycle is long enough.
func TestSlowPLC(t *testing.T) {
	p := startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: patience})
	cable, err := plc.NewCable(p.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer cable.Close()
	cable.Slow(200 * time.Millisecond) // each way: more than a read of any other PLC may take
	cfg := configFor(p)
	cfg.Endpoint = "opc.tcp://" + cable.Address()
	cfg.Stale = setting.Duration(patience)
	l, heard, stop := runLinkWithin(t, cfg, usual())
	defer stop()
	connectedAgain(t, heard)
	if o := inspect(t, p, l, heard, part.Pass); !o.Pass {
		t.Errorf("a good part: %+v", o)
	}
	if status := l.Status(); status.Sessions != 1 || status.Path.Round < 400*time.Millisecond {
		t.Errorf("%+v", status)
	}
}

// A host name may stand for an address where nobody listens before the one of the PLC; or for none.
func TestHostNames(t *testing.T) {
	p := startPLC(t, plc.Config{})
	_, port, err := net.SplitHostPort(p.Address())
	if err != nil {
		t.Fatal(err)
	}
	if host, err := answering(t.Context(), []string{"::1", "127.0.0.2", "127.0.0.1"}, port); host != p.Address() || err != nil {
		t.Errorf("%s, %v", host, err)
	}
	if _, err := answering(t.Context(), []string{"127.0.0.2", "127.0.0.3"}, port); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
	cfg := configFor(p)
	cfg.Endpoint = "opc.tcp://localhost:" + port
	if err := Check(t.Context(), cfg, certificates, 0); err != nil {
		t.Errorf("localhost: %v", err)
	}
	cfg.Endpoint = "opc.tcp://plc-of-nobody.invalid:4840"
	err = Check(t.Context(), cfg, certificates, 0)
	if err == nil || !strings.HasPrefix(err.Error(), "the host name in opc.tcp://plc-of-nobody.invalid:4840 leads nowhere") || outage(err, Up) != Unreachable {
		t.Errorf("%v", err)
	}
}

// A PLC whose clock is a day off works, and the probe says how far it is off.
func TestClockADayOff(t *testing.T) {
	for _, off := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		p := startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: patience})
		p.SetClock(off)
		cfg := configFor(p)
		report, err := Probe(t.Context(), cfg, certificates)
		if err != nil || (report.Clock-off).Abs() > time.Minute {
			t.Errorf("off by %s: %s, %v", off, report.Clock, err)
		}
		for _, source := range []Source{Polling, Subscribing} {
			l, heard, stop := runLink(t, cfg.with(source))
			recovered(t, p, l, heard)
			stop()
		}
	}
}

// A text that is longer than the PLC's variable is refused by the PLC: that is said, and nothing becomes valid.
func TestTextTooLong(t *testing.T) {
	p := startPLC(t, plc.Config{IgnoreWatchdog: true, ResultLimit: patience})
	l, heard := startLink(t, configFor(p))
	heard.want(t, "connected")
	p.Refuse("result_part_id", ua.StatusBadOutOfRange)
	p.Present(plc.Part{ID: strings.Repeat("x", 300)})
	trigger := heard.want(t, "triggered").trigger
	err := l.Answer(context.Background(), part.Result{Trigger: trigger, Verdict: part.Pass, Reason: part.None})
	if err == nil || !strings.Contains(err.Error(), "plc.tags.result_part_id: the PLC refuses the value (BadOutOfRange)") || !strings.Contains(hint.Of(err), "its length") {
		t.Errorf("%v\nhint %s", err, hint.Of(err))
	}
	if errors.Is(err, part.ErrNotSent) || p.Tag("result_valid") != false {
		t.Error("a result that was written in part became valid, or counts as not sent")
	}
	heard.want(t, "disconnected")
}
