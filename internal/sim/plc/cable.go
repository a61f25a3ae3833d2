package plc

import (
	"io"
	"net"
	"sync"
	"time"
)

// Cable is a TCP connection to a PLC that can go wrong. Clients dial Address instead of the PLC.
type Cable struct {
	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	change *sync.Cond
	held   bool          // nothing gets through, and nobody is told
	cut    bool          // new connections are closed at once
	slow   time.Duration // how much later everything arrives
	harm   harm          // what becomes of everything that is sent
	deaf   bool          // new connections are accepted and never answered
	spared int           // but for so many
	conns  map[*net.TCPConn]bool
}

// harm is what a cable does to what it carries.
type harm int

const (
	whole   harm = iota
	lost         // nothing arrives, and nobody is told
	torn         // half of it arrives, and then the connection ends
	garbled      // something else arrives
)

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

// Slow makes everything arrive so much later, in each direction.
func (c *Cable) Slow(d time.Duration) { c.set(func() { c.slow = d }) }

// Lose drops whatever is sent, and keeps the connections.
func (c *Cable) Lose() { c.set(func() { c.harm = lost }) }

// Tear lets half of whatever is sent arrive, and then ends its connection.
func (c *Cable) Tear() { c.set(func() { c.harm = torn }) }

// Garble lets something else arrive than was sent, as long as that.
func (c *Cable) Garble() { c.set(func() { c.harm = garbled }) }

// Swallow accepts new connections, but for the next few, and never answers them, not even after Plug.
func (c *Cable) Swallow(next int) {
	c.set(func() { c.held, c.cut, c.deaf, c.spared = false, false, true, next })
}

// Move lets new connections lead to another address, HOST:PORT.
func (c *Cable) Move(target string) { c.set(func() { c.target = target }) }

// Plug repairs the cable. What was held by Hang is delivered then.
func (c *Cable) Plug() {
	c.set(func() { c.held, c.cut, c.slow, c.harm, c.deaf = false, false, 0, whole, false })
}

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
	c.mu.Lock()
	target, deaf := c.target, c.deaf && c.spared == 0
	if !deaf && c.spared > 0 {
		c.spared--
	}
	c.mu.Unlock()
	if deaf {
		if c.enter(in) {
			io.Copy(io.Discard, in) // until one side has enough
		}
		c.leave(in)
		return
	}
	out, err := net.Dial("tcp", target)
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
	c.leave(in, out.(*net.TCPConn))
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

func (c *Cable) leave(conns ...*net.TCPConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		delete(c.conns, conn)
	}
}

func (c *Cable) carry(from, to net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		c.mu.Lock()
		slow := c.slow
		c.mu.Unlock()
		time.Sleep(slow)
		c.mu.Lock()
		for c.held {
			c.change.Wait()
		}
		harm := c.harm
		c.mu.Unlock()
		sent := buffer[:n]
		switch harm {
		case lost:
			sent = nil
		case torn:
			sent = sent[:n/2]
		case garbled:
			for i := range sent {
				sent[i] ^= byte(i) | 1
			}
		}
		if _, failed := to.Write(sent); failed != nil || err != nil || harm == torn {
			return
		}
	}
}
