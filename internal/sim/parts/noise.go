package parts

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// rng is what defects draw their size and place from.
type rng struct{ *rand.Rand }

func (r rng) between(low, high float64) float64 { return low + (high-low)*r.Float64() }
func (r rng) angle() float64                    { return r.between(-math.Pi, math.Pi) }

// hash mixes seed and lattice point to 64 even bits (the finish of SplitMix64, Steele et al., OOPSLA 2014).
func hash(seed uint64, x, y int) uint64 {
	h := seed + uint64(int64(x))*0x9e3779b97f4a7c15 + uint64(int64(y))*0xd1b54a32d192ed03
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// lattice is an even random value from -1 to 1 for each lattice point.
func lattice(seed uint64, x, y int) float64 { return float64(int64(hash(seed, x, y))) / (1 << 63) }

// smooth goes from 0 to 1 as t does, level at both ends; t has to be within.
func smooth(t float64) float64 { return t * t * (3 - 2*t) }

// ease is smooth for any t: what is outside counts as the nearest end.
func ease(t float64) float64 { return smooth(min(max(t, 0), 1)) }

// ramp goes smoothly from 0 to 1 as x goes from low to high.
func ramp(low, high, x float64) float64 { return ease((x - low) / (high - low)) }

// inside is the share of a pixel that lies inside an outline, from the distance to it (negative inside).
func inside(distance float64) float64 { return min(max(0.5-distance, 0), 1) }

// field is value noise, from -1 to 1, with features about one unit in size.
func field(seed uint64, x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy, tx, ty := int(fx), int(fy), smooth(x-fx), smooth(y-fy)
	top := lattice(seed, ix, iy)*(1-tx) + lattice(seed, ix+1, iy)*tx
	bottom := lattice(seed, ix, iy+1)*(1-tx) + lattice(seed, ix+1, iy+1)*tx
	return top*(1-ty) + bottom*ty
}

// cloud is field in three octaves.
func cloud(seed uint64, x, y float64) float64 {
	return (4*field(seed, x, y) + 2*field(seed+1, 2*x, 2*y) + field(seed+2, 4*x, 4*y)) / 7
}

// noise is the sensor's: read noise and shot noise, which grows with the root of the light.
type noise struct {
	r          rng
	dark, shot float64
}

func newNoise(r rng) *noise {
	return &noise{r: r, dark: 1 + 0.5*r.Float64(), shot: 0.015 + 0.005*r.Float64()}
}

// read is what the sensor makes of the light: noise, then 8 bits.
func (n *noise) read(light []float64) []byte {
	pixels := make([]byte, len(light))
	for i, level := range light {
		// The ones in 64 even bits fall in nearly a bell: mean 32, deviation 4.
		bell := float64(bits.OnesCount64(n.r.Uint64())-32) / 4
		sigma := math.Sqrt(n.dark*n.dark + n.shot*max(level, 0))
		pixels[i] = byte(min(max(level+sigma*bell+0.5, 0), 255))
	}
	return pixels
}
