package calibrate

import "slices"

// Folds divides pictures into parts that are held out in turn and returns the part of each. A group stays
// whole: a bank must not be asked about the twin of a picture that it has seen. The largest groups are dealt
// first, each to the smallest part so far.
func Folds(groups []int, folds int) []int {
	members := make(map[int][]int)
	var order []int // of the groups, as they first appear
	for i, g := range groups {
		if members[g] == nil {
			order = append(order, g)
		}
		members[g] = append(members[g], i)
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(members[b]) - len(members[a]) })
	sizes := make([]int, min(folds, len(order)))
	of := make([]int, len(groups))
	for _, g := range order {
		least := 0
		for f, size := range sizes {
			if size < sizes[least] {
				least = f
			}
		}
		sizes[least] += len(members[g])
		for _, i := range members[g] {
			of[i] = least
		}
	}
	return of
}
