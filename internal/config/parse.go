package config

import (
	"bytes"
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"linectl/internal/camera"
)

// Mistake is one thing that is wrong in the file, and where. Line and column count from 1.
type Mistake struct {
	Line, Column int
	Key, Message string
}

// Error is every mistake of one file.
type Error struct {
	Path     string
	Mistakes []Mistake
}

func (e *Error) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = fmt.Sprintf("%s:%d:%d: %s", e.Path, m.Line, m.Column, m.Message)
		if m.Key != "" {
			lines[i] = fmt.Sprintf("%s:%d:%d: %s: %s", e.Path, m.Line, m.Column, m.Key, m.Message)
		}
	}
	return strings.Join(lines, "\n")
}

// Parse reads a document. What it does not say holds its default. Where there are mistakes, all of
// them are reported: of form, unknown keys, values that cannot be read, and values that make no sense.
func Parse(document []byte) (Config, []Mistake) {
	index, syntax := outline(document)
	if syntax != nil {
		return Config{}, []Mistake{*syntax}
	}
	mistakes := slices.Concat(index.misspelt, index.misread)
	wrong := map[string]bool{} // keys whose value could not be read: what their default means is of no interest
	rest := bytes.Clone(document)
	for _, m := range index.misread {
		wrong[m.Key] = true
		at, _ := index.at(m.Line, m.Column)
		blank(rest[at.from:at.to])
	}
	var c Config
	for {
		c = Default()
		err := toml.NewDecoder(bytes.NewReader(rest)).DisallowUnknownFields().Decode(&c)
		var unknown *toml.StrictMissingError
		var value *toml.DecodeError
		switch {
		case errors.As(err, &unknown):
			for _, u := range unknown.Errors {
				row, column := u.Position()
				mistakes = append(mistakes, Mistake{row, column, strings.Join(u.Key(), "."), "there is no such key" + suggest(u.Key())})
			}
		case errors.As(err, &value):
			// The decoder stops at the first value that it cannot read: note it, take it out, go on.
			row, column := value.Position()
			at, found := index.at(row, column)
			mistakes = append(mistakes, Mistake{row, column, at.key, message(value)})
			if found && !wrong[at.key] {
				wrong[at.key] = true
				blank(rest[at.from:at.to])
				continue
			}
		case err != nil:
			mistakes = append(mistakes, Mistake{1, 1, "", err.Error()})
		}
		break
	}
	c.place()
	index.fill(c.Cameras)
	for _, p := range c.Check() {
		if !wrong[p.Key] {
			row, column := index.place(p.Key)
			mistakes = append(mistakes, Mistake{row, column, p.Key, p.Message})
		}
	}
	slices.SortStableFunc(mistakes, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return c, mistakes
}

// mismatch is how the decoder reports a value of the wrong type.
var mismatch = regexp.MustCompile(`cannot decode TOML (.+?) into .* of type (\S+)`)

// message is the decoder's own, in the words of somebody who edits a file.
func message(e *toml.DecodeError) string {
	text := strings.TrimPrefix(e.Error(), "toml: ")
	if m := mismatch.FindStringSubmatch(text); m != nil {
		wanted := "a section"
		switch {
		case m[2] == "bool":
			wanted = "true or false"
		case strings.HasPrefix(m[2], "int"), strings.HasPrefix(m[2], "uint"):
			wanted = "a whole number"
		case strings.HasPrefix(m[2], "float"):
			wanted = "a number"
		case m[2] == "string":
			wanted = "text in quotes"
		}
		return fmt.Sprintf("is a TOML %s; write %s", m[1], wanted)
	}
	return text
}

// blank overwrites text with spaces and keeps its lines.
func blank(text []byte) {
	for i, c := range text {
		if c != '\n' {
			text[i] = ' '
		}
	}
}

// entry is one key of the document: where it stands, and the bytes up to the next one.
type entry struct {
	key          string
	line, column int
	from, to     int
}

// contents is where each key and section of a document stands, and which values do not read themselves.
type contents struct {
	entries []entry
	misread []Mistake
	// Keys that the decoder would take, and nothing else would know: in other letter case, and sections that are no sections.
	misspelt []Mistake
}

// outline finds the place of every key. A document that is not TOML has one mistake, its first.
func outline(document []byte) (contents, *Mistake) {
	var c contents
	var p unstable.Parser
	p.Reset(document)
	section := ""
	counts := map[string]int{}
	for p.NextExpression() {
		node := p.Expression()
		keys, first := path(node)
		start := p.Shape(first).Start
		switch node.Kind {
		case unstable.Table:
			section = strings.Join(keys, ".")
			keys = nil
		case unstable.ArrayTable:
			name := strings.Join(keys, ".")
			section = fmt.Sprintf("%s[%d]", name, counts[name])
			counts[name]++
			keys = nil
		case unstable.KeyValue:
		default:
			continue
		}
		from := bytes.LastIndexByte(document[:start.Offset], '\n') + 1
		if len(c.entries) > 0 {
			c.entries[len(c.entries)-1].to = from
		}
		key := strings.Join(append(nonEmpty(section), keys...), ".")
		c.entries = append(c.entries, entry{key, start.Line, start.Column, from, len(document)})
		if known, ok := spelling(key); ok && known != key {
			c.misspelt = append(c.misspelt, Mistake{start.Line, start.Column, key, "there is no such key; did you mean " + known + "?"})
			key = known
			c.entries[len(c.entries)-1].key = known
			if node.Kind != unstable.KeyValue {
				section = known
			}
		}
		if node.Kind == unstable.KeyValue {
			if problem := misread(key, node.Value()); problem != "" {
				c.misread = append(c.misread, Mistake{start.Line, start.Column, key, problem})
			}
			if inline(key) {
				c.misspelt = append(c.misspelt, Mistake{start.Line, start.Column, key, "is a section: give it a heading of its own, and each of its keys a line"})
			}
		}
	}
	if err := p.Error(); err != nil {
		var syntax *toml.DecodeError
		if errors.As(toml.Unmarshal(document, &map[string]any{}), &syntax) {
			row, column := syntax.Position()
			return c, &Mistake{row, column, "", message(syntax)}
		}
		return c, &Mistake{1, 1, "", err.Error()}
	}
	return c, nil
}

// misread asks a value that reads itself from text (setting.Duration, line.Mode …) whether it can. The
// decoder would take a bare number for a duration, and any word for a mode.
func misread(key string, value *unstable.Node) string {
	field, ok := field(strings.Split(key, "."))
	if !ok {
		return ""
	}
	reader, ok := reflect.New(field.Type).Interface().(encoding.TextUnmarshaler)
	if !ok {
		return ""
	}
	if value.Kind != unstable.String {
		return "is no text; write it in quotes"
	}
	if err := reader.UnmarshalText(value.Data); err != nil {
		return err.Error()
	}
	return ""
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// path returns the dotted key of a node and where it begins.
func path(node *unstable.Node) (keys []string, first unstable.Range) {
	if node.Kind != unstable.KeyValue && node.Kind != unstable.Table && node.Kind != unstable.ArrayTable {
		return nil, unstable.Range{}
	}
	for it := node.Key(); it.Next(); {
		if len(keys) == 0 {
			first = it.Node().Raw
		}
		keys = append(keys, string(it.Node().Data))
	}
	return keys, first
}

// fill gives each camera its defaults: the decoder begins the elements of an array at zero.
func (c contents) fill(cameras []camera.Config) {
	defaults := reflect.ValueOf(camera.DefaultConfig())
	for i := range cameras {
		element := reflect.ValueOf(&cameras[i]).Elem()
		for f := range element.NumField() {
			key := fmt.Sprintf("camera[%d].%s", i, element.Type().Field(f).Tag.Get("toml"))
			if !slices.ContainsFunc(c.entries, func(e entry) bool { return e.key == key }) {
				element.Field(f).Set(defaults.Field(f))
			}
		}
	}
}

// at finds the entry that a place in the document belongs to.
func (c contents) at(line, column int) (entry, bool) {
	for _, e := range slices.Backward(c.entries) {
		if e.line < line || e.line == line && e.column <= column {
			return e, true
		}
	}
	return entry{}, false
}

// place finds where a key stands, or else the section it belongs in, or else the beginning.
func (c contents) place(key string) (line, column int) {
	for key != "" {
		for _, e := range c.entries {
			if e.key == key {
				return e.line, e.column
			}
		}
		key = key[:max(strings.LastIndexByte(key, '.'), 0)]
	}
	return 1, 1
}
