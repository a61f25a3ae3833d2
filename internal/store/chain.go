package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"strings"
)

// table is one whose rows are evidence: each is linked into the chain when it is written, and never
// changed. Kind and the order of the columns belong to the format of the chain; see docs/evidence.md.
type table struct {
	kind    int64
	name    string
	columns []string
	insert  string
}

func newTable(kind int64, name, columns string) table {
	list := strings.Fields(columns)
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(list)), ", ")
	return table{kind, name, list, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", name, strings.Join(list, ", "), marks)}
}

var (
	recipes     = newTable(1, "recipe", "name version hash backbone")
	inspections = newTable(2, "inspection", `at station sequence sequence_bits missed part_id lot recipe_asked user_data mode cycle_us
		verdict reason detail recipe_id found found_detail score threshold brightness spread sharpness zone device review map
		digest recovered software`)
	countings  = newTable(3, "counting", "at station sequence sequence_bits fresh after")
	deliveries = newTable(4, "delivery", "inspection_id at verdict reason outcome total_us stages error")
	lates      = newTable(5, "late", `inspection_id at recipe_id found found_detail score threshold brightness spread sharpness
		zone map stages`)
	frames   = newTable(6, "frame", "inspection_id camera exposed_at source width height path bytes sha256")
	events   = newTable(7, "event", "at kind who detail")
	reviews  = newTable(8, "review", "at inspection_id verdict who why")
	holds    = newTable(9, "hold", "at lot held who why")
	removals = newTable(10, "removal", "at frame_id why")
	seals    = newTable(11, "seal", "at n hash signature")
)

// chained are the tables by kind, from 1 on.
var chained = []table{recipes, inspections, countings, deliveries, lates, frames, events, reviews, holds, removals, seals}

// link is one place in the chain. The zero value is the begin of the chain.
type link struct {
	n    int64
	hash [sha256.Size]byte
}

// next is the link of a row that follows.
func (l link) next(t table, id int64, values []any) link {
	return l.append(digestOf(l.n+1, t, id, values))
}

// append is the link of the row with that digest.
func (l link) append(digest [sha256.Size]byte) link {
	return link{l.n + 1, sha256.Sum256(append(l.hash[:], digest[:]...))}
}

// digestOf is the hash of a row at its place in the chain. The chain is over digests, so that a few
// rows can be proved to a stranger without all those between them.
func digestOf(n int64, t table, id int64, values []any) [sha256.Size]byte {
	h := sha256.New()
	writeCanonical(h, n)
	writeCanonical(h, t.name)
	writeCanonical(h, id)
	for _, v := range values {
		writeCanonical(h, v)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// writeCanonical writes a value in the form that hashes are taken over: a letter for its type, then
// its bytes, those of text and blobs after their number.
func writeCanonical(h hash.Hash, value any) {
	var b [9]byte
	number := func(letter byte, n uint64) {
		b[0] = letter
		binary.BigEndian.PutUint64(b[1:], n)
		h.Write(b[:])
	}
	switch v := value.(type) {
	case nil:
		h.Write([]byte{'N'})
	case int64:
		number('I', uint64(v))
	case float64:
		number('F', math.Float64bits(v))
	case string:
		number('T', uint64(len(v)))
		h.Write([]byte(v))
	case []byte:
		number('B', uint64(len(v)))
		h.Write(v)
	default:
		panic(fmt.Sprintf("the record holds no %T", value)) // a mistake of this package, found by any test of the row
	}
}

// ledger is a transaction of the writer that knows where the chain ends.
type ledger struct {
	*sql.Tx
	last  link
	known bool
}

// add writes a row and its link. The values are those of the table's columns, in their order, as SQLite
// gives them back: nil, int64, float64, string or []byte.
func (l *ledger) add(t table, values ...any) (id int64, err error) {
	if !l.known {
		if l.last, err = lastLink(l.Tx); err != nil {
			return 0, err
		}
		l.known = true
	}
	result, err := l.Exec(t.insert, values...)
	if err != nil {
		return 0, err
	}
	if id, err = result.LastInsertId(); err != nil {
		return 0, err
	}
	next := l.last.next(t, id, values)
	if _, err := l.Exec(`INSERT INTO link (n, kind, row, hash) VALUES (?, ?, ?, ?)`, next.n, t.kind, id, next.hash[:]); err != nil {
		return 0, err
	}
	l.last = next
	return id, nil
}

func lastLink(tx *sql.Tx) (last link, err error) {
	var hash []byte
	err = tx.QueryRow(`SELECT n, hash FROM link ORDER BY n DESC LIMIT 1`).Scan(&last.n, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return link{}, nil
	}
	copy(last.hash[:], hash)
	return last, err
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// inLedger runs do in a transaction of its own.
func inLedger(ctx context.Context, db *sql.DB, do func(*ledger) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(&ledger{Tx: tx}); err != nil {
		return err
	}
	return tx.Commit()
}
