package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

func TestQueryAsParquet(t *testing.T) {
	config, _ := recordedDesk(t)
	if _, errs := ask(t, 0, "-c", config, "query", "--parquet", "parts.parquet"); errs != "3 parts in parts.parquet\n" {
		t.Errorf("it says %q", errs)
	}
	rows, err := parquet.ReadFile[parquetPart]("parts.parquet")
	if err != nil || len(rows) != 3 {
		t.Fatal(rows, err)
	}
	r := rows[1]
	if r.ID != 2 || !r.At.Equal(time.Date(2026, 11, 23, 12, 0, 2, 5e6, time.UTC)) || r.PartID != `B18\x1b[31m\xff` || *r.Score != 5 || *r.Sequence != 2 ||
		r.Verdict != "reject" || r.Reason != "anomaly" || *r.TotalMS != 88 || r.Version != 3 {
		t.Errorf("%+v", r)
	}
	ask(t, 3, "-c", config, "query", "--parquet", "none.parquet", "--part", "nobody")
	ask(t, 1, "-c", config, "query", "--parquet", "no/such/folder.parquet")
	if left, _ := filepath.Glob(".unfinished*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := os.Stat("none.parquet"); err == nil {
		t.Error("an empty file")
	}
}
