// Package recipe owns the recipes on disk: recipes/NAME/VERSION, a sealed folder for each version, and
// recipes/NAME/active, which names the version in use. A version never changes once it is there. It
// refuses a version of which a single byte differs from what was written, and says which file.
package recipe

import (
	"cmp"
	"fmt"
	"regexp"
	"time"

	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/padim"
	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
	"linectl/internal/part"
)

// Format is the newest form of the folder that this linectl reads, and the one that it writes. Format 1 had no
// zones, golden pictures, maps or history, and knew PatchCore's greatest distance only; format 2 had no network
// of 8 bits, format 3 no appearance; format 4 shrank its covariance only as few pictures ask for.
const Format = 5

// Manifest is recipe.toml: everything about a version that is not a picture or what was learned itself.
type Manifest struct {
	Format    int            `toml:"format"`
	Name      string         `toml:"name"`
	Version   int            `toml:"version"`
	Parent    int            `toml:"parent,omitempty" comment:"the version that this one was derived from"`
	Created   time.Time      `toml:"created"`
	Backbone  Backbone       `toml:"backbone"`
	Input     Input          `toml:"input"`
	Method    Method         `toml:"method"`
	Threshold Threshold      `toml:"threshold" comment:"of the whole picture; with zones, of what lies in none of them"`
	Zones     []Zone         `toml:"zones,omitempty"`
	Quality   picture.Limits `toml:"quality"`
	Training  Training       `toml:"training"`
	History   []Change       `toml:"history,omitempty" comment:"how this version came about, oldest first"`
}

// Threshold is what scores are held against.
type Threshold struct {
	calibrate.Threshold
	Review       float64 `toml:"review,omitempty" comment:"from this score on a part that passes should be looked at; 0: none"`
	ReviewTarget float64 `toml:"review_target,omitempty" comment:"good parts in 10,000 at or above review that were asked for; 0: the score was given"`
}

// Change is one step in the making of a version.
type Change struct {
	At   time.Time `toml:"at" json:"at"`
	Who  string    `toml:"who" json:"who"`
	What string    `toml:"what" json:"what"`
	Why  string    `toml:"why,omitempty" json:"why,omitempty"`
}

// Backbone is the network that the recipe was trained with and works with alone.
type Backbone struct {
	Name      string   `toml:"name"`
	SHA256    string   `toml:"sha256" comment:"of the ONNX file"`
	Layers    []string `toml:"layers"`
	Precision string   `toml:"precision,omitempty" comment:"of the network: fp32, or int8, which network.onnx computes; none is fp32"`
	Gate      string   `toml:"gate,omitempty" comment:"why that precision may be used"`
}

// Int8 tells whether the recipe's own network of 8 bits computes the features.
func (b Backbone) Int8() bool { return b.Precision == patchcore.Int8 }

// Input is how pictures go into the network.
type Input struct {
	Width  int        `toml:"width"`
	Height int        `toml:"height"`
	Resize string     `toml:"resize" comment:"how pictures were resized, by name and version"`
	Mean   [3]float32 `toml:"mean"`
	Std    [3]float32 `toml:"std"`
}

// Method is how a picture is compared with what was learned.
type Method struct {
	Name   string `toml:"name" comment:"patchcore or padim"`
	Score  string `toml:"score" comment:"how the picture's score follows from the patches', and with max_appearance from the picture as a whole"`
	TopK   int    `toml:"top_k,omitempty" comment:"patches that mean_top_k averages"`
	Choice string `toml:"choice,omitempty" comment:"why that score, where known defects could choose it"`
	// Appearance and AppearanceFrom are patchcore's weighing; the shrinkage is of the Gaussian that it weighs.
	Appearance          float64 `toml:"appearance,omitempty" comment:"weight of the appearance beside the patches"`
	AppearanceFrom      float64 `toml:"appearance_from,omitempty" comment:"the unlikeness that adds nothing yet"`
	AppearanceShrinkage float64 `toml:"appearance_shrinkage,omitempty" comment:"share of the identity in its covariance at least"`
	Precision           string  `toml:"precision" comment:"of the memory bank: fp32 or int8"`
	Gate                string  `toml:"gate,omitempty" comment:"why that precision may be used"`
	Bank                int     `toml:"bank,omitempty" comment:"vectors in the memory bank"`
	Dim                 int     `toml:"dim" comment:"numbers a vector"`
	Seed                uint64  `toml:"seed"`
}

// The methods, and the one score that PaDiM has; PatchCore's are named by package patchcore.
const (
	PatchCore   = "patchcore"
	PaDiM       = "padim"
	MaxSmoothed = "max_smoothed"
)

// WithAppearance tells whether the score knows the picture as a whole.
func (m Method) WithAppearance() bool { return m.Score == patchcore.MaxAppearance }

// Weighing is that of the appearance.
func (m Method) Weighing() patchcore.Weighing {
	return patchcore.Weighing{Weight: m.Appearance, From: m.AppearanceFrom}
}

// Options are PatchCore's.
func (m Method) Options() patchcore.Options {
	return patchcore.Options{Score: m.Score, TopK: m.TopK, Precision: m.Precision}
}

