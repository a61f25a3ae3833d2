package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/picture"
	"linectl/internal/sim/parts"
	"linectl/internal/sim/plc"
)

// demo is the whole line on this machine.
type demo struct {
	*program
	folder   string
	pictures string // real ones; "" renders parts
	product  string
	training int // good pictures to train on
	parts    int // to send
	seed     uint64
	cycle    time.Duration
	pause    time.Duration
}

func (p *program) demoCommand() *cobra.Command {
	d := &demo{program: p}
	c := &cobra.Command{
		Use:   "demo",
		Short: "the whole line on this machine: trains a recipe, starts a simulated PLC and the daemon, inspects parts",
		Long: `Demo trains a recipe from good pictures, starts a simulated PLC (a real OPC UA server, signed and
encrypted) and the daemon as a process of its own with an ordinary config file, and sends parts through
the line. Everything lies in one folder and stays there to be looked at.

It renders its parts; with --pictures DIR it takes the pictures in DIR/good and DIR/bad. Good pictures
that are sent through the line were not trained on.

The exit code is 0 only if every trigger got exactly one verdict in time and every verdict has its row.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return d.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&d.folder, "folder", "linectl-demo", "folder of the demo; one of an earlier demo is replaced")
	f.StringVar(&d.pictures, "pictures", "", "folder with real pictures in good/ and bad/")
	f.StringVar(&d.product, "product", parts.Flange.String(), fmt.Sprintf("rendered product, one of %v", parts.Products()))
	f.IntVar(&d.training, "training", 100, "good pictures to train on, at most")
	f.IntVar(&d.parts, "parts", 60, "number of parts to send through the line")
	f.Uint64Var(&d.seed, "seed", 1, "seed of the rendering and of the order of parts")
	f.DurationVar(&d.cycle, "cycle", 500*time.Millisecond, "cycle of the line: trigger to verdict")
	f.DurationVar(&d.pause, "pause", 100*time.Millisecond, "time between two parts")
	return c
}

// sample is one part of the demo and the truth about it.
type sample struct {
	picture string
	good    bool
}

func (d *demo) run(ctx context.Context) (err error) {
	if d.parts < 1 || d.parts > 100_000 {
		return hint.New(hint.Usage, fmt.Errorf("--parts %d is out of range; allowed is 1 to 100000", d.parts), "")
	}
	if d.training < 1 || d.training > 10_000 {
		return hint.New(hint.Usage, fmt.Errorf("--training %d is out of range; allowed is 1 to 10000", d.training), "")
	}
	if d.folder, err = filepath.Abs(d.folder); err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	if err := d.clear(); err != nil {
		return err
	}
	training, samples, err := d.gather()
	if err != nil {
		return err
	}
	if err := d.train(ctx, training); err != nil {
		return err
	}
	log.SetOutput(io.Discard) // the server library of the simulated PLC reports its own start there
	self, err := os.Executable()
	if err != nil {
		return err
	}
	r, err := newRig(rigConfig{folder: d.folder, recipe: "demo", cycle: d.cycle, program: self})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.plc.Close()) }()
	if err := r.start(); err != nil {
		return err
	}
	report, err := d.send(ctx, r, samples)
	if stopped := r.stop(15 * time.Second); stopped != nil {
		err = errors.Join(err, hint.New(hint.Failure, fmt.Errorf("stop the daemon: %w", stopped), "its log says why: "+r.log()))
	}
	if err != nil {
		return err
	}
	return report.conclude(ctx, r)
}

// marker is the file by which a folder is known to be a demo's, and so may be replaced.
const marker = ".linectl-demo"

// check refuses what could not be used, before the folder of the last demo is gone.
func (d *demo) check() error {
	if d.pictures == "" {
		_, err := parts.ParseProduct(d.product)
		return hint.New(hint.Usage, err, "")
	}
	pictures, err := filepath.EvalSymlinks(d.pictures)
	if err == nil {
		pictures, err = filepath.Abs(pictures)
	}
	if err != nil {
		return hint.New(hint.Usage, fmt.Errorf("--pictures: %w", err), "name a folder of pictures")
	}
	folder, err := filepath.EvalSymlinks(d.folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if way, err := filepath.Rel(folder, pictures); err == nil && filepath.IsLocal(way) {
		return hint.New(hint.Usage, fmt.Errorf("--pictures: %s lies in %s, which every demo makes anew", d.pictures, d.folder), "put the pictures elsewhere, or choose another --folder")
	}
	return nil
}

func (d *demo) clear() error {
	entries, err := os.ReadDir(d.folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	mine := slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == marker })
	if len(entries) > 0 && !mine {
		return hint.New(hint.Usage, fmt.Errorf("%s is in use and not the folder of a demo", d.folder), "choose another with --folder")
	}
	if err := os.RemoveAll(d.folder); err != nil {
		return err
	}
	if err := os.MkdirAll(d.folder, 0o750); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.folder, marker), nil, 0o640)
}

// gather provides a folder of good pictures to train on, and the parts to send: a quarter of them bad,
// where there are bad pictures, in random order.
func (d *demo) gather() (training string, samples []sample, err error) {
	source, bad := d.pictures, d.parts/4
	if source == "" {
		product, err := parts.ParseProduct(d.product)
		if err != nil {
			return "", nil, hint.New(hint.Usage, err, "")
		}
		source = filepath.Join(d.folder, "pictures")
		fmt.Fprintf(d.out, "rendering %d parts of product %s\n", d.training+d.parts, product)
		if err := parts.Write(source, product, d.training+d.parts-bad, bad, d.seed); err != nil {
			return "", nil, err
		}
	}
	goods, err := picture.List(filepath.Join(source, "good"))
	if err != nil {
		return "", nil, hint.New(hint.Usage, err, "lay the pictures out as good/… and bad/…")
	}
	var bads []string
	if _, err := os.Stat(filepath.Join(source, "bad")); err == nil {
		if bads, err = picture.List(filepath.Join(source, "bad")); err != nil {
			return "", nil, err
		}
	}
	random := rand.New(rand.NewPCG(d.seed, 0))
	shuffle := func(files []string) {
		random.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	}
	shuffle(goods)
	shuffle(bads)
	bads = bads[:min(bad, len(bads))]
	sent := min(d.parts-len(bads), len(goods)/3) // two thirds at least are for training
	if sent < 1 {
		return "", nil, hint.New(hint.Usage, fmt.Errorf("%d good pictures are too few to train on and to inspect", len(goods)), "take 30 at least")
	}
	for _, f := range goods[:sent] {
		samples = append(samples, sample{f, true})
	}
	for _, f := range bads {
		samples = append(samples, sample{f, false})
	}
	random.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
	training = filepath.Join(d.folder, "training")
	return training, samples, link(goods[sent:min(len(goods), sent+d.training)], training)
}

// link lays the files out in a folder of their own without copying them.
func link(files []string, folder string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	for i, f := range files {
		target, err := filepath.Abs(f)
		if err != nil {
			return err
		}
		if err := os.Symlink(target, filepath.Join(folder, fmt.Sprintf("%04d%s", i+1, filepath.Ext(f)))); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) train(ctx context.Context, training string) error {
	c := config.Default()
	c.State = filepath.Join(d.folder, "state")
	begun := time.Now()
	bar := newProgress(d.err)
	r, err := inspect.Train(ctx, c.Inspect, c.Folders(), inspect.TrainOptions{Name: "demo", Good: training}, bar.step)
	bar.end()
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "recipe demo: %d good pictures, input %s, bank of %d vectors, threshold %.4g, %s\n",
		len(r.Pictures), r.Input.Size(), r.Bank.Rows, r.Threshold.Value, time.Since(begun).Round(100*time.Millisecond))
	return nil
}

// send brings the parts, one after the other, and shows each verdict.
func (d *demo) send(ctx context.Context, r *rig, samples []sample) (*demoReport, error) {
	if err := r.ready(ctx, time.Minute); err != nil {
		return nil, err
	}
	fmt.Fprintf(d.out, "PLC at %s, signed and encrypted; daemon is process %d\n\n", r.plc.Endpoint(), r.daemon.Process.Pid)
	report := &demoReport{demo: d}
	report.head()
	for i, s := range samples {
		outcome, err := r.inspect(ctx, plc.Part{ID: fmt.Sprintf("SN-%05d", i+1), Lot: "demo"}, s.picture)
		if err != nil {
			return nil, err
		}
		report.add(s, outcome)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(d.pause):
		}
	}
	return report, nil
}
