package patchcore

import (
	"errors"
	"fmt"
	"math"
)

// The ways in which a picture's score follows from the distances of its patches.
const (
	Max        = "max"          // the greatest distance: the paper's first equation
	Reweighted = "reweighted"   // the greatest, weighted by how typical its nearest vector is; anomalib's
	MeanTopK   = "mean_top_k"   // the mean of the k greatest
	MaxMean    = "max_mean_3x3" // the greatest mean of 3 x 3 neighbouring patches
	// MaxAppearance is the greatest, and how unusual the picture is as a whole beside it: linectl's default.
	MaxAppearance = "max_appearance"
)

// The precisions of the memory bank. The patches that make the score are computed anew in fp32 either way.
const (
	FP32 = "fp32"
	Int8 = "int8"
)

// Options says how patches are compared with the bank.
type Options struct {
	Score     string
	TopK      int // patches that MeanTopK averages; other scores do not ask
	Precision string
}

// Check refuses what no scorer can do.
func (o Options) Check() error {
	var wrong []error
	switch o.Score {
	case Max, MaxAppearance, Reweighted, MaxMean:
	case MeanTopK:
		if o.TopK < 1 {
			wrong = append(wrong, fmt.Errorf("top_k %d: the mean is that of at least one patch", o.TopK))
		}
	default:
		wrong = append(wrong, fmt.Errorf("there is no score %q; choose %s, %s, %s, %s or %s", o.Score, MaxAppearance, Max, MaxMean, Reweighted, MeanTopK))
	}
	if o.Precision != FP32 && o.Precision != Int8 {
		wrong = append(wrong, fmt.Errorf("there is no precision %q; choose %s or %s", o.Precision, FP32, Int8))
	}
	return errors.Join(wrong...)
}

// Agreement says how well the scores of an int8 bank agree with those of the same bank in fp32, on pictures
// that neither had seen.
type Agreement struct {
	Pictures    int
	MaxRelative float64 // the greatest difference of two scores, relative to the fp32 one
	Spearman    float64 // rank correlation
	OK          bool
}

// The gate: a recipe uses int8 only where its own good pictures score within one percent of fp32 and stand
// in the same order.
const (
	mostRelative  = 0.01
	leastSpearman = 0.99
)

// Agree compares the scores of the same pictures, in the same order.
func Agree(fp32, int8 []float64) Agreement {
	a := Agreement{Pictures: len(fp32), Spearman: spearman(fp32, int8)}
	for i, want := range fp32 {
		a.MaxRelative = math.Max(a.MaxRelative, math.Abs(int8[i]-want)/math.Abs(want)) // NaN stays
	}
	a.OK = a.Pictures > 1 && a.MaxRelative <= mostRelative && a.Spearman >= leastSpearman
	return a
}

func (a Agreement) String() string {
	return fmt.Sprintf("scores within %.2g %%, rank correlation %.4f", 100*a.MaxRelative, a.Spearman)
}
