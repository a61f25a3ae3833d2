package exam

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"linectl/internal/inspect/evaluate"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/inspect/smooth"
	"linectl/internal/part"
)

// pixels holds maps against masks at the size of the network's input, as anomalib does: the grid enlarged and
// smoothed, of the mask the pixel nearest to each one.
type pixels struct {
	set      Set
	mode     smooth.Mode
	size     picture.Size
	smoother *smooth.Smoother
	sums     evaluate.Pixels
}

func newPixels(r *recipe.Recipe, set Set) (*pixels, error) {
	if set.Masks != "" {
		if info, err := os.Stat(set.Masks); err != nil || !info.IsDir() {
			return nil, usage("check the path", "masks: %s is no folder", set.Masks)
		}
	}
	p := &pixels{set: set, mode: smooth.Nearest, size: r.Input.Size()}
	if r.Gauss != nil {
		p.mode = smooth.Bilinear
	}
	return p, nil
}

// pictures is the bad pictures without the masks that lie among them.
func (x *pixels) pictures() ([]string, error) {
	if x.set.Masks == "" {
		return x.set.Bad, nil
	}
	masks := make(map[string]bool)
	for _, file := range x.set.Bad {
		mask, err := x.find(file)
		if err != nil {
			return nil, err
		}
		if mask != "" {
			masks[realPath(mask)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(x.set.Bad), func(file string) bool { return masks[realPath(file)] }), nil
}

// realPath is the path of a file whatever folder it was named by.
func realPath(path string) string {
	if found, err := filepath.EvalSymlinks(path); err == nil {
		path = found
	}
	if found, err := filepath.Abs(path); err == nil {
		path = found
	}
	return path
}

// add adds a scored picture. A bad one without a mask, or with an empty one, is left out and noted.
func (x *pixels) add(p *Picture, rep *Report) (err error) {
	if x.set.Masks == "" {
		return nil
	}
	var mask []bool
	if p.Bad {
		path, err := x.find(p.File)
		if err != nil {
			return err
		}
		if path == "" {
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s has no mask; it is left out of the figures of pixels", p.File))
			return nil
		}
		if mask, err = x.read(path, p.File); err != nil {
			return err
		}
		if mask == nil {
			rep.Notes = append(rep.Notes, fmt.Sprintf("mask %s shows no defect at %s, the size of the maps; %s is left out of the figures of pixels", path, x.size, p.File))
			return nil
		}
		p.Mask = path
		rep.Masks++
	}
	m := p.found.Patches
	if len(m.Cells) == 0 {
		m = p.found.Map.Lifted(-p.found.Appearance) // which knows no place
	}
	if x.smoother == nil {
		if x.smoother, err = smooth.New(x.mode, m.Width, m.Height, x.size.Width, x.size.Height); err != nil {
			return err
		}
	}
	if err := x.sums.Add(x.size.Width, x.size.Height, x.smoother.Map(m.Cells), mask); err != nil {
		return fmt.Errorf("map of %s: %w", p.File, err)
	}
	return nil
}

// find finds a picture's mask: a PNG of the same name, in the same place of the folder of masks or right in
// it, with or without "_mask" behind the name. "" is none.
func (x *pixels) find(file string) (string, error) {
	places := []string{filepath.Base(file)}
	if inside, err := filepath.Rel(x.set.BadFolder, file); err == nil && filepath.IsLocal(inside) {
		places = append([]string{inside}, places...)
	}
	for _, place := range places {
		for _, ending := range []string{".png", "_mask.png"} {
			path := filepath.Join(x.set.Masks, strings.TrimSuffix(place, filepath.Ext(place))+ending)
			_, err := os.Stat(path)
			if err == nil {
				if same(path, file) {
					continue // the picture itself
				}
				return path, nil
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return "", err
			}
		}
	}
	return "", nil
}

func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// read reads a mask at the size of the maps; nil: it shows no defect. It must have the shape of its picture.
func (x *pixels) read(path, file string) ([]bool, error) {
	frame, err := picture.Read(path)
	if err != nil {
		return nil, fmt.Errorf("mask: %w", err)
	}
	of, err := picture.Read(file)
	if err != nil {
		return nil, err
	}
	shape := math.Log(float64(frame.Width)/float64(frame.Height)) - math.Log(float64(of.Width)/float64(of.Height))
	// One pixel more or less is rounding.
	slack := 0.01 + 1/float64(min(frame.Width, frame.Height, of.Width, of.Height))
	if math.Abs(shape) > slack {
		return nil, usage("make the mask anew from its picture", "mask %s is %dx%d, of another shape than its picture, which is %dx%d",
			path, frame.Width, frame.Height, of.Width, of.Height)
	}
	return nearest(frame, x.size), nil
}

// nearest takes the nearest pixel of a mask for each of another size; nil: all are zero.
func nearest(frame part.Frame, size picture.Size) []bool {
	mask := make([]bool, size.Width*size.Height)
	any := false
	for y := range size.Height {
		row := (2*y + 1) * frame.Height / (2 * size.Height) * frame.Width
		for x := range size.Width {
			at := 3 * (row + (2*x+1)*frame.Width/(2*size.Width))
			if frame.Pixels[at]|frame.Pixels[at+1]|frame.Pixels[at+2] != 0 {
				mask[y*size.Width+x], any = true, true
			}
		}
	}
	if !any {
		return nil
	}
	return mask
}
