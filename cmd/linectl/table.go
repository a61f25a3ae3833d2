package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
)

// nothing is the answer where a list is empty: other programs get an empty list, people the reason.
func (p *program) nothing(header []string, why error) error {
	if p.output != "table" {
		if err := p.print([]struct{}{}, header, nil); err != nil {
			return err
		}
	}
	return why
}

// print writes what a command found in the form that -o asks for: value as JSON, or rows as a
// table or CSV, under a header where the columns need names.
func (p *program) print(value any, header []string, rows [][]string) error {
	switch p.output {
	case "json":
		encoder := json.NewEncoder(p.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	case "csv":
		w := csv.NewWriter(p.out)
		if header != nil {
			rows = append([][]string{header}, rows...)
		}
		return w.WriteAll(rows)
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	if header != nil {
		fmt.Fprintln(w, strings.ToUpper(strings.Join(header, "\t")))
	}
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}
