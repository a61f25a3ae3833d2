// Accuracy makes the table of docs/accuracy.md: it trains and evaluates recipes of labelled sets of pictures with
// the linectl that it is given, for every combination of backbone, method, layers and input size, and prints
// one row of Markdown for each.
//
//	go run ./tools/accuracy --linectl bin/linectl --data DIR [--backbones FILE,FILE] [--sample 200,120,150]
//
// DIR holds SET.csv with the columns split (train or test), label (good or anything else) and path. A mask is a
// PNG beside its bad picture, with the same name.
package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"linectl/internal/inspect/evaluate/exam"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var b bench
	var sets, backbones, layers, sizes, methods, sample string
	flag.StringVar(&b.linectl, "linectl", "linectl", "the program that trains and evaluates")
	flag.StringVar(&b.data, "data", os.Getenv("LINECTL_DATA"), "folder of the sets")
	flag.StringVar(&sets, "sets", "figure,magnetic_tile", "sets, by the names of their CSV files")
	flag.StringVar(&backbones, "backbones", "", "ONNX files with their cards (linectl's own)")
	flag.StringVar(&layers, "layers", ",8", "choices of layers, as strides joined by +, as 8+16; an empty one is the card's")
	flag.StringVar(&sizes, "sizes", "256x256", "inputs of the network")
	flag.StringVar(&methods, "methods", "max,reweighted,mean_top_k,padim", "scores of PatchCore, and padim")
	flag.StringVar(&sample, "sample", "", "at most so many pictures to train on, good and bad ones to test, as 200,120,150 (all)")
	flag.IntVar(&b.bank, "bank", 2000, "vectors of PatchCore's memory bank")
	flag.Parse()
	if err := b.run(ctx, split(sets), split(backbones), split(layers), split(sizes), split(methods), sample); err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

func split(list string) []string { return strings.Split(list, ",") }

type bench struct {
	linectl, data string
	bank          int
	folder        string // where the sets are linked to and recipes are made
}

func (b bench) run(ctx context.Context, sets, backbones, layers, sizes, methods []string, sample string) (err error) {
	most := [3]int{1 << 30, 1 << 30, 1 << 30}
	if sample != "" {
		if _, err := fmt.Sscanf(sample, "%d,%d,%d", &most[0], &most[1], &most[2]); err != nil {
			return fmt.Errorf("--sample %q: %w", sample, err)
		}
	}
	if b.folder, err = os.MkdirTemp("", "accuracy-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.folder)
	fmt.Println("| set | backbone | layers | input | score | image AUROC | pixel AUROC | PRO | false rejects | escapes |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, set := range sets {
		masks, err := b.link(set, most)
		if err != nil {
			return err
		}
		for _, backbone := range backbones {
			for _, choice := range layers {
				for _, size := range sizes {
					for _, method := range methods {
						if err := b.row(ctx, set, masks, backbone, choice, size, method); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	return nil
}

// link links the pictures of a set into folders: train, good, bad and masks. Of a kind that has more than its most,
// pictures at even distances are taken.
func (b bench) link(set string, most [3]int) (masks bool, err error) {
	file, err := os.Open(filepath.Join(b.data, set+".csv"))
	if err != nil {
		return false, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return false, fmt.Errorf("%s: %w", file.Name(), err)
	}
	kinds := [3]string{"train", "good", "bad"}
	var files [3][]string
	for _, r := range rows[1:] {
		kind := 0
		switch {
		case r[0] == "test" && r[1] == "good":
			kind = 1
		case r[0] == "test":
			kind = 2
		case r[1] != "good":
			return false, fmt.Errorf("%s: %s is for training and not good", file.Name(), r[2])
		}
		files[kind] = append(files[kind], r[2])
	}
	place := func(kind, path string) (string, error) {
		folder := filepath.Join(b.folder, set, kind)
		return filepath.Join(folder, filepath.Base(path)), os.MkdirAll(folder, 0o755)
	}
	for kind, all := range files {
		n := min(len(all), most[kind])
		for i := range n {
			from, err := filepath.Abs(filepath.Join(b.data, filepath.FromSlash(all[i*len(all)/n])))
			if err != nil {
				return false, err
			}
			to, err := place(kinds[kind], from)
			if err != nil {
				return false, err
			}
			if err := os.Symlink(from, to); err != nil {
				return false, err
			}
			mask := strings.TrimSuffix(from, filepath.Ext(from)) + ".png"
			if _, err := os.Stat(mask); kind != 2 || mask == from || err != nil {
				continue
			}
			masks = true
			if to, err = place("masks", mask); err != nil {
				return false, err
			}
			if err := os.Symlink(mask, to); err != nil {
				return false, err
			}
		}
	}
	return masks, nil
}

// row trains and evaluates one combination and prints it.
func (b bench) row(ctx context.Context, set string, masks bool, backbone, layers, size, method string) error {
	in := func(name string) string { return filepath.Join(b.folder, set, name) }
	common := []string{"--recipes", filepath.Join(b.folder, "recipes")}
	if backbone != "" {
		common = append(common, "--backbone", backbone)
	}
	train := []string{"train", "accuracy", "--good", in("train"), "--size", size}
	if layers != "" {
		train = append(train, "--layers", strings.ReplaceAll(layers, "+", ","))
	}
	if method == "padim" {
		train = append(train, "--method", method)
	} else {
		train = append(train, "--score", method, "--bank", strconv.Itoa(b.bank))
	}
	defer os.RemoveAll(filepath.Join(b.folder, "recipes"))
	if _, err := b.exec(ctx, append(train, common...)); err != nil {
		return err
	}
	eval := []string{"eval", "accuracy", "--good", in("good"), "--bad", in("bad"), "-o", "json"}
	if masks {
		eval = append(eval, "--masks", in("masks"))
	}
	out, err := b.exec(ctx, append(eval, common...))
	if err != nil {
		return err
	}
	var r exam.Report
	if err := json.Unmarshal(out, &r); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	if layers == "" {
		layers = "card's"
	}
	fmt.Printf("| %s | %s | %s | %s | %s | %s | %s | %s | %d of %d | %d of %d |\n", set, r.Backbone, layers, size, r.Method,
		figure(r.ImageAUROC), figure(r.PixelAUROC), figure(r.PRO), r.FalseRejects.Count, r.FalseRejects.Of, r.Escapes.Count, r.Escapes.Of)
	return nil
}

func (b bench) exec(ctx context.Context, args []string) ([]byte, error) {
	c := exec.CommandContext(ctx, b.linectl, args...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("linectl %s: %w\n%s", strings.Join(args, " "), err, &errs)
	}
	return out, nil
}

func figure(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.3f", *v)
}
