package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/parquet-go/parquet-go"

	"linectl/internal/store"
)

// parquetPart is a part as a row of a Parquet file; its columns are a contract, and those of the JSON form.
// Text in Parquet is UTF-8: what is not, and what does not print, is escaped as a terminal shows it.
type parquetPart struct {
	ID            int64     `parquet:"id,delta"`
	At            time.Time `parquet:"at,timestamp(microsecond)"` // UTC
	Station       string    `parquet:"station,dict"`
	Sequence      *int64    `parquet:"sequence,optional"`
	Missed        int64     `parquet:"missed"`
	PartID        string    `parquet:"part_id"`
	Lot           string    `parquet:"lot,dict"`
	Mode          string    `parquet:"mode,dict"`
	Verdict       string    `parquet:"verdict,dict"`
	Reason        string    `parquet:"reason,dict"`
	Decided       string    `parquet:"decided,dict"`
	DecidedReason string    `parquet:"decided_reason,dict"`
	Score         *float64  `parquet:"score,optional"`
	Threshold     *float64  `parquet:"threshold,optional"`
	Late          bool      `parquet:"late"`
	Recipe        string    `parquet:"recipe,dict"`
	Version       int64     `parquet:"version"`
	Outcome       string    `parquet:"outcome,dict"`
	TotalMS       *float64  `parquet:"total_ms,optional"`
	Recovered     bool      `parquet:"recovered"`
	Zone          string    `parquet:"zone,dict"`
	Review        string    `parquet:"review,dict"`
}

func newParquetPart(p store.Part) parquetPart {
	text := func(s string) string { return shown(s, math.MaxInt) }
	row := parquetPart{
		ID: p.ID, At: p.At, Station: text(p.Station), Missed: int64(p.Missed), PartID: text(p.PartID), Lot: text(p.Lot), Mode: text(p.Mode),
		Verdict: p.Verdict.String(), Reason: p.Reason.String(), Decided: p.Decided.String(), DecidedReason: p.DecidedReason.String(),
		Score: numeric(p.Score), Threshold: numeric(p.Threshold), Late: p.Late, Recipe: text(p.Recipe), Version: int64(p.Version),
		Outcome: string(p.Outcome), Recovered: p.Recovered, Zone: text(p.Zone), Review: string(p.Review),
	}
	if n := known(p.Sequence); n != nil {
		sequence := int64(*n)
		row.Sequence = &sequence
	}
	if p.Total > 0 {
		total := milliseconds(p.Total)
		row.TotalMS = &total
	}
	return row
}

// parquetGroup is how many rows are held in memory: those of one row group.
const parquetGroup = 100_000

// queryToParquet writes what matches into a file, which has its name only when it is whole.
func (p *program) queryToParquet(ctx context.Context, reader *store.Reader, f store.Filter, path string) error {
	var n int64
	err := writeWhole("--parquet", path, 0o640, func(file io.Writer) error {
		w := parquet.NewGenericWriter[parquetPart](file, parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(parquetGroup),
			parquet.KeyValueMetadata("linectl", version+" "+commit))
		rows := make([]parquetPart, 1)
		for found, err := range reader.Find(ctx, f) {
			if err != nil {
				return err
			}
			rows[0] = newParquetPart(found)
			if _, err := w.Write(rows); err != nil {
				return fmt.Errorf("--parquet: %w", err)
			}
			n++
		}
		if n == 0 {
			return errNoMatch
		}
		if err := w.Close(); err != nil {
			return fmt.Errorf("--parquet: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(p.err, "%d parts in %s\n", n, path)
	return nil
}
