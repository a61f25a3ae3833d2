package inspect

import (
	"fmt"
	"path/filepath"

	"linectl/internal/hint"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

// enginesFolder keeps what devices make of networks, beside the recipes; it is no recipe's name.
const enginesFolder = ".engines"

// start starts the config's device.
func start(cfg Config, folders Folders) (*network.Runtime, error) {
	r, err := network.Start(cfg.Library, cfg.Device, cfg.Threads)
	if err == nil && folders.Recipes != "" {
		r.KeepEngines(filepath.Join(folders.Recipes, enginesFolder))
	}
	return r, err
}

// extractor turns frames into features. Training and inspection both go through it, so that a recipe
// meets on the line exactly what it was trained on. Not for concurrent use.
type extractor struct {
	prepare *picture.Preparer
	network *network.Network
}

func newExtractor(r *network.Runtime, b network.Backbone, layers []string, in recipe.Input) (*extractor, error) {
	n, err := r.Open(b, layers, in.Width, in.Height)
	if err != nil {
		return nil, err
	}
	return &extractor{picture.NewPreparer(in.Size(), in.Mean, in.Std), n}, nil
}

// checkInt8 refuses a network of 8 bits on every device but the processor: others round otherwise, or compute it in
// larger numbers, and the recipe's scores would not be those that it was calibrated by.
func checkInt8(d network.Device) error {
	if d.Int8() {
		return nil
	}
	return hint.New(hint.Usage, fmt.Errorf("a network of 8 bits is for the device %s; %s computes it otherwise", network.CPU, d),
		"use the device cpu, or train for this one with --backbone-precision fp32")
}

// quantize makes the form of a network that computes in 8 bits, for the numbers that it makes of some frames.
func quantize(r *network.Runtime, b network.Backbone, layers []string, in recipe.Input, frames func(look func(part.Frame) error) error) ([]byte, error) {
	if err := checkInt8(r.Device()); err != nil {
		return nil, err
	}
	o, err := r.Observe(b, layers, in.Width, in.Height)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	prepare := picture.NewPreparer(in.Size(), in.Mean, in.Std)
	defer prepare.Close()
	err = frames(func(frame part.Frame) error {
		if err := prepare.Fill(o.Input.Data(), frame); err != nil {
			return err
		}
		return o.Look()
	})
	if err != nil {
		return nil, err
	}
	return o.Quantize()
}

// open opens the network that a recipe works with, as it works with it.
func open(runtime *network.Runtime, cfg Config, folders Folders, r *recipe.Recipe) (*extractor, error) {
	backbone, err := network.FindBackbone(cfg.Backbone, folders.Backbones)
	if err != nil {
		return nil, err
	}
	if backbone, err = r.Through(backbone); err != nil {
		return nil, hint.New(hint.Usage, err, "name the recipe's own network in inspect.backbone or with --backbone, or train the recipe again with this one")
	}
	if r.Manifest.Backbone.Int8() {
		if err := checkInt8(runtime.Device()); err != nil {
			return nil, fmt.Errorf("recipe %s@%d: %w", r.Name, r.Version, err)
		}
	}
	return newExtractor(runtime, backbone, r.Manifest.Backbone.Layers, r.Input)
}

// load puts a frame into the network's input.
func (e *extractor) load(frame part.Frame) error {
	return e.prepare.Fill(e.network.Input.Data(), frame)
}

// run computes the features of the frame that was loaded.
func (e *extractor) run() error {
	if err := e.network.Run(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	return nil
}

func (e *extractor) close() {
	e.prepare.Close()
	e.network.Close()
}
