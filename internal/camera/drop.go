package camera

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
)

// drop takes the pictures that another program puts into a folder: a smart camera by FTP or SMB, a
// driver of one's own. It cannot know when a picture was exposed, only when its file came; so a file
// counts only if it came after the trigger, and a PLC must not call for the next part before the
// picture of this one is there or given up.
//
// The folder is watched by looking, not by the kernel's notices, which network folders do not give.
type drop struct {
	path    string
	ours    func(folder string) (bool, error) // whether the times of its files are of this machine's clock: what is mounted there may change
	latency time.Duration
	remove  bool
	log     *slog.Logger

	mu    sync.Mutex      // one grab at a time
	past  map[uint64]file // what belongs to parts before the present one, by inode: names and rights may change
	large bool            // it has been said that the folder holds too much
}

// file is a file of the past. One that was not whole when its time was over may still be being
// written: whatever comes of it belongs to the past too.
type file struct {
	entry
	whole bool
}

const (
	pollEvery = 2 * time.Millisecond // how often the folder is looked at while a grab is open
	settled   = 10 * time.Second     // a file at which nobody has written for so long is complete
	manyFiles = 2000                 // from here on looking takes more than a few milliseconds
)

func openDrop(path string, latency time.Duration, remove bool, log *slog.Logger) (source, error) {
	d := &drop{path: path, ours: ownClock, latency: latency, remove: remove, log: log, past: map[uint64]file{}}
	entries, err := look(path)
	if err != nil {
		return nil, err
	}
	d.closePart(entries, "")
	return d, nil
}

// covered tells whether a file belongs to a part before the present one.
func (d *drop) covered(e entry) bool {
	f, ok := d.past[e.inode]
	return ok && (f.sameContent(e) || !f.whole)
}

// grab takes the first file that came at or after the given instant and can be read whole.
//
// When did a file come? One that is absent at one look and present at the next came after the first
// look began, whatever its time stamps say: our own clock decides. Only for a file that is already new
// at the first look, and so came between the last grab and this one, the folder's own time decides; it
// is the inode's change time, which no program can set, and which a file that is moved here gets anew. Where that is the time of another
// machine's clock, or lies in the future, it says nothing, and the file is of the past.
// It is that of the kernel's last tick, up to 10 ms early: a picture that comes so soon after the
// trigger that nobody has looked yet may be refused. Exposure and transfer take longer than that.
func (d *drop) grab(ctx context.Context, after time.Time) (part.Frame, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	begun := time.Now()
	var stale []string
	came := map[string]time.Time{} // the files of this part
	tried := map[string]attempt{}  // of those
	var earlier time.Time          // when the look before this one began
	trusted, err := d.ours(d.path)
	if err != nil {
		return part.Frame{}, err
	}
	for {
		now := time.Now()
		entries, err := look(d.path)
		if err != nil {
			return part.Frame{}, err
		}
		for _, e := range entries {
			if d.covered(e) {
				continue
			}
			if came[e.name].IsZero() {
				came[e.name] = earlier
				if earlier.IsZero() && trusted && !e.written.After(now) {
					came[e.name] = e.written
				}
			}
			exposed := came[e.name].Add(-d.latency)
			if exposed.Before(after) {
				stale = append(stale, e.name)
				d.past[e.inode] = d.examined(e)
				delete(came, e.name) // what replaces it is another file
				continue
			}
			if t, ok := tried[e.name]; ok && t.same(e) {
				continue // nothing has been added since
			}
			frame, err := load(filepath.Join(d.path, e.name))
			if err != nil {
				tried[e.name] = attempt{e, err}
				continue
			}
			frame.ExposedAt = exposed
			d.closePart(entries, e.name)
			return frame, d.discard(e.name)
		}
		earlier = now
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			d.closePart(entries, "")
			return part.Frame{}, d.nothing(waited(ctx, begun), stale, tried)
		}
	}
}

// attempt is a file that could not be read as it then was.
type attempt struct {
	entry
	err error
}

// closePart ends the time of a part: all files are of the past now. The one that was taken is known to be whole.
func (d *drop) closePart(entries []entry, taken string) {
	past := make(map[uint64]file, len(entries))
	for _, e := range entries {
		switch f, ok := d.past[e.inode]; {
		case e.name == taken:
			past[e.inode] = file{e, true}
		case ok && f.whole && f.same(e):
			past[e.inode] = f
		default:
			past[e.inode] = d.examined(e)
		}
	}
	d.past = past
	if many := len(entries) > manyFiles; many != d.large {
		if d.large = many; many {
			d.log.Warn("looking through the folder takes long: take old pictures away, or set delete_taken", "folder", d.path, "pictures", len(entries))
		}
	}
}

// examined is a file of the past, and whether it is whole. Only one that was written lately needs to be read for that.
func (d *drop) examined(e entry) file {
	if time.Since(e.written) > settled {
		return file{e, true}
	}
	_, err := load(filepath.Join(d.path, e.name))
	return file{e, err == nil}
}

func (d *drop) discard(name string) error {
	if !d.remove {
		return nil
	}
	if err := os.Remove(filepath.Join(d.path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return hint.New(hint.Failure, fmt.Errorf("delete the picture that was taken: %w", err), "linectl's user must be allowed to write in the folder, or set delete_taken = false")
	}
	return nil
}

// nothing says why there is no picture, as well as that can be known.
func (d *drop) nothing(waited string, stale []string, tried map[string]attempt) error {
	for name, t := range tried {
		return hint.New(hint.Failure, part.Because(part.BadFrame, fmt.Errorf("picture %s: %w (%s)", name, t.err, waited)), part.BadFrame.Hint())
	}
	if len(stale) > 0 {
		return hint.New(hint.Failure, part.Because(part.StaleFrame, fmt.Errorf("only pictures from before the trigger in %s: %s (%s)", d.path, some(stale), waited)), part.StaleFrame.Hint())
	}
	return hint.New(hint.Failure, part.Because(part.NoFrame, fmt.Errorf("no picture came into %s (%s)", d.path, waited)), "does the camera write to this folder? 'linectl camera list' shows it")
}

// some names the first few of many.
func some(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}

func (d *drop) healthy() error { return checkFolder(d.path) }

func (d *drop) close() error {
	d.mu.Lock() // waits for a grab that is under way
	defer d.mu.Unlock()
	return nil
}
