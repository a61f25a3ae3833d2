package parts

import "math"

// The screw cap, in pixels.
const (
	capRadius = 140.0
	capTop    = 120.0 // where the top ends and the knurled rim begins
	capKnurls = 60
	knurl     = 2.2 // height and depth of the knurls
	ringAt    = 88.0
	ringWidth = 4.5
	gateWidth = 5.0 // where the plastic was let in
)

var (
	plastic = [3]float64{0.62, 0.34, 0.15}
	belt    = [3]float64{0.43, 0.44, 0.44}
)

// screwCap is moulded: smooth, slightly domed, with a raised ring, three bars and the mark of the gate.
type screwCap struct {
	texture uint64
	light   point
}

func newCap(texture uint64, pose Pose) *screwCap { return &screwCap{texture, pose.light()} }

func (c *screwCap) at(p point) cell {
	r := p.length()
	ground := conveyor(c.texture+9, p, belt)
	if r > capRadius+22 {
		return ground
	}
	ground = ground.shade(1 - 0.5*shadow(p, c.light, capRadius))
	if r > capRadius+knurl+1 {
		return ground
	}
	m := cell{colour: plastic, gloss: 0.30}
	m.relief = -r * r * 0.0011                                                                    // the dome
	m.relief += 0.10 * cloud(c.texture, p.x/7, p.y/7)                                             // orange peel
	m = m.shade(1 + 0.03*field(c.texture+1, p.x/70, p.y/70) + 0.012*field(c.texture+2, p.x, p.y)) // flow of the melt
	edge := capRadius
	switch {
	case r > capTop-3:
		rim := ramp(capTop-3, capTop+4, r)
		teeth := math.Cos(capKnurls * math.Atan2(p.y, p.x))
		m.relief -= 5*rim + 0.35*(r-capTop)*rim
		m.relief += knurl * teeth * rim
		m = m.shade(1 - (0.16-0.13*teeth)*rim)
		edge += knurl * teeth * 0.6
	case math.Abs(r-ringAt) < ringWidth:
		t := (r - ringAt) / ringWidth
		m.relief += 2.6 * (1 - t*t) * (1 - t*t)
	case r < ringAt:
		m.relief += 2.2 * c.mark(p)
		if t := r / gateWidth; t < 1 {
			m.relief += 2.5 * (1 - t*t)
			m = m.shade(1.08)
		}
	}
	return ground.blend(m, inside(r-edge))
}

// mark is the raised sign on the top: three bars, and the two dots that number the cavity of the mould.
func (c *screwCap) mark(p point) float64 {
	height := 0.0
	for i := range 3 {
		dir := capBars[i]
		along, across := p.dot(dir), math.Abs(p.x*dir.y-p.y*dir.x)
		distance := max(math.Abs(along-44)-22, across-6)
		height = max(height, 1-ramp(-2.5, 1, distance))
	}
	for _, dot := range [...]point{{-9, -52}, {9, -52}} {
		height = max(height, 1-ramp(1.5, 5.5, p.distance(dot)))
	}
	return height
}

// capBars are the directions of the three bars.
var capBars = [3]point{polar(1, math.Pi/2), polar(1, math.Pi/2+2*math.Pi/3), polar(1, math.Pi/2+4*math.Pi/3)}

func (c *screwCap) flaw(defect Defect, r rng) (flaw, error) {
	place := func(clear float64) point { return polar((capTop-clear)*math.Sqrt(r.Float64()), r.angle()) }
	switch defect {
	case Scratch:
		return scratch(r, place(25), 1.22), nil
	case Dent:
		return dent(r, place(20)), nil
	case Stain:
		return stain(r, place(20), [3]float64{0.62, 0.74, 0.95}), nil
	case Crack:
		return crack(r, polar(r.between(0.55, 0.95)*capTop, r.angle())), nil
	case Chip:
		return chip(r, polar(capRadius, r.angle()), capRadius, conveyor(c.texture+9, point{}, belt), plastic), nil
	case Contamination:
		return swarf(r, place(15), [3]float64{0.10, 0.10, 0.11}), nil
	}
	return flaw{}, errCannot
}
