package store

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"linectl/internal/hint"
)

// sealer seals the chain at the first write of each day. The day is the wall clock's, in UTC; where
// the clock jumps there may be a seal more, never a row less.
type sealer struct {
	uuid string
	key  ed25519.PrivateKey // nil: seals are not signed
	day  string             // of the newest seal, or on which the record was made
	now  func() time.Time
}

func newSealer(ctx context.Context, db *sql.DB, keyFile string) (*sealer, error) {
	s := &sealer{now: time.Now}
	if keyFile != "" {
		key, err := readKey(keyFile)
		if err != nil {
			return nil, err
		}
		s.key = key
	}
	var at int64
	err := db.QueryRowContext(ctx, `SELECT at FROM seal ORDER BY id DESC LIMIT 1`).Scan(&at)
	if err == nil {
		s.day = dayOf(instant(at))
	} else if errors.Is(err, sql.ErrNoRows) {
		err = db.QueryRowContext(ctx, `SELECT substr(value, 1, 10) FROM meta WHERE key = 'created_at'`).Scan(&s.day)
	}
	if err == nil {
		err = db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'uuid'`).Scan(&s.uuid)
	}
	return s, err
}

func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// seal adds a seal if a new day has begun since the newest one; nil if none is due.
func (s *sealer) seal(l *ledger) (*Seal, error) {
	now := s.now()
	if dayOf(now) == s.day {
		return nil, nil
	}
	last, err := lastLink(l.Tx)
	if err != nil || last.n == 0 {
		return nil, err
	}
	made := &Seal{Record: s.uuid, At: instant(now.UnixMicro()), N: last.n, Hash: hex.EncodeToString(last.hash[:])}
	var signature any
	if s.key != nil {
		made.Signature = ed25519.Sign(s.key, made.text())
		signature = made.Signature
	}
	_, err = l.add(seals, now.UnixMicro(), last.n, last.hash[:], signature)
	return made, err
}

// Seal says what the chain of a record was at an instant. Kept outside this machine it proves that
// nothing before it has been changed since.
type Seal struct {
	Record    string    `json:"record"` // uuid
	At        time.Time `json:"at"`
	N         int64     `json:"n"`    // the newest link that it covers
	Hash      string    `json:"hash"` // SHA-256, hex
	Signature []byte    `json:"signature,omitempty"`
}

// text is what is signed.
func (s *Seal) text() []byte {
	return fmt.Appendf(nil, "linectl seal\n%s\n%d\n%d\n%s\n", s.Record, s.At.UnixMicro(), s.N, s.Hash)
}

// readKey reads an Ed25519 private key in PEM, as 'openssl genpkey -algorithm ed25519' makes it.
func readKey(path string) (ed25519.PrivateKey, error) {
	next := "make one with 'openssl genpkey -algorithm ed25519 -out FILE', or leave store.seal_key out"
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, hint.New(hint.Failure, fmt.Errorf("key for the seals: %w", err), next)
	}
	if block, _ := pem.Decode(data); block != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if key, ok := parsed.(ed25519.PrivateKey); ok && err == nil {
			return key, nil
		}
	}
	return nil, hint.New(hint.Usage, fmt.Errorf("key for the seals: %s holds no Ed25519 private key in PEM", path), next)
}

// ReadSealKey reads an Ed25519 public key in PEM, as 'openssl pkey -pubout' makes it.
func ReadSealKey(path string) (ed25519.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil {
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if key, ok := parsed.(ed25519.PublicKey); ok && err == nil {
			return key, nil
		}
	}
	return nil, hint.New(hint.Usage, fmt.Errorf("%s holds no Ed25519 public key in PEM", path), "make it from the private one with 'openssl pkey -in KEY -pubout'")
}

// Seals are the seals of the record, oldest first.
func (r *Reader) Seals(ctx context.Context) ([]Seal, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT (SELECT value FROM meta WHERE key = 'uuid'), at, n, lower(hex(hash)), signature FROM seal ORDER BY id`)
	if err != nil {
		return nil, r.explain(err)
	}
	defer rows.Close()
	var seals []Seal
	for rows.Next() {
		var s Seal
		var at int64
		if err := rows.Scan(&s.Record, &at, &s.N, &s.Hash, &s.Signature); err != nil {
			return nil, r.explain(err)
		}
		s.At = instant(at)
		seals = append(seals, s)
	}
	return seals, rows.Err()
}
