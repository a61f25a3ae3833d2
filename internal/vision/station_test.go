package vision

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/hint"
	linectl "linectl/internal/opcua"
	"linectl/internal/opcua/pki"
	"linectl/internal/opcua/pki/pkitest"
	"linectl/internal/part"
)

// dial opens a session the way it is asked to, as the certificate's owner.
func dial(t *testing.T, s *Station, policy string, mode ua.MessageSecurityMode, certificate string) (*opcua.Client, error) {
	t.Helper()
	own, err := pki.Open(certificates, certificate)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := &ua.EndpointDescription{
		EndpointURL: "opc.tcp://" + s.Address(), SecurityMode: mode, SecurityPolicyURI: ua.FormatSecurityPolicyURI(policy),
		Server: &ua.ApplicationDescription{}, UserIdentityTokens: []*ua.UserTokenPolicy{{PolicyID: "anonymous_None", TokenType: ua.UserTokenTypeAnonymous}},
	}
	options := []opcua.Option{opcua.AutoReconnect(false), opcua.RequestTimeout(time.Minute)}
	if mode != ua.MessageSecurityModeNone {
		endpoint.ServerCertificate = s.identity.Certificate
		options = append(options, opcua.Certificate(own.Certificate), opcua.PrivateKey(own.Key))
	}
	options = append(options, opcua.SecurityFromEndpoint(endpoint, ua.UserTokenTypeAnonymous))
	client, err := opcua.NewClient(endpoint.EndpointURL, options...)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Connect(t.Context()); err != nil {
		return nil, err
	}
	t.Cleanup(func() { client.Close(context.Background()) })
	return client, nil
}

// Nobody gets in without encryption, offered or not, or without a pinned certificate: such a connection ends.
func TestSecurity(t *testing.T) {
	t.Parallel()
	s, _ := start(t)
	for _, c := range []struct {
		policy      string
		mode        ua.MessageSecurityMode
		certificate string
		want        error
	}{
		{"None", ua.MessageSecurityModeNone, "plc", io.EOF},
		{"Basic256Sha256", ua.MessageSecurityModeSign, "plc", ua.StatusBadSecurityModeRejected},
		{"Basic256Sha256", ua.MessageSecurityModeSignAndEncrypt, "stranger", io.EOF},
		{"Basic256Sha256", ua.MessageSecurityModeSignAndEncrypt, "plc", nil},
		{"Aes128_Sha256_RsaOaep", ua.MessageSecurityModeSignAndEncrypt, "plc", nil},
		{"Aes256_Sha256_RsaPss", ua.MessageSecurityModeSignAndEncrypt, "plc", nil},
	} {
		if _, err := dial(t, s, c.policy, c.mode, c.certificate); !errors.Is(err, c.want) {
			t.Errorf("%s, %s, %s: %v, want %v", c.policy, c.mode, c.certificate, err, c.want)
		}
	}
}

// A call that waits for its verdict holds up nobody, not even its own session; the next part ends it.
func TestOverlap(t *testing.T) {
	t.Parallel()
	s, w := start(t)
	client, err := dial(t, s, "Basic256Sha256", ua.MessageSecurityModeSignAndEncrypt, "plc")
	if err != nil {
		t.Fatal(err)
	}
	inspect := func(id string) (sequence uint32, pass bool, code int16) {
		result, err := client.Call(t.Context(), &ua.CallMethodRequest{
			ObjectID: ua.NewStringNodeID(ours, "Station"), MethodID: ua.NewStringNodeID(ours, "Station/Inspect"),
			InputArguments: []*ua.Variant{ua.MustVariant(id), ua.MustVariant(""), ua.MustVariant(""), ua.MustVariant("")},
		})
		if err != nil || result.StatusCode != ua.StatusOK {
			t.Errorf("%s: %v, %v", id, err, result)
			return 0, false, 0
		}
		out := result.OutputArguments
		return out[0].Value().(uint32), out[1].Value().(bool), out[2].Value().(int16)
	}
	first := make(chan [2]any, 1)
	go func() {
		_, pass, code := inspect("slow")
		first <- [2]any{pass, code}
	}()
	for s.job(42) == nil {
		time.Sleep(time.Millisecond)
	}
	begun := time.Now()
	v, err := client.Node(ua.NewStringNodeID(ours, "Station/Heartbeat")).Value(t.Context())
	if err != nil || v == nil {
		t.Errorf("a read beside the call: %v", err)
	}
	sequence, pass, code := inspect("next")
	if sequence != 43 || pass || part.Reason(code) != part.Busy {
		t.Errorf("the second: %d, %v, %d", sequence, pass, code)
	}
	if got := <-first; got != [2]any{false, part.Overrun.Code()} {
		t.Errorf("the first: %v", got)
	}
	if took := time.Since(begun); took > cycle {
		t.Errorf("it took %s", took)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rows) != 2 || w.rows[0].Reason != part.Overrun || w.rows[1].Reason != part.Busy {
		t.Errorf("rows: %+v", w.rows)
	}
}

