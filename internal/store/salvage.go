package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// count works out anew what is worked out of the rows, and gives the record its identity.
func (s *salvager) count(ctx context.Context) error {
	var newest int64
	if err := s.db.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM inspection`).Scan(&newest); err != nil {
		return err
	}
	for from := int64(1); from <= newest; from += 10_000 {
		if err := inLedger(ctx, s.db, func(tx *ledger) error { return recountAll(tx, from, from+9_999) }); err != nil {
			return err
		}
	}
	s.UUID = s.meta["uuid"]
	for key, value := range map[string]string{
		"uuid":       cmp.Or(s.UUID, newUUID()),
		"created_at": cmp.Or(s.meta["created_at"], time.Now().UTC().Format(time.RFC3339)),
		"created_by": cmp.Or(s.meta["created_by"], "linectl salvage"),
		"salvaged":   time.Now().UTC().Format(time.RFC3339),
	} {
		if _, err := s.db.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?)`, key, value); err != nil {
			return err
		}
	}
	return nil
}

func recountAll(tx *ledger, from, to int64) error {
	rows, err := tx.Query(`SELECT id FROM inspection WHERE id BETWEEN ? AND ?`, from, to)
	if err != nil {
		return err
	}
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return errors.Join(err, rows.Close())
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, id := range ids {
		o, err := outcomeOf(tx, id)
		if err != nil {
			return err
		}
		if err := errors.Join(o.count(tx, 1), o.list(tx, id)); err != nil {
			return err
		}
	}
	return nil
}

// judge says what is lost, and what the chain proves of the rest.
func (s *salvager) judge(ctx context.Context, path string) error {
	for _, shape := range s.shapes {
		saved, err := s.saved(ctx, shape)
		if err != nil {
			return err
		}
		s.Tables = append(s.Tables, saved)
	}
	reader := &Reader{path: path, db: openReadOnly(path)}
	defer reader.Close()
	v, err := reader.Verify(ctx, VerifyOptions{Alone: true}, func(string) {})
	s.Proved, s.Problems = v.Proved, v.Problems
	return err
}

// saved counts a table. Ids have no gaps when they are written, so that each that is missing is a row that is lost.
func (s *salvager) saved(ctx context.Context, shape shape) (saved Saved, err error) {
	saved = Saved{Table: shape.table, Gaps: []Gap{}}
	id, wanted := "id", s.newest[shape.table]
	switch shape.table {
	case "link":
		id = "n"
	case "heatmap":
		id = "inspection_id"
	}
	var highest int64
	if err := s.db.QueryRowContext(ctx, `SELECT count(*), coalesce(max(`+id+`), 0) FROM `+shape.table).Scan(&saved.Rows, &highest); err != nil {
		return saved, err
	}
	if shape.table == "heatmap" {
		return s.savedHeatmaps(ctx, saved)
	}
	if wanted == 0 { // else SQLite's own note is better than a row whose id may be damaged
		wanted = highest
		for _, t := range chained {
			if t.name == shape.table {
				if err := s.db.QueryRowContext(ctx, `SELECT max(coalesce(max(row), 0), ?1) FROM link WHERE kind = ?2 AND row <= ?3`, wanted, t.kind, s.pages.most).Scan(&wanted); err != nil {
					return saved, err
				}
			}
		}
	}
	if _, err := s.db.ExecContext(ctx, `DELETE FROM sqlite_sequence WHERE name = ?1`, shape.table); err != nil {
		return saved, err
	}
	// So that no new row takes the id of one that is lost, and Verify says what is cut off the end.
	if _, err := s.db.ExecContext(ctx, `INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)`, shape.table, wanted); err != nil {
		return saved, err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT before + 1, id - 1 FROM (SELECT `+id+` AS id, lag(`+id+`, 1, 0) OVER (ORDER BY `+id+`) AS before FROM `+shape.table+` WHERE `+id+` <= ?1) WHERE id > before + 1
		UNION ALL SELECT coalesce(max(`+id+`), 0) + 1, ?1 FROM `+shape.table+` WHERE `+id+` <= ?1 HAVING coalesce(max(`+id+`), 0) < ?1`, wanted)
	if err != nil {
		return saved, err
	}
	defer rows.Close()
	for rows.Next() {
		var g Gap
		if err := rows.Scan(&g.From, &g.To); err != nil {
			return saved, err
		}
		saved.Lost += g.To - g.From + 1
		saved.Gaps = append(saved.Gaps, g)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || shape.table != inspections.name {
		return saved, err
	}
	for i, g := range saved.Gaps {
		if saved.Gaps[i].After, err = s.seenAt(ctx, g.From-1); err != nil {
			return saved, err
		}
		if saved.Gaps[i].Before, err = s.seenAt(ctx, g.To+1); err != nil {
			return saved, err
		}
	}
	return saved, nil
}

func (s *salvager) seenAt(ctx context.Context, id int64) (*time.Time, error) {
	var at int64
	switch err := s.db.QueryRowContext(ctx, `SELECT at FROM inspection WHERE id = ?`, id).Scan(&at); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	seen := instant(at)
	return &seen, nil
}

// savedHeatmaps counts those that a part is left of, which says that it had one.
func (s *salvager) savedHeatmaps(ctx context.Context, saved Saved) (Saved, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT i.id FROM inspection i LEFT JOIN late l ON l.inspection_id = i.id
		WHERE coalesce(i.map, l.map) IS NOT NULL AND NOT EXISTS (SELECT 1 FROM heatmap WHERE inspection_id = i.id) ORDER BY i.id`)
	if err != nil {
		return saved, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return saved, err
		}
		saved.Lost++
		if n := len(saved.Gaps); n > 0 && saved.Gaps[n-1].To == id-1 {
			saved.Gaps[n-1].To = id
		} else {
			saved.Gaps = append(saved.Gaps, Gap{From: id, To: id})
		}
	}
	slices.SortFunc(saved.Gaps, func(a, b Gap) int { return cmp.Compare(a.From, b.From) })
	return saved, rows.Err()
}
