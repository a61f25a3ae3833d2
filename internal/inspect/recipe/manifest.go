package recipe

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"linectl/internal/inspect/patchcore"
	"linectl/internal/inspect/picture"
)

func (m Manifest) encode() ([]byte, error) {
	var text bytes.Buffer
	text.WriteString("# Written by linectl. A changed byte anywhere in this folder makes the version invalid.\n")
	err := toml.NewEncoder(&text).Encode(m)
	return text.Bytes(), err
}

// Table is the manifest under the names that it has in recipe.toml, for output in other forms.
func (m Manifest) Table() (map[string]any, error) {
	text, err := m.encode()
	if err != nil {
		return nil, err
	}
	var table map[string]any
	err = toml.Unmarshal(text, &table)
	return table, err
}

// parseManifest reads recipe.toml and refuses what this linectl cannot use exactly as it was meant.
func parseManifest(text []byte) (Manifest, error) {
	// The form first: a newer one has keys that would only look unknown.
	var form struct {
		Format int `toml:"format"`
	}
	if err := toml.Unmarshal(text, &form); err != nil {
		return Manifest{}, err
	}
	if form.Format > Format {
		return Manifest{}, fmt.Errorf("was made by a newer linectl: it is written in format %d, this one reads formats up to %d", form.Format, Format)
	}
	var m Manifest
	decoder := toml.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		var unknown *toml.StrictMissingError
		if errors.As(err, &unknown) {
			return Manifest{}, fmt.Errorf("unknown key %s", strings.Join(unknown.Errors[0].Key(), "."))
		}
		return Manifest{}, err
	}
	if m.Format == 1 {
		m.Method.Precision = patchcore.FP32
	}
	return m, m.check()
}

func (m Manifest) check() error {
	if err := CheckName(m.Name); err != nil {
		return err
	}
	for _, check := range []struct {
		bad  bool
		text string
	}{
		{m.Format < 1, "format is missing"},
		{m.Version < 1, "version must be 1 or more"},
		{m.Backbone.SHA256 == "" || len(m.Backbone.Layers) == 0, "backbone is not named"},
		{!slices.Contains([]string{"", patchcore.FP32, patchcore.Int8}, m.Backbone.Precision), fmt.Sprintf("there is no precision %q of the backbone", m.Backbone.Precision)},
		{m.Format < 3 && m.Backbone.Precision != "", "only from format 3 on has the backbone a precision"},
		{m.Format < 4 && (m.Method.WithAppearance() || m.Method.Appearance != 0), "only from format 4 on is there an appearance"},
		{m.Format < 5 && m.Method.AppearanceShrinkage != 0, "only from format 5 on has the appearance a shrinkage"},
		{m.Input.Width < 1 || m.Input.Height < 1 || m.Input.Width > 1<<14 || m.Input.Height > 1<<14, "input size is out of range"},
		{m.Input.Resize != picture.Resize, fmt.Sprintf("pictures were resized by %q; this linectl knows %q", m.Input.Resize, picture.Resize)},
		{m.Parent < 0 || m.Parent >= m.Version, fmt.Sprintf("version %d cannot come from version %d", m.Version, m.Parent)},
		{m.Format == 1 && (m.Parent != 0 || len(m.Zones) > 0 || len(m.History) > 0), "format 1 knows neither parents, zones nor history"},
		{!(m.Input.Std[0] > 0 && m.Input.Std[1] > 0 && m.Input.Std[2] > 0), "std must be three positive numbers"},
		{!finite(m.Quality.Darkest, m.Quality.Brightest, m.Quality.Dullest, m.Quality.Narrowest, m.Quality.Widest), "a quality limit is not a number"},
	} {
		if check.bad {
			return errors.New(check.text)
		}
	}
	if err := m.Method.check(); err != nil {
		return err
	}
	if err := m.Threshold.check(); err != nil {
		return err
	}
	return checkZones(m.Zones)
}

func (m Method) check() error {
	if m.Dim < 1 || m.Bank < 0 || m.TopK < 0 {
		return errors.New("method: a count is out of range")
	}
	switch m.Name {
	case PatchCore:
		if !(m.Appearance >= 0) || !finite(m.Appearance, m.AppearanceFrom) || m.Appearance > 0 && !m.WithAppearance() {
			return fmt.Errorf("method: an appearance of %g with the score %s", m.Appearance, m.Score)
		}
		if !(m.AppearanceShrinkage >= 0 && m.AppearanceShrinkage <= 1) {
			return fmt.Errorf("method: an appearance with a shrinkage of %g; it reaches from 0 to 1", m.AppearanceShrinkage)
		}
		return m.Options().Check()
	case PaDiM:
		if m.Score != MaxSmoothed {
			return fmt.Errorf("the score is %q; padim has %q", m.Score, MaxSmoothed)
		}
		if m.Precision != patchcore.FP32 {
			return fmt.Errorf("the precision is %q; padim has %q", m.Precision, patchcore.FP32)
		}
		return nil
	}
	return fmt.Errorf("the method is %q; this linectl knows %q and %q", m.Name, PatchCore, PaDiM)
}
