package setting

import (
	"testing"
)

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0B": 0, "512B": 512, "2GB": 2e9, "1.5GB": 15e8, "2 GB": 2e9, "500MB": 5e8, "1TB": 1e12, "3kB": 3000, "4KiB": 4096, "1GiB": 1 << 30,
	} {
		var got Bytes
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
		written, err := got.MarshalText()
		var again Bytes
		if err != nil || again.UnmarshalText(written) != nil || again != want {
			t.Errorf("%q was written as %q, which is %d", text, written, again)
		}
	}
	for _, text := range []string{"", "2", "GB", "-1GB", "2gb", "NaNGB", "InfB", "99999999TB", "2GBB", "0x10B B"} {
		var got Bytes
		want := `"` + text + `" is not an amount of storage; write a number with a unit: 500MB, 2GB, 1TB`
		if err := got.UnmarshalText([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
}

func TestBytesForPeople(t *testing.T) {
	for b, want := range map[Bytes]string{0: "0 B", 999: "999 B", 1500: "1.5 kB", 77_700_000_000: "77.7 GB", 2e9: "2 GB", 999_900_000: "1 GB", 5e12: "5 TB"} {
		if b.String() != want {
			t.Errorf("%d is %q, want %q", uint64(b), b.String(), want)
		}
	}
}
