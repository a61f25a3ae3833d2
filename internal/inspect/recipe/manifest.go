package recipe

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"linectl/internal/inspect/picture"
)

func (m Manifest) encode() ([]byte, error) {
	var text bytes.Buffer
	text.WriteString("# Written by 'linectl train'. A changed byte anywhere in this folder makes the version invalid.\n")
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
		return Manifest{}, fmt.Errorf("is written in format %d; this linectl reads formats up to %d, a newer one is needed", form.Format, Format)
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
	return m, m.check()
}

func (m Manifest) check() error {
	if err := CheckName(m.Name); err != nil {
		return err
	}
	finite := func(values ...float64) bool {
		for _, v := range values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return false
			}
		}
		return true
	}
	for _, check := range []struct {
		bad  bool
		text string
	}{
		{m.Format < 1, "format is missing"},
		{m.Version < 1, "version must be 1 or more"},
		{m.Backbone.SHA256 == "" || len(m.Backbone.Layers) == 0, "backbone is not named"},
		{m.Input.Width < 1 || m.Input.Height < 1 || m.Input.Width > 1<<14 || m.Input.Height > 1<<14, "input size is out of range"},
		{m.Input.Resize != picture.Resize, fmt.Sprintf("pictures were resized by %q; this linectl knows %q", m.Input.Resize, picture.Resize)},
		{m.Method.Name != MethodName, fmt.Sprintf("the method is %q; this linectl knows %q", m.Method.Name, MethodName)},
		{m.Method.Score != ScoreName, fmt.Sprintf("the score is %q; this linectl knows %q", m.Method.Score, ScoreName)},
		{!(m.Input.Std[0] > 0 && m.Input.Std[1] > 0 && m.Input.Std[2] > 0), "std must be three positive numbers"},
		{!finite(m.Threshold.Value) || m.Threshold.Value <= 0, "the threshold is not a positive number"},
		{!finite(m.Quality.Darkest, m.Quality.Brightest, m.Quality.Dullest), "a quality limit is not a number"},
	} {
		if check.bad {
			return errors.New(check.text)
		}
	}
	return nil
}
