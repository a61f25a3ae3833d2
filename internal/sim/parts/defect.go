package parts

import (
	"errors"
	"math"
)

// errCannot says that a product cannot have a defect.
var errCannot = errors.New("this product cannot have this defect")

// path is a curve through points, with the box around it.
type path struct {
	points      []point
	low, high   point
	whole, ends float64 // its length; over how much of it, at each end, it thins out
}

func newPath(points []point, ends float64) path {
	l := path{points: points, low: points[0], high: points[0], ends: ends}
	for i, p := range points {
		l.low, l.high = point{min(l.low.x, p.x), min(l.low.y, p.y)}, point{max(l.high.x, p.x), max(l.high.y, p.y)}
		if i > 0 {
			l.whole += p.distance(points[i-1])
		}
	}
	return l
}

// arc is a curve of the given length that bends evenly by turn radians in all.
func arc(middle point, angle, length, turn float64) []point {
	const steps = 24
	points := make([]point, steps+1)
	at := point{}
	for i := range points {
		points[i] = at
		at = at.plus(polar(length/steps, angle+turn*(float64(i)/steps-0.5)))
	}
	shift := middle.minus(points[steps/2])
	for i := range points {
		points[i] = points[i].plus(shift)
	}
	return points
}

// walk is a jagged line.
func walk(r rng, from point, angle, length float64) []point {
	points := []point{from}
	for done := 0.0; done < length; {
		step := r.between(3, 8)
		points = append(points, points[len(points)-1].plus(polar(step, angle+r.between(-0.8, 0.8))))
		done += step
	}
	return points
}

// nearest is how far p is from the path, and how thick the path is there, from 0 at its ends to 1.
func (l path) nearest(p point) (distance, thickness float64) {
	distance = math.Inf(1)
	run, at := 0.0, 0.0
	for i := 1; i < len(l.points); i++ {
		a, b := l.points[i-1], l.points[i]
		ab := b.minus(a)
		long := ab.length()
		t := min(max(p.minus(a).dot(ab)/(long*long), 0), 1)
		if d := p.distance(a.plus(ab.times(t))); d < distance {
			distance, at = d, run+t*long
		}
		run += long
	}
	if l.ends == 0 {
		return distance, 1
	}
	return distance, ease(min(at, l.whole-at) / (l.ends * l.whole))
}

// around is the middle of the path's box, and how far the box reaches from there.
func (l path) around(margin float64) (point, float64) {
	half := l.high.minus(l.low).times(0.5)
	return l.low.plus(half), half.length() + margin
}

// scratch is a groove whose ground is polished: shine is how much brighter it is.
func scratch(r rng, middle point, shine float64) flaw {
	l := newPath(arc(middle, r.angle(), r.between(45, 105), r.between(-0.5, 0.5)), 0.25)
	width, depth := r.between(1.3, 2.1), r.between(1.1, 1.9)
	centre, reach := l.around(4)
	return flaw{centre, reach, func(p point, c cell) cell {
		d, thick := l.nearest(p)
		if d /= width; d < 1.6 {
			groove := thick * (1 - ramp(0, 1.6, d))
			c.relief -= depth * groove
			c = c.shade(1 + (shine-1)*groove)
		}
		return c
	}}
}

// crack is dark and jagged, and one branch leaves it.
func crack(r rng, from point) flaw {
	angle := r.angle()
	trunk := walk(r, from, angle, r.between(38, 70))
	side := 0.9
	if r.IntN(2) == 0 {
		side = -side
	}
	branch := newPath(walk(r, trunk[len(trunk)/2], angle+side, r.between(14, 26)), 0)
	main := newPath(trunk, 0.2)
	width := r.between(1.0, 1.6)
	centre, reach := newPath(append(append([]point(nil), main.points...), branch.points...), 0).around(4)
	return flaw{centre, reach, func(p point, c cell) cell {
		d, thick := main.nearest(p)
		if side, _ := branch.nearest(p); side+0.4 < d {
			d, thick = side+0.4, 0.8
		}
		if d < width+1 {
			open := (0.35 + 0.65*thick) * (1 - ramp(width-0.9, width+0.9, d))
			c.relief -= 1.5 * open
			c.gloss *= 1 - open
			c = c.shade(1 - 0.72*open)
		}
		return c
	}}
}

// oval is a place of its own size, shape and direction; near is 0 in its middle and 1 at its edge.
type oval struct {
	middle, axis point
	long, wide   float64
}

func drawOval(r rng, middle point, low, high float64) oval {
	long := r.between(low, high)
	return oval{middle, polar(1, r.angle()), long, long * r.between(0.6, 1)}
}

func (o oval) near(p point) float64 {
	p = p.minus(o.middle)
	return point{p.dot(o.axis) / o.long, (p.y*o.axis.x - p.x*o.axis.y) / o.wide}.length()
}

