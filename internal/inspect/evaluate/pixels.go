package evaluate

import (
	"errors"
	"fmt"
	"math"

	"linectl/internal/inspect/smooth"
)

// MostFalse is the share of false pixels up to which PRO is integrated.
const MostFalse = 0.3

// Pixels gathers anomaly maps and the masks of their defects, picture by picture, and says how well the
// maps find the defects. It keeps counts of scores and no maps: scores that agree in their leading 15 bits
// after the binary point, a relative difference of 3e-5, count as equal. The zero value is empty.
type Pixels struct {
	pages   [256]*page // by the exponent of the score
	sound   float64    // pixels of no defect
	defect  float64    // pixels of defects
	regions int
}

const mantissa = 15 // bits of the score that are told apart within a power of two

type page [1 << mantissa]counts

// counts of the pixels of one score.
type counts struct {
	sound, defect float64
	overlap       float64 // shares of their regions that the defect pixels are, summed
}

// Add adds the map of a picture, row by row, and where its defects are: a mask of the same size, or nil for
// a part without any. Scores must be 0 or more. Nothing is added where there is an error.
func (p *Pixels) Add(width, height int, scores []float32, mask []bool) error {
	if width < 1 || height < 1 || len(scores) != width*height || mask != nil && len(mask) != width*height {
		return fmt.Errorf("%d scores and a mask of %d pixels for a map of %dx%d", len(scores), len(mask), width, height)
	}
	for _, s := range scores {
		if !(s >= 0) || math.IsInf(float64(s), 0) {
			return fmt.Errorf("a score of %g is none of a map", s)
		}
	}
	label, sizes := regions(width, height, mask)
	p.regions += len(sizes)
	for i, s := range scores {
		c := p.at(s)
		if mask == nil || !mask[i] {
			c.sound++
			p.sound++
			continue
		}
		c.defect++
		p.defect++
		c.overlap += 1 / float64(sizes[label[i]])
	}
	return nil
}

// at is the counts of a score. The bits of a positive float order as the float does.
func (p *Pixels) at(score float32) *counts {
	bits := math.Float32bits(score + 0) // no negative zero
	exponent := bits >> 23
	if p.pages[exponent] == nil {
		p.pages[exponent] = new(page)
	}
	return &p.pages[exponent][bits>>(23-mantissa)&(1<<mantissa-1)]
}

// regions labels the connected defects of a mask, diagonal neighbours included, and counts their pixels.
func regions(width, height int, mask []bool) (label []int32, sizes []int) {
	if mask == nil {
		return nil, nil
	}
	label = make([]int32, len(mask))
	for i := range label {
		label[i] = -1
	}
	var open []int
	for first, defect := range mask {
		if !defect || label[first] >= 0 {
			continue
		}
		number := int32(len(sizes))
		label[first] = number
		open = append(open[:0], first)
		size := 0
		for len(open) > 0 {
			at := open[len(open)-1]
			open = open[:len(open)-1]
			size++
			for n := range smooth.Around(at, width, height) {
				if mask[n] && label[n] < 0 {
					label[n] = number
					open = append(open, n)
				}
			}
		}
		sizes = append(sizes, size)
	}
	return label, sizes
}

// Regions is the number of connected defects that were added.
func (p *Pixels) Regions() int { return p.regions }

// ErrOneSided says that there is nothing to tell apart: no pixel of a defect, or none without.
var ErrOneSided = errors.New("there are no pixels of defects, or no others")

// Figures are the AUROC of pixels and PRO: the overlap of what scores at least t with a region, as a share of
// the region, averaged over all regions, integrated over the share of false pixels as t falls, up to
// MostFalse, and divided by it (Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021). A false
// pixel is one outside all regions, in pictures of good and of bad parts.
func (p *Pixels) Figures() (auroc, pro float64, err error) {
	if p.defect == 0 || p.sound == 0 {
		return math.NaN(), math.NaN(), ErrOneSided
	}
	var falses, hits, overlap float64 // shares above the score at hand
	for exponent := len(p.pages) - 1; exponent >= 0; exponent-- {
		if p.pages[exponent] == nil {
			continue
		}
		for i := len(p.pages[exponent]) - 1; i >= 0; i-- {
			c := p.pages[exponent][i]
			df, dh, do := c.sound/p.sound, c.defect/p.defect, c.overlap/float64(p.regions)
			auroc += df * (hits + dh/2)
			if df > 0 && falses < MostFalse {
				share := min(1, (MostFalse-falses)/df) // of this step, up to the limit
				pro += df * share * (overlap + do*share/2)
			}
			falses, hits, overlap = falses+df, hits+dh, overlap+do
		}
	}
	return auroc, pro / MostFalse, nil
}
