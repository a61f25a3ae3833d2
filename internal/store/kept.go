package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
)

// What may have become of a picture.
var (
	errGone    = errors.New("is gone")
	errChanged = errors.New("has been changed since it was kept")
)

// Read is the content of the file, if it still is what was kept. The error goes on where "the picture" ends.
func (p Picture) Read() ([]byte, error) {
	data, err := os.ReadFile(p.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != p.SHA256 {
		return nil, errChanged
	}
	return data, nil
}
