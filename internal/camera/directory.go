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

	"golang.org/x/sys/unix"

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
	written time.Time // when content, name or rights were changed last: no program can set it
	content time.Time // when content was changed last, as far as programs tell the truth
}

// same tells whether nothing has happened to the file since.
func (e entry) same(earlier entry) bool {
	return e.inode == earlier.inode && e.size == earlier.size && e.written.Equal(earlier.written)
}

// sameContent tells whether it is the same file with the same content, whatever its name and rights are now.
func (e entry) sameContent(earlier entry) bool {
	return e.inode == earlier.inode && e.size == earlier.size && e.content.Equal(earlier.content)
}

// ownClock tells whether the times of files in a folder come from this machine's clock. Those of a network folder come from
// its server's, and those of a folder in user space from anywhere.
func ownClock(folder string) (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return false, fmt.Errorf("file system of %s: %w", folder, err)
	}
	switch fs.Type {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC,
		unix.V9FS_MAGIC, unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, unix.NCP_SUPER_MAGIC, ceph:
		return false, nil
	}
	return true, nil
}

const ceph = 0x00c36400 // CEPH_SUPER_MAGIC of Linux' fs/ceph/super.h

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
		info, err := n.Info()
		var linked fs.FileInfo
		if err == nil && n.Type()&fs.ModeSymlink != 0 {
			linked, err = os.Stat(filepath.Join(folder, n.Name()))
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case linked == nil && info.Mode().IsRegular():
			entries = append(entries, entryOf(info))
		case linked != nil && linked.Mode().IsRegular(): // the link came, whatever the age of the file
			entries = append(entries, entryOf(info))
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return raster.Natural(a.name, b.name) })
	return entries, nil
}

func entryOf(info fs.FileInfo) entry {
	stat := info.Sys().(*syscall.Stat_t) // on Linux it is
	return entry{info.Name(), stat.Ino, info.Size(), time.Unix(stat.Ctim.Unix()), info.ModTime()}
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
