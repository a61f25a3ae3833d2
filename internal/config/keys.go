package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
)

// section is the type that holds the keys of a section: its path is that of the file, with or without
// the number of an array's element.
func section(path []string) (reflect.Type, bool) {
	t := reflect.TypeFor[Config]()
	for _, name := range path {
		name, _, _ = strings.Cut(name, "[")
		f, ok := member(t, name)
		if !ok {
			return nil, false
		}
		if t = f.Type; t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return nil, false
		}
	}
	return t, true
}

func member(t reflect.Type, key string) (reflect.StructField, bool) {
	for _, f := range reflect.VisibleFields(t) {
		if f.Tag.Get("toml") == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// field is what a key is read into.
func field(key []string) (reflect.StructField, bool) {
	t, ok := section(key[:len(key)-1])
	if !ok {
		return reflect.StructField{}, false
	}
	return member(t, key[len(key)-1])
}

// spelling is how a key or section is written that the decoder, to which letter case is nothing, knows.
func spelling(key string) (known string, ok bool) {
	t := reflect.TypeFor[Config]()
	names := strings.Split(key, ".")
	for i, name := range names {
		name, number, _ := strings.Cut(name, "[")
		if t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return "", false
		}
		f, ok := member(t, strings.ToLower(name))
		if !ok {
			return "", false
		}
		names[i], t = f.Tag.Get("toml"), f.Type
		if number != "" {
			names[i] += "[" + number
		}
	}
	return strings.Join(names, "."), true
}

// inline tells whether a key is a whole section, or a list of them, so that a value for it would hide keys from all checks.
func inline(key string) bool {
	f, ok := field(strings.Split(key, "."))
	if !ok {
		return false
	}
	if f.Type.Kind() == reflect.Slice {
		return f.Type.Elem().Kind() == reflect.Struct
	}
	_, reads := reflect.New(f.Type).Interface().(encoding.TextUnmarshaler)
	return f.Type.Kind() == reflect.Struct && !reads
}

// suggest names the known key that an unknown one was probably meant to be.
func suggest(key []string) string {
	t, ok := section(key[:len(key)-1])
	if !ok {
		return ""
	}
	best, distance := "", 3
	for _, f := range reflect.VisibleFields(t) {
		name := f.Tag.Get("toml")
		if d := edits(strings.ToLower(key[len(key)-1]), name); name != "" && d < distance {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// edits is the Levenshtein distance of two words (Wagner and Fischer, 1974).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
