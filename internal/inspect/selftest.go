package inspect

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"

	"linectl/internal/hint"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
	"linectl/internal/raster"
)

const (
	// goldenPictures is how many good pictures a recipe keeps for the self-test.
	goldenPictures = 3
	goldenSide     = 1024 // pixels of their longer side at most
	// closeFloat and closeOther are how far a golden score may be off, relatively: on the CPU in fp32, and
	// with any other device or precision.
	closeFloat, closeOther = 1e-3, 2e-2
	// leastScale is the share of the threshold to which the difference is relative where a golden score is less: that of a picture whose
	// patches are all in the memory bank is next to nothing, and so is what the difference means.
	leastScale = 0.1
)

// selfTest inspects the recipe's golden pictures and refuses the device, the network or the library that gives
// them other scores than they had when the recipe was made.
func (i *Inspector) selfTest(device string, r *recipe.Recipe) error {
	allowed := closeOther
	if device == network.CPU && r.Method.Precision == patchcore.FP32 && !r.Manifest.Backbone.Int8() {
		allowed = closeFloat
	}
	for _, g := range r.Golden {
		frame, err := raster.Decode(g.Picture)
		if err != nil {
			return fmt.Errorf("self-test: golden picture %s: %w", g.File, err)
		}
		score, err := i.raw(frame)
		if err != nil {
			return fmt.Errorf("self-test: golden picture %s: %w", g.File, err)
		}
		if off := math.Abs(score-g.Score) / max(g.Score, leastScale*r.Threshold.Value, 1e-9); !(off <= allowed) { // NaN is off, too
			return hint.New(hint.Failure, fmt.Errorf("self-test on %s failed: golden picture %s scores %.6g and scored %.6g when the recipe was made: %.2g %% off, allowed is %.2g %%",
				device, g.File, score, g.Score, 100*off, 100*allowed),
				"this device, its driver or ONNX Runtime computes otherwise than where the recipe was trained: use what it was trained with, or train again with this")
		}
	}
	return nil
}

// raw is the score of a frame, whatever its quality and the recipe's zones.
func (i *Inspector) raw(frame part.Frame) (float64, error) {
	if err := i.extractor.load(frame); err != nil {
		return 0, err
	}
	if err := i.extractor.run(); err != nil {
		return 0, err
	}
	score, _, err := i.scorer.Score()
	return score + appearance(i.scorer), err
}

// golden keeps a frame with the score that the inspector gives it, as the self-test will compute it.
func (i *Inspector) golden(name string, frame part.Frame) (recipe.Golden, error) {
	if max(frame.Width, frame.Height) > goldenSide {
		var err error
		if frame, err = picture.Resized(frame, picture.Size{Width: frame.Width, Height: frame.Height}.Within(goldenSide)); err != nil {
			return recipe.Golden{}, err
		}
	}
	score, err := i.raw(frame)
	if err != nil {
		return recipe.Golden{}, err
	}
	file, err := encodePNG(frame)
	return recipe.Golden{File: name, Picture: file, Score: score}, err
}

// encodePNG keeps every pixel.
func encodePNG(frame part.Frame) ([]byte, error) {
	img := image.NewNRGBA(image.Rect(0, 0, frame.Width, frame.Height))
	for p := range frame.Width * frame.Height {
		bgr := frame.Pixels[3*p : 3*p+3]
		img.SetNRGBA(p%frame.Width, p/frame.Width, color.NRGBA{bgr[2], bgr[1], bgr[0], 255})
	}
	var file bytes.Buffer
	err := png.Encode(&file, img)
	return file.Bytes(), err
}
