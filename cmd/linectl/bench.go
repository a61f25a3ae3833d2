package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/cpu"

	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
)

// benched is what bench prints.
type benched struct {
	Version  string           `json:"version"`
	Machine  string           `json:"machine"`
	Cores    int              `json:"cores"`
	Features []string         `json:"cpu_features"` // of those that speed depends on
	Runtime  string           `json:"onnxruntime"`
	Threads  int              `json:"threads"`
	CycleMS  float64          `json:"cycle_ms"` // of the line
	Timings  []inspect.Timing `json:"timings"`
}

// benchOptions are the flags of bench.
type benchOptions struct {
	devices    []string
	threads    int
	backbones  []string
	sizes      []string
	banks      []int
	precisions []string
	networks   []string
	frame      picture.Size // of the camera
	duty       inspect.Duty
}

func (p *program) benchCommand() *cobra.Command {
	var d desk
	var o benchOptions
	var frame string
	c := &cobra.Command{
		Use:   "bench [NAME[@VERSION]]",
		Short: "how long each stage of an inspection takes on this machine",
		Long: `Bench measures each stage of an inspection: picture (quality, resize), network, score.

With a NAME it inspects the recipe's own pictures, at the size of the camera's, by its active version or by the one that is
named. Without it measures rendered pictures against every combination of --backbones, --size, --bank and --precision. Measure on a machine
that does nothing else; p99 is of the order of the line's, the greatest time is not to be trusted.

For a machine with a GPU, after 'make runtime DEVICE=cuda':

  linectl bench --device cuda:0,tensorrt:0,tensorrt:0:fp16 --backbones r18.onnx,r50.onnx,wrn50.onnx --pause 60s`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, name := range []string{"backbones", "size", "bank", "precision", "backbone-precision"} {
				if len(args) == 1 && c.Flags().Changed(name) {
					return hint.New(hint.Usage, fmt.Errorf("--%s does not go with %s: a recipe is measured as it was made", name, args[0]), "leave the recipe away to measure other settings")
				}
			}
			if frame != "" {
				var err error
				if o.frame, err = picture.ParseFrame(frame); err != nil {
					return hint.New(hint.Usage, fmt.Errorf("--picture: %w", err), "")
				}
			}
			return p.bench(c.Context(), d, o, args)
		},
	}
	d.flags(c)
	c.Flags().StringSliceVar(&o.devices, "device", nil, "devices, one after the other (that of the config)")
	c.Flags().IntVar(&o.threads, "threads", 0, "threads of the network (as in the config)")
	c.Flags().StringSliceVar(&o.backbones, "backbones", nil, "ONNX files of several networks, each with its card (that of --backbone)")
	c.Flags().StringVar(&frame, "picture", "", "size of the camera's pictures, as 2448x2048 (that which the recipe was trained from; without a recipe, 1280x960)")
	c.Flags().StringSliceVar(&o.sizes, "size", []string{"256x256"}, "sizes of the network's input")
	c.Flags().IntSliceVar(&o.banks, "bank", []int{inspect.DefaultBank, 4096, 16384}, "vectors in the memory bank")
	c.Flags().StringSliceVar(&o.precisions, "precision", nil, "of the memory bank: fp32, int8 (both, where the device has both)")
	c.Flags().StringSliceVar(&o.networks, "backbone-precision", nil, "of the network: fp32, int8 (both, where the device has both)")
	c.Flags().IntVar(&o.duty.Inspections, "count", 200, "inspections to measure")
	c.Flags().DurationVar(&o.duty.Pause, "pause", 0, "then wait so long and measure one inspection more")
	return c
}

func (p *program) bench(ctx context.Context, d desk, o benchOptions, args []string) error {
	cfg, folders, err := p.settings(d)
	if err != nil {
		return err
	}
	if o.duty.Inspections < 1 || o.duty.Pause < 0 {
		return hint.New(hint.Usage, fmt.Errorf("--count %d, --pause %s: at least one inspection, and no time back", o.duty.Inspections, o.duty.Pause), "")
	}
	if o.threads < 0 || o.threads > network.MaxThreads {
		return hint.New(hint.Usage, fmt.Errorf("--threads %d is out of range; allowed is 0 to %d", o.threads, network.MaxThreads), "")
	}
	if o.threads > 0 {
		cfg.Threads = o.threads
	}
	if len(o.devices) == 0 {
		o.devices = []string{cfg.Device}
	}
	for _, device := range o.devices {
		if err := network.CheckDevice(device); err != nil {
			return hint.New(hint.Usage, fmt.Errorf("--device %w", err), "")
		}
	}
	for flag, precisions := range map[string][]string{"precision": o.precisions, "backbone-precision": o.networks} {
		for _, precision := range precisions {
			if err := (patchcore.Options{Score: patchcore.MaxAppearance, Precision: precision}).Check(); err != nil {
				return hint.New(hint.Usage, fmt.Errorf("--%s: %w", flag, err), "")
			}
		}
	}
	bar := newProgress(p.err)
	defer bar.end()
	o.duty.Progress = bar.step
	b := benched{Version: version, Machine: machine(), Cores: runtime.NumCPU(), Features: cpuFeatures(), CycleMS: milliseconds(p.cycle())}
	for _, device := range o.devices {
		cfg.Device = device
		var timings []inspect.Timing
		if len(args) == 1 {
			timings, err = p.benchRecipe(ctx, cfg, folders, o, args[0])
		} else {
			timings, err = p.benchSettings(ctx, cfg, folders, o)
		}
		if err != nil {
			return err
		}
		b.Timings = append(b.Timings, timings...)
	}
	r, err := network.Start(cfg.Library, cfg.Device, cfg.Threads)
	if err != nil {
		return err
	}
	b.Runtime, b.Threads = r.Version()+" ("+r.Library()+")", r.Threads()
	bar.end()
	return p.printBench(b)
}

