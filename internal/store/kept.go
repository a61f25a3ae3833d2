package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// What may have become of a picture.
var (
	// ErrRemoved says that retention has removed it.
	ErrRemoved = errors.New("was removed by retention")

	errGone    = errors.New("is gone")
	errChanged = errors.New("has been changed since it was kept")
)

// Lost tells whether a picture could not be read because it is gone or not as it was kept, and not because it may not be read.
func Lost(err error) bool { return errors.Is(err, errGone) || errors.Is(err, errChanged) }

// Read is the content of the file, if it still is what was kept. The error goes on where "the picture" ends.
func (p Picture) Read() ([]byte, error) {
	if !p.Removed.IsZero() {
		return nil, fmt.Errorf("%w (%s) on %s", ErrRemoved, p.RemovedWhy, p.Removed.Format(time.DateOnly))
	}
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
