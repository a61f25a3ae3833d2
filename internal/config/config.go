// Package config reads linectl.toml: it composes the Config of each room and reports every mistake
// of the file at once, each with its line and column. It refuses keys that it does not know.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"linectl/internal/camera"
	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/line"
	"linectl/internal/opcua"
	"linectl/internal/setting"
	"linectl/internal/store"
	"linectl/internal/vision"
)

// DefaultPath is where an installed linectl has its config.
const DefaultPath = "/etc/linectl/linectl.toml"

// Config is the whole file.
type Config struct {
	// State is the folder of everything that linectl keeps: record, pictures, recipes, backbones, certificates.
	State   string          `toml:"state"`
	Line    line.Config     `toml:"line"`
	PLC     opcua.Config    `toml:"plc"`
	Vision  vision.Config   `toml:"vision"`
	Cameras []camera.Config `toml:"camera"`
	Inspect inspect.Config  `toml:"inspect"`
	Store   store.Config    `toml:"store"`
}

// Default is what holds where the file says nothing. It is not complete: PLC, camera and recipe have
// to be named.
func Default() Config {
	c := Config{
		State:   "/var/lib/linectl",
		Line:    line.DefaultConfig(),
		PLC:     opcua.Default(),
		Vision:  vision.Default(),
		Inspect: inspect.DefaultConfig(),
		Store:   store.DefaultConfig(),
	}
	c.Store.Path, c.Store.Pictures = "", "" // below state; see place
	return c
}

// place puts what has no place of its own below the state folder.
func (c *Config) place() {
	if c.Store.Path == "" {
		c.Store.Path = filepath.Join(c.State, "linectl.db")
	}
	if c.Store.Pictures == "" {
		c.Store.Pictures = filepath.Join(c.State, "pictures")
	}
}

// Recipes is the folder of the recipes.
func (c Config) Recipes() string { return filepath.Join(c.State, "recipes") }

// Backbones is the folder of the plant's own backbones.
func (c Config) Backbones() string { return filepath.Join(c.State, "backbones") }

// PKI is the folder of our certificate and of the pinned peers'.
func (c Config) PKI() string { return filepath.Join(c.State, "pki") }

// Folders is where inspection finds recipes and backbones.
func (c Config) Folders() inspect.Folders {
	return inspect.Folders{Recipes: c.Recipes(), Backbones: c.Backbones()}
}

// Check reports every mistake of meaning, by full key.
func (c Config) Check() []setting.Problem {
	var problems []setting.Problem
	if !filepath.IsAbs(c.State) {
		problems = append(problems, setting.Problemf("state", "%q is not an absolute path; a daemon has no folder of its own to start from", c.State))
	}
	in := func(section string, found []setting.Problem) {
		for _, p := range found {
			problems = append(problems, setting.Problem{Key: section + "." + p.Key, Message: p.Message})
		}
	}
	in("line", c.Line.Check())
	in("vision", c.Vision.Check())
	switch {
	case !c.Vision.Serves():
		in("plc", c.PLC.Check())
	case c.PLC.Endpoint != "":
		problems = append(problems, setting.Problemf("vision.listen", "is set beside plc.endpoint; a line has one master: the PLC that linectl reads, or the one that calls it"))
	}
	switch len(c.Cameras) {
	case 0:
		problems = append(problems, setting.Problemf("camera", "no camera is configured; add a section [[camera]] with name and source"))
	case 1:
		in("camera[0]", c.Cameras[0].Check())
	default:
		problems = append(problems, setting.Problemf("camera[1]", "a line has one camera in this version; remove the other %d", len(c.Cameras)-1))
	}
	in("inspect", c.Inspect.Check())
	if c.Inspect.Recipe == "" && c.Line.Mode.Inspects() {
		problems = append(problems, setting.Problemf("inspect.recipe", "is empty; name the recipe that 'linectl train NAME' makes, or set line.mode to maintenance until there is one"))
	}
	in("store", c.Store.Check())
	return problems
}

// Load reads and checks the file. All mistakes come in one error, a line for each.
func Load(path string) (Config, error) {
	c, _, err := Read(path)
	return c, err
}

// Read does so and gives what it has read as well: the file may be another one a moment later.
func Read(path string) (c Config, document []byte, err error) {
	document, err = os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Config{}, nil, hint.New(hint.Usage, fmt.Errorf("there is no config file %s", path),
			"name one with -c FILE, or start from configs/linectl.toml")
	}
	if err != nil {
		return Config{}, nil, hint.New(hint.Usage, fmt.Errorf("read the config: %w", err), "check the permissions of the file")
	}
	c, mistakes := Parse(document)
	if len(mistakes) > 0 {
		return Config{}, nil, hint.New(hint.Usage, &Error{path, mistakes}, "every key is explained in configs/linectl.toml")
	}
	return c, document, nil
}
