package plc

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linectl/internal/opcua/pki/pkitest"
)

var certificates string

func TestMain(m *testing.M) { os.Exit(pkitest.Main(m, &certificates, "plc")) }

func start(t *testing.T, cfg Config) *PLC {
	t.Helper()
	cfg.Folder = certificates
	p, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// proof is everything that makes the PLC pass the part in view.
func proof(p *PLC) []struct {
	key   string
	value any
} {
	return []struct {
		key   string
		value any
	}{
		{"vision_heartbeat", uint16(2)},
		{"result_seq", p.Tag("trigger_seq")},
		{"reject", false},
		{"accept", true},
		{"fault", false},
		{"result_code", int16(1)},
		{"result_valid", true},
	}
}

// A part is passed only on positive proof: whatever single piece of it is missing or wrong, it is not.
func TestPassNeedsProof(t *testing.T) {
	p := start(t, Config{ResultLimit: 200 * time.Millisecond})
	for missing, wrong := range map[string]any{
		"":                 nil,
		"vision_heartbeat": uint16(1), // as it was: it stands
		"result_seq":       uint16(77),
		"reject":           true,
		"accept":           false,
		"fault":            true,
		"result_valid":     false,
	} {
		t.Run("without "+missing, func(t *testing.T) {
			for key, value := range map[string]any{"vision_heartbeat": uint16(1), "result_valid": false, "accept": false, "reject": true, "fault": false} {
				p.Set(key, value)
			}
			time.Sleep(watchdog)
			outcome := make(chan Outcome, 1)
			go func() {
				o, err := p.Inspect(context.Background(), Part{ID: "x"})
				if err != nil {
					t.Error(err)
				}
				outcome <- o
			}()
			for p.Tag("part_present") != true {
				time.Sleep(time.Millisecond)
			}
			for _, piece := range proof(p) {
				if piece.key == missing {
					piece.value = wrong
				}
				p.Set(piece.key, piece.value)
			}
			o := <-outcome
			if o.Pass != (missing == "") {
				t.Errorf("%+v", o)
			}
			if o.Pass == (o.Why != "") {
				t.Errorf("the reason is %q", o.Why)
			}
			if p.Tag("part_present") != false {
				t.Error("the part was not acknowledged")
			}
		})
	}
}

func TestNoResult(t *testing.T) {
	p := start(t, Config{ResultLimit: 20 * time.Millisecond})
	o, err := p.Inspect(t.Context(), Part{})
	if err != nil || o.Pass || o.Told || o.Why != "no result within 20ms" || o.Latency < 20*time.Millisecond {
		t.Errorf("%+v, %v", o, err)
	}
}

// The result of the part before, left standing, is not taken for that of the next one.
func TestOldResult(t *testing.T) {
	p := start(t, Config{ResultLimit: 20 * time.Millisecond})
	p.Present(Part{})
	for _, piece := range proof(p) {
		p.Set(piece.key, piece.value)
	}
	if o, err := p.Inspect(t.Context(), Part{}); err != nil || o.Pass || o.Told {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestLogAndMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seen.jsonl")
	p, err := Start(Config{Folder: certificates, Width: 32, Log: file})
	if err != nil {
		t.Fatal(err)
	}
	p.Set("vision_heartbeat", uint16(1))
	for _, accept := range []bool{true, false} {
		p.Set("result_valid", false)
		p.Present(Part{ID: "A"})
		p.Set("result_part_id", "A")
		p.Set("result_seq", p.Tag("trigger_seq"))
		p.Set("accept", accept)
		p.Set("reject", !accept)
		p.Set("score", float32(0.5))
		p.Set("result_valid", true)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p.Set("result_valid", false) // nothing is logged after the end
	p.Set("result_valid", true)
	seen, err := ReadLog(file)
	if err != nil || len(seen) != 2 {
		t.Fatalf("%+v, %v", seen, err)
	}
	for i, want := range []Seen{{Seq: 1, PartID: "A", Pass: true, Accept: true, Score: 0.5}, {Seq: 2, PartID: "A", Reject: true, Score: 0.5}} {
		if seen[i].At.IsZero() {
			t.Error("a line without a time")
		}
		want.At = seen[i].At
		if seen[i] != want {
			t.Errorf("line %d: %+v, want %+v", i, seen[i], want)
		}
	}

	again, err := Start(Config{Folder: certificates, Tags: p.Memory(), Address: p.Address(), Log: file})
	if err != nil {
		t.Fatal(err)
	}
	if again.Endpoint() != p.Endpoint() || again.Tag("trigger_seq") != uint32(2) || again.Present(Part{}) != 3 {
		t.Errorf("after the restart: %s, %v", again.Endpoint(), again.Memory())
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if seen, err := ReadLog(file); err != nil || len(seen) != 2 {
		t.Errorf("the log was not kept: %d lines, %v", len(seen), err)
	}
}

func TestStartRefuses(t *testing.T) {
	p := start(t, Config{})
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Folder: certificates, Address: p.Address()}, "address already in use"},
		{Config{Folder: certificates, Width: 8}, "a counter of 8 bits; choose 16 or 32"},
		{Config{Folder: certificates, Address: "here"}, "missing port"},
		{Config{Folder: certificates, Log: certificates}, "is a directory"},
	} {
		if q, err := Start(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.want)
			if err == nil {
				q.Close()
			}
		}
	}
}

