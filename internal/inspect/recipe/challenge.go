package recipe

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"linectl/internal/hint"
)

// Challenge is a picture of a known defect that every version of a recipe must reject.
type Challenge struct {
	Name    string `json:"name"`
	SHA256  string `json:"sha256"`         // of the file
	Kind    string `json:"kind,omitempty"` // of defect
	Picture []byte `json:"-"`              // the file as it was given
}

// The challenge pictures of a recipe lie beside its versions, since they are older than some and younger than
// others: files named by their SHA-256, and a list.
const (
	challengeFolder = "challenge"
	challengeList   = "list.json"
	mostChallenges  = 500
)

// Challenges reads the challenge pictures of a recipe, in the order in which they were added.
func (f Folder) Challenges(name string) ([]Challenge, error) {
	if err := CheckName(name); err != nil {
		return nil, hint.New(hint.Usage, err, "")
	}
	folder := filepath.Join(string(f), name, challengeFolder)
	text, err := os.ReadFile(filepath.Join(folder, challengeList))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("recipe %s: %w", name, err)
	}
	all, err := parseChallenges(text)
	for i := range all {
		if err != nil {
			break
		}
		all[i].Picture, err = os.ReadFile(filepath.Join(folder, all[i].SHA256))
		if err == nil && sum(all[i].Picture) != all[i].SHA256 {
			err = fmt.Errorf("%s is not what was added: its SHA-256 is %s", all[i].SHA256, sum(all[i].Picture))
		}
	}
	if err != nil {
		return nil, hint.New(hint.Damage, fmt.Errorf("challenge pictures of recipe %s in %s: %w", name, folder, err), "restore the folder from a backup; no version is activated without it")
	}
	return all, nil
}

func parseChallenges(text []byte) ([]Challenge, error) {
	var all []Challenge
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", challengeList, err)
	}
	if len(all) > mostChallenges {
		return nil, fmt.Errorf("%s: %d pictures; at most %d are allowed", challengeList, len(all), mostChallenges)
	}
	for i, c := range all {
		if len(c.SHA256) != 2*sha256.Size || strings.Trim(c.SHA256, "0123456789abcdef") != "" || c.Name == "" {
			return nil, fmt.Errorf("%s: entry %d is not a name and a hash", challengeList, i+1)
		}
		if slices.ContainsFunc(all[:i], func(other Challenge) bool { return other.SHA256 == c.SHA256 }) {
			return nil, fmt.Errorf("%s: %s is there twice", challengeList, c.SHA256)
		}
	}
	return all, nil
}

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// AddChallenges adds pictures to those that every version must reject; one that is there already is not added
// again. The recipe need not have a version yet.
func (f Folder) AddChallenges(name string, pictures []Challenge, by Change) error {
	unlock, err := f.lock(name)
	if err != nil {
		return err
	}
	defer unlock()
	return f.addChallenges(name, pictures, by)
}

// WithChallenges is a recipe's challenge pictures and then those of some others that it has not yet. Too many are an error.
func (f Folder) WithChallenges(name string, pictures []Challenge) ([]Challenge, error) {
	all, err := f.Challenges(name)
	if err != nil {
		return nil, err
	}
	for _, c := range pictures {
		c.SHA256 = sum(c.Picture)
		if !slices.ContainsFunc(all, func(other Challenge) bool { return other.SHA256 == c.SHA256 }) {
			all = append(all, c)
		}
	}
	if len(all) > mostChallenges {
		return nil, hint.New(hint.Usage, fmt.Errorf("recipe %s would have %d challenge pictures; at most %d are allowed", name, len(all), mostChallenges), "remove some that show the same")
	}
	return all, nil
}

func (f Folder) addChallenges(name string, pictures []Challenge, by Change) error {
	before, err := f.Challenges(name)
	if err != nil {
		return err
	}
	all, err := f.WithChallenges(name, pictures)
	if err != nil {
		return err
	}
	for _, c := range all[len(before):] {
		if err := write(filepath.Join(string(f), name, challengeFolder, c.SHA256), c.Picture); err != nil {
			return err
		}
		if err := f.note(name, Event{What: ChallengeAdded + ": " + c.Name, Hash: c.SHA256, Who: by.Who, Why: by.Why}); err != nil {
			return err
		}
	}
	return f.writeChallenges(name, all)
}

func (f Folder) writeChallenges(name string, all []Challenge) error {
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	folder := filepath.Join(string(f), name, challengeFolder)
	draft := filepath.Join(folder, ".list")
	if err := write(draft, append(text, '\n')); err != nil {
		return err
	}
	if err := os.Rename(draft, filepath.Join(folder, challengeList)); err != nil {
		return err
	}
	return settle(folder)
}

// RemoveChallenge takes the picture of a name, or of a hash that begins so, from those that every version must
// reject. Its file stays: the history speaks of it.
func (f Folder) RemoveChallenge(name, picture string, by Change) (Challenge, error) {
	unlock, err := f.lock(name)
	if err != nil {
		return Challenge{}, err
	}
	defer unlock()
	all, err := f.Challenges(name)
	if err != nil {
		return Challenge{}, err
	}
	var found []int
	for i, c := range all {
		if c.Name == picture || len(picture) >= 8 && strings.HasPrefix(c.SHA256, picture) {
			found = append(found, i)
		}
	}
	if len(found) != 1 {
		return Challenge{}, hint.New(hint.NoMatch, fmt.Errorf("recipe %s has %d challenge pictures that %q names", name, len(found), picture), "'linectl recipe challenge list "+name+"' shows them; give the SHA-256 or its beginning")
	}
	gone := all[found[0]]
	if err := f.writeChallenges(name, slices.Delete(all, found[0], found[0]+1)); err != nil {
		return Challenge{}, err
	}
	return gone, f.note(name, Event{What: ChallengeRemoved + ": " + gone.Name, Hash: gone.SHA256, Who: by.Who, Why: by.Why})
}
