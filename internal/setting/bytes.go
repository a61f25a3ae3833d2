package setting

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is an amount of storage written as "2GB" or "512MiB".
type Bytes uint64

// units are the suffixes of an amount: a thousand to the step without an i, 1024 with one.
var units = []struct {
	suffix string
	factor uint64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// UnmarshalText reads a number with its unit. The unit is required: a bare number has no meaning here.
func (b *Bytes) UnmarshalText(text []byte) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(string(text), u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || math.IsNaN(n) || n < 0 || n*float64(u.factor) >= math.MaxInt64 {
			break
		}
		*b = Bytes(n * float64(u.factor))
		return nil
	}
	return fmt.Errorf("%q is not an amount of storage; write a number with a unit: 500MB, 2GB, 1TB", text)
}

// MarshalText writes what UnmarshalText reads.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.exact()), nil }

// exact writes the amount in the largest unit that divides it.
func (b Bytes) exact() string {
	for _, suffix := range []string{"TB", "GB", "MB", "kB"} {
		for _, u := range units {
			if u.suffix == suffix && b != 0 && uint64(b)%u.factor == 0 {
				return fmt.Sprintf("%d%s", uint64(b)/u.factor, suffix)
			}
		}
	}
	return fmt.Sprintf("%dB", uint64(b))
}

// String writes the amount for people, to three digits.
func (b Bytes) String() string {
	n := float64(b)
	for _, suffix := range []string{"B", "kB", "MB", "GB"} {
		if n < 999.5 {
			return fmt.Sprintf("%.3g %s", n, suffix)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.0f TB", n)
}
