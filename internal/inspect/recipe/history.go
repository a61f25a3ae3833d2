package recipe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"linectl/internal/hint"
)

// Event is a line of a recipe's history: what was done with its versions and its challenge pictures. What was
// done to make a version stands in the version's own manifest.
type Event struct {
	At      time.Time `json:"at"`
	Who     string    `json:"who,omitempty"`
	What    string    `json:"what"`
	Version int       `json:"version,omitempty"`
	Hash    string    `json:"hash,omitempty"`
	Why     string    `json:"why,omitempty"`
	// Forced names the challenge pictures in spite of which a version was activated.
	Forced []string `json:"forced,omitempty"`
}

// What is done with versions and challenge pictures.
const (
	Activated        = "activated"
	Removed          = "removed"
	Imported         = "imported"
	ChallengeAdded   = "challenge added"
	ChallengeRemoved = "challenge removed"
)

const historyName = "history.jsonl"

// History reads what was done with a recipe, oldest first. Recipes of older programs have none.
func (f Folder) History(name string) ([]Event, error) {
	path := filepath.Join(string(f), name, historyName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("recipe %s: %w", name, err)
	}
	var events []Event
	for number, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, hint.New(hint.Damage, fmt.Errorf("%s:%d: %w", path, number+1, err), "take the line away, or restore the file from a backup; versions are not affected")
		}
		events = append(events, e)
	}
	return events, nil
}

// note appends to the history; the recipe is locked.
func (f Folder) note(name string, e Event) error {
	e.At = time.Now().UTC().Truncate(time.Second)
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(string(f), name, historyName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Sync(), file.Close())
}

// Previous is the version that was active before the one that is: where a rollback leads.
func (f Folder) Previous(name string) (int, error) {
	active, err := f.Active(name)
	if err != nil {
		return 0, err
	}
	events, err := f.History(name)
	if err != nil {
		return 0, err
	}
	versions, err := f.Versions(name)
	if err != nil {
		return 0, err
	}
	there := make(map[int]bool)
	for _, v := range versions {
		there[v] = true
	}
	// A rollback is an activation, too: of A, B, back to A, the next one back is not B again. So each version
	// stands where it first became active since it was last left behind.
	var trail []int
	for _, e := range events {
		if e.What != Activated || !there[e.Version] {
			continue
		}
		for i, v := range trail {
			if v == e.Version {
				trail = trail[:i]
				break
			}
		}
		trail = append(trail, e.Version)
	}
	for i := len(trail) - 1; i >= 0; i-- {
		if trail[i] != active {
			return trail[i], nil
		}
	}
	return 0, hint.New(hint.NoMatch, fmt.Errorf("the history of recipe %s knows no version that was active before %d", name, active), "'linectl recipe activate "+name+" VERSION' chooses one")
}
