package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// partWriter writes parts as they are found: an answer may be longer than the memory.
type partWriter interface {
	write(foundPart) error
	end() error
}

func (p *program) partWriter() partWriter {
	switch p.output {
	case "json":
		return &jsonParts{out: p.out}
	case "csv":
		return &csvParts{out: csv.NewWriter(p.out)}
	}
	return &tableParts{tabs: tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)}
}

// jsonParts writes one array, in the form that print has.
type jsonParts struct {
	out io.Writer
	n   int
}

func (w *jsonParts) write(f foundPart) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("  ", "  ")
	if err := encoder.Encode(f); err != nil {
		return err
	}
	before := ",\n  "
	if w.n++; w.n == 1 {
		before = "[\n  "
	}
	_, err := fmt.Fprintf(w.out, "%s%s", before, bytes.TrimRight(text.Bytes(), "\n"))
	return err
}

func (w *jsonParts) end() error {
	after := "\n]\n"
	if w.n == 0 {
		after = "[]\n"
	}
	_, err := io.WriteString(w.out, after)
	return err
}

type csvParts struct {
	out    *csv.Writer
	headed bool
}

func (w *csvParts) head() error {
	if w.headed {
		return nil
	}
	w.headed = true
	return w.out.Write(queryHeader(false))
}

func (w *csvParts) write(f foundPart) error {
	if err := w.head(); err != nil {
		return err
	}
	return w.out.Write(f.row(false))
}

func (w *csvParts) end() error {
	err := w.head()
	w.out.Flush()
	if err == nil {
		err = w.out.Error()
	}
	return err
}

// tableParts aligns its columns anew after so many rows.
type tableParts struct {
	tabs *tabwriter.Writer
	n    int
}

const alignedRows = 500

func (w *tableParts) write(f foundPart) error {
	if w.n == 0 {
		fmt.Fprintln(w.tabs, strings.ToUpper(strings.Join(queryHeader(true), "\t")))
	}
	if _, err := fmt.Fprintln(w.tabs, strings.Join(f.row(true), "\t")); err != nil {
		return err
	}
	if w.n++; w.n%alignedRows == 0 {
		return w.tabs.Flush()
	}
	return nil
}

func (w *tableParts) end() error { return w.tabs.Flush() }