func TestSection(t *testing.T) {
	t.Chdir(filepath.Dir(certificates))
	p, err := Start(Config{Folder: filepath.Base(certificates)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if !filepath.IsAbs(p.CertificateFile()) {
		t.Errorf("the certificate's file %s is found only from here", p.CertificateFile())
	}
	section := p.Section()
	for _, want := range []string{
		"[plc]\nendpoint = \"" + p.Endpoint() + "\"\n",
		"server_certificate = \"" + p.CertificateFile() + "\"\n",
		`trigger_seq      = 'nsu=urn:linectl:simulated-plc;s="Inspect"."TriggerSeq"'` + "\n",
	} {
		if !strings.Contains(section, want) {
			t.Errorf("%q is missing in\n%s", want, section)
		}
	}
}

func TestOnBusy(t *testing.T) {
	busy := make(chan uint32, 10)
	p := start(t, Config{OnBusy: func(seq uint32) { busy <- seq }})
	seq := p.Present(Part{})
	p.Set("busy", true)
	p.Set("busy", true)
	if got := <-busy; got != seq {
		t.Errorf("busy with %d, want %d", got, seq)
	}
	p.Set("busy", false)
	p.Set("busy", true)
	<-busy
	if len(busy) > 0 {
		t.Error("called without a rise")
	}
}

// A cable that hangs delivers everything when it is repaired; one that is cut delivers nothing.
func TestCable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(conn, conn); conn.Close() }()
		}
	}()
	cable, err := NewCable(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", cable.Address())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	echo := func(conn net.Conn, wait time.Duration) error {
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		conn.SetReadDeadline(time.Now().Add(wait))
		_, err := io.ReadFull(conn, make([]byte, 1))
		return err
	}
	conn := dial()
	if err := echo(conn, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	cable.Hang()
	if err := echo(conn, 50*time.Millisecond); err == nil {
		t.Error("a hanging cable let something through")
	}
	cable.Plug()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Errorf("what was held did not arrive: %v", err)
	}
	cable.Reset()
	if err := echo(conn, 10*time.Second); err == nil {
		t.Error("a reset cable let something through")
	}
	if err := echo(dial(), 10*time.Second); err == nil {
		t.Error("a cut cable let a new connection through")
	}
	cable.Plug()
	if err := echo(dial(), 10*time.Second); err != nil {
		t.Errorf("after the repair: %v", err)
	}
	if err := cable.Close(); err != nil {
		t.Error(err)
	}
}
