package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"linectl/internal/part"
)

// powerFolder names the folder for the process whose writes are logged.
const powerFolder = "LINECTL_TEST_POWER_FOLDER"

// writeAndLog writes rows and notes each id once Insert has returned, in the log of writes.
func writeAndLog(folder string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	log, err := os.OpenFile(os.Getenv("POWER_LOG"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	fail(err)
	report := func(id int64) {
		head := make([]byte, 18)
		head[0], head[1] = 'R', 'd'
		binary.LittleEndian.PutUint64(head[2:], uint64(id))
		_, err := log.Write(head)
		fail(err)
	}
	s, err := Open(context.Background(), configIn(folder), slog.New(slog.DiscardHandler))
	fail(err)
	report(0)
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for n := range uint32(powerLoad / 3) {
				id, err := s.Insert(context.Background(), withMap(n))
				fail(err)
				report(id)
				s.Deliver(id, written(part.Pass, part.None))
			}
		})
	}
	group.Wait()
	os.Exit(0) // as the power goes: nothing is closed
}

// powerLoad is how many rows one run writes: enough for some checkpoints.
const powerLoad = 450

// disk is what a file would be after a power loss: what was synced is there for sure, of what was
// written since some is, in any order and torn.
type disk struct {
	durable []byte
	pending []diskWrite
	syncing int // so many of them were written before the sync that is under way
}

type diskWrite struct {
	truncate bool
	at       int64
	data     []byte
}

func (w diskWrite) apply(file []byte) []byte {
	end := w.at + int64(len(w.data))
	if w.truncate || int64(len(file)) < end {
		file = slices.Grow(file, max(0, int(end)-len(file)))
		for int64(len(file)) < end {
			file = append(file, 0)
		}
		file = file[:end]
	}
	copy(file[w.at:], w.data)
	return file
}

func (d *disk) synced() {
	for _, w := range d.pending[:d.syncing] {
		d.durable = w.apply(d.durable)
	}
	d.pending = d.pending[d.syncing:]
	d.syncing = 0
}

// after is one of the states in which the disk may be found. A sector is written whole or not at all.
func (d *disk) after(random *rand.Rand) []byte {
	file := slices.Clone(d.durable)
	pending := slices.Clone(d.pending)
	switch random.IntN(3) {
	case 0: // nothing of it has arrived
		return file
	case 1: // in order, up to an instant
		pending = pending[:random.IntN(len(pending)+1)]
	case 2: // any of it
		random.Shuffle(len(pending), func(i, j int) { pending[i], pending[j] = pending[j], pending[i] })
		pending = pending[:random.IntN(len(pending)+1)]
	}
	for i, w := range pending {
		if i == len(pending)-1 && len(w.data) > 512 { // the last one is torn
			from := random.IntN(len(w.data)/512) * 512
			if random.IntN(2) == 0 {
				w.data = w.data[:from]
			} else {
				w.at, w.data = w.at+int64(from), w.data[from:]
			}
		}
		file = w.apply(file)
	}
	return file
}

// TestPowerLossKeepsEveryRowThatWasReported logs every write and sync of a writer under load, and then plays
// power losses: whatever of the writes that were not synced has arrived, every id that Insert had returned
// by then is there, the database is whole and the chain verifies.
func TestPowerLossKeepsEveryRowThatWasReported(t *testing.T) {
	shim := filepath.Join(t.TempDir(), "power.so")
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-O1", "-o", shim, "testdata/power.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	const cuts = 25 // a run
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	losses := crashes(t)
	var total, runs, missing, damaged, unsynced int
	var links, broken int64
	for total < losses {
		runs++
		folder := t.TempDir()
		log := filepath.Join(folder, "writes")
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), powerFolder+"="+folder, "POWER_LOG="+log, "LD_PRELOAD="+shim)
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("the writer: %v\n%s", err, out)
		}
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		writes := logged(t, data)
		open := slices.IndexFunc(writes, func(w loggedWrite) bool { return w.op == 'R' })
		at := make([]int, min(cuts, losses-total))
		for i := range at {
			at[i] = open + 1 + random.IntN(len(writes)-open-1)
		}
		slices.Sort(at)
		disks := map[byte]*disk{'d': {}, 'w': {}}
		var reported []int64
		for i, w := range writes {
			for len(at) > 0 && at[0] == i {
				at = at[1:]
				total++
				unsynced += len(disks['d'].pending) + len(disks['w'].pending)
				found := playPowerLoss(t, disks, reported, random)
				missing, damaged, links, broken = missing+found.missing, damaged+found.damaged, links+found.links, broken+found.broken
			}
			d := disks[w.file]
			switch w.op {
			case 'W':
				d.pending = append(d.pending, diskWrite{at: w.at, data: w.data})
			case 'T':
				d.pending = append(d.pending, diskWrite{at: w.at, truncate: true})
			case 's':
				d.syncing = len(d.pending)
			case 'S':
				d.synced()
			case 'R':
				reported = append(reported, w.at)
			}
		}
		os.RemoveAll(folder)
	}
	t.Logf(`
power losses                   %7d
runs of the writer             %7d
writes not synced at the time  %7d
rows missing or not whole      %7d
damaged databases              %7d
links verified                 %7d
of them broken                 %7d`, total, runs, unsynced, missing, damaged, links, broken)
	if unsynced == 0 {
		t.Error("nothing could have been lost: the log of writes does not see them")
	}
}

type loggedWrite struct {
	op, file byte
	at       int64
	data     []byte
}

func logged(t *testing.T, data []byte) (writes []loggedWrite) {
	for len(data) >= 18 {
		w := loggedWrite{op: data[0], file: data[1], at: int64(binary.LittleEndian.Uint64(data[2:]))}
		size := int64(binary.LittleEndian.Uint64(data[10:]))
		if data = data[18:]; size > int64(len(data)) {
			break // cut off as the process ended
		}
		if w.op == 'W' {
			w.data, data = data[:size], data[size:]
		}
		writes = append(writes, w)
	}
	if len(writes) < 100 {
		t.Fatalf("only %d writes were logged", len(writes))
	}
	return writes
}

type afterLoss struct {
	missing, damaged int
	links, broken    int64
}

// playPowerLoss opens the record as the disk has it after a power loss.
func playPowerLoss(t *testing.T, disks map[byte]*disk, reported []int64, random *rand.Rand) (found afterLoss) {
	t.Helper()
	folder, err := os.MkdirTemp(t.TempDir(), "loss")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	c := configIn(folder)
	for file, path := range map[byte]string{'d': c.Path, 'w': c.Path + "-wal"} {
		if err := os.WriteFile(path, disks[file].after(random), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(context.Background(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		found.damaged++
		t.Errorf("after %d rows: %v", len(reported), err)
		return found
	}
	defer s.Close()
	for _, id := range reported {
		var cells int
		if id == 0 {
			continue
		}
		if err := s.db.QueryRow(`SELECT length(cells) FROM heatmap h JOIN inspection i ON i.id = h.inspection_id WHERE i.id = ?`, id).Scan(&cells); err != nil || cells != 2*28*28 {
			found.missing++
			t.Errorf("record %d was reported and is not there: %v", id, err)
		}
	}
	var damage string
	if err := s.db.QueryRow("PRAGMA integrity_check").Scan(&damage); err != nil || damage != "ok" {
		found.damaged++
		t.Errorf("integrity: %s, %v", damage, err)
	}
	v, problems := verify(t, c, VerifyOptions{})
	if problems != nil {
		t.Errorf("the chain: %v", problems)
	}
	found.links, found.broken = v.Links, v.Problems
	return found
}
