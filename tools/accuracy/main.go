// Accuracy makes the tables and the plot of docs/accuracy.md with the linectl that it is given: every combination
// of backbone and method, how accuracy grows with the number of good pictures, and what bad pictures among the
// good ones do. It prints Markdown.
//
//	go run ./tools/accuracy --linectl bin/linectl --data DIR [--backbones FILE,FILE] [--parts table,curve,contamination]
//
// DIR holds SET.csv with the columns split (train or test), label (good or anything else) and path. A mask is a
// PNG beside its bad picture, with the same name.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"gonum.org/v1/plot/plotter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var b bench
	flag.StringVar(&b.linectl, "linectl", "linectl", "the program that trains and evaluates")
	flag.StringVar(&b.data, "data", os.Getenv("LINECTL_DATA"), "folder of the sets")
	flag.StringVar(&b.plot, "plot", "docs/accuracy.png", "file of the curve's plot")
	flag.Func("with", "another flag of linectl train, as --backbone-precision=fp32; may be repeated", func(text string) error { b.with = append(b.with, text); return nil })
	flag.IntVar(&b.bank, "bank", 0, "vectors of PatchCore's memory bank (linectl's default)")
	list := func(name, value, usage string) *[]string {
		var l []string
		set := func(text string) error { l = strings.Split(text, ","); return nil }
		_ = set(value)
		flag.Func(name, fmt.Sprintf("%s (%q)", usage, value), set)
		return &l
	}
	parts := list("parts", "table,curve,contamination", "what to make")
	sets := list("sets", "figure,magnetic_tile", "sets, by the names of their CSV files")
	backbones := list("backbones", "", "ONNX files; an empty one is linectl's default, one without a card is imported first")
	layers := list("layers", "", "choices of layers, as strides joined by +, as 8+16; an empty one is the card's")
	sizes := list("sizes", "", "inputs of the network, as 256x256; an empty one follows the pictures")
	methods := list("methods", ",max_mean_3x3,padim", "scores of PatchCore, and padim; an empty one is linectl's default")
	counts := list("counts", "20,39,100,200", "numbers of good pictures for the curve")
	percents := list("percents", "0,2,5", "bad pictures among the good ones")
	sample := flag.String("sample", "", "at most so many pictures to train on, good and bad ones to test, as 200,120,150 (all)")
	flag.Parse()
	err := b.prepare(ctx, *sets, *sample)
	if err == nil {
		defer b.close()
		err = b.run(ctx, *parts, choices(*backbones, *layers, *sizes, *methods), *counts, *percents)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

// choices is every combination.
func choices(backbones, layers, sizes, methods []string) (all []choice) {
	for _, b := range backbones {
		for _, l := range layers {
			for _, s := range sizes {
				for _, m := range methods {
					all = append(all, choice{b, l, s, m})
				}
			}
		}
	}
	return all
}

func (b *bench) run(ctx context.Context, parts []string, all []choice, counts, percents []string) error {
	for _, part := range parts {
		var err error
		switch part {
		case "table":
			err = b.table(ctx, all)
		case "curve":
			err = b.learning(ctx, all[0], counts)
		case "contamination":
			err = b.contamination(ctx, all[0], percents)
		default:
			err = fmt.Errorf("there is no part %q; there are table, curve and contamination", part)
		}
		if err != nil {
			return err
		}
		fmt.Println()
	}
	return nil
}

func (b *bench) table(ctx context.Context, all []choice) error {
	fmt.Println("| set | backbone | layers | input | method, score, bank | image AUROC | pixel AUROC | PRO | false rejects | escapes |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, s := range b.sets {
		for _, c := range all {
			r, err := b.measure(ctx, s, c)
			if err != nil {
				return err
			}
			fmt.Printf("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", s.name, r.Backbone, strings.Join(r.recipe.Manifest.Backbone.Layers, "+"),
				r.recipe.Input.Size(), r.Method, figure(r.ImageAUROC), figure(r.PixelAUROC), figure(r.PRO), rate(r.FalseRejects), rate(r.Escapes))
		}
	}
	return nil
}

// learning trains on more and more of the good pictures, always at even distances.
func (b *bench) learning(ctx context.Context, c choice, counts []string) error {
	fmt.Println("| set | good pictures | image AUROC | false rejects | escapes |")
	fmt.Println("| --- | --- | --- | --- | --- |")
	var curves []curve
	for _, s := range b.sets {
		found := curve{set: s.name}
		for _, text := range counts {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return fmt.Errorf("--counts: %q is not a number of pictures", text)
			}
			if n > len(s.train) {
				continue
			}
			fewer := s
			fewer.train = some(s.train, n)
			r, err := b.measure(ctx, fewer, c)
			if err != nil {
				return err
			}
			fmt.Printf("| %s | %d | %s | %s | %s |\n", s.name, n, figure(r.ImageAUROC), rate(r.FalseRejects), rate(r.Escapes))
			if r.ImageAUROC != nil {
				found.points = append(found.points, plotter.XY{X: float64(n), Y: *r.ImageAUROC})
			}
		}
		if len(found.points) > 0 {
			curves = append(curves, found)
		}
	}
	return save(b.plot, curves)
}

// contamination trains with bad pictures among the good ones. Those that are ever learned are left out of every test.
func (b *bench) contamination(ctx context.Context, c choice, percents []string) error {
	fmt.Println("| set | bad among the good | image AUROC | left out as unlike the rest | on the contact sheet | false rejects | escapes |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- |")
	for _, s := range b.sets {
		var wrong []int
		most := 0
		for _, text := range percents {
			percent, err := strconv.ParseFloat(text, 64)
			if err != nil || percent < 0 || percent > 20 {
				return fmt.Errorf("--percents: %q is not a share from 0 to 20", text)
			}
			n := int(percent/(100-percent)*float64(len(s.train)) + 0.5)
			wrong, most = append(wrong, n), max(most, n)
		}
		pool := some(s.bad, most)
		clean := s
		clean.bad = without(s.bad, pool)
		for _, n := range wrong {
			spoiled := clean
			spoiled.wrong = some(pool, n)
			r, err := b.measure(ctx, spoiled, c)
			if err != nil {
				return err
			}
			out, seen := named(r.recipe, spoiled.wrong)
			fmt.Printf("| %s | %d of %d | %s | %d | %d | %s | %s |\n", s.name, n, len(s.train)+n, figure(r.ImageAUROC), out, seen, rate(r.FalseRejects), rate(r.Escapes))
		}
	}
	return nil
}
