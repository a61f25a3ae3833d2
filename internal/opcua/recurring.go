package opcua

import (
	"log/slog"
	"time"

	"linectl/internal/hint"
)

// quiet is how long a failure that repeats itself is not logged again.
const quiet = 30 * time.Second

// recurring logs a failure that repeats itself once in a while, and how often it came when it is over.
type recurring struct {
	log    *slog.Logger
	text   string // the failure that lasts; "" while there is none
	count  int
	spoken time.Time
}

// failure logs err unless the same was logged a short while ago. It tells whether err is another one
// than before.
func (r *recurring) failure(err error) (fresh bool) {
	text := err.Error()
	if state := outage(err, Failed); state == TooSlow {
		text = state.String() // it brings other figures each time
	}
	fresh = text != r.text
	r.text = text
	r.count++
	if !fresh && time.Since(r.spoken) < quiet {
		return false
	}
	r.spoken = time.Now()
	attributes := []any{"error", err, "failures", r.count}
	if next := hint.Of(err); next != "" {
		attributes = append(attributes, "hint", next)
	}
	r.log.Warn("no session with the PLC", attributes...)
	return fresh
}

// success logs that it works, and how many failures came before.
func (r *recurring) success(message string, attributes ...any) {
	if r.count > 0 {
		attributes = append(attributes, "failures", r.count)
	}
	r.log.Info(message, attributes...)
	r.text, r.count = "", 0
}
