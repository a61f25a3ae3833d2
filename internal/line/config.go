package line

import (
	"fmt"
	"time"

	"linectl/internal/setting"
)

// Mode is what verdicts are worth.
type Mode string

// The modes of a line.
const (
	Auto        Mode = "auto"        // verdicts go to the PLC
	Shadow      Mode = "shadow"      // parts are inspected and recorded; the PLC is told its default
	Bypass      Mode = "bypass"      // no part is inspected; each is answered with the default and the reason
	Maintenance Mode = "maintenance" // as bypass, while somebody works on the station
)

// Inspects tells whether parts are inspected in this mode; where they are not, no recipe is needed.
func (m Mode) Inspects() bool { return m == Auto || m == Shadow }

// UnmarshalText reads a mode.
func (m *Mode) UnmarshalText(text []byte) error {
	switch mode := Mode(text); mode {
	case Auto, Shadow, Bypass, Maintenance:
		*m = mode
		return nil
	}
	return fmt.Errorf("%q is not a mode; choose auto, shadow, bypass or maintenance", text)
}

// Config is the [line] section.
type Config struct {
	// Name of the station, as it stands in records.
	Name string `toml:"name"`
	// Cycle is the time from the trigger's arrival to the verdict at the PLC, everything included.
	Cycle setting.Duration `toml:"cycle"`
	// WriteMargin is kept back at least from the cycle for writing the verdict: what is not decided by then is rejected.
	WriteMargin setting.Duration `toml:"write_margin"`
	// AckTimeout is how long a result stays valid while the PLC does not take it.
	AckTimeout setting.Duration `toml:"ack_timeout"`
	Mode       Mode             `toml:"mode"`
}

// DefaultConfig is a line that waits half a second for a verdict.
func DefaultConfig() Config {
	return Config{
		Name:        "line",
		Cycle:       setting.Duration(500 * time.Millisecond),
		WriteMargin: setting.Duration(25 * time.Millisecond),
		AckTimeout:  setting.Duration(5 * time.Second),
		Mode:        Auto,
	}
}

// Check reports every mistake in the section.
func (c Config) Check() []setting.Problem {
	var problems []setting.Problem
	if c.Name == "" {
		problems = append(problems, setting.Problemf("name", "is empty; give the station the name that it has in the plant"))
	}
	if c.Cycle <= 0 || c.Cycle.Std() > time.Minute {
		problems = append(problems, setting.Problemf("cycle", "%s is out of range; allowed is more than 0s, up to 1m", c.Cycle))
	}
	if c.WriteMargin <= 0 || c.WriteMargin >= c.Cycle {
		problems = append(problems, setting.Problemf("write_margin", "%s is out of range; allowed is more than 0s and less than line.cycle (%s)", c.WriteMargin, c.Cycle))
	}
	if c.AckTimeout < c.Cycle {
		problems = append(problems, setting.Problemf("ack_timeout", "%s is shorter than line.cycle (%s); the PLC needs time to take the result", c.AckTimeout, c.Cycle))
	}
	return problems
}
