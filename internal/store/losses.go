package store

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// quiet is how long the same message is not repeated.
const quiet = 30 * time.Second

// losses counts what could not be kept. The first is logged at once, the following ones as a number
// once in 30 s: a full disk must not fill the log as well.
type losses struct {
	log   *slog.Logger
	what  string
	count atomic.Uint64

	mu     sync.Mutex
	logged time.Time
	silent int
}

func newLosses(log *slog.Logger, what string) *losses { return &losses{log: log, what: what} }

func (l *losses) add(err error, args ...any) {
	l.count.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.logged) >= quiet {
		l.log.Error(l.what, append(args, "error", err, "more since the last message", l.silent)...)
		l.logged, l.silent = now, 0
		return
	}
	l.silent++
}
