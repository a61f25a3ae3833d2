package recipe

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"linectl/internal/hint"
)

// What an archive may hold: a file that only claims to be one fills neither memory nor disk.
const (
	mostArchive = 2 << 30 // bytes, unpacked
	mostFiles   = 100_000 // so many small copies of pictures fill the bytes
)

// checkRoom refuses more than an archive may hold, when one is made as when one is read.
func checkRoom(files int, bytes int64) error {
	switch {
	case files > mostFiles:
		return fmt.Errorf("holds more than %d files", mostFiles)
	case bytes > mostArchive:
		return fmt.Errorf("holds more than %d MB", mostArchive>>20)
	}
	return nil
}

const versionFolder = "version/"

// Export writes a version with its seal, and the challenge pictures of its name, as one .tar.gz.
func (f Folder) Export(w io.Writer, name string, version int) (*Recipe, error) {
	r, err := f.Load(name, version)
	if err != nil {
		return nil, err
	}
	challenges, err := f.Challenges(name)
	if err != nil {
		return nil, err
	}
	names, err := list(r.Path)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, name := range names {
		if files[versionFolder+name], err = os.ReadFile(filepath.Join(r.Path, name)); err != nil {
			return nil, err
		}
	}
	if len(challenges) > 0 {
		if files[challengeFolder+"/"+challengeList], err = os.ReadFile(filepath.Join(string(f), name, challengeFolder, challengeList)); err != nil {
			return nil, err
		}
		for _, c := range challenges {
			files[challengeFolder+"/"+c.SHA256] = c.Picture
		}
	}
	var bytes int64
	for _, data := range files {
		bytes += int64(len(data))
	}
	if err := checkRoom(len(files), bytes); err != nil {
		return nil, hint.New(hint.Failure, fmt.Errorf("recipe %s@%d %w: no import would take it", name, r.Version, err), "copy its folder as a whole instead: "+r.Path)
	}
	packed := gzip.NewWriter(w)
	archive := tar.NewWriter(packed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: r.Created, Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(files[name]); err != nil {
			return nil, err
		}
	}
	return r, errors.Join(archive.Close(), packed.Close())
}

// Import takes a version from what Export wrote. It keeps number and hash where the number is free; otherwise,
// or under another name (as, if not ""), it becomes the next version, derived from the one that was exported.
// An imported version is never active at once. A version that is there already is returned as it is.
func (f Folder) Import(archive io.Reader, as string, by Change) (*Recipe, error) {
	unpacked, err := unpack(archive)
	var r *Recipe
	var files map[string][]byte
	var challenges []Challenge
	if err == nil {
		r, files, challenges, err = fromArchive(unpacked)
	}
	if err != nil {
		return nil, hint.New(hint.Damage, fmt.Errorf("archive: %w", err), "take a file that 'linectl recipe export' wrote; nothing of this one was used")
	}
	if as == "" {
		as = r.Name
	}
	if err := CheckName(as); err != nil {
		return nil, hint.New(hint.Usage, err, "")
	}
	unlock, err := f.lock(as)
	if err != nil {
		return nil, err
	}
	defer unlock()
	saved, err := f.take(r, files, as, by)
	if err != nil {
		return nil, fmt.Errorf("import %s@%d: %w", r.Name, r.Version, err)
	}
	if len(challenges) > 0 {
		err = f.addChallenges(as, challenges, by)
	}
	return saved, err
}

func (f Folder) take(r *Recipe, files map[string][]byte, as string, by Change) (*Recipe, error) {
	versions, err := f.Versions(as)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if there, err := f.Load(as, v); err == nil && there.Hash == r.Hash {
			return there, nil
		}
	}
	free, err := f.next(as, versions)
	if err != nil {
		return nil, err
	}
	if as == r.Name && (r.Version >= free || len(versions) == 0) {
		free = r.Version
	} else {
		r.History = append(r.History, Change{At: time.Now().UTC().Truncate(time.Second), Who: by.Who, Why: by.Why,
			What: fmt.Sprintf("imported from %s@%d, hash %s", r.Name, r.Version, r.Hash)})
		r.Name, r.Version, r.Parent, r.Format = as, free, 0, Format
		if files, err = r.files(); err != nil {
			return nil, err
		}
		files[sealName] = sealOf(files)
	}
	if err := f.place(as, free, files, ""); err != nil {
		return nil, err
	}
	saved, err := f.Load(as, free)
	if err != nil {
		return nil, err
	}
	return saved, f.note(as, Event{What: Imported, Version: free, Hash: saved.Hash, Who: by.Who, Why: by.Why})
}

// fromArchive verifies what was unpacked and returns the version's files by themselves.
func fromArchive(archive map[string][]byte) (r *Recipe, files map[string][]byte, challenges []Challenge, err error) {
	files = make(map[string][]byte)
	var seal []byte
	var present []string
	for name, data := range archive {
		switch inside, of := strings.CutPrefix(name, versionFolder); {
		case inside == sealName && of:
			seal = data
		case of:
			present = append(present, inside)
		case !strings.HasPrefix(name, challengeFolder+"/"):
			return nil, nil, nil, fmt.Errorf("%q belongs to no recipe", name)
		}
	}
	if seal == nil {
		return nil, nil, nil, errors.New("holds no recipe: there is no " + versionFolder + sealName)
	}
	slices.Sort(present)
	read := func(name string) ([]byte, error) {
		if data, ok := archive[versionFolder+name]; ok {
			return data, nil
		}
		return nil, os.ErrNotExist
	}
	files, hash, err := unseal(seal, present, read)
	if err != nil {
		return nil, nil, nil, err
	}
	if r, err = parse(files); err != nil {
		return nil, nil, nil, err
	}
	r.Hash, files[sealName] = hash, seal
	if list := archive[challengeFolder+"/"+challengeList]; list != nil {
		if challenges, err = parseChallenges(list); err != nil {
			return nil, nil, nil, err
		}
	}
	for i, c := range challenges {
		challenges[i].Picture = archive[challengeFolder+"/"+c.SHA256]
		if sum(challenges[i].Picture) != c.SHA256 {
			return nil, nil, nil, fmt.Errorf("the challenge picture %s is not what its hash says", c.Name)
		}
	}
	return r, files, challenges, nil
}

// unpack reads a .tar.gz into memory: plain files with plain names, and no more of them than a recipe has.
func unpack(archive io.Reader) (map[string][]byte, error) {
	packed, err := gzip.NewReader(archive)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	var held int64
	for entries := tar.NewReader(packed); ; {
		header, err := entries.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case header.Typeflag == tar.TypeDir:
			continue
		case header.Typeflag != tar.TypeReg:
			return nil, fmt.Errorf("%q is no plain file", header.Name)
		case !filepath.IsLocal(header.Name) || filepath.Clean(header.Name) != header.Name || strings.Contains(header.Name, `\`):
			return nil, fmt.Errorf("%q is no plain name", header.Name)
		case files[header.Name] != nil:
			return nil, fmt.Errorf("%q is there twice", header.Name)
		}
		held += min(header.Size, mostArchive+1) // whatever it claims, the sum stays a number
		if err := checkRoom(len(files)+1, held); err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(entries, header.Size))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", header.Name, err)
		}
		files[header.Name] = data
	}
}