// Training is what the version was made from; calibration.csv lists the pictures.
type Training struct {
	Pictures int      `toml:"pictures"`
	Groups   int      `toml:"groups,omitempty" comment:"groups of pictures that are not near-duplicates of one another"`
	Folds    int      `toml:"folds" comment:"parts of the pictures that were held out in turn to score them"`
	Patches  int      `toml:"patches" comment:"patches in the pictures"`
	Sampled  int      `toml:"sampled" comment:"of which the bank was chosen among so many"`
	LeftOut  []string `toml:"left_out,omitempty" comment:"pictures that were neither learned nor counted, being unlike the rest"`
	// LeftOutSHA256 is of the pictures LeftOut names, in its order; empty in what earlier versions of linectl trained.
	LeftOutSHA256 []string `toml:"left_out_sha256,omitempty"`
	Widen         []string `toml:"widen,omitempty" comment:"changes that the pictures were also learned under"`
	// Frame is zero in what earlier versions of linectl trained.
	Frame  picture.Size `toml:"frame,inline,omitempty" comment:"pixels of the pictures, of most of them"`
	Budget *Budget      `toml:"budget,omitempty" comment:"the time that an inspection was allowed, and what was measured to keep it"`
}

// Budget is how network, input and memory bank were chosen for the time that an inspection may take.
type Budget struct {
	Limit  string  `toml:"limit" json:"limit"` // as 50ms
	Device string  `toml:"device" json:"device"`
	Trials []Trial `toml:"trials" json:"trials"`
}

// Trial is one setting that was measured.
type Trial struct {
	Backbone  string  `toml:"backbone" json:"backbone"`
	Input     string  `toml:"input" json:"input"`
	Bank      int     `toml:"bank" json:"bank"`
	Precision string  `toml:"precision" json:"precision"` // of the bank
	Score     string  `toml:"score,omitempty" json:"score,omitempty"`
	Network   string  `toml:"backbone_precision,omitempty" json:"backbone_precision,omitempty"`
	Measured  int     `toml:"measured" json:"inspections"` // few where they were enough to give it up
	P50       float64 `toml:"p50" json:"p50_ms"`
	P99       float64 `toml:"p99" json:"p99_ms"`
	Fits      bool    `toml:"fits" json:"fits"`
	Why       string  `toml:"why" json:"why"`
}

// Picture is one training picture: its file, what it held, and what it scored while it was held out.
type Picture struct {
	File   string // relative to the folder of good pictures
	SHA256 string // of size and pixels
	Score  float64
	// Appearance is the part of Score that is not by the patches alone.
	Appearance float64
	Group      int  // pictures of one group are near-duplicates of one another
	Suspect    bool // unlike the rest, but learned
	Quality    part.Quality
	Map        part.Map // of the distances while it was held out; empty in format 1
}

// Stranger orders pictures as they are to be looked at: those that are unlike the rest first, then by their scores, the greatest first.
func Stranger(a, b Picture) int {
	if a.Suspect != b.Suspect {
		if a.Suspect {
			return -1
		}
		return 1
	}
	return cmp.Compare(b.Score, a.Score)
}

// Golden is a picture with the score that it has: a station on which it has another is not fit to judge.
type Golden struct {
	File    string
	Picture []byte // PNG
	Score   float64
}

// Recipe is one version, complete.
type Recipe struct {
	Manifest
	Hash     string          // SHA-256 over the seal, which holds the SHA-256 of every file
	Network  []byte          // the backbone in 8 bits, as an ONNX file; nil where it computes in fp32
	Bank     patchcore.Bank  // what PatchCore learned
	Means    patchcore.Means // of the pictures, and of their changed copies: what an appearance is learned from
	Gauss    *padim.Model    // what PaDiM learned
	Pictures []Picture
	Golden   []Golden
	// Thumbnails are small JPEGs of the pictures, in their order; of some only, and nobody knows which, in what
	// earlier versions of linectl trained.
	Thumbnails [][]byte
	// Challenge holds known defects that Save adds to those of the recipe's name. Load leaves it empty: they
	// belong to all versions, and Folder.Challenges reads them.
	Challenge []Challenge
	Path      string // the folder of the version
}

// ID is the recipe as records name it.
func (r *Recipe) ID() part.Recipe {
	return part.Recipe{Name: r.Name, Version: r.Version, Hash: r.Hash, Backbone: r.Backbone.SHA256}
}

// Size is the network's input size.
func (i Input) Size() picture.Size { return picture.Size{Width: i.Width, Height: i.Height} }

// Through is the backbone as the recipe computes it. One that it was not trained with is refused.
func (r *Recipe) Through(b network.Backbone) (network.Backbone, error) {
	if b.SHA256 != r.Manifest.Backbone.SHA256 {
		return b, fmt.Errorf("recipe %s@%d was trained with backbone %s (SHA-256 %.12s…); %s is another one (%.12s…)",
			r.Name, r.Version, r.Manifest.Backbone.Name, r.Manifest.Backbone.SHA256, b.Path, b.SHA256)
	}
	if r.Manifest.Backbone.Int8() {
		b = b.Computing(r.Network)
	}
	return b, nil
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName refuses a name that could not be a folder of its own.
func CheckName(name string) error {
	if nameForm.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%q is not a recipe name; use letters, digits, '.', '_' and '-', at most 64, the first a letter or digit", name)
}
