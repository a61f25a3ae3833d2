package network

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"linectl/internal/hint"
)

// DefaultName is the file of the network that comes with linectl.
const DefaultName = "linectl_resnet18.onnx"

// Layer is a feature map that a backbone gives: the grid is the input's size divided by the stride,
// rounded up.
type Layer struct {
	Name     string `toml:"name"`
	Stride   int    `toml:"stride"`
	Channels int    `toml:"channels"`
}

// Card says what an ONNX file is and how pictures go into it. It lies beside the file, with the ending
// .toml in place of .onnx.
type Card struct {
	Name     string     `toml:"name"`
	About    string     `toml:"about"`
	Licence  string     `toml:"licence"`
	SHA256   string     `toml:"sha256"` // of the ONNX file
	Input    string     `toml:"input"`  // name of the input: [1, 3, height, width], RGB
	Mean     [3]float32 `toml:"mean"`   // input = (grey/255 - mean) / std, for R, G, B
	Std      [3]float32 `toml:"std"`
	Layers   []Layer    `toml:"layers"`   // what the file gives
	PatchOf  []string   `toml:"patch_of"` // the layers that a patch is made of, finest first
	Multiple int        `toml:"multiple"` // height and width of the input must be multiples of this
}

// Backbone is a network on disk whose content was compared with its card.
type Backbone struct {
	Card
	Path  string
	model []byte
}

// BackbonesVariable names the environment variable that may name a folder with the default network.
const BackbonesVariable = "LINECTL_BACKBONES"

// FindBackbone reads the network at the explicit path, or else the default network: from the state
// folder where that has one, else from the folder that the environment names, else from where linectl
// is installed.
func FindBackbone(explicit, state string) (Backbone, error) {
	if explicit != "" {
		return ReadBackbone(explicit)
	}
	var folders []string
	if state != "" {
		folders = append(folders, state)
	}
	if named := os.Getenv(BackbonesVariable); named != "" {
		folders = append(folders, named)
	}
	folders = append(folders, beside("backbones", "../backbones", "../share/linectl/backbones")...)
	folders = append(folders, "/usr/share/linectl/backbones")
	for _, folder := range folders {
		path := filepath.Join(folder, DefaultName)
		if _, err := os.Stat(path); err == nil {
			return ReadBackbone(path)
		}
	}
	return Backbone{}, hint.New(hint.Usage,
		fmt.Errorf("the default backbone %s was not found; looked in %s", DefaultName, strings.Join(folders, ", ")),
		"name the ONNX file in inspect.backbone, or put it with its card into one of these folders")
}

// ReadBackbone reads an ONNX file and its card and refuses them where they do not belong together.
func ReadBackbone(path string) (Backbone, error) {
	model, err := os.ReadFile(path)
	if err != nil {
		return Backbone{}, hint.New(hint.Usage, fmt.Errorf("backbone: %w", err), "correct the path of the ONNX file")
	}
	cardPath := strings.TrimSuffix(path, filepath.Ext(path)) + ".toml"
	text, err := os.ReadFile(cardPath)
	if errors.Is(err, fs.ErrNotExist) {
		return Backbone{}, hint.New(hint.Usage, fmt.Errorf("backbone %s has no card: %s is missing", path, cardPath),
			"write the card; the one of "+DefaultName+" is an example")
	}
	if err != nil {
		return Backbone{}, fmt.Errorf("card of backbone: %w", err)
	}
	card, err := parseCard(text)
	if err != nil {
		return Backbone{}, hint.New(hint.Usage, fmt.Errorf("card %s: %w", cardPath, err), "correct the card; the one of "+DefaultName+" is an example")
	}
	if sum := sha256.Sum256(model); hex.EncodeToString(sum[:]) != card.SHA256 {
		return Backbone{}, hint.New(hint.Damage,
			fmt.Errorf("backbone %s is not what its card describes: its SHA-256 is %x, the card says %s", path, sum, card.SHA256),
			"put the original file back; a network that was exchanged on purpose needs a card of its own")
	}
	return Backbone{Card: card, Path: path, model: model}, nil
}

func parseCard(text []byte) (Card, error) {
	var c Card
	d := toml.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		var unknown *toml.StrictMissingError
		if errors.As(err, &unknown) {
			return c, fmt.Errorf("unknown key %s", strings.Join(unknown.Errors[0].Key(), "."))
		}
		return c, err
	}
	var wrong []string
	for _, check := range []struct {
		bad  bool
		text string
	}{
		{c.Name == "", "name is empty"},
		{c.Input == "", "input is empty"},
		{len(c.SHA256) != 64, "sha256 is not 64 hexadecimal digits"},
		{c.Std[0] <= 0 || c.Std[1] <= 0 || c.Std[2] <= 0, "std must be three positive numbers"},
		{c.Multiple < 1, "multiple must be 1 or more"},
		{len(c.PatchOf) == 0, "patch_of names no layer"},
	} {
		if check.bad {
			wrong = append(wrong, check.text)
		}
	}
	for _, l := range c.Layers {
		if l.Name == "" || l.Stride < 1 || l.Stride > 256 || l.Channels < 1 || l.Channels > 1<<16 {
			wrong = append(wrong, fmt.Sprintf("layer %q: stride must be 1 to 256 and channels 1 to 65536", l.Name))
		}
	}
	if _, err := c.Choose(c.PatchOf); err != nil && len(c.PatchOf) > 0 {
		wrong = append(wrong, "patch_of: "+err.Error())
	}
	if len(wrong) > 0 {
		return c, errors.New(strings.Join(wrong, "; "))
	}
	return c, nil
}

// Choose returns the named layers, in the given order, which must be from the finest to the coarsest.
func (c Card) Choose(names []string) ([]Layer, error) {
	var chosen []Layer
	for _, name := range names {
		i := 0
		for i < len(c.Layers) && c.Layers[i].Name != name {
			i++
		}
		if i == len(c.Layers) {
			return nil, fmt.Errorf("there is no layer %q", name)
		}
		if n := len(chosen); n > 0 && chosen[n-1].Stride > c.Layers[i].Stride {
			return nil, fmt.Errorf("layer %q is finer than the one before it", name)
		}
		chosen = append(chosen, c.Layers[i])
	}
	return chosen, nil
}
