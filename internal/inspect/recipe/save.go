package recipe

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"linectl/internal/hint"
)

const (
	manifestName    = "recipe.toml"
	networkName     = "network.onnx"
	bankName        = "bank.f32"
	gaussName       = "gauss.f32"
	meansName       = "means.f32"
	calibrationName = "calibration.csv"
	mapsName        = "maps.f32"
	goldenName      = "golden.csv"
	lockName        = ".lock"
)

const thumbnailFolder = "thumbnails/"

func thumbnailName(i int) string     { return fmt.Sprintf(thumbnailFolder+"%d.jpg", i) }
func goldenPictureName(i int) string { return fmt.Sprintf("golden/%d.png", i) }

// Save writes a new version of the recipe and returns it as Load does. Version, time and hash are set
// here. The version appears whole or not at all. The first version of a name becomes active where it needs no
// proof; a later one, and one that challenge pictures wait for, is left to Activate.
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
	if draft.Version, err = f.next(r.Name, versions); err != nil {
		return nil, err
	}
	var by Change
	if n := len(r.History); n > 0 {
		by = r.History[n-1]
	}
	if len(r.Challenge) > 0 {
		if err := f.addChallenges(r.Name, r.Challenge, by); err != nil {
			return nil, err
		}
	}
	draft.Created = time.Now().UTC().Truncate(time.Second)
	files, err := draft.files()
	if err != nil {
		return nil, err
	}
	files[sealName] = sealOf(files)

	if err := f.place(draft.Name, draft.Version, files, r.Path); err != nil {
		return nil, err
	}
	saved, err := f.Load(r.Name, draft.Version)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		challenges, err := f.Challenges(r.Name)
		if err != nil || len(challenges) > 0 {
			return saved, err
		}
		return saved, f.activate(saved, Event{Who: by.Who, Why: cmp.Or(by.Why, "the first version")})
	}
	return saved, nil
}

// Writable tells, before the minutes that training takes, why Save could not write what comes of them.
func (f Folder) Writable(name string) error {
	folder := filepath.Join(string(f), name)
	for {
		err := unix.Access(folder, unix.W_OK|unix.X_OK)
		if parent := filepath.Dir(folder); errors.Is(err, fs.ErrNotExist) && parent != folder {
			folder = parent // it will be made
			continue
		}
		if err != nil {
			err = hint.New(hint.Failure, fmt.Errorf("recipe %s cannot be kept in %s: %s: %w", name, string(f), folder, err), "be a user who may write there, or name another folder with --recipes")
		}
		return err
	}
}

// next is the number of a new version. That of a version which was removed is not used again: records speak of it.
func (f Folder) next(name string, versions []int) (int, error) {
	last := 0
	if len(versions) > 0 {
		last = versions[len(versions)-1]
	}
	events, err := f.History(name)
	for _, e := range events {
		last = max(last, e.Version)
	}
	return last + 1, err
}

// place makes a version's folder of files. Small copies of pictures that the version it comes from holds as well, in
// its folder from, get another name instead, where the file system knows such: there are thousands, and another
// threshold changes none of them. Damage to such a file is damage to each version that has it; what judges is written anew
// and stays a version's own.
func (f Folder) place(name string, version int, files map[string][]byte, from string) error {
	folder := filepath.Join(string(f), name)
	draft, err := os.MkdirTemp(folder, ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft) // does nothing once the folder has its name
	if err := os.Chmod(draft, 0o755); err != nil {
		return err
	}
	var there map[string]bool
	if from != "" {
		seal, _ := os.ReadFile(filepath.Join(from, sealName)) // of one that is gone there is nothing to take
		there = inBoth(seal, files[sealName])
	}
	folders := map[string]bool{draft: true}
	for name, data := range files {
		path := filepath.Join(draft, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		folders[filepath.Dir(path)] = true
		if there[name] && strings.HasPrefix(name, thumbnailFolder) && os.Link(filepath.Join(from, name), path) == nil {
			continue
		}
		if err := write(path, data); err != nil {
			return err
		}
	}
	for folder := range folders {
		if err := settle(folder); err != nil {
			return err
		}
	}
	if err := os.Rename(draft, filepath.Join(folder, strconv.Itoa(version))); err != nil {
		return err
	}
	return settle(folder)
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
	if r.Manifest.Backbone.Int8() {
		files[networkName] = r.Network
	}
	if r.Gauss != nil {
		files[gaussName] = encodeGauss(r.Gauss)
	} else {
		files[bankName] = encodeBank(r.Bank)
	}
	if r.Method.WithAppearance() {
		files[meansName] = encodeMeans(r.Means)
	}
	for i, g := range r.Golden {
		files[goldenPictureName(i+1)] = g.Picture
	}
	for i, jpeg := range r.Thumbnails {
		files[thumbnailName(i+1)] = jpeg
	}
	return files, nil
}

// Activate makes a version the one in use, after it has been verified. Whether it rejects the challenge
// pictures is the caller's business; by says who activates it, why, and in spite of which of them.
func (f Folder) Activate(name string, version int, by Event) error {
	if err := f.exists(name); err != nil {
		return err
	}
	unlock, err := f.lock(name)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := f.Load(name, version)
	if err != nil {
		return err
	}
	return f.activate(r, by)
}

func (f Folder) activate(r *Recipe, by Event) error {
	folder := filepath.Join(string(f), r.Name)
	by.What, by.Version, by.Hash = Activated, r.Version, r.Hash
	if err := f.note(r.Name, by); err != nil { // first: no version is ever active without a line that says since when
		return err
	}
	draft := filepath.Join(folder, ".active")
	if err := write(draft, []byte(strconv.Itoa(r.Version)+"\n")); err != nil {
		return err
	}
	if err := os.Rename(draft, filepath.Join(folder, activeName)); err != nil {
		return err
	}
	return settle(folder)
}

// Remove takes a version away, which must not be the active one.
func (f Folder) Remove(name string, version int, by Change) error {
	if err := f.exists(name); err != nil {
		return err
	}
	unlock, err := f.lock(name)
	if err != nil {
		return err
	}
	defer unlock()
	if active, err := f.Active(name); err == nil && active == version {
		return hint.New(hint.Usage, fmt.Errorf("%s@%d is the active version", name, version), "activate another one first")
	}
	versions, err := f.Versions(name)
	if err != nil {
		return err
	}
	if !slices.Contains(versions, version) {
		return hint.New(hint.Usage, fmt.Errorf("recipe %s has no version %d", name, version), fmt.Sprintf("it has: %s", strings.Trim(fmt.Sprint(versions), "[]")))
	}
	event := Event{What: Removed, Version: version, Who: by.Who, Why: by.Why}
	if r, err := f.Load(name, version); err == nil { // a damaged one may be removed, too
		event.Hash = r.Hash
	}
	if err := f.note(name, event); err != nil {
		return err
	}
	folder := filepath.Join(string(f), name)
	gone := filepath.Join(folder, ".gone-"+strconv.Itoa(version)) // half a version must not look like a damaged one
	if err := os.Rename(filepath.Join(folder, strconv.Itoa(version)), gone); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(gone), settle(folder))
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
