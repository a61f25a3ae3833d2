package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"linectl/internal/hint"
)

// Check tries what can be tried beside a running daemon, and changes nothing: the folder can be written
// to, there is space, and the record, where there is one already, can be read.
func Check(ctx context.Context, config Config) error {
	folder := filepath.Dir(config.Path)
	if err := unix.Access(folder, unix.W_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return hint.New(hint.Failure, fmt.Errorf("write to %s: %w", folder, err), "give the folder to the user that linectl runs as")
	}
	if err := checkPictures(config); err != nil {
		return err
	}
	if _, err := os.Stat(config.Path); errors.Is(err, fs.ErrNotExist) {
		return nil // the daemon makes it, and its folder
	}
	if err := enoughFree(folder, config.lowest()); err != nil {
		return err
	}
	reader, err := OpenReader(ctx, config)
	if err != nil {
		return err
	}
	return errors.Join(noneAside(config), reader.Close())
}

// checkPictures sees whether the folder of pictures, or the first one above it that is there, can be written to.
func checkPictures(config Config) error {
	if config.Keep == KeepNone {
		return nil
	}
	folder := config.Pictures
	for {
		info, err := os.Stat(folder)
		if err == nil && !info.IsDir() {
			err = errors.New("it is not a folder")
		}
		if err == nil {
			err = unix.Access(folder, unix.W_OK)
		}
		if above := filepath.Dir(folder); errors.Is(err, fs.ErrNotExist) && above != folder {
			folder = above // the daemon makes those below
			continue
		}
		if err != nil {
			err = hint.New(hint.Failure, fmt.Errorf("the folder of pictures %s: %s: %w", config.Pictures, folder, err), "linectl's user must be allowed to write in store.pictures; or set keep = \"none\" in [store]")
		}
		return err
	}
}
