package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/opcua/pki"
	"linectl/internal/part"
	"linectl/internal/store"
)

// The daemon with [vision]: a call gets its verdict, the record has its row, and the sequence goes on after
// a restart.
func TestCalled(t *testing.T) {
	folder := t.TempDir()
	client, err := pki.Open(folder, "plc")
	if err != nil {
		t.Fatal(err)
	}
	address, config := calledConfig(t, folder, client)
	for sequence := uint32(1); sequence <= 2; sequence++ {
		p := &program{configPath: config, output: "table", out: &bytes.Buffer{}, err: &bytes.Buffer{}}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.serve(ctx) }()
		out := callInspect(t, address, client, filepath.Join(folder, "state/pki/linectl.der"))
		if out[0].Value() != sequence || out[1].Value() != false || out[2].Value() != part.Bypass.Code() {
			t.Errorf("call %d: %v, %v, %v", sequence, out[0].Value(), out[1].Value(), out[2].Value())
		}
		shown, err := plcCommandLine(p, "", "status")
		if err != nil || !strings.Contains(shown, "up: linectl's own server can be called at "+address) || !strings.Contains(shown, "sessions") {
			t.Errorf("status: %v\n%s", err, shown)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if shown, err := plcCommandLine(p, "", "status"); err == nil || !strings.Contains(shown, "away: linectl does not run") {
			t.Errorf("status after the end: %v\n%s", err, shown)
		}
	}
	c := store.DefaultConfig()
	c.Path = filepath.Join(folder, "state/linectl.db")
	reader, err := store.OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	rows := 0
	for found, err := range reader.Find(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
		if found.PartID != "A1" || found.Lot != "L1" || found.Reason != part.Bypass || found.Outcome != part.Written {
			t.Errorf("%+v", found)
		}
	}
	if rows != 2 {
		t.Errorf("%d rows for two calls", rows)
	}
}

// calledConfig writes the config of a line that a PLC calls and that inspects nothing, and gives where it listens.
func calledConfig(t *testing.T, folder string, client pki.Identity) (address, config string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	l.Close()
	config = filepath.Join(folder, "linectl.toml")
	text := fmt.Sprintf("state = %q\n[line]\nname = \"press 4\"\nmode = \"bypass\"\n[vision]\nlisten = %q\nclients = [%q]\n[[camera]]\nname = \"top\"\nsource = %q\n",
		filepath.Join(folder, "state"), address, client.File, "drop:"+folder)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return address, config
}

// callInspect calls Station/Inspect as soon as the server is there and ready to be called.
func callInspect(t *testing.T, address string, own pki.Identity, server string) []*ua.Variant {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		out, err := tryInspect(t.Context(), address, own, server)
		if err == nil {
			return out
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
	}
}

func tryInspect(ctx context.Context, address string, own pki.Identity, server string) ([]*ua.Variant, error) {
	client, err := tryConnect(ctx, address, own, server)
	if err != nil {
		return nil, err
	}
	defer client.Close(ctx)
	return callMethod(ctx, client, "Inspect", "A1", "L1", "", "")
}

func tryConnect(ctx context.Context, address string, own pki.Identity, server string) (*opcua.Client, error) {
	certificate, err := pki.Read(server)
	if err != nil {
		return nil, err
	}
	endpoint := &ua.EndpointDescription{
		EndpointURL: "opc.tcp://" + address, ServerCertificate: certificate, Server: &ua.ApplicationDescription{},
		SecurityMode: ua.MessageSecurityModeSignAndEncrypt, SecurityPolicyURI: ua.SecurityPolicyURIBasic256Sha256,
		UserIdentityTokens: []*ua.UserTokenPolicy{{PolicyID: "anonymous_None", TokenType: ua.UserTokenTypeAnonymous}},
	}
	client, err := opcua.NewClient(endpoint.EndpointURL, opcua.AutoReconnect(false), opcua.Certificate(own.Certificate), opcua.PrivateKey(own.Key),
		opcua.SecurityFromEndpoint(endpoint, ua.UserTokenTypeAnonymous))
	if err != nil {
		return nil, err
	}
	if err := client.Connect(ctx); err != nil {
		return nil, err
	}
	return client, nil
}
