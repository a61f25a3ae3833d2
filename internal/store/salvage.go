package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"linectl/internal/hint"
	"linectl/internal/whole"
)

// Salvaged is what could be read from a damaged record.
type Salvaged struct {
	Record   string  `json:"record"` // the new file
	UUID     string  `json:"uuid"`   // "" where it could not be read: then the new file has one of its own
	Pages    int64   `json:"pages"`
	Cells    int64   `json:"damaged_cells"` // rows that were there and could not be read
	Cut      int64   `json:"cut_bytes"`     // behind the last whole page
	Log      int64   `json:"lost_log_pages"`
	Refused  int64   `json:"refused"` // rows that were read and break a rule of the schema
	Links    int64   `json:"links"`   // of the chain
	Proved   int64   `json:"proved"`  // rows that their links prove
	Problems int64   `json:"problems"`
	Tables   []Saved `json:"tables"`
}

// Saved is what is left of a table.
type Saved struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	Lost  int64  `json:"lost"` // that had been written, as far as anything left tells
	Gaps  []Gap  `json:"gaps"`
}

// Gap are rows that are lost. Where they are inspections it says between which parts.
type Gap struct {
	From   int64      `json:"from"`
	To     int64      `json:"to"`
	After  *time.Time `json:"after,omitempty"`
	Before *time.Time `json:"before,omitempty"`
}

// Salvage reads what can be read from a damaged record into a new one, which must not exist. Rows keep their ids
// and their links, so that the chain is broken where something is lost, and Verify names it. It needs no page
// to be reached from another: a row is read wherever one is found. The damaged file is not changed.
func Salvage(ctx context.Context, from, to string, progress func(done, total int64)) (Salvaged, error) {
	s := &salvager{Salvaged: Salvaged{Record: to}}
	if err := s.run(ctx, from, to, progress); err != nil {
		return Salvaged{}, fmt.Errorf("salvage %s: %w", from, explain(from, err))
	}
	return s.Salvaged, nil
}

type salvager struct {
	Salvaged
	pages  *pageFile
	db     *sql.DB
	tx     *sql.Tx
	taken  int64 // rows
	rows   int64 // of them in this transaction
	shapes []shape
	meta   map[string]string
	newest map[string]int64 // id that was given in a table, as SQLite noted it
}

func (s *salvager) run(ctx context.Context, from, to string, progress func(done, total int64)) (err error) {
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return hint.New(hint.Usage, fmt.Errorf("%s is there already", to), "give the name of a new file")
	}
	if err := notInUse(from); err != nil {
		return err
	}
	if s.pages, err = openPages(from); err != nil {
		return hint.New(hint.Usage, err, "name the file of a record; a damaged one is kept as RECORD.damaged-TIME")
	}
	defer s.pages.close()
	if s.pages.version > newest {
		return errNewer(int(s.pages.version))
	}
	draft := to + ".unfinished"
	defer removeRecord(draft)
	if err := errors.Join(removeRecord(draft), setPageSize(ctx, draft)); err != nil {
		return err
	}
	if s.db, err = openWriter(ctx, draft); err != nil {
		return err
	}
	defer s.db.Close() // without a fault it is closed already
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.read(ctx, progress); err != nil {
		return err
	}
	if s.taken == 0 {
		return hint.New(hint.Damage, errors.New("there is no row of a record in it"), "a backup may have what is lost: 'linectl restore'")
	}
	if err := s.count(ctx); err != nil {
		return err
	}
	if err := s.judge(ctx, draft); err != nil {
		return err
	}
	// Closed before it gets its name, so that the log goes into the file.
	if err := errors.Join(s.db.Close(), syncFile(draft), os.Rename(draft, to), whole.Settle(filepath.Dir(to))); err != nil {
		return err
	}
	return nil
}

// notInUse refuses the record of a running daemon: its file is in motion.
func notInUse(path string) error {
	if _, err := os.Stat(path + ".lock"); err != nil {
		return nil
	}
	lock, err := lockFile(path)
	if err != nil {
		return err
	}
	return lock.Close()
}

