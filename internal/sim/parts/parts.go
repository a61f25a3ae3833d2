// Package parts renders pictures of parts as an industrial camera would see them, sound or with one
// defect, for the demo and for tests. It owns what the parts, their defects and the camera look like.
// It is no measure of how well an inspection works: for that, take pictures of real parts.
//
// A picture follows from product, seed and defect alone: the same on every x86-64 machine, bit for
// bit (which is why nothing here calls math.Exp, whose last bit depends on the processor). With the
// same product and seed, the picture with a defect is the sound one with the defect put on: the same
// position, light, texture and noise.
package parts

import (
	"fmt"
	"image"
	"math/rand/v2"
	"slices"
)

// The size of every picture, in pixels.
const (
	Width  = 480
	Height = 360
)

// Product is a kind of part.
type Product int

// The products.
const (
	Flange Product = iota // turned aluminium with six bolt holes, on a dark conveyor
	Cap                   // moulded blue screw cap with a knurled rim, on a grey conveyor
	Weave                 // woven technical fabric that fills the picture
)

// Products lists all products.
func Products() []Product { return []Product{Flange, Cap, Weave} }

func (p Product) String() string {
	switch p {
	case Flange:
		return "flange"
	case Cap:
		return "cap"
	case Weave:
		return "weave"
	}
	return fmt.Sprintf("product-%d", int(p))
}

// ParseProduct reads what String wrote.
func ParseProduct(text string) (Product, error) {
	for _, p := range Products() {
		if p.String() == text {
			return p, nil
		}
	}
	return 0, fmt.Errorf("there is no product %q; there are %v", text, Products())
}

// Defects lists what can be wrong with the product.
func (p Product) Defects() []Defect {
	switch p {
	case Flange:
		return []Defect{Scratch, Dent, Stain, MissingHole, Burr, Chip, Contamination}
	case Cap:
		return []Defect{Scratch, Dent, Stain, Crack, Chip, Contamination}
	case Weave:
		return []Defect{BrokenYarn, Stain, Hole, Contamination}
	}
	return nil
}

// Defect is what is wrong with a part. The zero value, Sound, is nothing.
type Defect int

// The defects.
const (
	Sound         Defect = iota
	Scratch              // a shallow groove, long and thin
	Dent                 // a smooth hollow
	Stain                // oil or rust: discoloured, the shape unhurt
	Crack                // dark, jagged, branching
	MissingHole          // a bolt hole that was never drilled
	Burr                 // a ragged ridge where a tool left a hole
	Chip                 // a piece broken out of the edge
	Contamination        // a fibre or swarf and specks that lie on the part
	BrokenYarn           // a yarn missing over some length, its ends frayed
	Hole                 // yarns torn: the ground shows
)

var defectNames = [...]string{"sound", "scratch", "dent", "stain", "crack", "missing-hole", "burr", "chip",
	"contamination", "broken-yarn", "hole"}

func (d Defect) String() string {
	if d >= 0 && int(d) < len(defectNames) {
		return defectNames[d]
	}
	return fmt.Sprintf("defect-%d", int(d))
}

// Picture is one rendered picture and the truth about it.
type Picture struct {
	Product Product
	Seed    uint64
	Defect  Defect
	Pose    Pose
	Pixels  []byte // 8-bit BGR, interleaved, top row first: len = Height*Width*3
	Mask    []byte // 255 where the defect shows, else 0: len = Height*Width
}

// Each part of a picture draws from a stream of its own, so that a defect disturbs none of the others.
const (
	poseStream = iota
	textureStream
	noiseStream
	defectStream
)

func stream(product Product, seed, name uint64) rng {
	return rng{rand.New(rand.NewPCG(seed, uint64(product)<<32|name))}
}

// Render draws one part. It fails where the product cannot have the defect.
func Render(product Product, seed uint64, defect Defect) (Picture, error) {
	pose := drawPose(stream(product, seed, poseStream))
	texture := stream(product, seed, textureStream).Uint64()
	var d drawing
	switch product {
	case Flange:
		d = newFlange(texture, pose)
	case Cap:
		d = newCap(texture, pose)
	case Weave:
		d = newWeave(texture)
	default:
		return Picture{}, fmt.Errorf("there is no product %d", int(product))
	}
	scene := draw(d, pose)
	light, seen := make([]float64, 3*Width*Height), make([]float64, 3*Width*Height)
	expose(light, scene, pose, picture)
	lens(seen, light, picture)
	p := Picture{Product: product, Seed: seed, Defect: defect, Pose: pose, Mask: make([]byte, Width*Height)}
	if defect != Sound {
		f, err := d.flaw(defect, stream(product, seed, defectStream))
		if err != nil {
			return Picture{}, fmt.Errorf("%v, %v: %w", product, defect, err)
		}
		// Only what the flaw touches is looked at again, and one pixel more for the lens.
		sound, box := slices.Clone(seen), f.box(pose)
		expose(light, scene.with(f, pose), pose, box)
		lens(seen, light, box.Inset(-1).Intersect(picture))
		differ(p.Mask, sound, seen)
	}
	p.Pixels = newNoise(stream(product, seed, noiseStream)).read(seen)
	return p, nil
}

// Image is the picture for encoders.
func (p Picture) Image() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, Width, Height))
	for i := range Width * Height {
		bgr, rgba := p.Pixels[3*i:3*i+3], img.Pix[4*i:4*i+4]
		rgba[0], rgba[1], rgba[2], rgba[3] = bgr[2], bgr[1], bgr[0], 255
	}
	return img
}

// MaskImage is the mask for encoders.
func (p Picture) MaskImage() *image.Gray {
	return &image.Gray{Pix: p.Mask, Stride: Width, Rect: image.Rect(0, 0, Width, Height)}
}
