package camera

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
	"linectl/internal/raster"
)

// maxFile is the most that is read of a picture file, in bytes.
const maxFile = 256 << 20

// entry is a picture file as a folder shows it.
type entry struct {
	name    string
	inode   uint64
	size    int64
	written time.Time // newest of content and name: a file that is moved here keeps the age of its content
}

// same tells whether nothing has happened to the file since.
func (e entry) same(earlier entry) bool {
	return e.inode == earlier.inode && e.size == earlier.size && e.written.Equal(earlier.written)
}

// look lists the pictures in a folder, in natural order. A file that goes away meanwhile is not there.
func look(folder string) ([]entry, error) {
	names, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, n := range names {
		if !raster.Named(n.Name()) {
			continue
		}
		info, err := os.Stat(filepath.Join(folder, n.Name())) // through a link, if it is one
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if e, ok := entryOf(info, n.Name()); ok {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return raster.Natural(a.name, b.name) })
	return entries, nil
}

func entryOf(info fs.FileInfo, name string) (entry, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return entry{}, false
	}
	return entry{name, stat.Ino, info.Size(), time.Unix(stat.Ctim.Unix())}, true
}

// load reads one picture file.
func load(path string) (part.Frame, error) {
	f, err := os.Open(path)
	if err != nil {
		return part.Frame{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return part.Frame{}, err
	}
	if len(data) > maxFile {
		return part.Frame{}, fmt.Errorf("is longer than %d MB", maxFile>>20)
	}
	frame, err := raster.Decode(data)
	frame.Source = path
	return frame, err
}

// checkFolder says what is wrong with a folder of pictures.
func checkFolder(folder string) error {
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hint.New(hint.Failure, fmt.Errorf("there is no folder %s", folder), "make the folder, or mount it; camera.source names it")
	case err != nil:
		return err
	case !info.IsDir():
		return hint.New(hint.Failure, fmt.Errorf("%s is not a folder", folder), "camera.source names the folder of the pictures, not a picture")
	}
	if _, err := os.ReadDir(folder); err != nil {
		return hint.New(hint.Failure, err, "linectl's user must be allowed to read the folder")
	}
	return nil
}
