package parts

import (
	"image"
	"math"
	"slices"
)

// picture is the box that holds all pixels.
var picture = image.Rect(0, 0, Width, Height)

// cell is what lies at one point of the scene.
type cell struct {
	relief float64    // height, in pixels
	colour [3]float64 // blue, green, red: the share of light that comes back, 0 to 1
	gloss  float64    // strength of the mirror-like part
}

// blend goes from c to other as share goes from 0 to 1.
func (c cell) blend(other cell, share float64) cell {
	c.relief += share * (other.relief - c.relief)
	c.gloss += share * (other.gloss - c.gloss)
	for i := range c.colour {
		c.colour[i] += share * (other.colour[i] - c.colour[i])
	}
	return c
}

// shade multiplies the colour.
func (c cell) shade(by float64) cell {
	for i := range c.colour {
		c.colour[i] *= by
	}
	return c
}

// tint multiplies each colour by its own share.
func (c cell) tint(bgr [3]float64) cell {
	for i := range c.colour {
		c.colour[i] *= bgr[i]
	}
	return c
}

// surface is the scene, a cell for each pixel.
type surface []cell

// drawing is a product as it is drawn for one picture.
type drawing interface {
	at(p point) cell
	flaw(defect Defect, r rng) (flaw, error)
}

// flaw is a defect at its place: within reach of centre, change gives the cell that is there instead.
type flaw struct {
	centre point
	reach  float64
	change func(p point, sound cell) cell
}

func draw(d drawing, pose Pose) surface {
	s := make(surface, Width*Height)
	v := pose.view()
	for y := range Height {
		for x := range Width {
			s[y*Width+x] = d.at(v.part(float64(x), float64(y)))
		}
	}
	return s
}

// box is the part of the picture that the flaw may change, relief seen from the next pixel included.
func (f flaw) box(pose Pose) image.Rectangle {
	c := pose.view().pixel(f.centre)
	reach := f.reach + 2
	return image.Rect(int(c.x-reach), int(c.y-reach), int(c.x+reach)+2, int(c.y+reach)+2).Intersect(picture)
}

// with is the surface with the flaw put on.
func (s surface) with(f flaw, pose Pose) surface {
	flawed := slices.Clone(s)
	v, box := pose.view(), f.box(pose)
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			if p := v.part(float64(x), float64(y)); p.distance(f.centre) <= f.reach {
				flawed[y*Width+x] = f.change(p, s[y*Width+x])
			}
		}
	}
	return flawed
}

// The light: a lamp at one side, and what the walls throw back.
const (
	elevation = 0.95 // radians above the table
	ambient   = 0.52
	vignette  = 0.10 // of the light that the lens loses in the corners
)

// expose writes the light that comes back from the scene, in grey levels and BGR, for the pixels in the
// box: Lambert's law and Blinn's highlight (SIGGRAPH 1977) on the normals of the relief, seen from
// straight above.
func expose(light []float64, s surface, pose Pose, box image.Rectangle) {
	lamp := polar(math.Cos(elevation), pose.Azimuth)
	lampZ := math.Sin(elevation)
	halfZ := math.Sqrt((1 + lampZ) / 2) // the half vector between lamp and lens
	half := lamp.times(1 / (2 * halfZ))
	for y := box.Min.Y; y < box.Max.Y; y++ {
		above, below := max(y-1, 0)*Width, min(y+1, Height-1)*Width
		fall := point{0, float64(y)/Height - 0.5}
		for x := box.Min.X; x < box.Max.X; x++ {
			i := y*Width + x
			gx := (s[y*Width+min(x+1, Width-1)].relief - s[y*Width+max(x-1, 0)].relief) / 2
			gy := (s[below+x].relief - s[above+x].relief) / 2
			long := 1 / math.Sqrt(1+gx*gx+gy*gy)
			lambert := max(0, (lampZ-gx*lamp.x-gy*lamp.y)*long) / lampZ
			blinn := max(0, (halfZ-gx*half.x-gy*half.y)*long)
			for range 5 { // to the power of 32
				blinn *= blinn
			}
			fall.x = float64(x)/Width - 0.5
			lit := 255 * pose.Gain * (1 + pose.GradientX*fall.x + pose.GradientY*fall.y) * (1 - vignette*2*fall.dot(fall))
			diffuse := ambient + (1-ambient)*lambert
			for c, share := range s[i].colour {
				light[3*i+c] = lit * (share*diffuse + s[i].gloss*blinn)
			}
		}
	}
}

// lens writes what the lens, which is not quite sharp, makes of the light in the box: the binomial
// 1-2-1 in both directions.
func lens(seen, light []float64, box image.Rectangle) {
	var column [3 * (Width + 2)]float64 // blurred downwards, with a pixel more at each side
	for y := box.Min.Y; y < box.Max.Y; y++ {
		above, here, below := light[3*max(y-1, 0)*Width:], light[3*y*Width:], light[3*min(y+1, Height-1)*Width:]
		for x := box.Min.X - 1; x <= box.Max.X; x++ {
			i := 3 * min(max(x, 0), Width-1)
			for c := range 3 {
				column[3*(x+1)+c] = above[i+c] + 2*here[i+c] + below[i+c]
			}
		}
		for i := 3 * box.Min.X; i < 3*box.Max.X; i++ {
			seen[3*y*Width+i] = (column[i] + 2*column[i+3] + column[i+6]) / 16
		}
	}
}

// visible is the difference, in grey levels, from which a change counts as seen.
const visible = 4

// differ marks the pixels in which two pictures differ visibly.
func differ(mask []byte, a, b []float64) {
	for i := range mask {
		for c := range 3 {
			if math.Abs(min(a[3*i+c], 255)-min(b[3*i+c], 255)) > visible {
				mask[i] = 255
			}
		}
	}
}
