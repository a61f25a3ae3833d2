package opcua

import (
	"cmp"
	"maps"
	"slices"
)

// set is the variables at one place of a PLC that bear names of signals, or are configured.
type set struct {
	below string
	names map[string]bool // bare ones
	mine  bool            // one is configured
}

func (s *set) overlaps(names map[string]bool) bool {
	for name := range s.names {
		if names[name] {
			return true
		}
	}
	return false
}

// stations leaves of what was found what can be one line's: a PLC may serve several, and tags of two lines must never be
// mixed. It is the set with a configured tag, by node, else the biggest, and those that add to it without having any
// name twice, as where inputs and outputs lie apart; of several, the one whose way is most like the first one's. Where that
// says nothing, none is taken. The others are the ways to what else there is.
func stations(there []Variable, configured map[string]bool) (ours []Variable, others []string) {
	sets := setsOf(there, configured)
	if len(sets) == 0 {
		return nil, nil
	}
	main := slices.MinFunc(sets, func(a, b *set) int { return cmp.Or(b.compare(a), cmp.Compare(len(b.names), len(a.names))) })
	far := func(s *set) int { return edits(main.below, s.below) }
	slices.SortStableFunc(sets, func(a, b *set) int { return cmp.Or(b.compare(a), cmp.Compare(far(a), far(b))) })
	taken, places := maps.Clone(main.names), map[string]bool{main.below: true}
	for _, s := range sets {
		twin := slices.ContainsFunc(sets, func(o *set) bool { return o != s && far(o) == far(s) && !o.mine && o.overlaps(s.names) })
		switch {
		case s == main:
		case s.mine, len(s.names) > 1 && !s.overlaps(taken) && !twin:
			maps.Copy(taken, s.names)
			places[s.below] = true
		case len(s.names) > 1: // one alone may be that of something else: a motor has a Fault, too
			others = append(others, s.below)
		}
	}
	for _, v := range there {
		if places[v.below] {
			ours = append(ours, v)
		}
	}
	return ours, others
}

// compare puts a set with a configured tag above one without.
func (s *set) compare(other *set) int {
	switch {
	case s.mine == other.mine:
		return 0
	case s.mine:
		return 1
	}
	return -1
}

func setsOf(there []Variable, configured map[string]bool) (sets []*set) {
	at := map[string]*set{}
	for _, v := range there {
		name := lastName(v.Name)
		isSignal := false
		for _, row := range table {
			isSignal = isSignal || name == bare(row.key)
		}
		if !isSignal && !configured[v.Node] {
			continue
		}
		if at[v.below] == nil {
			at[v.below] = &set{below: v.below, names: map[string]bool{}}
			sets = append(sets, at[v.below])
		}
		at[v.below].names[name] = true
		at[v.below].mine = at[v.below].mine || configured[v.Node]
	}
	return sets
}
