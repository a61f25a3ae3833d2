package store

import (
	"fmt"
	"path/filepath"
	"syscall"

	"linectl/internal/hint"
	"linectl/internal/setting"
)

// Healthy says whether the next row can be expected to become durable; the station is not ready
// while it cannot.
func (s *Store) Healthy() error {
	if err := s.writer.healthy(); err != nil {
		return explain(s.config.Path, fmt.Errorf("the record %s: %w", s.config.Path, err))
	}
	return enoughFree(filepath.Dir(s.config.Path), s.config.lowest())
}

// enoughFree tells whether the file system of a folder has the least amount of space.
func enoughFree(folder string, least setting.Bytes) error {
	free, err := freeSpace(folder)
	if err != nil {
		return err
	}
	if free < least {
		return hint.New(hint.Failure, fmt.Errorf("%s has %s free; at least %s is needed", folder, free, least),
			"make room on that file system, or lower store.min_free")
	}
	return nil
}

// freeSpace is what a user other than root may still write.
func freeSpace(folder string) (setting.Bytes, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(folder, &fs); err != nil {
		return 0, fmt.Errorf("ask for the space in %s: %w", folder, err)
	}
	return setting.Bytes(fs.Bavail * uint64(fs.Bsize)), nil
}
