package parts

import "math"

// The flange, in pixels.
const (
	flangeRadius  = 150.0
	flangeChamfer = 6.0
	boltCircle    = 108.0
	boltHoles     = 6
	boltRadius    = 13.0
	boltSink      = 18.0 // where the countersink begins
	hubRadius     = 66.0
	hubHeight     = 3.0
	boreRadius    = 38.0
	grooveRadius  = 82.0
	grooveWidth   = 3.0
)

var (
	aluminium = [3]float64{0.57, 0.56, 0.55}
	rubber    = [3]float64{0.155, 0.150, 0.145}
)

// flange is turned: every mark of the tool runs around the middle, and so does its glint.
type flange struct {
	texture uint64
	light   point
	without int // the bolt hole that was never drilled; -1 for none
}

func newFlange(texture uint64, pose Pose) *flange { return &flange{texture, pose.light(), -1} }

// boltHoleAt are the middles of the bolt holes.
var boltHoleAt = func() (at [boltHoles]point) {
	for i := range at {
		at[i] = polar(boltCircle, float64(i)*2*math.Pi/boltHoles+0.3)
	}
	return at
}()

// nearestHole is the bolt hole closest to p and how far its middle is.
func nearestHole(p point) (hole int, distance float64) {
	distance = math.Inf(1)
	for i, at := range boltHoleAt {
		if d := p.minus(at); d.dot(d) < distance {
			hole, distance = i, d.dot(d)
		}
	}
	return hole, math.Sqrt(distance)
}

func (f *flange) at(p point) cell {
	r := p.length()
	ground := conveyor(f.texture+9, p, rubber)
	if r > flangeRadius+16 {
		return ground
	}
	ground = ground.shade(1 - 0.55*shadow(p, f.light, flangeRadius))
	if r > flangeRadius+1 {
		return ground
	}
	metal := f.metal(p, r)
	if r < boreRadius+1 {
		metal = f.bored(p, metal, r-boreRadius)
	} else if hole, d := nearestHole(p); hole != f.without && d < boltSink+1 {
		sink := metal
		sink.relief -= 0.8 * min(boltSink-d, boltSink-boltRadius)
		sink = sink.shade(0.93)
		metal = metal.blend(sink, inside(d-boltSink))
		metal = f.bored(p.minus(boltHoleAt[hole]), metal, d-boltRadius)
	}
	return ground.blend(metal, inside(r-flangeRadius))
}

// metal is the turned face without holes.
func (f *flange) metal(p point, r float64) cell {
	c := cell{colour: aluminium, gloss: 0.10}
	// A turned face is a stack of fine rings: it glints where the rings lie across the light.
	glint := 0.0
	if r > 1 {
		along := p.dot(f.light) / r
		glint = along * along
		glint *= glint
	}
	ring := field(f.texture, r*0.9, 0.5)
	fine := field(f.texture+1, r*0.55, 40+p.x*0.02) + 0.6*field(f.texture+2, r*1.3, 40+p.y*0.02)
	c = c.shade(0.90 + 0.24*glint + 0.035*ring + 0.045*fine*(0.5+glint))
	c = c.shade(1 + 0.03*field(f.texture+3, p.x/55, p.y/55))
	c.relief = 0.10 * fine
	c.relief += hubHeight * (1 - ramp(hubRadius-2, hubRadius+2, r))
	groove := min(math.Abs(r-grooveRadius)/grooveWidth, 1)
	c.relief -= 2.2 * (1 - groove*groove)
	c = c.shade(1 - 0.22*(1-groove))
	c.relief -= 0.9 * max(0, r-(flangeRadius-flangeChamfer))
	return c
}

// bored is c with a hole through it; distance is that to the hole's edge, negative inside.
func (f *flange) bored(p point, c cell, distance float64) cell {
	if distance > 1 {
		return c
	}
	// Light reaches the far wall only.
	wall := ramp(-9, 0, distance) * max(0, -p.dot(f.light)/(p.length()+1))
	dark := cell{relief: c.relief - 3, colour: rubber}
	dark = dark.shade(0.35 + 1.1*wall)
	return c.blend(dark, inside(distance))
}

func (f *flange) flaw(defect Defect, r rng) (flaw, error) {
	switch defect {
	case MissingHole:
		hole := r.IntN(boltHoles)
		drilled := *f
		drilled.without = hole
		return flaw{boltHoleAt[hole], boltSink + 2, func(p point, _ cell) cell { return drilled.at(p) }}, nil
	case Burr:
		hole := boltHoleAt[r.IntN(boltHoles)]
		return burr(r, hole, boltRadius), nil
	case Chip:
		return chip(r, polar(flangeRadius, r.angle()), flangeRadius, conveyor(f.texture+9, point{}, rubber), aluminium), nil
	case Scratch:
		return scratch(r, f.land(r, 20), 1.4), nil
	case Dent:
		return dent(r, f.land(r, 14)), nil
	case Stain:
		return stain(r, f.land(r, 14), [3]float64{0.55, 0.70, 0.82}), nil
	case Contamination:
		return swarf(r, f.land(r, 10), [3]float64{0.80, 0.82, 0.84}), nil
	}
	return flaw{}, errCannot
}

// land is a place on the face that is at least clear away from holes and edges.
func (f *flange) land(r rng, clear float64) point {
	for {
		p := polar(flangeRadius*math.Sqrt(r.Float64()), r.angle())
		_, d := nearestHole(p)
		if d := d - boltSink; d > clear && p.length() > boreRadius+clear && p.length() < flangeRadius-clear {
			return p
		}
	}
}
