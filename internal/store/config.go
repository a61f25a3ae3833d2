package store

import (
	"fmt"
	"time"

	"linectl/internal/part"
	"linectl/internal/setting"
)

// Keep says which pictures are kept.
type Keep string

// What can be kept.
const (
	KeepRejects Keep = "rejects" // of rejected parts, lossless
	KeepAll     Keep = "all"     // of rejected parts lossless, of passed ones as JPEG
	KeepNone    Keep = "none"
)

// UnmarshalText reads what is kept.
func (k *Keep) UnmarshalText(text []byte) error {
	switch keep := Keep(text); keep {
	case KeepRejects, KeepAll, KeepNone:
		*k = keep
		return nil
	}
	return fmt.Errorf("%q is not known; choose rejects, all or none", text)
}

func (k Keep) wants(verdict part.Verdict) bool {
	return k == KeepAll || k == KeepRejects && verdict == part.Reject
}

// Config is the [store] section.
type Config struct {
	// Path of the record, an SQLite file. It belongs on a local disk: SQLite's locks do not hold on network folders.
	Path string `toml:"path"`
	// Pictures is the folder of the pictures that are kept.
	Pictures string `toml:"pictures"`
	// Keep says whose pictures are kept: rejects (PNG), all (rejects PNG, passes JPEG) or none.
	Keep Keep `toml:"keep"`
	// PictureQueue is how many pictures may wait to be written; further ones are dropped and counted. Each takes width x height x 3 bytes of memory.
	PictureQueue int `toml:"picture_queue"`
	// MinFree is the space to be left on the disk. Below it pictures of passed parts are no longer kept; below a tenth of it none is, and the station is not ready.
	MinFree setting.Bytes `toml:"min_free"`
	// PassDays is after how many days of production pictures of passes are removed; 0 is never.
	PassDays int `toml:"pass_days"`
	// RejectDays is the same for rejects and for the samples of passes; 0 is never.
	RejectDays int `toml:"reject_days"`
	// Sample makes every so many-th part one whose picture is kept as long as that of a reject; 0 is none.
	Sample int `toml:"sample"`
	// Quota is what all pictures together may take: above it pictures of passes are removed, the oldest first, then the samples, never rejects; 0 is no limit.
	Quota setting.Bytes `toml:"quota"`
	// Queue is how many deliveries and events may wait for a disk that does not take them; further ones are dropped and counted. Rows of parts are never dropped.
	Queue int `toml:"queue"`
	// SealKey is the file of an Ed25519 private key in PEM with which the daily seals are signed; empty signs none.
	SealKey string `toml:"seal_key"`
	// TimeZone is the plant's, such as Europe/Berlin; empty is that of this machine.
	TimeZone string `toml:"time_zone"`
	// Shifts are the times of day at which the shifts begin, in order and separated by spaces, each on a quarter of an hour.
	Shifts string `toml:"shifts"`
}

// DefaultConfig keeps the record where an installed linectl has it, and the pictures of rejected parts.
func DefaultConfig() Config {
	return Config{
		Path:         "/var/lib/linectl/linectl.db",
		Pictures:     "/var/lib/linectl/pictures",
		Keep:         KeepRejects,
		PictureQueue: 16,
		MinFree:      2_000_000_000,
		PassDays:     30,
		Sample:       50,
		Queue:        10_000,
		Shifts:       "06:00 14:00 22:00",
	}
}

// Check reports every mistake in the section.
func (c Config) Check() []setting.Problem {
	var problems []setting.Problem
	wrong := func(key, format string, args ...any) {
		problems = append(problems, setting.Problemf(key, format, args...))
	}
	if c.Path == "" {
		wrong("path", "is empty; give the file in which the record is kept")
	}
	if c.Pictures == "" && c.Keep != KeepNone {
		wrong("pictures", "is empty; give the folder in which pictures are kept, or set keep = \"none\"")
	}
	if c.PictureQueue < 1 || c.PictureQueue > 1000 {
		wrong("picture_queue", "%d is out of range; allowed is 1 to 1000", c.PictureQueue)
	}
	if c.Queue < 100 || c.Queue > 1_000_000 {
		wrong("queue", "%d is out of range; allowed is 100 to 1000000", c.Queue)
	}
	for _, days := range []struct {
		key   string
		value int
	}{{"pass_days", c.PassDays}, {"reject_days", c.RejectDays}, {"sample", c.Sample}} {
		if days.value < 0 {
			wrong(days.key, "%d is below 0; 0 switches it off", days.value)
		}
	}
	return append(problems, c.checkCalendar()...)
}

// lowest is the space below which the station is not ready.
func (c Config) lowest() setting.Bytes { return c.MinFree / 10 }

const (
	checkLimit = 10 * time.Second // for the quick check after an unclean stop: a line must not wait for minutes
	hangLimit  = 5 * time.Second  // a write that takes longer means a disk that does not answer
	retryEvery = time.Second      // between attempts on a disk that refuses
)
