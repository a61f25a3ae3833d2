package picture

import (
	"fmt"
	"image"
	"runtime"

	"gocv.io/x/gocv"

	"linectl/internal/part"
)

// Resize names the one way in which pictures are brought to the network's size: a side that shrinks is
// averaged over the area of its pixels, which lets no fine pattern through as a false coarse one, and a
// side that grows is interpolated linearly. A recipe names what it was trained with and works with
// nothing else.
const Resize = "area-linear/1"

// Preparer makes the network's input from frames. Its buffers are reused: not for concurrent use.
type Preparer struct {
	size  Size
	value [3][256]float32 // of a grey level, for R, G, B

	shrunk, sized, grey, small, edges, mean, spread gocv.Mat
}

// NewPreparer prepares for inputs of the given size, normalised as (grey/255 - mean) / std for R, G, B.
func NewPreparer(size Size, mean, std [3]float32) *Preparer {
	p := &Preparer{size: size}
	for c := range 3 {
		for v := range 256 {
			p.value[c][v] = (float32(v)/255 - mean[c]) / std[c]
		}
	}
	for _, m := range p.buffers() {
		*m = gocv.NewMat()
	}
	return p
}

func (p *Preparer) buffers() []*gocv.Mat {
	return []*gocv.Mat{&p.shrunk, &p.sized, &p.grey, &p.small, &p.edges, &p.mean, &p.spread}
}

// Close frees the buffers.
func (p *Preparer) Close() {
	for _, m := range p.buffers() {
		m.Close()
	}
}

// Fill resizes and normalises a frame into the network's input [1, 3, height, width], RGB.
func (p *Preparer) Fill(input []float32, frame part.Frame) error {
	area := p.size.Width * p.size.Height
	if len(input) != 3*area {
		return fmt.Errorf("input of %d numbers for a picture of %s", len(input), p.size)
	}
	return withMat(frame, func(mat gocv.Mat) error {
		sized, err := resize(mat, p.size, &p.shrunk, &p.sized)
		if err != nil {
			return err
		}
		pixels, err := sized.DataPtrUint8()
		if err != nil {
			return err
		}
		red, green, blue := input[:area], input[area:2*area], input[2*area:]
		for i := range area {
			blue[i] = p.value[2][pixels[3*i]]
			green[i] = p.value[1][pixels[3*i+1]]
			red[i] = p.value[0][pixels[3*i+2]]
		}
		return nil
	})
}

// resize is the implementation of Resize. It returns whichever of the three Mats holds the result.
func resize(from gocv.Mat, size Size, shrunk, sized *gocv.Mat) (gocv.Mat, error) {
	// OpenCV averages areas only where neither side grows, so the two are done one after the other.
	less := image.Pt(min(from.Cols(), size.Width), min(from.Rows(), size.Height))
	result := from
	if less.X != from.Cols() || less.Y != from.Rows() {
		if err := gocv.Resize(result, shrunk, less, 0, 0, gocv.InterpolationArea); err != nil {
			return result, fmt.Errorf("shrink picture: %w", err)
		}
		result = *shrunk
	}
	if less.X != size.Width || less.Y != size.Height {
		if err := gocv.Resize(result, sized, image.Pt(size.Width, size.Height), 0, 0, gocv.InterpolationLinear); err != nil {
			return result, fmt.Errorf("enlarge picture: %w", err)
		}
		result = *sized
	}
	return result, nil
}

// withMat lends a frame's pixels to OpenCV without a copy, for as long as use runs.
func withMat(frame part.Frame, use func(gocv.Mat) error) error {
	if frame.Width <= 0 || frame.Height <= 0 || len(frame.Pixels) != frame.Width*frame.Height*3 {
		return part.Because(part.BadFrame, fmt.Errorf("frame of %dx%d has %d bytes; 8-bit BGR has three a pixel", frame.Width, frame.Height, len(frame.Pixels)))
	}
	var pin runtime.Pinner
	pin.Pin(&frame.Pixels[0])
	defer pin.Unpin()
	mat, err := gocv.NewMatFromBytes(frame.Height, frame.Width, gocv.MatTypeCV8UC3, frame.Pixels)
	if err != nil {
		return err
	}
	defer mat.Close()
	return use(mat)
}

// Resized is the frame at another size.
func Resized(frame part.Frame, size Size) (part.Frame, error) {
	result := part.Frame{Camera: frame.Camera, Width: size.Width, Height: size.Height, ExposedAt: frame.ExposedAt, Source: frame.Source}
	err := withMat(frame, func(mat gocv.Mat) error {
		shrunk, sized := gocv.NewMat(), gocv.NewMat()
		defer shrunk.Close()
		defer sized.Close()
		resized, err := resize(mat, size, &shrunk, &sized)
		result.Pixels = resized.ToBytes()
		return err
	})
	return result, err
}

// Thumbnail is the frame as a small JPEG whose longer side has the given length.
func Thumbnail(frame part.Frame, side int) ([]byte, error) {
	small, err := Resized(frame, Size{frame.Width, frame.Height}.Within(side))
	if err != nil {
		return nil, err
	}
	var jpeg []byte
	err = withMat(small, func(mat gocv.Mat) error {
		encoded, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, mat, []int{gocv.IMWriteJpegQuality, 90})
		if err != nil {
			return err
		}
		defer encoded.Close()
		jpeg = append(jpeg, encoded.GetBytes()...)
		return nil
	})
	return jpeg, err
}
