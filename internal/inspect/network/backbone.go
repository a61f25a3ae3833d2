package network

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"linectl/internal/hint"
)

// DefaultName is the file of the network that comes with linectl.
const DefaultName = "linectl_resnet18.onnx"

// ending is that of the files; the card's is .toml in its place.
const ending = ".onnx"

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

// Folders lists where backbones are looked for by name: the state folder, the one that the environment
// names, and where linectl is installed.
func Folders(state string) []string {
	var folders []string
	if state != "" {
		folders = append(folders, state)
	}
	if named := os.Getenv(BackbonesVariable); named != "" {
		folders = append(folders, named)
	}
	folders = append(folders, beside("backbones", "../backbones", "../share/linectl/backbones")...)
	return append(folders, "/usr/share/linectl/backbones")
}

// FindBackbone reads the network at the explicit path, or the one of that name, or, where nothing is named,
// the default network; names are looked up in Folders.
func FindBackbone(explicit, state string) (Backbone, error) {
	if strings.ContainsRune(explicit, filepath.Separator) || strings.HasSuffix(explicit, ending) {
		return ReadBackbone(explicit)
	}
	folders := Folders(state)
	file := DefaultName
	if explicit != "" {
		file = explicit + ending
	}
	for _, folder := range folders {
		path := filepath.Join(folder, file)
		if _, err := os.Stat(path); err == nil {
			return ReadBackbone(path)
		}
	}
	if explicit != "" {
		return Backbone{}, hint.New(hint.Usage, fmt.Errorf("there is no backbone %q; looked in %s", explicit, strings.Join(folders, ", ")),
			"'linectl backbone list' shows what there is; 'linectl backbone import FILE' and 'linectl backbone fetch NAME' bring another")
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

// MaxLayers is how many layers a patch may be made of.
const MaxLayers = 4

// Parse reads a choice of layers: names or strides with commas between them, as "layer2,layer3" or "8,16".
// Of several layers of one stride the last is meant. The names come finest first, whatever their order in the text.
func (c Card) Parse(text string) ([]string, error) {
	var places []int
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		at := slices.IndexFunc(c.Layers, func(l Layer) bool { return l.Name == word })
		for i := len(c.Layers) - 1; at < 0 && i >= 0; i-- {
			if strconv.Itoa(c.Layers[i].Stride) == word {
				at = i
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("backbone %s has no layer and no stride %q; it has %s", c.Name, word, c.offer())
		}
		if slices.Contains(places, at) {
			return nil, fmt.Errorf("layer %q is named twice", c.Layers[at].Name)
		}
		places = append(places, at)
	}
	if len(places) > MaxLayers {
		return nil, fmt.Errorf("%d layers are named; a patch is made of at most %d", len(places), MaxLayers)
	}
	slices.SortFunc(places, func(a, b int) int {
		return cmp.Or(cmp.Compare(c.Layers[a].Stride, c.Layers[b].Stride), cmp.Compare(a, b))
	})
	names := make([]string, len(places))
	for i, at := range places {
		names[i] = c.Layers[at].Name
	}
	return names, nil
}

// offer lists the layers with their strides.
func (c Card) offer() string {
	all := make([]string, len(c.Layers))
	for i, l := range c.Layers {
		all[i] = fmt.Sprintf("%s (%d)", l.Name, l.Stride)
	}
	return strings.Join(all, ", ")
}

// Found is a file that looks like a backbone: one that was read, or why it could not be.
type Found struct {
	Name     string
	Path     string
	Backbone Backbone // without Err
	Err      error
}

// ListBackbones reads every backbone in the folders where names are looked up. Of two with one name the
// first is the one that the name means; only that one is listed.
func ListBackbones(state string) []Found {
	var all []Found
	seen := map[string]bool{}
	for _, folder := range Folders(state) {
		paths, _ := filepath.Glob(filepath.Join(folder, "*"+ending)) // only a malformed pattern is an error
		for _, path := range paths {
			name := strings.TrimSuffix(filepath.Base(path), ending)
			if seen[name] {
				continue
			}
			seen[name] = true
			b, err := ReadBackbone(path)
			b.model = nil
			all = append(all, Found{name, path, b, err})
		}
	}
	return all
}
