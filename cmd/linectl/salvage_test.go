package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a service engineer does with a record that the daemon has kept aside.
func TestSalvageCommand(t *testing.T) {
	config, _ := recordedDesk(t)
	folder := filepath.Dir(config)
	data, err := os.ReadFile(filepath.Join(folder, "linectl.db"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 { // the head is gone
		data[i] = 0
	}
	aside := filepath.Join(folder, "linectl.db.damaged-20261124T101500")
	if err := os.WriteFile(aside, data, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := linectl(t, "salvage", aside, "rescued.db")
	if code != 0 || !strings.HasPrefix(out, "TABLE  ") || !strings.Contains(out, "\ninspection  3     0 ") || !strings.Contains(errs, "the chain proves 9 of the rows in rescued.db") {
		t.Errorf("code %d\n%s%s", code, out, errs)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("rescued.toml", []byte(string(text)+"\n[store]\npath = \""+filepath.Join(folder, "rescued.db")+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, before, _ := linectl(t, "-c", config, "query", "-o", "json")
	code, after, errs := linectl(t, "-c", "rescued.toml", "query", "-o", "json")
	if code != 0 || before != after {
		t.Errorf("code %d: %s\n%s\nwant\n%s", code, errs, after, before)
	}
	if code, out, _ := linectl(t, "-c", "rescued.toml", "verify"); code != 0 {
		t.Errorf("verify: code %d\n%s", code, out)
	}

	if err := os.WriteFile(aside, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ = linectl(t, "salvage", aside, "half.db", "-o", "json")
	var found struct {
		Tables []struct {
			Table      string
			Rows, Lost int
		}
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil || code != 4 || len(found.Tables) != 13 {
		t.Errorf("code %d, %v: %s", code, err, out)
	}
	for _, args := range [][]string{{"salvage", aside}, {"salvage", aside, "rescued.db"}, {"salvage", "none", "new.db"}} {
		if code, _, errs := linectl(t, args...); code != 2 {
			t.Errorf("%v: code %d: %s", args, code, errs)
		}
	}
}