// silent is a line that never answers.
type silent struct{ triggered, withdrawn int }

func (s *silent) Connected(part.Snapshot) {}
func (s *silent) Disconnected(error)      {}
func (s *silent) Triggered(part.Trigger)  { s.triggered++ }
func (s *silent) Withdrawn()              { s.withdrawn++ }
func (s *silent) Stale(bool)              {}

func station(t testing.TB) (*Station, *silent) {
	t.Helper()
	s, heard := stationFrom(t, counting(1<<32-2))
	s.reserved.last = s.last + 1<<31 // nobody reserves more
	return s, heard
}

func stationFrom(t testing.TB, numbers Numbers) (*Station, *silent) {
	t.Helper()
	heard := &silent{}
	cfg := Config{Listen: "127.0.0.1:0", Clients: []string{filepath.Join(certificates, "plc.der")}}
	s, err := New(cfg, certificates, numbers, time.Second, "bracket", heard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.up = true
	return s, heard
}

// Every job ends in exactly one verdict: the first; one that nobody gives is a reject in time.
func TestOneVerdict(t *testing.T) {
	s, heard := station(t)
	synctest.Test(t, func(t *testing.T) {
		j, err := s.trigger(part.Trigger{PartID: "A"})
		if err != nil || j.trigger.Sequence.Value != 1<<32-1 {
			t.Fatalf("%v, %v", j, err)
		}
		time.Sleep(s.patience + time.Millisecond)
		synctest.Wait()
		if !j.over() || j.result.Verdict == part.Pass || j.result.Reason != part.Deadline {
			t.Errorf("nobody answered: %+v", j.result)
		}
		late := part.Result{Trigger: j.trigger, Verdict: part.Pass, Reason: part.None}
		if err := s.Answer(t.Context(), late); !errors.Is(err, part.ErrNotSent) || j.result.Verdict == part.Pass {
			t.Errorf("a late verdict: %v, %+v", err, j.result)
		}
		second, err := s.trigger(part.Trigger{PartID: "B"})
		if err != nil || second.trigger.Sequence.Value != 0 {
			t.Fatalf("the sequence runs over: %v, %v", second, err)
		}
		given := part.Result{Trigger: second.trigger, Verdict: part.Pass, Reason: part.None, Score: 1}
		expired, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Answer(expired, given); !errors.Is(err, part.ErrNotSent) || second.over() {
			t.Errorf("after its time: %v", err)
		}
		if err := s.Answer(t.Context(), given); err != nil || second.result.Verdict != part.Pass {
			t.Errorf("in time: %v, %+v", err, second.result)
		}
		if err := s.Answer(t.Context(), part.Result{Trigger: second.trigger}); !errors.Is(err, part.ErrNotSent) || second.result.Verdict != part.Pass {
			t.Errorf("twice: %v, %+v", err, second.result)
		}
		s.taken(j) // not the newest: no acknowledgement
		s.taken(second)
		s.taken(second)
		if heard.withdrawn != 1 || heard.triggered != 2 {
			t.Errorf("%+v", heard)
		}
		for range 3 * keptJobs {
			if _, err := s.trigger(part.Trigger{}); err != nil {
				t.Fatal(err)
			}
		}
		if len(s.jobs) != keptJobs || s.job(0) != nil {
			t.Errorf("%d jobs are kept", len(s.jobs))
		}
		time.Sleep(time.Minute)
	})
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, ""},
		{Config{Listen: "0.0.0.0:4840", Clients: []string{"plc.der"}}, ""},
		{Config{Clients: []string{"plc.der"}}, "listen: is missing, but clients are named; write HOST:PORT, as in 0.0.0.0:4840"},
		{Config{Listen: "4840", Clients: []string{"plc.der"}}, `listen: "4840" is no address; write HOST:PORT, as in 0.0.0.0:4840`},
		{Config{Listen: "0.0.0.0:4840"}, "clients: is empty, so nobody could call; name the file of the PLC's certificate"},
	} {
		var got []string
		for _, p := range c.cfg.Check() {
			got = append(got, p.Key+": "+p.Message)
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%+v: %q, want %q", c.cfg, got, c.want)
		}
	}
	_, err := New(Config{Listen: "127.0.0.1:0", Clients: []string{"none.der"}}, certificates, counting(0), time.Second, "", &silent{}, slog.New(slog.DiscardHandler))
	if hint.KindOf(err) != hint.Usage {
		t.Errorf("a client's certificate that is not there: %v", err)
	}
}

