package serve

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// gated is a server that lets in the owner of one certificate.
func gated(t *testing.T) *counter {
	pinned := identity(t, "client").Certificate
	return start(t, func(c *Config) {
		c.Gate = true
		c.Admit = func(certificate []byte) error {
			if !slices.Equal(certificate, pinned) {
				return ua.StatusBadCertificateUntrusted
			}
			return nil
		}
	})
}

// chunk is one as it goes over the wire.
func chunk(kind string, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	return slices.Concat([]byte(kind), binary.LittleEndian.AppendUint32(nil, uint32(leastChunk+len(body))), body)
}

func uint32s(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

func text(s string) []byte { return slices.Concat(uint32s(uint32(len(s))), []byte(s)) }

// body is a request with the sequence header before it.
func body(t testing.TB, service uint16, r ua.Request) []byte {
	t.Helper()
	kind, err := ua.NewFourByteExpandedNodeID(0, service).Encode()
	if err != nil {
		t.Fatal(err)
	}
	content, err := ua.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(uint32s(1, 1), kind, content)
}

func plainHeader() *ua.RequestHeader {
	return &ua.RequestHeader{AuthenticationToken: ua.NewTwoByteNodeID(0), Timestamp: time.Unix(0, 0), AdditionalHeader: ua.NewExtensionObject(nil)}
}

func hello() []byte { return chunk("HELF", uint32s(0, 65535, 65535, 0, 0), text("opc.tcp://x")) }

// openPlain opens a channel without security.
func openPlain(t testing.TB) []byte {
	return chunk("OPNF", uint32s(0), text(ua.SecurityPolicyURINone), uint32s(1<<32-1, 1<<32-1),
		body(t, id.OpenSecureChannelRequest_Encoding_DefaultBinary, &ua.OpenSecureChannelRequest{RequestHeader: plainHeader(), SecurityMode: ua.MessageSecurityModeNone, RequestedLifetime: 60_000}))
}

func question(t testing.TB) []byte {
	return chunk("MSGF", uint32s(1, 1), body(t, id.GetEndpointsRequest_Encoding_DefaultBinary, &ua.GetEndpointsRequest{RequestHeader: plainHeader(), EndpointURL: "opc.tcp://x"}))
}

// poison is an array of less than no elements in the header of a question that anybody may ask: decoding it
// stops the process that does.
func poison(t testing.TB) []byte {
	r := &ua.GetEndpointsRequest{RequestHeader: plainHeader()}
	r.RequestHeader.AdditionalHeader = ua.NewExtensionObject(&ua.DataChangeNotification{MonitoredItems: []*ua.MonitoredItemNotification{
		{Value: &ua.DataValue{EncodingMask: ua.DataValueValue, Value: ua.MustVariant([]uint16{7, 7})}}}})
	b := body(t, id.GetEndpointsRequest_Encoding_DefaultBinary, r)
	at := bytes.Index(b, slices.Concat([]byte{byte(ua.TypeIDUint16) | ua.VariantArrayValues}, uint32s(2, 7<<16|7)))
	if at < 0 {
		t.Fatal("there is no array to spoil")
	}
	copy(b[at+1:], uint32s(1<<32-16))
	return chunk("MSGF", uint32s(1, 1), b)
}

// What a stranger may send behind his greeting, chunk by chunk; the last one of each row is judged.
func TestGate(t *testing.T) {
	secure := func(certificate string) []byte {
		return chunk("OPNF", uint32s(0), text(ua.SecurityPolicyURIBasic256Sha256), text(certificate), text("thumbprint"), []byte("sealed"))
	}
	anything := chunk("MSGF", []byte("sealed"))
	long := slices.Clone(question(t))
	long[3] = 'C'
	write := chunk("MSGF", uint32s(1, 1), body(t, id.WriteRequest_Encoding_DefaultBinary, &ua.WriteRequest{RequestHeader: plainHeader()}))
	for name, c := range map[string]struct {
		chunks [][]byte
		passes bool
	}{
		"a question":                    {[][]byte{openPlain(t), question(t)}, true},
		"the end":                       {[][]byte{openPlain(t), chunk("CLOF")}, true},
		"a question before its channel": {[][]byte{question(t)}, false},
		"another request in the clear":  {[][]byte{openPlain(t), write}, false},
		"the first of several chunks":   {[][]byte{openPlain(t), long}, false},
		"poison":                        {[][]byte{openPlain(t), poison(t)}, false},
		"a known certificate":           {[][]byte{secure("known"), anything}, true},
		"a stranger's":                  {[][]byte{secure("stranger")}, false},
		"a known one after plain":       {[][]byte{openPlain(t), secure("known")}, false},
		"plain after a known one":       {[][]byte{secure("known"), openPlain(t)}, false},
		"a second hello":                {[][]byte{openPlain(t), hello()}, false},
		"an answer":                     {[][]byte{chunk("ACKF", uint32s(0))}, false},
		"an opening that is cut off":    {[][]byte{chunk("OPNF", uint32s(0), uint32s(1<<31-1))}, false},
		"an opening of nothing":         {[][]byte{chunk("OPNF")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var from caller
			for i, b := range c.chunks {
				err := from.passes(b, func(certificate []byte) error {
					if string(certificate) != "known" {
						return ua.StatusBadCertificateUntrusted
					}
					return nil
				})
				if last := i == len(c.chunks)-1; last && (err == nil) != c.passes || !last && err != nil {
					t.Errorf("chunk %d: %v", i, err)
				}
			}
		})
	}
}

// A stranger that sends what would stop the process is refused, and the server goes on; whoever is admitted
// gets in, and everybody gets the endpoints.
func TestGateKeepsTheServerAlive(t *testing.T) {
	s := gated(t)
	for name, last := range map[string][]byte{"poison": poison(t), "an opening that is cut off": chunk("OPNF", uint32s(0), uint32s(1<<31-1)), "another protocol": []byte("GET / HTTP/1.1\r\n\r\n")} {
		conn, err := net.Dial("tcp", s.Address())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		var opened []byte
		for _, b := range [][]byte{hello(), openPlain(t)} {
			if _, err := conn.Write(b); err != nil {
				t.Fatal(err)
			}
			if opened, err = readChunk(conn); err != nil {
				t.Fatal(err)
			}
		}
		header := ua.NewBuffer(opened[leastChunk+4:]) // behind the channel
		header.ReadString()
		header.ReadBytes()
		header.ReadBytes()
		_, answer, err := ua.DecodeService(opened[leastChunk+4+header.Pos()+8:]) // behind the sequence header
		if err != nil {
			t.Fatal(err)
		}
		token := answer.(*ua.OpenSecureChannelResponse).SecurityToken
		if string(last[:3]) == "MSG" {
			copy(last[leastChunk:], uint32s(token.ChannelID, token.TokenID))
		}
		if _, err := conn.Write(last); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection goes on", name)
		}
		conn.Close()
	}
	client := connect(t, s)
	if _, err := client.Node(ua.NewNumericNodeID(1, 7)).Value(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := dial(t, s, "stranger"); err == nil {
		t.Error("a stranger got in")
	}
}

// Nothing that a stranger sends makes the gate panic, and nothing passes but what is meant to.
func FuzzGate(f *testing.F) {
	for _, b := range [][]byte{hello(), openPlain(f), question(f), poison(f), {}} {
		f.Add(b, true)
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, open bool) {
		if len(b) < leastChunk {
			t.Skip()
		}
		c := caller{open: open}
		err := c.passes(b, func([]byte) error { return ua.StatusBadCertificateUntrusted })
		if c.secured || err == nil && !slices.Contains([]string{"OPN", "MSG", "CLO"}, string(b[:3])) {
			t.Errorf("%q passed", b)
		}
	})
}

