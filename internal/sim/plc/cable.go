package plc

import (
	"net"
	"sync"
)

// Cable is a TCP connection to a PLC that can go wrong. Clients dial Address instead of the PLC.
type Cable struct {
	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	change *sync.Cond
	held   bool // nothing gets through, and nobody is told
	cut    bool // new connections are closed at once
	conns  map[*net.TCPConn]bool
}

// NewCable plugs a cable into a PLC that listens at target, HOST:PORT.
func NewCable(target string) (*Cable, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Cable{target: target, listener: l, conns: map[*net.TCPConn]bool{}}
	c.change = sync.NewCond(&c.mu)
	c.work.Go(c.accept)
	return c, nil
}

// Address is where to dial, HOST:PORT.
func (c *Cable) Address() string { return c.listener.Addr().String() }

// Cut closes every connection in an orderly way and, until Plug, every new one.
func (c *Cable) Cut() { c.end(-1) }

// Reset ends every connection with a TCP reset and, until Plug, every new one.
func (c *Cable) Reset() { c.end(0) }

// end closes every connection; a linger of 0 s makes that a reset.
func (c *Cable) end(linger int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut, c.held = true, false
	for conn := range c.conns {
		conn.SetLinger(linger)
		conn.Close()
	}
	clear(c.conns)
	c.change.Broadcast()
}

// Hang lets nothing through any more, in either direction, and tells nobody.
func (c *Cable) Hang() { c.set(func() { c.held = true }) }

// Plug repairs the cable. What was held by Hang is delivered then.
func (c *Cable) Plug() { c.set(func() { c.held, c.cut = false, false }) }

func (c *Cable) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	c.change.Broadcast()
}

// Close ends the cable and its connections.
func (c *Cable) Close() error {
	err := c.listener.Close()
	c.Cut()
	c.work.Wait()
	return err
}

func (c *Cable) accept() {
	for {
		in, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.work.Go(func() { c.join(in.(*net.TCPConn)) })
	}
}

// join carries bytes both ways until one end is closed.
func (c *Cable) join(in *net.TCPConn) {
	defer in.Close()
	out, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer out.Close()
	if !c.enter(in, out.(*net.TCPConn)) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.carry(in, out); out.Close() })
	both.Go(func() { c.carry(out, in); in.Close() })
	both.Wait()
	c.mu.Lock()
	delete(c.conns, in)
	delete(c.conns, out.(*net.TCPConn))
	c.mu.Unlock()
}

func (c *Cable) enter(conns ...*net.TCPConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return false
	}
	for _, conn := range conns {
		c.conns[conn] = true
	}
	return true
}

func (c *Cable) carry(from, to net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		c.mu.Lock()
		for c.held {
			c.change.Wait()
		}
		c.mu.Unlock()
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}
