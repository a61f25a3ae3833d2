package store

import (
	"context"
	"path/filepath"
	"syscall"

	"linectl/internal/setting"
)

// Forecast is how long the disks will do.
type Forecast struct {
	Days  int    // of production that it is drawn from, at most 7
	Disks []Disk // that of the record, and that of the pictures where it is another one
}

// Disk is one that linectl writes to.
type Disk struct {
	Folder   string
	PerDay   int64         // bytes of rows, pictures or both a day, before retention removes any
	Free     setting.Bytes // above what is to be left
	DaysLeft float64       // +Inf where nothing is written
}

// First is the disk that will be full first.
func (f Forecast) First() Disk {
	first := f.Disks[0]
	for _, d := range f.Disks[1:] {
		if d.DaysLeft < first.DaysLeft {
			first = d
		}
	}
	return first
}

// bytesPerPart is what a part takes in the record, measured with a heatmap of 28 x 28 cells.
const bytesPerPart = 2350

// Forecast tells from the newest days of production how many more the disks have room for.
func (r *Reader) Forecast(ctx context.Context, c Config) (f Forecast, err error) {
	const window = 7
	began, err := r.productionDays(ctx)
	if err != nil {
		return f, err
	}
	began = began[max(0, len(began)-window):]
	var from int64
	if len(began) > 0 {
		from = began[0]
	}
	f.Days = max(1, len(began))
	var rows, bytes int64
	err = r.db.QueryRowContext(ctx, `SELECT count(*), coalesce((SELECT sum(bytes) FROM frame WHERE id > coalesce((SELECT max(row) FROM link WHERE kind = ?1 AND n <= ?2), 0)), 0)
		FROM link WHERE kind = ?3 AND n > ?2`, frames.kind, from, inspections.kind).Scan(&rows, &bytes)
	if err != nil {
		return f, r.explain(err)
	}
	record := filepath.Dir(c.Path)
	written := []Disk{{Folder: record, PerDay: rows * bytesPerPart}, {Folder: c.Pictures, PerDay: bytes}}
	if !onDiskOfItsOwn(c.Pictures, record) {
		written = []Disk{{Folder: record, PerDay: rows*bytesPerPart + bytes}}
	}
	for _, d := range written {
		free, err := freeSpace(d.Folder)
		if err != nil {
			return f, err
		}
		d.PerDay /= int64(f.Days)
		d.Free = setting.Bytes(max(0, int64(free)-int64(c.MinFree)))
		d.DaysLeft = float64(d.Free) / float64(d.PerDay)
		f.Disks = append(f.Disks, d)
	}
	return f, nil
}

// onDiskOfItsOwn is false for a folder that is not there: nothing is written to it.
func onDiskOfItsOwn(folder, other string) bool {
	var a, b syscall.Stat_t
	return syscall.Stat(folder, &a) == nil && syscall.Stat(other, &b) == nil && a.Dev != b.Dev
}
