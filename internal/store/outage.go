package store

import (
	"fmt"
	"sync"
	"time"
)

// outage tells the record when pictures begin to be lost, and when none is any more: evidence is never lost
// silently, and a queue that is full now and then does not fill the log book.
type outage struct {
	note  func(kind, detail string)
	quiet time.Duration // without a loss ends it

	mu   sync.Mutex
	lost uint64 // 0: there is none
	last time.Time
}

// lose counts a picture that was not kept.
func (o *outage) lose(id int64, why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = time.Now()
	if o.lost++; o.lost == 1 {
		o.note("pictures-lost", fmt.Sprintf("from record %d on: %v", id, why))
	}
}

// kept hears of a picture that was.
func (o *outage) kept(id int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost > 0 && time.Since(o.last) >= o.quiet {
		o.note("pictures-kept", fmt.Sprintf("from record %d on; %d were lost before", id, o.lost))
		o.lost = 0
	}
}

// end tells what a stop would leave untold.
func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost > 0 {
		o.note("pictures-lost", fmt.Sprintf("%d until the stop", o.lost))
	}
}
