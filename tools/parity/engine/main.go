// Engine is linectl's engine without cameras and recipes, for compare.py: it reads a backbone, a memory bank and
// a prepared picture, and then, for each line on its standard input, judges the picture once and answers with
// the milliseconds that it took and the score.
package main

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"time"

	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/smooth"
)

func main() {
	log.SetFlags(0)
	backbone := flag.String("backbone", "", "ONNX file with its card beside it")
	bank := flag.String("bank", "", "float32 vectors, little-endian, one after the other")
	dim := flag.Int("dim", 0, "numbers a vector")
	picture := flag.String("picture", "", "the network's input: float32 [3, height, width]")
	size := flag.Int("size", 256, "width and height of the picture")
	score := flag.String("score", patchcore.Reweighted, "max, reweighted or mean_top_k")
	precision := flag.String("precision", "int8", "of the bank: fp32 or int8")
	eight := flag.Bool("int8", false, "compute the network in 8 bits, too")
	device := flag.String("device", network.CPU, "cpu, cuda:0 or another of docs/devices.md")
	threads := flag.Int("threads", 2, "threads of the network")
	enlarge := flag.Bool("map", false, "also make the smoothed map at the picture's size")
	flag.Parse()
	if err := run(*device, *backbone, *bank, *picture, *dim, *size, *threads, *enlarge, *eight, patchcore.Options{Score: *score, TopK: 10, Precision: *precision}); err != nil {
		log.Fatal(err)
	}
}

func run(device, backbonePath, bankPath, picturePath string, dim, size, threads int, enlarge, eight bool, o patchcore.Options) error {
	runtime, err := network.Start("", device, threads)
	if err != nil {
		return err
	}
	backbone, err := network.ReadBackbone(backbonePath)
	if err != nil {
		return err
	}
	input, err := floats(picturePath)
	if err != nil {
		return err
	}
	if eight {
		o, err := runtime.Observe(backbone, backbone.PatchOf, size, size)
		if err != nil {
			return err
		}
		defer o.Close()
		copy(o.Input.Data(), input)
		if err := o.Look(); err != nil {
			return err
		}
		model, err := o.Quantize()
		if err != nil {
			return err
		}
		backbone = backbone.Computing(model)
	}
	net, err := runtime.Open(backbone, backbone.PatchOf, size, size)
	if err != nil {
		return err
	}
	defer net.Close()
	vectors, err := floats(bankPath)
	if err != nil {
		return err
	}
	copy(net.Input.Data(), input)
	scorer, err := patchcore.NewScorer(runtime, net.Features, patchcore.Bank{Rows: len(vectors) / dim, Dim: dim, Vectors: vectors}, nil, o)
	if err != nil {
		return err
	}
	defer scorer.Close()
	smoother, err := smooth.New(smooth.Nearest, net.Features[0].Width, net.Features[0].Height, size, size)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		begun := time.Now()
		if err := net.Run(); err != nil {
			return err
		}
		score, m, err := scorer.Score()
		if err != nil {
			return err
		}
		if enlarge {
			smoother.Map(m.Cells)
		}
		fmt.Printf("%.4f %.9g\n", float64(time.Since(begun).Microseconds())/1000, score)
	}
	return lines.Err()
}

// floats reads a file of float32.
func floats(path string) ([]float32, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := make([]float32, len(data)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return values, nil
}
