package parts

import "math"

const (
	yarnPitch = 13.0 // pixels from yarn to yarn
	yarnHalf  = 5.6  // half a yarn's width
	wave      = 1.6  // how far a yarn rises and dips
)

var glassFibre = [3]float64{0.60, 0.66, 0.68}

// weave is a plain weave: each yarn goes over and under the ones across it in turn.
type weave struct {
	texture uint64
	broken  *gap
}

// gap is a stretch over which a yarn along x is missing.
type gap struct {
	yarn        int
	left, right float64
}

func newWeave(texture uint64) *weave { return &weave{texture: texture} }

// yarn is the yarn next to p that runs along the first coordinate: its relief, or far below where p lies
// between two yarns. The second coordinate is across; over shifts the wave.
func (w *weave) yarn(seed uint64, along, across float64, over int) (height, brightness float64, number int) {
	// No yarn lies quite straight.
	across += 0.8 * field(seed+3, along/60, math.Floor(across/yarnPitch)*7.3)
	number = int(math.Floor(across / yarnPitch))
	t := (across - (float64(number)+0.5)*yarnPitch) / (yarnHalf * (1 + 0.07*lattice(seed, number, 0)))
	phase := along/yarnPitch - 0.5 + float64(number+over)
	height = wave * cosPi(phase)
	if t = t * t; t < 1 {
		height += 2.4 * math.Sqrt(1-t)
	} else {
		height -= 4 * min(t-1, 1.5)
	}
	fibres := field(seed+1, along*0.10, across*1.7)
	return height, 1 + 0.05*lattice(seed, number, 1) + 0.10*fibres, number
}

// cosPi is cos(πx) by Bhaskara's formula, which is exact enough for a yarn and quick.
func cosPi(x float64) float64 {
	x -= 2 * math.Floor(x/2+0.5) // -1 to 1
	sign := 1.0
	if x = math.Abs(x); x > 0.5 {
		x, sign = 1-x, -1
	}
	return sign * (1 - 4*x*x) / (1 + x*x)
}

func (w *weave) at(p point) cell {
	weft, weftTone, number := w.yarn(w.texture, p.x, p.y, 0)
	warp, warpTone, _ := w.yarn(w.texture+10, p.y, p.x, 1)
	if w.broken != nil && number == w.broken.yarn {
		// The ends fray: the gap is not as long for every fibre.
		fray := 5 * field(w.texture+20, p.y*1.5, 0)
		missing := ramp(w.broken.left-3, w.broken.left+3, p.x+fray) * (1 - ramp(w.broken.right-3, w.broken.right+3, p.x+fray))
		weft -= 9 * missing
	}
	// Which is on top goes over smoothly, so that edges are not jagged.
	share := inside(warp - weft)
	c := cell{relief: warp + share*(weft-warp), colour: glassFibre, gloss: 0.07}
	c = c.shade(warpTone + share*(weftTone-warpTone))
	// The deeper, the less light gets there.
	c = c.shade(0.30 + 0.75*ramp(-5, 3.2, c.relief))
	c = c.shade(1 + 0.03*field(w.texture+21, p.x/80, p.y/80))
	c.relief *= 0.55
	return c
}

func (w *weave) flaw(defect Defect, r rng) (flaw, error) {
	place := point{r.between(-0.36, 0.36) * Width, r.between(-0.34, 0.34) * Height}
	switch defect {
	case BrokenYarn:
		half := r.between(28, 60)
		number := int(math.Floor(place.y / yarnPitch))
		torn := *w
		torn.broken = &gap{number, place.x - half, place.x + half}
		return flaw{point{place.x, (float64(number) + 0.5) * yarnPitch}, half + 12, func(p point, _ cell) cell { return torn.at(p) }}, nil
	case Hole:
		return hole(r, place), nil
	case Stain:
		return stain(r, place, [3]float64{0.45, 0.62, 0.70}), nil
	case Contamination:
		return swarf(r, place, [3]float64{0.16, 0.14, 0.13}), nil
	}
	return flaw{}, errCannot
}
