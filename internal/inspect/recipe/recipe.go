// Package recipe owns the recipes on disk: recipes/NAME/VERSION, a sealed folder for each version, and
// recipes/NAME/active, which names the version in use. A version never changes once it is there. It
// refuses a version of which a single byte differs from what was written, and says which file.
package recipe

import (
	"fmt"
	"regexp"
	"time"

	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/part"
)

// Format is the newest form of the folder that this linectl reads, and the one that it writes.
const Format = 1

// Manifest is recipe.toml: everything about a version that is not a picture or the bank itself.
type Manifest struct {
	Format    int                 `toml:"format"`
	Name      string              `toml:"name"`
	Version   int                 `toml:"version"`
	Created   time.Time           `toml:"created"`
	Backbone  Backbone            `toml:"backbone"`
	Input     Input               `toml:"input"`
	Method    Method              `toml:"method"`
	Threshold calibrate.Threshold `toml:"threshold"`
	Quality   picture.Limits      `toml:"quality"`
	Training  Training            `toml:"training"`
}

// Backbone is the network that the recipe was trained with and works with alone.
type Backbone struct {
	Name   string   `toml:"name"`
	SHA256 string   `toml:"sha256" comment:"of the ONNX file"`
	Layers []string `toml:"layers"`
}

// Input is how pictures go into the network.
type Input struct {
	Width  int        `toml:"width"`
	Height int        `toml:"height"`
	Resize string     `toml:"resize" comment:"how pictures were resized, by name and version"`
	Mean   [3]float32 `toml:"mean"`
	Std    [3]float32 `toml:"std"`
}

// Method is how patches are compared.
type Method struct {
	Name  string `toml:"name"`
	Bank  int    `toml:"bank" comment:"vectors in the memory bank"`
	Dim   int    `toml:"dim" comment:"numbers a vector"`
	Score string `toml:"score" comment:"how the picture's score follows from the patches'"`
	Seed  uint64 `toml:"seed"`
}

// Training is what the version was made from; calibration.csv lists the pictures.
type Training struct {
	Pictures int `toml:"pictures"`
	Folds    int `toml:"folds" comment:"runs of pictures held out in turn to score them"`
	Patches  int `toml:"patches" comment:"patches in the pictures"`
	Sampled  int `toml:"sampled" comment:"of which the bank was chosen among so many"`
}

// Picture is one training picture: its file, what it held, and what it scored while it was held out.
type Picture struct {
	File    string // relative to the folder of good pictures
	SHA256  string // of size and pixels
	Score   float64
	Quality part.Quality
}

// Recipe is one version, complete.
type Recipe struct {
	Manifest
	Hash       string // SHA-256 over the seal, which holds the SHA-256 of every file
	Bank       patchcore.Bank
	Pictures   []Picture
	Thumbnails [][]byte // small JPEGs of good pictures
	Path       string   // the folder of the version
}

// MethodName and ScoreName are what this linectl computes.
const (
	MethodName = "patchcore"
	ScoreName  = "max"
)

// ID is the recipe as records name it.
func (r *Recipe) ID() part.Recipe {
	return part.Recipe{Name: r.Name, Version: r.Version, Hash: r.Hash, Backbone: r.Backbone.SHA256}
}

// Size is the network's input size.
func (i Input) Size() picture.Size { return picture.Size{Width: i.Width, Height: i.Height} }

// CheckBackbone refuses a network that the recipe was not trained with.
func (r *Recipe) CheckBackbone(b network.Backbone) error {
	if b.SHA256 == r.Manifest.Backbone.SHA256 {
		return nil
	}
	return fmt.Errorf("recipe %s@%d was trained with backbone %s (SHA-256 %.12s…); %s is another one (%.12s…)",
		r.Name, r.Version, r.Manifest.Backbone.Name, r.Manifest.Backbone.SHA256, b.Path, b.SHA256)
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName refuses a name that could not be a folder of its own.
func CheckName(name string) error {
	if nameForm.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%q is not a recipe name; use letters, digits, '.', '_' and '-', at most 64, the first a letter or digit", name)
}