// Who connects and says nothing, or goes away before it has said anything, keeps nobody else waiting, and ends nothing.
func TestSilenceHoldsUpNobody(t *testing.T) {
	for name, gate := range map[string]bool{"a strict gate": true, "a gate for all": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(c *Config) { c.Gate = gate })
			var crowd sync.WaitGroup
			ctx, leave := context.WithCancel(t.Context())
			for i := range 8 {
				crowd.Go(func() {
					for ctx.Err() == nil {
						conn, err := net.Dial("tcp", s.Address())
						if err != nil {
							t.Error(err)
							return
						}
						if i%2 == 0 { // is gone at once, with a reset
							conn.(*net.TCPConn).SetLinger(0)
							time.Sleep(5 * time.Millisecond)
						} else {
							conn.SetReadDeadline(time.Now().Add(patience))
							if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
								t.Error("silence goes on for ever")
							}
						}
						conn.Close()
					}
				})
			}
			defer crowd.Wait()
			defer leave()
			time.Sleep(50 * time.Millisecond)
			for range 3 {
				begun := time.Now()
				client := connect(t, s)
				if took := time.Since(begun); took > patience { // who is held up by silence waits for ever
					t.Errorf("a client waited %s beside silent ones", took)
				}
				client.Close(t.Context())
			}
		})
	}
}

// The address is told as it was configured: what a person wrote finds the machine from elsewhere.
func TestAddressAsConfigured(t *testing.T) {
	s := start(t, func(c *Config) { c.Address = "localhost:0" })
	if host, port, err := net.SplitHostPort(s.Address()); err != nil || host != "localhost" || port == "0" {
		t.Errorf("%s, %v", s.Address(), err)
	}
}
