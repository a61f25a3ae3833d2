package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// set is the files of a labelled set of pictures, absolute.
type set struct {
	name             string
	train, good, bad []string
	wrong            []string // bad ones that are trained on as if they were good
}

// readSet reads DIR/NAME.csv. Of a kind that has more than its most, pictures at even distances are taken.
func readSet(dir, name string, most [3]int) (s set, err error) {
	file, err := os.Open(filepath.Join(dir, name+".csv"))
	if err != nil {
		return s, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return s, fmt.Errorf("%s: %w", file.Name(), err)
	}
	s.name = name
	for _, r := range rows[1:] {
		path, err := filepath.Abs(filepath.Join(dir, filepath.FromSlash(r[2])))
		if err != nil {
			return s, err
		}
		switch {
		case r[0] == "test" && r[1] == "good":
			s.good = append(s.good, path)
		case r[0] == "test":
			s.bad = append(s.bad, path)
		case r[1] != "good":
			return s, fmt.Errorf("%s: %s is for training and not good", file.Name(), r[2])
		default:
			s.train = append(s.train, path)
		}
	}
	s.train, s.good, s.bad = some(s.train, most[0]), some(s.good, most[1]), some(s.bad, most[2])
	return s, nil
}

// some is n of the files at even distances, or all.
func some(files []string, n int) []string {
	if n >= len(files) {
		return files
	}
	taken := make([]string, n)
	for i := range taken {
		taken[i] = files[i*len(files)/n]
	}
	return taken
}

// link links the set's pictures into folder/train, good, bad and masks, and tells whether there are masks.
func (s set) link(folder string) (masks bool, err error) {
	place := func(kind, name, from string) error {
		to := filepath.Join(folder, kind, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.Symlink(from, to)
	}
	for kind, files := range map[string][]string{"train": s.train, "good": s.good, "bad": s.bad} {
		for _, file := range files {
			if err := place(kind, filepath.Base(file), file); err != nil {
				return false, err
			}
		}
	}
	for _, file := range s.wrong { // a good picture may have the same name
		if err := place("train", wrongName(file), file); err != nil {
			return false, err
		}
	}
	for _, file := range s.bad {
		mask := strings.TrimSuffix(file, filepath.Ext(file)) + ".png"
		if _, err := os.Stat(mask); mask == file || err != nil {
			continue
		}
		masks = true
		if err := place("masks", filepath.Base(mask), mask); err != nil {
			return false, err
		}
	}
	return masks, nil
}

// wrongName is what a bad picture is called among the good ones.
func wrongName(file string) string { return "wrong-" + filepath.Base(file) }
