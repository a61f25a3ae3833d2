package serve

import (
	"sync/atomic"
	"time"
)

// roster counts the connections that the library was given and those that it is done with. The library ends by waiting
// for the connections that it knows, while one that it has just been given may still be joining them: a misuse of a
// sync.WaitGroup, which can end the process. What it logs is the only thing that tells when it is done with one.
type roster struct{ given, done atomic.Int64 }

// settled waits until the library is done with every connection that it was given; longest a second, for some that it
// never took up.
func (r *roster) settled() {
	for range 1000 {
		if r.done.Load() >= r.given.Load() {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *roster) Debug(string, ...any) {}

func (r *roster) Info(string, ...any) {}

func (r *roster) Warn(message string, _ ...any) { r.hear(message) }

func (r *roster) Error(message string, _ ...any) { r.hear(message) }

// hear knows the last line of every way of a connection through the library (server.go, channel_broker.go).
func (r *roster) hear(message string) {
	switch message {
	case "error accepting connection: %s", "Error creating secure channel for new connection: %s",
		"Secure Channel %d closed", "Secure Channel %d error: %s", "Context done, closing Secure Channel %d":
		r.done.Add(1)
	}
}
