package calibrate

import (
	"math"
	"slices"
)

// mostSuspects is the greatest share of pictures that may be called unlike the rest: beyond it, they are the
// product's own variety.
const mostSuspects = 0.1

// oddChance is how many pictures of a set without a strange one may be called so. A good picture that is left out costs
// little, for others are like it; a bad one that is learned lets its like pass and, held out, lifts the threshold.
const oddChance = 0.2

// Suspects returns the pictures whose held-out scores do not belong to those of the rest, the strangest
// first. Scores above the median are taken to fall off exponentially at the pace that they have between the
// median and the upper fifth, which no contamination of a tenth can move far; a picture is a suspect where
// fewer than one in five sets of this size would have any score as great.
func Suspects(scores []float64) []int {
	n := len(scores)
	if n < Minimum {
		return nil
	}
	rising := slices.Sorted(slices.Values(scores))
	middle, upper := rising[n/2], rising[n*4/5]
	pace := (upper - middle) / math.Log(2.5) // from a half above to a fifth above
	limit := middle + pace*math.Log(float64(n)/2/oddChance)
	var found []int
	for i, s := range scores {
		if s > limit {
			found = append(found, i)
		}
	}
	slices.SortStableFunc(found, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return a - b
	})
	return found[:min(len(found), int(mostSuspects*float64(n)))]
}

// apart is the share of pictures whose strangest patches are not learned: twice as many as may be suspects, for a bad
// picture need not be among the strangest. Half of it protects less; more costs accuracy where all pictures are good (docs/accuracy.md).
const apart = 0.2

// Apart returns the distance beyond which a patch is taken to belong to no good part: what the greatest distances in a
// fifth of the pictures exceed. most is the greatest distance of a patch in each picture while it was held out.
func Apart(most []float64) float64 {
	rising := slices.Sorted(slices.Values(most))
	return rising[len(rising)-1-int(apart*float64(len(rising)))]
}
