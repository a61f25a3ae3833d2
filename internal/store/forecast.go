package store

import (
	"context"
	"path/filepath"

	"linectl/internal/setting"
)

// Forecast is how long the disk will do.
type Forecast struct {
	Days     int           // of production that it is drawn from, at most 7
	PerDay   int64         // bytes of rows and pictures a day, before retention removes any
	Free     setting.Bytes // above what is to be left
	DaysLeft float64       // +Inf where nothing is written
}

// bytesPerPart is what a part takes in the record, measured with a heatmap of 28 x 28 cells.
const bytesPerPart = 2350

// Forecast tells from the newest days of production how many more the disk has room for.
func (r *Reader) Forecast(ctx context.Context, c Config) (f Forecast, err error) {
	free, err := freeSpace(filepath.Dir(c.Path))
	if err != nil {
		return f, err
	}
	f.Free = setting.Bytes(max(0, int64(free)-int64(c.MinFree)))
	const window = 7
	var from, sealed int64
	err = r.db.QueryRowContext(ctx, `SELECT coalesce(min(n), 0), count(*) FROM (SELECT n FROM `+sealedDays+` ORDER BY n DESC LIMIT ?)`, window).Scan(&from, &sealed)
	if err != nil {
		return f, r.explain(err)
	}
	f.Days = int(max(1, sealed))
	var rows, bytes int64
	err = r.db.QueryRowContext(ctx, `SELECT count(*), coalesce((SELECT sum(bytes) FROM frame WHERE id > coalesce((SELECT max(row) FROM link WHERE kind = ?1 AND n <= ?2), 0)), 0)
		FROM link WHERE kind = ?3 AND n > ?2`, frames.kind, from, inspections.kind).Scan(&rows, &bytes)
	if err != nil {
		return f, r.explain(err)
	}
	f.PerDay = (rows*bytesPerPart + bytes) / int64(f.Days)
	f.DaysLeft = float64(f.Free) / float64(f.PerDay)
	return f, nil
}
