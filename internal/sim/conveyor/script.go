package conveyor

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"linectl/internal/hint"
	"linectl/internal/setting"
	"linectl/internal/sim/plc"
)

// Fault is one entry of a script: what goes wrong, with which parts, and how much.
type Fault struct {
	// Do names what goes wrong.
	Do string `toml:"do"`
	// Part is the part that it hits, counted from 1.
	Part int `toml:"part"`
	// Every is the same for each so many parts.
	Every int `toml:"every"`
	// Chance is the same for each part with this probability, as the seed has it.
	Chance float64 `toml:"chance"`
	// After is how long after the part came into view it begins; 0 is just before.
	After setting.Duration `toml:"after"`
	// For is how long it lasts.
	For setting.Duration `toml:"for"`
	// By is how much later answers come (slow), or how far the clock jumps.
	By setting.Duration `toml:"by"`
	// Values is how many values of the counter are left out.
	Values uint32 `toml:"values"`
	// Tag is the key of the tag that it hits.
	Tag string `toml:"tag"`
	// Cold lets the PLC forget its tags, and with them its counter, in a restart.
	Cold bool `toml:"cold"`
}

// kind is what one kind of fault means and which of the settings it takes. All but those of slips take
// after and for.
type kind struct {
	needs []string
	takes []string
	slip  func(Fault) plc.Slip // for what the PLC's program does wrong with the part itself
}

var kinds = map[string]kind{
	"restart":             {needs: []string{"for"}, takes: []string{"after", "cold"}},
	"new-certificate":     {needs: []string{"for"}, takes: []string{"after"}},
	"stop":                {needs: []string{"for"}, takes: []string{"after"}},
	"hang":                {needs: []string{"for"}, takes: []string{"after"}},
	"slow":                {needs: []string{"for", "by"}, takes: []string{"after"}},
	"revoke":              {needs: []string{"for"}, takes: []string{"after"}},
	"wrong-type":          {needs: []string{"for", "tag"}, takes: []string{"after"}},
	"lost-tag":            {needs: []string{"for", "tag"}, takes: []string{"after"}},
	"clock-jump":          {needs: []string{"for", "by"}, takes: []string{"after"}},
	"mute-subscriptions":  {needs: []string{"for"}, takes: []string{"after"}},
	"repeated-sequence":   {slip: func(Fault) plc.Slip { return plc.Slip{Repeat: true} }},
	"skipped-sequence":    {needs: []string{"values"}, slip: func(f Fault) plc.Slip { return plc.Slip{Skip: f.Values} }},
	"trigger-while-busy":  {needs: []string{"after"}, slip: func(f Fault) plc.Slip { return plc.Slip{Hurry: f.After.Std()} }},
	"early-withdrawal":    {needs: []string{"after"}, slip: func(f Fault) plc.Slip { return plc.Slip{Withdraw: f.After.Std()} }},
	"lost-acknowledgment": {needs: []string{"for"}, slip: func(f Fault) plc.Slip { return plc.Slip{Hold: f.For.Std()} }},
}

// Kinds are the names of all faults.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// longest is the longest that a fault may last: a longer one is a slip of the pen.
const longest = time.Hour

// ReadScript reads a script of faults, a TOML file with a table [[fault]] for each. All mistakes come in
// one error.
func ReadScript(name string) ([]Fault, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, hint.New(hint.Usage, fmt.Errorf("script of faults: %w", err), "")
	}
	script, err := parseScript(text)
	if err != nil {
		return nil, hint.New(hint.Usage, fmt.Errorf("%s: %w", name, err), "docs/plc/simulate.md lists the faults and what each takes")
	}
	return script, nil
}

func parseScript(text []byte) ([]Fault, error) {
	var script struct {
		Fault []Fault `toml:"fault"`
	}
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&script)
	var unknown *toml.StrictMissingError
	var value *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		var all []error
		for _, u := range unknown.Errors {
			row, column := u.Position()
			all = append(all, fmt.Errorf("line %d, column %d: there is no key %s", row, column, strings.Join(u.Key(), ".")))
		}
		return nil, errors.Join(all...)
	case errors.As(err, &value):
		row, column := value.Position()
		return nil, fmt.Errorf("line %d, column %d: %s", row, column, strings.TrimPrefix(value.Error(), "toml: "))
	case err != nil:
		return nil, err
	case len(script.Fault) == 0:
		return nil, errors.New("holds no [[fault]]")
	}
	var all []error
	for i, f := range script.Fault {
		for _, problem := range f.problems() {
			all = append(all, fmt.Errorf("fault %d: %s", i+1, problem))
		}
	}
	return script.Fault, errors.Join(all...)
}

func (f Fault) problems() (all []string) {
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	k, known := kinds[f.Do]
	if !known {
		say("do: there is no fault %q; choose one of %s", f.Do, strings.Join(Kinds(), ", "))
		return all
	}
	for name, set := range map[string]bool{
		"after": f.After != 0, "for": f.For != 0, "by": f.By != 0, "values": f.Values != 0, "tag": f.Tag != "", "cold": f.Cold,
	} {
		switch needs := slices.Contains(k.needs, name); {
		case needs && !set:
			say("%s: is missing; %s needs it", name, f.Do)
		case set && !needs && !slices.Contains(k.takes, name):
			say("%s: means nothing to %s", name, f.Do)
		}
	}
	if f.After < 0 || f.After.Std() > longest {
		say("after: %s is out of range; allowed is 0s to %s", f.After, longest)
	}
	if f.For < 0 || f.For.Std() > longest {
		say("for: %s is out of range; allowed is more than 0s, up to %s", f.For, longest)
	}
	if f.Do == "slow" && (f.By < 0 || f.By.Std() > time.Minute) {
		say("by: %s is out of range; allowed is more than 0s, up to 1m", f.By)
	}
	if f.Tag != "" && !slices.Contains(plc.Keys(), f.Tag) {
		say("tag: there is no tag %q; choose one of %s", f.Tag, strings.Join(plc.Keys(), ", "))
	}
	when := 0
	for _, set := range []bool{f.Part != 0, f.Every != 0, f.Chance != 0} {
		if set {
			when++
		}
	}
	if when != 1 || f.Part < 0 || f.Every < 0 || f.Chance < 0 || f.Chance > 1 {
		say("exactly one of part (from 1), every (from 1) and chance (above 0, up to 1) says when")
	}
	slices.Sort(all)
	return all
}

// hits tells whether the fault hits the n-th part. The random numbers are drawn for each part, so that
// the same seed gives the same faults.
func (f Fault) hits(n int, random *rand.Rand) bool {
	switch {
	case f.Part != 0:
		return n == f.Part
	case f.Every != 0:
		return n%f.Every == 0
	}
	return random.Float64() < f.Chance
}

// String says it for people.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.Do)
	if f.Tag != "" {
		b.WriteString(" " + f.Tag)
	}
	if f.Cold {
		b.WriteString(", cold")
	}
	if f.By != 0 {
		fmt.Fprintf(&b, " by %s", f.By)
	}
	if f.Values != 0 {
		fmt.Fprintf(&b, " of %d values", f.Values)
	}
	if f.After != 0 {
		fmt.Fprintf(&b, " after %s", f.After)
	}
	if f.For != 0 {
		fmt.Fprintf(&b, " for %s", f.For)
	}
	return b.String()
}