// prepare makes an empty record without an identity. Nothing is promised of it until it has its name, so
// it need not be durable row by row; and parents may be lost where children are not.
func (s *salvager) prepare(ctx context.Context) error {
	for _, step := range []func() error{
		func() error { return migrate(ctx, s.db) },
		func() error {
			_, err := s.db.ExecContext(ctx, `DELETE FROM meta; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF`)
			return err
		},
		func() error { return s.learn(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	s.meta, s.newest = map[string]string{}, map[string]int64{}
	return nil
}

// shape is what the rows of a table look like: no two tables of evidence have the same.
type shape struct {
	table   string
	insert  string
	columns []column
}

type column struct {
	kind         string // INTEGER, REAL, TEXT or BLOB
	rowid, needs bool   // stands for the rowid; is never NULL
}

// learn takes the shapes from the new record.
func (s *salvager) learn(ctx context.Context) error {
	names := []string{"link", "heatmap"}
	for _, t := range chained {
		names = append(names, t.name)
	}
	for _, name := range names {
		rows, err := s.db.QueryContext(ctx, `SELECT name, type, "notnull", pk FROM pragma_table_info(?) ORDER BY cid`, name)
		if err != nil {
			return err
		}
		defer rows.Close()
		shape := shape{table: name}
		var columns []string
		for rows.Next() {
			var c column
			var name string
			if err := rows.Scan(&name, &c.kind, &c.needs, &c.rowid); err != nil {
				return err
			}
			columns = append(columns, name)
			shape.columns = append(shape.columns, c)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		shape.insert = fmt.Sprintf(`INSERT OR IGNORE INTO %s (%s) VALUES (%s)`, name, strings.Join(columns, ", "), strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", "))
		s.shapes = append(s.shapes, shape)
	}
	return nil
}

// fits tells whether a row can be of the table.
func (s shape) fits(c cell) bool {
	if len(c.values) != len(s.columns) || c.rowid < 1 {
		return false
	}
	for i, v := range c.values {
		switch want := s.columns[i]; v.(type) {
		case nil:
			if want.needs && !want.rowid {
				return false
			}
		case int64: // a real without a fraction is kept as an integer
			if want.rowid || want.kind != "INTEGER" && want.kind != "REAL" {
				return false
			}
		case float64:
			if want.kind != "REAL" {
				return false
			}
		case string:
			if want.kind != "TEXT" {
				return false
			}
		case []byte:
			if want.kind != "BLOB" {
				return false
			}
		}
	}
	return true
}

// read goes through all pages.
func (s *salvager) read(ctx context.Context, progress func(done, total int64)) error {
	s.Pages, s.Cut, s.Log = s.pages.whole, s.pages.cut, s.pages.logLost
	page := make([]byte, s.pages.size)
	for n := int64(1); n <= s.pages.whole; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.pages.page(uint32(n), page); err != nil {
			s.Cells++ // the disk does not give it: what was on it is told by what is missing
			continue
		}
		for c := range s.pages.cells(uint32(n), page, &s.Cells) {
			if c.rowid > s.pages.most {
				s.Cells++
				continue
			}
			if err := s.take(ctx, c); err != nil {
				return err
			}
		}
		if progress != nil && n%1000 == 0 {
			progress(n, s.pages.whole)
		}
	}
	return s.commit()
}

// take puts a row into the new record.
func (s *salvager) take(ctx context.Context, c cell) error {
	if len(c.values) == 2 { // of meta or of sqlite_sequence
		name, isText := c.values[0].(string)
		switch v := c.values[1].(type) {
		case string:
			if c.rowid == 0 && isText {
				s.meta[name] = v
			}
		case int64:
			if c.rowid > 0 && isText && v <= s.pages.most {
				s.newest[name] = max(s.newest[name], v)
			}
		}
		return nil
	}
	for _, shape := range s.shapes {
		if !shape.fits(c) || isThumbnail(c) {
			continue
		}
		for i, column := range shape.columns {
			if column.rowid {
				c.values[i] = c.rowid
			}
		}
		return s.insert(ctx, shape, c.values)
	}
	return nil
}

// isThumbnail tells the one table that looks like one of evidence, removal: there a time stands in place of a width.
func isThumbnail(c cell) bool {
	if len(c.values) != 4 {
		return false
	}
	width, _ := c.values[1].(int64)
	text, _ := c.values[3].(string)
	return len(text) == thumbnailCells && width < 1e6
}

func (s *salvager) insert(ctx context.Context, shape shape, values []any) (err error) {
	if s.tx == nil {
		if s.tx, err = s.db.BeginTx(ctx, nil); err != nil {
			return err
		}
	}
	result, err := s.tx.Exec(shape.insert, values...)
	if err != nil {
		if refusedByDisk(err) {
			return err
		}
		s.Refused++ // such as a text where a number was
		return nil
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err // one that was there already: a page that SQLite had freed keeps its rows
	}
	if shape.table == "link" {
		s.Links++
	}
	if shape.table == "heatmap" {
		if err := s.thumbnail(values); err != nil {
			return err
		}
	}
	s.taken++
	if s.rows++; s.rows >= 10_000 {
		return s.commit()
	}
	return nil
}

func (s *salvager) thumbnail(values []any) error {
	id, _ := values[0].(int64)
	width, _ := values[1].(int64)
	height, _ := values[2].(int64)
	lo, _ := asReal(values[3])
	hi, _ := asReal(values[4])
	cells, _ := values[5].([]byte)
	if width < 1 || height < 1 || width > 1<<15 || height > 1<<15 {
		return nil
	}
	m, err := decodeMap(int(width), int(height), lo, hi, cells)
	if err != nil {
		return nil
	}
	return insertThumbnail(&ledger{Tx: s.tx}, id, width, height, thumbnailOf(m))
}

func asReal(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	}
	return 0, false
}

func (s *salvager) commit() error {
	if s.tx == nil {
		return nil
	}
	err := s.tx.Commit()
	s.tx, s.rows = nil, 0
	return err
}
