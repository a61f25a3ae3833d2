package parts

import (
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// Write lays out a folder as training and evaluation take it: good/0001.png …, bad/0001_scratch.png …
// and, under the same names, masks/0001_scratch.png …, the product's defects taking turns. Every picture
// is of a part of its own; folders written with seeds at least good+bad apart share none.
func Write(dir string, product Product, good, bad int, seed uint64) error {
	type job struct {
		name   string
		seed   uint64
		defect Defect
	}
	var jobs []job
	for i := range good {
		jobs = append(jobs, job{fmt.Sprintf("%04d.png", i+1), seed + uint64(i), Sound})
	}
	defects := product.Defects()
	for i := range bad {
		d := defects[i%len(defects)]
		jobs = append(jobs, job{fmt.Sprintf("%04d_%v.png", i+1, d), seed + uint64(good+i), d})
	}
	for _, sub := range []string{"good", "bad", "masks"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return fmt.Errorf("write pictures of parts: %w", err)
		}
	}
	write := func(j job) error {
		p, err := Render(product, j.seed, j.defect)
		if err != nil {
			return err
		}
		if j.defect == Sound {
			return writePNG(filepath.Join(dir, "good", j.name), p.Image())
		}
		if err := writePNG(filepath.Join(dir, "masks", j.name), p.MaskImage()); err != nil {
			return err
		}
		return writePNG(filepath.Join(dir, "bad", j.name), p.Image())
	}
	// Each worker takes every n-th job and stops at its first error.
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(jobs); i += workers {
				if errs[w] = write(jobs[i]); errs[w] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("write pictures of parts: %w", err)
		}
	}
	return nil
}

func writePNG(path string, img image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(f, img); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}
