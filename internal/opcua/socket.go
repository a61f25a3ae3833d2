package opcua

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/uacp"
)

const (
	// Without this option of Linux, what was sent into a dead network waits for minutes (tcp(7)).
	tcpUserTimeout = 18
	unacknowledged = 2 * time.Second
	// A greeting costs the PLC no cryptography: one that is not answered by then was swallowed.
	greeted = 2 * time.Second
)

// socket is the TCP connection of one of the library's clients, which can be cut from outside.
//
// Where its context or its time ends, the library forgets the channel that it is opening while the answer may be just
// coming in, and what then reads it (uasc, readChunk) ends the whole process. So its contexts do not end here: the
// connection does, and with it, first of all, whoever reads.
type socket struct {
	mu  sync.Mutex
	raw syscall.RawConn
	cut bool
}

// dialer notices a dead network within seconds.
func (s *socket) dialer() *uacp.Dialer {
	return &uacp.Dialer{Dialer: &net.Dialer{
		Timeout:         time.Second,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 2},
		Control: func(_, _ string, c syscall.RawConn) error {
			var failed error
			err := c.Control(func(fd uintptr) {
				failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unacknowledged.Milliseconds()))
			})
			return errors.Join(err, failed, s.hold(c))
		},
	}}
}

func (s *socket) hold(raw syscall.RawConn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw = raw
	if s.cut {
		return net.ErrClosed
	}
	return nil
}

// shut cuts the connection, and every one that would follow it.
func (s *socket) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = true
	if s.raw != nil {
		_ = s.raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }) // it may have ended by itself
	}
}

// within has a client do what takes a channel, over a connection that is cut when ctx ends, or when the
// channel is not open in time.
func (s *socket) within(ctx context.Context, client *opcua.Client, inTime time.Duration, do func(context.Context) error) error {
	defer context.AfterFunc(ctx, s.shut)()
	late := time.AfterFunc(inTime, func() {
		if client.SecureChannel() == nil {
			s.shut()
		}
	})
	defer late.Stop()
	err := do(greeting{context.WithoutCancel(ctx), time.Now().Add(greeted)})
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.cut:
		return context.DeadlineExceeded
	}
	return err
}

// greeting is a context whose deadline is that of the greeting. Only there does the library look at a context's
// deadline; what follows may take the PLC longer.
type greeting struct {
	context.Context
	until time.Time
}

// Deadline is when the greeting must have been answered.
func (g greeting) Deadline() (time.Time, bool) { return g.until, true }