// dent is a smooth hollow.
func dent(r rng, middle point) flaw {
	o := drawOval(r, middle, 9, 17)
	depth := o.wide * r.between(0.36, 0.52)
	return flaw{middle, o.long + 2, func(p point, c cell) cell {
		if d := o.near(p); d < 1 {
			hollow := (1 - d*d) * (1 - d*d)
			c.relief -= depth * hollow
		}
		return c
	}}
}

// stain changes the colour and takes the gloss; its edge wanders and is darkest, as where a drop dried.
func stain(r rng, middle point, colour [3]float64) flaw {
	o := drawOval(r, middle, 13, 27)
	seed, strength := r.Uint64(), r.between(0.7, 1)
	return flaw{middle, 1.6 * o.long, func(p point, c cell) cell {
		d := o.near(p) + 0.42*cloud(seed, p.x/11, p.y/11)
		wet := strength * (0.75 + 0.25*ramp(0.4, 0.95, d)) * (1 - ramp(0.86, 1.08, d))
		tinted := c.tint(colour)
		tinted.gloss *= 0.5
		return c.blend(tinted, wet)
	}}
}

// chip is a bite out of the edge of a round part: the belt shows, and the fracture is rough and pale.
func chip(r rng, middle point, edge float64, ground cell, colour [3]float64) flaw {
	o := drawOval(r, middle, 14, 23)
	seed := r.Uint64()
	return flaw{middle, 1.5 * o.long, func(p point, c cell) cell {
		d := o.near(p) + 0.30*cloud(seed, p.x/7, p.y/7)
		if d > 1.1 || p.length() > edge+1 {
			return c
		}
		fracture := cell{relief: -3 - 5*(1-d) + 1.2*cloud(seed+3, p.x/3, p.y/3), colour: colour, gloss: 0.02}
		fracture = fracture.shade(1.1 + 0.25*cloud(seed+4, p.x/2.5, p.y/2.5))
		gone := ground.shade(0.9)
		return c.blend(fracture.blend(gone, 1-ramp(0.74, 0.84, d)), 1-ramp(0.94, 1.06, d))
	}}
}

// burr is a bright ragged ridge that hangs over the rim of a hole.
func burr(r rng, middle point, radius float64) flaw {
	seed, from, span := r.Uint64(), r.angle(), r.between(0.9, 1.8)
	return flaw{middle, radius + 10, func(p point, c cell) cell {
		q := p.minus(middle)
		turn := math.Atan2(q.y, q.x) - from
		turn -= 2 * math.Pi * math.Floor(turn/(2*math.Pi))
		if turn > span {
			return c
		}
		ragged := field(seed, turn*radius/2.5, 0)
		taper := ease(min(turn, span-turn) / 0.25)
		width := taper * (3.2 + 1.8*ragged)
		off := math.Abs(q.length() - (radius - 0.35*width))
		ridge := 1 - ramp(width-1, width+0.6, off)
		lip := cell{relief: c.relief + 2.5 + 1.5*ragged, colour: aluminium, gloss: 0.25}
		return c.blend(lip.shade(1.15+0.35*field(seed+1, q.x, q.y)), ridge)
	}}
}

// swarf is what fell on the part: a curled thread with its shadow, and a few specks.
func swarf(r rng, middle point, colour [3]float64) flaw {
	thread := newPath(arc(middle, r.angle(), r.between(30, 62), r.between(1.2, 3.6)), 0)
	width := r.between(1.0, 1.7)
	type speck struct {
		at     point
		radius float64
	}
	specks := make([]speck, 2+r.IntN(4))
	for i := range specks {
		specks[i] = speck{middle.plus(polar(r.between(4, 22), r.angle())), r.between(1.2, 3)}
	}
	seed := r.Uint64()
	centre, reach := thread.around(8)
	reach = max(reach, centre.distance(middle)+28)
	return flaw{centre, reach, func(p point, c cell) cell {
		d, _ := thread.nearest(p)
		dropped, _ := thread.nearest(p.minus(point{2, 2.5}))
		c = c.shade(1 - 0.35*(1-ramp(0, width+1.5, dropped)))
		lying := inside(d - width)
		for _, s := range specks {
			lying = max(lying, inside(p.distance(s.at)-s.radius*(1+0.4*field(seed, p.x/2, p.y/2))))
		}
		thing := cell{relief: c.relief + 1.5, colour: colour, gloss: 0.05}
		return c.blend(thing.shade(1+0.15*field(seed+1, p.x/2, p.y/2)), lying)
	}}
}

// hole is torn through the fabric: dark ground, and loose fibres at its edge.
func hole(r rng, middle point) flaw {
	o := drawOval(r, middle, 12, 22)
	seed := r.Uint64()
	return flaw{middle, 1.6 * o.long, func(p point, c cell) cell {
		d := o.near(p) + 0.35*cloud(seed, p.x/6, p.y/6) + 0.12*field(seed+3, p.x/1.3, p.y/9)
		ground := cell{relief: c.relief - 2, colour: [3]float64{0.09, 0.09, 0.09}}
		return c.blend(ground.shade(1+0.2*field(seed+4, p.x/3, p.y/3)), 1-ramp(0.86, 1.0, d))
	}}
}
