package serve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gopcua/opcua/ua"
)

// gate stands before the library's listener. The library greets one client after the other, without any limit, and
// one that goes away meanwhile may end its listening for ever: so it hears of a connection only once its greeting is here.
//
// Nor does it ask who a client is before it decodes whatever he sends, and what it cannot decode may end the whole
// process (gopcua/opcua#892). So a strict gate lets a secure channel through only where the certificate that opens it
// is admitted; the library then holds its owner to the key. Without security there is discovery, and what is asked
// there is decoded here first.
type gate struct {
	listener net.Listener
	target   string // of the library, on this machine
	strict   bool
	admit    func(certificate []byte) error // of a strict one; nil admits everybody
	roster   *roster
	work     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
}

const (
	greetingTime  = 2 * time.Second  // that anybody may take to greet
	discoveryTime = 10 * time.Second // that somebody who has shown no certificate may take in all
	greatestChunk = 1 << 20
	leastChunk    = 8 // its type, whether it is the last, and its size (Part 6, 7.1.2.2)
)

func openGate(address, target string, strict bool, admit func([]byte) error, given *roster) (*gate, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	g := &gate{listener: listener, target: target, strict: strict, admit: admit, roster: given, conns: map[net.Conn]bool{}}
	g.work.Go(func() {
		for {
			in, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(100 * time.Millisecond) // no file handle is left, say
				continue
			}
			g.work.Go(func() { g.join(in) })
		}
	})
	return g, nil
}

func (g *gate) close() error {
	err := g.listener.Close()
	g.mu.Lock()
	g.closed = true
	for conn := range g.conns {
		conn.Close()
	}
	g.mu.Unlock()
	g.work.Wait()
	return err
}

func (g *gate) enter(conn net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.conns[conn] = true
	}
	return !g.closed
}

func (g *gate) leave(conn net.Conn) {
	conn.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, conn)
}

// join carries chunks to the library as long as they may pass, and all answers back.
func (g *gate) join(in net.Conn) {
	if !g.enter(in) {
		in.Close()
		return
	}
	defer g.leave(in)
	in.SetReadDeadline(time.Now().Add(greetingTime))
	greeting, err := readChunk(in)
	if err != nil {
		return
	}
	if string(greeting[:3]) != "HEL" {
		refuse(in, ua.StatusBadTCPMessageTypeInvalid)
		return
	}
	out, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	g.roster.given.Add(1)
	if !g.enter(out) {
		out.Close()
		return
	}
	defer g.leave(out)
	if _, err := out.Write(greeting); err != nil {
		return
	}
	g.work.Go(func() {
		_, _ = io.Copy(in, out)
		in.Close()
	})
	if !g.strict {
		in.SetReadDeadline(time.Time{})
		_, _ = io.Copy(out, in)
		return
	}
	in.SetReadDeadline(time.Now().Add(discoveryTime))
	var c caller
	for {
		chunk, err := readChunk(in)
		if err != nil {
			return
		}
		refusal := c.passes(chunk, g.admit)
		if refusal != nil {
			refuse(in, refusal)
			return
		}
		if c.secured {
			in.SetReadDeadline(time.Time{})
		}
		if _, err := out.Write(chunk); err != nil {
			return
		}
	}
}

// readChunk reads one chunk, its header included.
func readChunk(r io.Reader) ([]byte, error) {
	header := make([]byte, leastChunk)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(header[4:])
	if size < leastChunk || size > greatestChunk {
		return nil, ua.StatusBadTCPMessageTooLarge
	}
	chunk := make([]byte, size)
	copy(chunk, header)
	_, err := io.ReadFull(r, chunk[leastChunk:])
	return chunk, err
}

// refuse sends an error message (Part 6, 7.1.2.5) and lets the connection end.
func refuse(in net.Conn, cause error) {
	status := ua.StatusBadSecurityChecksFailed
	errors.As(cause, &status)
	reason := "" // a stranger learns no more
	message := slices.Concat([]byte("ERRF"), binary.LittleEndian.AppendUint32(nil, uint32(leastChunk+8+len(reason))),
		binary.LittleEndian.AppendUint32(nil, uint32(status)), binary.LittleEndian.AppendUint32(nil, uint32(len(reason))), []byte(reason))
	in.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = in.Write(message)
}

// caller is what is known of the other end of a connection: nothing, that it asks without security, or whose
// certificate it has shown.
type caller struct{ open, secured bool }

// passes tells why a chunk behind the greeting must not reach the library; nil where it may.
func (c *caller) passes(chunk []byte, admit func(certificate []byte) error) error {
	switch kind := string(chunk[:3]); {
	case kind == "CLO":
		return nil
	case kind == "OPN":
		return c.opens(chunk, admit)
	case kind == "MSG" && c.secured:
		return nil // the library takes it only with the channel's keys
	case kind == "MSG" && c.open:
		return discovers(chunk)
	}
	return ua.StatusBadTCPMessageTypeInvalid
}

// opens looks at who opens a channel: policy and certificate come in the clear (Part 6, 6.7.2.3).
func (c *caller) opens(chunk []byte, admit func([]byte) error) error {
	buffer := ua.NewBuffer(chunk[leastChunk:])
	buffer.ReadUint32() // channel
	policy := buffer.ReadString()
	certificate := buffer.ReadBytes()
	buffer.ReadBytes() // thumbprint of ours
	if buffer.Error() != nil {
		return ua.StatusBadDecodingError
	}
	if policy == ua.SecurityPolicyURINone {
		if c.secured {
			return ua.StatusBadSecurityPolicyRejected
		}
		c.open = true
		return decodable(chunk[leastChunk+buffer.Pos():], &ua.OpenSecureChannelRequest{})
	}
	if c.open {
		return ua.StatusBadSecurityPolicyRejected
	}
	if admit != nil {
		if err := admit(certificate); err != nil {
			return err
		}
	}
	c.secured = true
	return nil
}

// discovers lets a question for endpoints pass, which fits into one chunk.
func discovers(chunk []byte) error {
	const headers = leastChunk + 8 // channel and token
	if chunk[3] != 'F' || len(chunk) < headers {
		return ua.StatusBadServiceUnsupported
	}
	return decodable(chunk[headers:], &ua.GetEndpointsRequest{}, &ua.FindServersRequest{})
}

// decodable tells whether what follows a sequence header is one of some requests, and can be decoded.
func decodable(body []byte, requests ...ua.Request) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", ua.StatusBadDecodingError, cause)
		}
	}()
	const sequenceHeader = 8
	if len(body) < sequenceHeader {
		return ua.StatusBadDecodingError
	}
	_, request, err := ua.DecodeService(body[sequenceHeader:])
	if err != nil {
		return ua.StatusBadDecodingError
	}
	for _, r := range requests {
		if fmt.Sprintf("%T", r) == fmt.Sprintf("%T", request) {
			return nil
		}
	}
	return ua.StatusBadServiceUnsupported
}
