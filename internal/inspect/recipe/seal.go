package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sealName is the file that holds the SHA-256 of every other one, in the form that 'sha256sum -c' reads.
const sealName = "SHA256SUMS"

// sealOf lists the hashes of files. The hash of the seal itself is the recipe's.
func sealOf(files map[string][]byte) []byte {
	var seal []byte
	for _, name := range slices.Sorted(maps.Keys(files)) {
		seal = fmt.Appendf(seal, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	return seal
}

// cutLine takes a line of a seal apart.
func cutLine(line string) (sum, name string, ok bool) {
	return strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
}

// inBoth names the files that two seals give the same hash.
func inBoth(a, b []byte) map[string]bool {
	lines, names := make(map[string]bool), make(map[string]bool)
	for line := range strings.Lines(string(a)) {
		lines[line] = true
	}
	for line := range strings.Lines(string(b)) {
		if _, name, _ := cutLine(line); lines[line] {
			names[name] = true
		}
	}
	return names
}

// open reads every file of a version's folder and refuses the folder where anything is missing, changed
// or added.
func open(folder string) (files map[string][]byte, hash string, err error) {
	seal, err := os.ReadFile(filepath.Join(folder, sealName))
	if err != nil {
		return nil, "", fmt.Errorf("seal: %w", err)
	}
	present, err := list(folder)
	if err != nil {
		return nil, "", err
	}
	return unseal(seal, present, func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(folder, name)) })
}

// unseal reads the files that a seal names and holds them against it; present are those that there are.
func unseal(seal []byte, present []string, read func(name string) ([]byte, error)) (files map[string][]byte, hash string, err error) {
	files = make(map[string][]byte)
	last := ""
	for line := range strings.Lines(string(seal)) {
		sum, name, ok := cutLine(line)
		if !ok || len(sum) != 2*sha256.Size || !filepath.IsLocal(name) {
			return nil, "", fmt.Errorf("%s: line %q is not a hash and a name", sealName, line)
		}
		data, err := read(name)
		if errors.Is(err, os.ErrNotExist) {
			return nil, "", fmt.Errorf("%s is missing", name)
		}
		if err != nil {
			return nil, "", err
		}
		if actual := sha256.Sum256(data); hex.EncodeToString(actual[:]) != sum {
			return nil, "", fmt.Errorf("%s is not what was sealed: its SHA-256 is %x, the seal says %s", name, actual, sum)
		}
		if name <= last || !strings.HasSuffix(line, "\n") {
			return nil, "", fmt.Errorf("%s is not in the form that it was written in", sealName)
		}
		files[name], last = data, name
	}
	for _, name := range present {
		if _, ok := files[name]; !ok && name != sealName {
			return nil, "", fmt.Errorf("%s is not in the seal", name)
		}
	}
	return files, fmt.Sprintf("%x", sha256.Sum256(seal)), nil
}

// list names every file under a folder, relative to it.
func list(folder string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(folder, path)
			names = append(names, name)
		}
		return err
	})
	return names, err
}
