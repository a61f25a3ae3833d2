package recipe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"linectl/internal/hint"
)

const (
	manifestName    = "recipe.toml"
	bankName        = "bank.f32"
	gaussName       = "gauss.f32"
	calibrationName = "calibration.csv"
	mapsName        = "maps.f32"
	goldenName      = "golden.csv"
	lockName        = ".lock"
)

func thumbnailName(i int) string     { return fmt.Sprintf("thumbnails/%d.jpg", i) }
func goldenPictureName(i int) string { return fmt.Sprintf("golden/%d.png", i) }

// Save writes a new version of the recipe and returns it as Load does. Version, time and hash are set
// here. The version appears whole or not at all. The first version of a name becomes active; a later
// one waits for Activate.
func (f Folder) Save(r *Recipe) (*Recipe, error) {
	saved, err := f.save(r)
	if err != nil {
		return nil, fmt.Errorf("save recipe %s: %w", r.Name, err)
	}
	return saved, nil
}

func (f Folder) save(r *Recipe) (*Recipe, error) {
	unlock, err := f.lock(r.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	versions, err := f.Versions(r.Name)
	if err != nil {
		return nil, err
	}
	draft := *r
	draft.Format = Format
	draft.Version = 1
	if len(versions) > 0 {
		draft.Version = versions[len(versions)-1] + 1
	}
	draft.Created = time.Now().UTC().Truncate(time.Second)
	files, err := draft.files()
	if err != nil {
		return nil, err
	}
	files[sealName] = sealOf(files)

	folder := filepath.Join(string(f), r.Name)
	draftPath, err := os.MkdirTemp(folder, ".new-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(draftPath) // does nothing once the folder has its name
	if err := os.Chmod(draftPath, 0o755); err != nil {
		return nil, err
	}
	for name, data := range files {
		if err := write(filepath.Join(draftPath, name), data); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{filepath.Join(draftPath, "thumbnails"), filepath.Join(draftPath, "golden"), draftPath} {
		if err := settle(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	path := filepath.Join(folder, strconv.Itoa(draft.Version))
	if err := os.Rename(draftPath, path); err != nil {
		return nil, err
	}
	if err := settle(folder); err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		if err := f.activate(r.Name, draft.Version); err != nil {
			return nil, err
		}
	}
	return f.Load(r.Name, draft.Version)
}

func (r *Recipe) files() (map[string][]byte, error) {
	manifest, err := r.Manifest.encode()
	if err != nil {
		return nil, err
	}
	calibration, err := encodePictures(r.Pictures)
	if err != nil {
		return nil, err
	}
	golden, err := encodeGolden(r.Golden)
	if err != nil {
		return nil, err
	}
	maps, err := encodeMaps(r.Pictures)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{manifestName: manifest, calibrationName: calibration}
	if len(r.Golden) > 0 {
		files[goldenName] = golden
	}
	if maps != nil {
		files[mapsName] = maps
	}
	if r.Gauss != nil {
		files[gaussName] = encodeGauss(r.Gauss)
	} else {
		files[bankName] = encodeBank(r.Bank)
	}
	for i, g := range r.Golden {
		files[goldenPictureName(i+1)] = g.Picture
	}
	for i, jpeg := range r.Thumbnails {
		files[thumbnailName(i+1)] = jpeg
	}
	return files, nil
}

// Activate makes a version the one in use, after it has been verified.
func (f Folder) Activate(name string, version int) error {
	if _, err := f.Load(name, version); err != nil {
		return err
	}
	unlock, err := f.lock(name)
	if err != nil {
		return err
	}
	defer unlock()
	return f.activate(name, version)
}

func (f Folder) activate(name string, version int) error {
	folder := filepath.Join(string(f), name)
	draft := filepath.Join(folder, ".active")
	if err := write(draft, []byte(strconv.Itoa(version)+"\n")); err != nil {
		return err
	}
	if err := os.Rename(draft, filepath.Join(folder, activeName)); err != nil {
		return err
	}
	return settle(folder)
}

// lock keeps two programs from writing the same recipe at once. It falls with the process.
func (f Folder) lock(name string) (unlock func(), err error) {
	if err := CheckName(name); err != nil {
		return nil, hint.New(hint.Usage, err, "")
	}
	folder := filepath.Join(string(f), name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(folder, lockName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", folder, err)
	}
	return func() { file.Close() }, nil
}

// write writes a file so that it is on the disk when write returns.
func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

// settle makes the names in a folder durable.
func settle(folder string) error {
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
