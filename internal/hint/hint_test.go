package hint

import (
	"errors"
	"fmt"
	"testing"
)

func TestHint(t *testing.T) {
	root := errors.New("no such file")
	inner := New(Usage, root, "check the path")
	outer := New(Damage, fmt.Errorf("open recipe: %w", inner), "")
	for _, test := range []struct {
		err  error
		kind Kind
		next string
		text string
	}{
		{root, Failure, "", "no such file"},
		{inner, Usage, "check the path", "no such file"},
		{fmt.Errorf("read: %w", inner), Usage, "check the path", "read: no such file"},
		{outer, Damage, "check the path", "open recipe: no such file"}, // the outer kind, the only hint
	} {
		if KindOf(test.err) != test.kind || Of(test.err) != test.next || test.err.Error() != test.text || !errors.Is(test.err, root) {
			t.Errorf("%v: kind %d, hint %q", test.err, KindOf(test.err), Of(test.err))
		}
	}
	if New(Failure, nil, "nothing") != nil {
		t.Error("no error becomes one")
	}
}
