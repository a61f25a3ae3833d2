package inspect

import (
	"math/rand/v2"

	"linectl/internal/inspect/network"
)

const (
	descriptorDim  = 256
	descriptorSide = 4 // cells of the picture, each way, that a descriptor tells apart
)

// describer says what a picture looks like as a whole: the mean of each channel of the coarsest layer in each
// of 4x4 fields of the picture, brought to descriptorDim numbers by a seeded random projection. Two pictures of
// one part are near each other whatever their files are called.
type describer struct {
	feature network.Feature
	fields  []int    // of each cell
	share   []uint32 // cells of each field
	signs   []uint64 // of the projection, a bit each: [Channels * fields, descriptorDim]
	sums    []float32
}

func newDescriber(f network.Feature, seed uint64) *describer {
	d := &describer{feature: f, fields: make([]int, f.Width*f.Height), share: make([]uint32, descriptorSide*descriptorSide)}
	for cell := range d.fields {
		field := cell/f.Width*descriptorSide/f.Height*descriptorSide + cell%f.Width*descriptorSide/f.Width
		d.fields[cell] = field
		d.share[field]++
	}
	random := rand.New(rand.NewPCG(seed, 4))
	d.signs = make([]uint64, f.Channels*len(d.share)*descriptorDim/64)
	for i := range d.signs {
		d.signs[i] = random.Uint64()
	}
	d.sums = make([]float32, len(d.share))
	return d
}

// describe describes the picture that the features hold now.
func (d *describer) describe() []float32 {
	out := make([]float32, descriptorDim)
	signs := d.signs
	data := d.feature.Tensor.Data()
	for range d.feature.Channels {
		clear(d.sums)
		for cell, field := range d.fields {
			d.sums[field] += data[cell]
		}
		data = data[len(d.fields):]
		for field, sum := range d.sums {
			mean := sum / float32(max(1, d.share[field]))
			for word := range descriptorDim / 64 {
				bits := signs[0]
				signs = signs[1:]
				for bit := range 64 {
					if bits>>bit&1 == 1 {
						out[word*64+bit] += mean
					} else {
						out[word*64+bit] -= mean
					}
				}
			}
		}
	}
	return out
}