func (p *program) benchRecipe(ctx context.Context, cfg inspect.Config, folders inspect.Folders, o benchOptions, name string) ([]inspect.Timing, error) {
	r, err := loadRecipe(recipe.Folder(folders.Recipes), name)
	if err != nil {
		return nil, err
	}
	if o.frame == (picture.Size{}) && r.Training.Frame == (picture.Size{}) {
		fmt.Fprintf(p.err, "note: %s@%d does not say how large its camera's pictures are, and is measured with smaller copies where they are large: --picture gives their size\n", r.Name, r.Version)
	}
	t, err := inspect.BenchRecipe(ctx, cfg, folders, r, o.frame, o.duty)
	return []inspect.Timing{t}, err
}

func (p *program) benchSettings(ctx context.Context, cfg inspect.Config, folders inspect.Folders, o benchOptions) ([]inspect.Timing, error) {
	files := o.backbones
	if len(files) == 0 {
		files = []string{cfg.Backbone}
	}
	m, err := inspect.NewMeasurer(cfg, folders, o.frame)
	if err != nil {
		return nil, err
	}
	both := []string{patchcore.FP32}
	if m.Runtime().Device().Int8() {
		both = append(both, patchcore.Int8)
	}
	if len(o.precisions) == 0 {
		o.precisions = both
	}
	if len(o.networks) == 0 {
		o.networks = both
	}
	var timings []inspect.Timing
	for _, file := range files {
		backbone, err := network.FindBackbone(file, folders.Backbones)
		if err != nil {
			return nil, err
		}
		for _, text := range o.sizes {
			size, err := picture.ParseSize(text)
			if err != nil {
				return nil, hint.New(hint.Usage, fmt.Errorf("--size: %w", err), "")
			}
			for _, bank := range o.banks {
				if bank < 1 || bank > inspect.MostBank {
					return nil, hint.New(hint.Usage, fmt.Errorf("--bank %d is out of range; allowed is 1 to %d", bank, inspect.MostBank), "")
				}
				for _, precision := range o.precisions {
					for _, computes := range o.networks {
						t, err := m.Measure(ctx, inspect.Setting{Backbone: backbone, Size: size, Bank: bank, Computes: computes,
							Options: patchcore.Options{Score: patchcore.MaxAppearance, Precision: precision}}, o.duty)
						if err != nil {
							return nil, err
						}
						timings = append(timings, t)
					}
				}
			}
		}
	}
	return timings, nil
}

// cycle is that of the config's line, or the default one.
func (p *program) cycle() time.Duration {
	if c, err := p.load(); err == nil {
		return c.Line.Cycle.Std()
	}
	return config.Default().Line.Cycle.Std()
}

func (p *program) printBench(b benched) error {
	header := []string{"what", "device", "frame", "input", "network", "bank", "precision", "picture p50", "network p50", "score p50", "p50", "p95", "p99", "max", "of the cycle"}
	paused := false
	for _, t := range b.Timings {
		paused = paused || t.AfterPause > 0
	}
	if paused {
		header = append(header, "after pause")
	}
	ms := func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
	rows := make([][]string, len(b.Timings))
	for i, t := range b.Timings {
		rows[i] = []string{t.What, t.Device, t.Frame.String(), t.Input.String(), t.Computes, strconv.Itoa(t.Bank), t.Precision, ms(t.Picture.P50), ms(t.Network.P50), ms(t.Score.P50),
			ms(t.Whole.P50), ms(t.Whole.P95), ms(t.Whole.P99), ms(t.Whole.Max), fmt.Sprintf("%.0f %%", 100*t.Whole.P99/b.CycleMS)}
		if paused {
			rows[i] = append(rows[i], ms(t.AfterPause))
		}
	}
	if p.output == "table" {
		fmt.Fprintf(p.out, "%s, %d cores, %s; linectl %s, ONNX Runtime %s, %d threads; cycle %.0f ms; times in ms\n\n",
			b.Machine, b.Cores, strings.Join(b.Features, " "), b.Version, b.Runtime, b.Threads, b.CycleMS)
	}
	if err := p.print(b, header, rows); err != nil || p.output != "table" || len(b.Timings) != 1 {
		return err
	}
	fmt.Fprintln(p.out) // of one setting there is room for all
	t := b.Timings[0]
	rows = nil
	for i, s := range []inspect.Latency{t.Picture, t.Network, t.Score, t.Whole} {
		rows = append(rows, []string{[]string{"picture", "network", "score", "whole"}[i], ms(s.P50), ms(s.P95), ms(s.P99), ms(s.Max)})
	}
	return p.print(nil, []string{"stage", "p50", "p95", "p99", "max"}, rows)
}

// cpuFeatures are those of this processor that the speed of networks depends on.
func cpuFeatures() []string {
	found := []string{}
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"AVX2", cpu.X86.HasAVX2}, {"AVX-512", cpu.X86.HasAVX512F}, {"VNNI", cpu.X86.HasAVX512VNNI || cpu.X86.HasAVXVNNI},
		{"BF16", cpu.X86.HasAVX512BF16}, {"AMX", cpu.X86.HasAMXTile && cpu.X86.HasAMXInt8},
	} {
		if f.has {
			found = append(found, f.name)
		}
	}
	return found
}

// machine is the processor's name, as the kernel tells it.
func machine() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
