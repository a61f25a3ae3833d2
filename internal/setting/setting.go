// Package setting holds the types of single config values, each of which reads itself from text and
// says in its own words what is allowed, and Problem, one mistake in a config.
package setting

import (
	"fmt"
	"time"
)

// Problem is one mistake in the config: the key it is about, relative to the room that reports it
// ("poll", "tags.reject"), and what is wrong and what is allowed.
type Problem struct {
	Key     string
	Message string
}

// Problemf makes a Problem.
func Problemf(key, format string, args ...any) Problem {
	return Problem{Key: key, Message: fmt.Sprintf(format, args...)}
}

// Duration is a length of time written as "400ms", "5s" or "1h30m".
type Duration time.Duration

// UnmarshalText reads a Go duration. The unit is required: a bare number has no meaning here.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration; write a number with a unit: 5ms, 2s, 1h30m", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Std is the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }
