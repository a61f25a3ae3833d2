package plc

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Seen is one result that the PLC saw as valid, whatever it made of it.
type Seen struct {
	Seq    uint32    `json:"seq"`
	PartID string    `json:"part_id"`
	Pass   bool      `json:"pass"` // the part in view was passed by it
	Accept bool      `json:"accept"`
	Reject bool      `json:"reject"`
	Code   int16     `json:"code"`
	Score  float32   `json:"score"`
	At     time.Time `json:"at"`
}

// resultLog is the PLC's own record, by which that of linectl can be judged: one JSON line a result. A
// line is in the file when add returns and on the disk soon after: a PLC does not wait for its disk.
type resultLog struct {
	file  *os.File
	dirty chan struct{}
	work  sync.WaitGroup
	mu    sync.Mutex
	err   error // the first that happened
}

func openLog(name string) (*resultLog, error) {
	if name == "" {
		return nil, nil
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	l := &resultLog{file: file, dirty: make(chan struct{}, 1)}
	l.work.Go(func() {
		for range l.dirty {
			l.fail(file.Sync())
		}
	})
	return l, nil
}

func (l *resultLog) add(s Seen) {
	if l == nil {
		return
	}
	line, err := json.Marshal(s)
	l.fail(err)
	_, err = l.file.Write(append(line, '\n'))
	l.fail(err)
	select {
	case l.dirty <- struct{}{}:
	default: // a sync is due anyway
	}
}

func (l *resultLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

// close returns whatever kept the log from being complete.
func (l *resultLog) close() error {
	if l == nil {
		return nil
	}
	close(l.dirty)
	l.work.Wait()
	return errors.Join(l.err, l.file.Sync(), l.file.Close())
}

// ReadLog reads what a PLC wrote as Config.Log.
func ReadLog(name string) ([]Seen, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all []Seen
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var s Seen
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", name, len(all)+1, err)
		}
		all = append(all, s)
	}
	return all, lines.Err()
}