func FuzzIdentifier(f *testing.F) {
	good, _ := (&identifier{"P1"}).Encode()
	f.Add(good)
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 127})
	f.Fuzz(func(t *testing.T, body []byte) {
		var i identifier
		if n, err := i.Decode(body); err == nil && (n != len(body) || len(i.Text) > len(body)) {
			t.Errorf("%d of %d bytes, text of %d", n, len(body), len(i.Text))
		}
	})
}

// An address that another program holds is tried again until it is free; the status says so meanwhile.
func TestAddressIsTaken(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Listen: other.Addr().String(), Clients: []string{filepath.Join(certificates, "plc.der")}}
	s, err := New(cfg, certificates, counting(0), time.Second, "bracket", &silent{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan linectl.Status, 10)
	s.Watch(func(status linectl.Status) { told <- status })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if got := <-told; got.State != linectl.Failed || !strings.Contains(got.Error, "address already in use") || !strings.Contains(got.Next, "vision.listen") {
		t.Errorf("%+v", got)
	}
	other.Close()
	if got := <-told; got.State != linectl.Up || got.Serves != cfg.Listen || got.Error != "" {
		t.Errorf("%+v", got)
	}
	if _, err := dial(t, s, "Basic256Sha256", ua.MessageSecurityModeSignAndEncrypt, "plc"); err != nil {
		t.Error(err)
	}
	if got := <-told; got.Sessions != 1 {
		t.Errorf("%+v", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := <-told; got.State != linectl.Away {
		t.Errorf("%+v", got)
	}
}

// issued puts an identity of the given time of life into a folder, and its certificate beside it.
func issued(t *testing.T, folder, name string, until time.Duration) *x509.Certificate {
	t.Helper()
	c := pkitest.Identity(t, folder, name, -time.Hour, until)
	if err := pki.Keep(filepath.Join(folder, name+".der"), c.Raw); err != nil {
		t.Fatal(err)
	}
	return c
}

// noting is a line that keeps what people have to know.
type noting struct {
	silent
	notes []string
}

func (n *noting) Note(kind, detail string) { n.notes = append(n.notes, kind+": "+detail) }

// A pinned client gets in only while its certificate is valid and on no list of revoked ones; what will run out, of
// either side, is told before.
func TestCertificatesAreLookedAfter(t *testing.T) {
	const day = 24 * time.Hour
	folder := t.TempDir()
	issued(t, folder, linectl.Name, 40*day)
	sound, soon, gone := issued(t, folder, "sound", 300*day), issued(t, folder, "soon", 20*day), issued(t, folder, "gone", -time.Minute)
	cfg := Config{Listen: "127.0.0.1:0"}
	for _, name := range []string{"sound", "soon", "gone"} {
		cfg.Clients = append(cfg.Clients, filepath.Join(folder, name+".der"))
	}
	line := &noting{}
	s, err := New(cfg, folder, counting(0), time.Second, "", line, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	admitted := func(want ...error) {
		t.Helper()
		for i, c := range []*x509.Certificate{sound, soon, gone} {
			if got := s.admit(c.Raw); got != want[i] {
				t.Errorf("%s: %v, want %v", c.Subject, got, want[i])
			}
		}
	}
	admitted(nil, nil, ua.StatusBadCertificateTimeInvalid)
	s.lookAfter()
	s.lookAfter() // once a day is enough
	told := strings.Join(line.notes, "\n")
	for _, want := range []string{
		`the certificate of the client "CN=soon" runs out on `, "name its file in vision.clients",
		`the certificate of the client "CN=gone" ran out on `, "linectl's certificate runs out on ", "linectl-next.der",
		"by linectl's own server ([vision]) once it has been reloaded",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("nobody was told: %s", want)
		}
	}
	if len(line.notes) != 3 {
		t.Errorf("told: %s", told)
	}
	next, err := pki.Next(folder, linectl.Name)
	if err != nil || next == nil {
		t.Fatalf("%v, %v", next, err)
	}
	issued(t, folder, linectl.Name, time.Hour) // the last day
	anew, err := New(cfg, folder, counting(0), time.Second, "", line, slog.New(slog.DiscardHandler))
	if err != nil || !bytes.Equal(anew.identity.Certificate, next.Certificate) {
		t.Errorf("a server that is opened then does not use the next certificate: %v", err)
	}

	if err := os.Mkdir(filepath.Join(folder, "revoked"), 0o750); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "revoked/list.crl")
	pkitest.Revoke(t, file, sound, day, sound)
	list, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]error{string(list): ua.StatusBadCertificateRevoked, "no list": ua.StatusBadCertificateRevocationUnknown} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := s.admit(sound.Raw); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	os.WriteFile(file, []byte("no list"), 0o644)
	if _, err := New(cfg, folder, counting(0), time.Second, "", line, slog.New(slog.DiscardHandler)); hint.KindOf(err) != hint.Usage {
		t.Errorf("what is no list: %v", err)
	}
}
