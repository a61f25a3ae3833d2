package store

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// exportFormat is the version of an export's form; docs/evidence.md describes it.
const exportFormat = "linectl export 1"

// The files of an export.
const (
	manifestName   = "manifest.json"
	chainName      = "chain.jsonl"
	heatmapsName   = "heatmaps.jsonl"
	sealsName      = "seals.jsonl"
	sumsName       = "SHA256SUMS"
	picturesFolder = "pictures/"
)

type manifest struct {
	Format   string    `json:"format"`
	Record   string    `json:"record"` // uuid
	Created  time.Time `json:"created"`
	Software string    `json:"software"`
	Parts    int64     `json:"parts"`
	Rows     int64     `json:"rows"`
	Head     Seal      `json:"head"` // the newest link of the record when it was exported
}

// chainLine is a line of chain.jsonl: where a stretch of the chain begins or ends (Hash), a row with its
// values (Table), or a row of which only the digest is told.
type chainLine struct {
	N      int64           `json:"n"`
	Hash   string          `json:"hash,omitempty"`
	Digest string          `json:"digest,omitempty"`
	Table  string          `json:"table,omitempty"`
	ID     int64           `json:"id,omitempty"`
	Row    json.RawMessage `json:"row,omitempty"`
}

// exportHeatmap is a line of heatmaps.jsonl; cells as in the table of that name.
type exportHeatmap struct {
	Inspection int64   `json:"inspection_id"`
	Width      int64   `json:"width"`
	Height     int64   `json:"height"`
	Lo         float64 `json:"lo"`
	Hi         float64 `json:"hi"`
	Cells      []byte  `json:"cells"` // base64
}

// rowText is a row as a JSON object with the columns in their order. A real has a point or an exponent, an
// integer has none; a blob is {"blob": hex}; text that is not UTF-8 is {"text": hex}.
func rowText(t table, values []any) json.RawMessage {
	var b bytes.Buffer
	for i, v := range values {
		b.WriteByte(",{"[flag(i == 0)])
		fmt.Fprintf(&b, "%q:", t.columns[i])
		switch v := v.(type) {
		case nil:
			b.WriteString("null")
		case int64:
			b.WriteString(strconv.FormatInt(v, 10))
		case float64:
			b.WriteString(realText(v))
		case []byte:
			fmt.Fprintf(&b, `{"blob":"%x"}`, v)
		case string:
			if !utf8.ValidString(v) {
				fmt.Fprintf(&b, `{"text":"%x"}`, v)
				break
			}
			text, _ := json.Marshal(v) // a string always has a JSON form
			b.Write(text)
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// realText is the shortest decimal that gives the same binary64 again.
func realText(v float64) string {
	text := strconv.FormatFloat(v, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// rowValues reads what rowText wrote. The columns must be those of the table, in their order.
func rowValues(t table, text []byte) ([]any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, fmt.Errorf("it is no object")
	}
	values := make([]any, len(t.columns))
	for i, column := range t.columns {
		name, err := d.Token()
		if err != nil || name != column {
			return nil, fmt.Errorf("column %d is %v, not %s", i+1, name, column)
		}
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		if values[i], err = valueOf(v); err != nil {
			return nil, fmt.Errorf("%s: %w", column, err)
		}
	}
	if token, err := d.Token(); err != nil || token != json.Delim('}') {
		return nil, fmt.Errorf("it has more columns than %s", t.name)
	}
	return values, nil
}

func valueOf(v any) (any, error) {
	switch v := v.(type) {
	case nil, string:
		return v, nil
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			return v.Int64()
		}
		real, err := v.Float64()
		if err == nil && math.IsInf(real, 0) {
			err = fmt.Errorf("%s is too large", v)
		}
		return real, err
	case map[string]any:
		for kind, coded := range v {
			text, isText := coded.(string)
			raw, err := hex.DecodeString(text)
			if len(v) != 1 || !isText || err != nil {
				break
			}
			switch kind {
			case "blob":
				return raw, nil
			case "text":
				return string(raw), nil
			}
		}
	}
	return nil, fmt.Errorf("%v is no value of a record", v)
}

// bundle writes the files of an export into a ZIP archive, and the SHA-256 of each.
type bundle struct {
	zip   *zip.Writer
	sums  bytes.Buffer
	name  string // of the file that is being written
	sum   hash.Hash
	seals []Seal
}

func newBundle(w io.Writer) *bundle { return &bundle{zip: zip.NewWriter(w)} }

// create begins a file, which ends when the next one begins.
func (b *bundle) create(name string) (io.Writer, error) {
	b.end()
	method := zip.Deflate
	if strings.HasPrefix(name, picturesFolder) {
		method = zip.Store // they are packed already
	}
	w, err := b.zip.CreateHeader(&zip.FileHeader{Name: name, Method: method})
	if err != nil {
		return nil, err
	}
	b.name, b.sum = name, sha256.New()
	return io.MultiWriter(w, b.sum), nil
}

func (b *bundle) end() {
	if b.name != "" {
		fmt.Fprintf(&b.sums, "%x  %s\n", b.sum.Sum(nil), b.name)
		b.name = ""
	}
}

func (b *bundle) add(name string, data []byte) error {
	w, err := b.create(name)
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}

func (b *bundle) close(m manifest) error {
	var seals bytes.Buffer
	lines := json.NewEncoder(&seals)
	for _, s := range b.seals {
		if err := lines.Encode(s); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		data []byte
	}{{sealsName, seals.Bytes()}, {manifestName, append(text, '\n')}} {
		if err := b.add(file.name, file.data); err != nil {
			return err
		}
	}
	b.end()
	if err := b.add(sumsName, b.sums.Bytes()); err != nil {
		return err
	}
	return b.zip.Close()
}
