package weights

import (
	"strings"
	"testing"
)

// A pickle that calls os.system, as Python's pickle writes it in protocol 2.
const evil = "\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."

func TestPickleRunsNothing(t *testing.T) {
	if _, err := Parse([]byte(evil)); err == nil || !strings.Contains(err.Error(), "posix.system") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(evil))
	f.Add([]byte("\x48\x00\x00\x00\x00\x00\x00\x00" + `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}                  ` + "\x00\x00\x80\x3f"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err == nil && len(d) == 0 {
			t.Error("taken, but empty")
		}
	})
}
