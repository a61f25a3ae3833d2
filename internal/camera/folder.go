package camera

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"linectl/internal/part"
)

// folder plays back the pictures of a folder, each once, in natural order of their names. It stands in
// for a camera: the instant of reading stands for the exposure, so its frames are never stale. For a
// camera that writes files use drop.
type folder struct {
	path string
	mu   sync.Mutex // one grab at a time
	used map[string]bool
}

// lookEvery is how often a folder that has nothing new is looked at again.
const lookEvery = 10 * time.Millisecond

func openFolder(path string) source { return &folder{path: path, used: map[string]bool{}} }

// grab reads the next picture. One that cannot be read may still be being written and is tried again;
// when its time is over, the next grab goes on with the next picture.
func (f *folder) grab(ctx context.Context, _ time.Time) (part.Frame, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	begun := time.Now()
	for {
		entries, err := look(f.path)
		if err != nil {
			return part.Frame{}, err
		}
		next := slices.IndexFunc(entries, func(e entry) bool { return !f.used[e.name] })
		if next >= 0 {
			exposed := time.Now()
			var frame part.Frame
			if frame, err = load(filepath.Join(f.path, entries[next].name)); err == nil {
				f.used[entries[next].name] = true
				frame.ExposedAt = exposed
				return frame, nil
			}
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			if next >= 0 {
				f.used[entries[next].name] = true
				return part.Frame{}, part.Because(part.BadFrame, fmt.Errorf("picture %s: %w", entries[next].name, err))
			}
			return part.Frame{}, fmt.Errorf("no unused picture in %s (%s; %d used)", f.path, waited(ctx, begun), len(f.used))
		}
	}
}

func (f *folder) healthy() error { return checkFolder(f.path) }

func (f *folder) close() error {
	f.mu.Lock() // waits for a grab that is under way
	defer f.mu.Unlock()
	return nil
}
