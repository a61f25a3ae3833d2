package evaluate

import "math"

// Rate is a share of pictures with its 95 % interval, which says how far the share of all parts may be
// from it. Without pictures nothing is known: NaN, from 0 to 1.
type Rate struct {
	Count, Of int
	Value     float64
	Low, High float64
}

// z is the 97.5 % point of the normal distribution.
const z = 1.959963984540054

// NewRate is count of of, with the score interval of Wilson ("Probable inference, the law of succession, and
// statistical inference", 1927): unlike count/of ± z·sd it holds for few pictures and for shares near 0 and 1.
func NewRate(count, of int) Rate {
	if of == 0 {
		return Rate{Value: math.NaN(), High: 1}
	}
	n := float64(of)
	p := float64(count) / n
	centre := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	// At the ends the interval ends with the share; rounding must not say otherwise.
	return Rate{count, of, p, min(max(0, centre-half), p), max(min(1, centre+half), p)}
}
