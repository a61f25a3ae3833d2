package recipe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"linectl/internal/hint"
)

// Folder is the folder of all recipes.
type Folder string

const activeName = "active"

// Names lists the recipes, sorted. A folder that does not exist yet holds none.
func (f Folder) Names() ([]string, error) {
	entries, err := os.ReadDir(string(f))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("recipes: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && CheckName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Versions lists the versions of a recipe, rising. One that does not exist has none.
func (f Folder) Versions(name string) ([]int, error) {
	if err := CheckName(name); err != nil {
		return nil, hint.New(hint.Usage, err, "")
	}
	entries, err := os.ReadDir(filepath.Join(string(f), name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("recipe %s: %w", name, err)
	}
	var versions []int
	for _, e := range entries {
		if v, err := strconv.Atoi(e.Name()); err == nil && v > 0 && strconv.Itoa(v) == e.Name() && e.IsDir() {
			versions = append(versions, v)
		}
	}
	slices.Sort(versions)
	return versions, nil
}

// Active returns the version of a recipe that is in use.
func (f Folder) Active(name string) (int, error) {
	if err := f.exists(name); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(filepath.Join(string(f), name, activeName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, hint.New(hint.Usage, fmt.Errorf("recipe %s has no active version", name), "'linectl recipe activate "+name+" VERSION' chooses one")
	}
	if err != nil {
		return 0, fmt.Errorf("recipe %s: %w", name, err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || version < 1 {
		return 0, hint.New(hint.Damage, fmt.Errorf("recipe %s: the file %q holds %q, which is no version", name, activeName, text), "'linectl recipe activate "+name+" VERSION' writes it anew")
	}
	return version, nil
}

// exists refuses a recipe that has no version at all.
func (f Folder) exists(name string) error {
	versions, err := f.Versions(name)
	if err != nil || len(versions) > 0 {
		return err
	}
	known, _ := f.Names()
	next := "'linectl train " + name + " --good DIR' makes it"
	if len(known) > 0 {
		next = "there is: " + strings.Join(known, ", ")
	}
	return hint.New(hint.Usage, fmt.Errorf("there is no recipe %q in %s", name, f), next)
}

// Load reads a version, 0 being the active one, and verifies all of it first: nothing of a version that
// is not exactly what was written is used.
func (f Folder) Load(name string, version int) (*Recipe, error) {
	if err := f.exists(name); err != nil {
		return nil, err
	}
	if version == 0 {
		var err error
		if version, err = f.Active(name); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(string(f), name, strconv.Itoa(version))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		versions, _ := f.Versions(name)
		return nil, hint.New(hint.Usage, fmt.Errorf("recipe %s has no version %d", name, version), fmt.Sprintf("it has: %s", strings.Trim(fmt.Sprint(versions), "[]")))
	}
	r, err := read(path)
	if err == nil && (r.Name != name || r.Version != version) {
		err = fmt.Errorf("the folder holds %s@%d", r.Name, r.Version)
	}
	if err != nil {
		return nil, hint.New(hint.Damage, fmt.Errorf("recipe %s@%d in %s: %w", name, version, path, err),
			"activate another version, restore this one from a backup, or train again; nothing of it is used")
	}
	return r, nil
}

func read(path string) (*Recipe, error) {
	files, hash, err := open(path)
	if err != nil {
		return nil, err
	}
	r, err := parse(files)
	if err != nil {
		return nil, err
	}
	r.Hash, r.Path = hash, path
	return r, nil
}

// parse makes a recipe of the files that a seal was found to hold.
func parse(files map[string][]byte) (_ *Recipe, err error) {
	r := new(Recipe)
	need := func(name string, parse func([]byte) error) {
		if err != nil {
			return
		}
		if files[name] == nil {
			err = fmt.Errorf("%s is missing", name)
		} else if err = parse(files[name]); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}
	need(manifestName, func(data []byte) (err error) { r.Manifest, err = parseManifest(data); return err })
	need(calibrationName, func(data []byte) (err error) { r.Pictures, err = parsePictures(data); return err })
	if r.Manifest.Backbone.Int8() {
		need(networkName, func(data []byte) error { r.Network = data; return nil })
	}
	if r.Method.Name == PaDiM {
		need(gaussName, r.parseGauss)
	} else {
		need(bankName, r.parseBank)
	}
	if r.Method.WithAppearance() {
		need(meansName, r.parseMeans)
	}
	if files[mapsName] != nil {
		need(mapsName, r.parseMaps)
	}
	if files[goldenName] != nil {
		need(goldenName, func(data []byte) (err error) { r.Golden, err = parseGolden(data); return err })
	}
	for i := range r.Golden {
		need(goldenPictureName(i+1), func(data []byte) error { r.Golden[i].Picture = data; return nil })
	}
	if err != nil {
		return nil, err
	}
	for i := 1; files[thumbnailName(i)] != nil; i++ {
		r.Thumbnails = append(r.Thumbnails, files[thumbnailName(i)])
	}
	return r, nil
}

func (r *Recipe) parseBank(data []byte) (err error) {
	if r.Bank, err = parseBank(data); err != nil {
		return err
	}
	if r.Bank.Rows != r.Method.Bank || r.Bank.Dim != r.Method.Dim {
		return fmt.Errorf("holds %d vectors of %d numbers; %s says %d of %d", r.Bank.Rows, r.Bank.Dim, manifestName, r.Method.Bank, r.Method.Dim)
	}
	return nil
}

func (r *Recipe) parseMeans(data []byte) (err error) {
	if r.Means, err = parseMeans(data); err != nil {
		return err
	}
	if r.Means.Dim != r.Method.Dim {
		return fmt.Errorf("holds %d numbers a row; %s says %d", r.Means.Dim, manifestName, r.Method.Dim)
	}
	if n := len(r.Pictures); n == 0 || r.Means.Rows%n != 0 { // with changed copies several rows a picture
		return fmt.Errorf("holds %d rows; %s lists %d pictures", r.Means.Rows, calibrationName, n)
	}
	return nil
}

func (r *Recipe) parseGauss(data []byte) (err error) {
	if r.Gauss, err = parseGauss(data); err != nil {
		return err
	}
	if r.Gauss.Dim() != r.Method.Dim {
		return fmt.Errorf("holds %d numbers a cell; %s says %d", r.Gauss.Dim(), manifestName, r.Method.Dim)
	}
	return nil
}

func (r *Recipe) parseMaps(data []byte) error {
	maps, err := parseMaps(data)
	if err != nil {
		return err
	}
	if len(maps) != len(r.Pictures) {
		return fmt.Errorf("holds %d maps; %s lists %d pictures", len(maps), calibrationName, len(r.Pictures))
	}
	for i, m := range maps {
		r.Pictures[i].Map = m
	}
	return nil
}
