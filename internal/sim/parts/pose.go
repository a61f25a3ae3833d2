package parts

import (
	"math"
)

// How far a part may differ from the next: what a fixed camera over a conveyor with a stop sees.
const (
	MaxShift    = 4.0               // pixels, in x and in y
	MaxTurn     = 2 * math.Pi / 180 // radians
	MaxGain     = 0.07              // of the light, up and down
	MaxGradient = 0.08              // of the light, from one side of the picture to the other
	maxSwing    = 5 * math.Pi / 180 // radians that the light comes from elsewhere
)

// Pose is how a part lies under the camera, and the light on it.
type Pose struct {
	ShiftX, ShiftY       float64 // pixels from the middle of the picture
	Turn                 float64 // radians
	Gain                 float64 // 1 is the light that the camera was set up for
	GradientX, GradientY float64 // how much more light at the right (bottom) than at the left (top)
	Azimuth              float64 // where the light comes from, radians from the x axis towards the bottom
}

func drawPose(r rng) Pose {
	within := func(limit float64) float64 { return r.between(-limit, limit) }
	return Pose{
		ShiftX: within(MaxShift), ShiftY: within(MaxShift),
		Turn:      within(MaxTurn),
		Gain:      1 + within(MaxGain),
		GradientX: within(MaxGradient), GradientY: within(MaxGradient),
		Azimuth: -2.3 + within(maxSwing), // from the upper left
	}
}

// point is a place in the part's own coordinates: pixels from its middle, x to the right, y down.
type point struct{ x, y float64 }

func (p point) minus(q point) point      { return point{p.x - q.x, p.y - q.y} }
func (p point) plus(q point) point       { return point{p.x + q.x, p.y + q.y} }
func (p point) times(k float64) point    { return point{p.x * k, p.y * k} }
func (p point) dot(q point) float64      { return p.x*q.x + p.y*q.y }
func (p point) length() float64          { return math.Sqrt(p.dot(p)) }
func (p point) distance(q point) float64 { return p.minus(q).length() }
func polar(radius, angle float64) point {
	return point{radius * math.Cos(angle), radius * math.Sin(angle)}
}

// view turns pixels into the part's coordinates and back.
type view struct {
	origin   point
	cos, sin float64
}

func (p Pose) view() view {
	return view{point{Width/2 + p.ShiftX, Height/2 + p.ShiftY}, math.Cos(p.Turn), math.Sin(p.Turn)}
}

func (v view) part(x, y float64) point {
	d := point{x, y}.minus(v.origin)
	return point{v.cos*d.x + v.sin*d.y, -v.sin*d.x + v.cos*d.y}
}

func (v view) pixel(p point) point {
	return point{v.cos*p.x - v.sin*p.y, v.sin*p.x + v.cos*p.y}.plus(v.origin)
}

// light is the direction that the light comes from, in the part's coordinates.
func (p Pose) light() point { return polar(1, p.Azimuth-p.Turn) }
