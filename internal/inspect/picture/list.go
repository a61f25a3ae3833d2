package picture

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"linectl/internal/hint"
	"linectl/internal/raster"
)

// List returns the pictures under a folder, folders inside it included, in natural order: 9.png comes
// before 10.png. Their paths begin with the folder as it was named, also where that is a link. Files and folders
// whose names begin with a dot are passed over. A folder without a picture is an error that says what was looked for.
func List(folder string) ([]string, error) {
	info, err := os.Stat(folder)
	if err != nil {
		return nil, hint.New(hint.Usage, fmt.Errorf("folder of pictures %s: %w", folder, cause(err)), "check the path")
	}
	if !info.IsDir() {
		return nil, hint.New(hint.Usage, fmt.Errorf("folder of pictures %s: is a file", folder), "name the folder that holds the pictures")
	}
	var found []string
	// A link to a folder is followed, those inside it are not: they could lead in a circle.
	root, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return nil, fmt.Errorf("folder of pictures: %w", err)
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != root && strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() || !raster.Named(entry.Name()) {
			return nil
		}
		inside, err := filepath.Rel(root, path)
		found = append(found, filepath.Join(folder, inside))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("folder of pictures: %w", err)
	}
	if len(found) == 0 {
		return nil, hint.New(hint.Usage,
			fmt.Errorf("folder %s holds no picture; looked for %s, in folders inside it too", folder, strings.Join(raster.Endings(), " ")),
			"put the pictures there or name another folder")
	}
	slices.SortFunc(found, raster.Natural)
	return found, nil
}

// Doubles says of files, which are called what, how many have the path of another one but for the ending: most often
// one is the mask of the other. It says nothing where none has.
func Doubles(what string, files []string) string {
	n, a, b := 0, "", ""
	first := make(map[string]string, len(files))
	for _, file := range files {
		stem := strings.TrimSuffix(file, filepath.Ext(file))
		other, seen := first[stem]
		if !seen {
			first[stem] = file
			continue
		}
		if n++; n == 1 {
			a, b = other, file
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s have the name of another one but for its ending, as %s and %s: if these are masks, take them out of the folder", n, what, Name(a), Name(b))
}
