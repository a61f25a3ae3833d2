package inspect

import (
	"fmt"
	"path/filepath"

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
