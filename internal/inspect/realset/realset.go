// Package realset finds the labelled sets of real pictures that tests measure on. They are not part of the project.
package realset

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"testing"
)

// Picture is one of a set.
type Picture struct {
	File  string // absolute
	Train bool   // to learn from
	Bad   bool
}

// Folder holds the sets, absolute: LINECTL_DATA names it, and otherwise it is shared/data beside the checkout. There may be none.
func Folder(t testing.TB) string {
	t.Helper()
	folder, err := filepath.Abs(os.Getenv("LINECTL_DATA")) // the package's own where it is not set
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("LINECTL_DATA") != "" {
		return folder
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil || folder == filepath.Dir(folder) {
			return filepath.Join(folder, "..", "shared", "data")
		}
		folder = filepath.Dir(folder)
	}
}

// Read reads the list of a set, NAME.csv with the columns split, label and path. It skips the test where there is none.
func Read(t testing.TB, name string) []Picture {
	t.Helper()
	data := Folder(t)
	list, err := os.Open(filepath.Join(data, name+".csv"))
	if err != nil {
		t.Skipf("the pictures are not here (%v); LINECTL_DATA names their folder", err)
	}
	defer list.Close()
	rows, err := csv.NewReader(list).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	pictures := make([]Picture, len(rows)-1)
	for i, row := range rows[1:] {
		pictures[i] = Picture{File: filepath.Join(data, row[2]), Train: row[0] == "train", Bad: row[1] != "good"}
	}
	return pictures
}
