package picture

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"linectl/internal/hint"
)

// endings are the kinds of file that a folder of pictures is searched for.
var endings = []string{".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}

// List returns the pictures under a folder, folders inside it included, in natural order: 9.png comes
// before 10.png. Files and folders whose names begin with a dot are passed over. A folder without a
// picture is an error that says what was looked for.
func List(folder string) ([]string, error) {
	info, err := os.Stat(folder)
	if err != nil {
		return nil, hint.New(hint.Usage, fmt.Errorf("folder of pictures %s: %w", folder, cause(err)), "check the path")
	}
	if !info.IsDir() {
		return nil, hint.New(hint.Usage, fmt.Errorf("folder of pictures %s: is a file", folder), "name the folder that holds the pictures")
	}
	var found []string
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != folder && strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.IsDir() && slices.Contains(endings, strings.ToLower(filepath.Ext(path))) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("folder of pictures: %w", err)
	}
	if len(found) == 0 {
		return nil, hint.New(hint.Usage,
			fmt.Errorf("folder %s holds no picture; looked for %s, in folders inside it too", folder, strings.Join(endings, " ")),
			"put the pictures there or name another folder")
	}
	slices.SortFunc(found, natural)
	return found, nil
}

// natural orders names as people do: runs of digits by their value, all else by its bytes.
func natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		if digit(x[0]) && digit(y[0]) {
			p, q := number(x), number(y)
			u, v := strings.TrimLeft(x[:p], "0"), strings.TrimLeft(y[:q], "0")
			if len(u) != len(v) {
				return len(u) - len(v)
			}
			if u != v {
				return strings.Compare(u, v)
			}
			x, y = x[p:], y[q:]
			continue
		}
		if x[0] != y[0] {
			return int(x[0]) - int(y[0])
		}
		x, y = x[1:], y[1:]
	}
	if len(x) != len(y) {
		return len(x) - len(y)
	}
	return strings.Compare(a, b) // 01 and 1 are not the same name
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// number is the length of the run of digits that s begins with.
func number(s string) int {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return n
}
