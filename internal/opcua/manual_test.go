package opcua

import (
	"bytes"
	"encoding/csv"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/plc/signals.csv anew")

// meanings are the comments on the fields of Tags, by key.
func meanings(t *testing.T) map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "tags.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Tags" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			key := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("toml")
			text := strings.Join(strings.Fields(f.Doc.Text()), " ")
			_, text, _ = strings.Cut(text, ") ")
			found[key] = strings.TrimPrefix(strings.TrimSuffix(text, "."), "is ")
		}
		return false
	})
	return found
}

// The table of signals for PLC programmers is made from the code's own; -update makes it anew.
func TestSignalTable(t *testing.T) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{"signal", "PLC variable", "type", "written by", "needed from profile", "start value", "retentive", "meaning"})
	mean := meanings(t)
	for _, row := range table {
		by, start, retentive := "PLC", "0", "no"
		if row.output {
			by = "linectl"
		}
		switch row.types[0] {
		case boolean[0]:
			start = "FALSE"
		case text[0]:
			start = "''"
		}
		if row.key == "reject" {
			start = "TRUE"
		}
		if row.key == "trigger_seq" {
			retentive = "yes"
		}
		from := string(row.from)
		if from == "" {
			from = "optional"
		}
		if mean[row.key] == "" {
			t.Errorf("%s has no comment", row.key)
		}
		var types []string
		for _, id := range row.types {
			types = append(types, typeName(id))
		}
		w.Write([]string{row.key, variable(row.key), strings.Join(types, " or "), by, from, start, retentive, mean[row.key]})
	}
	w.Flush()
	const name = "../../docs/plc/signals.csv"
	if *update {
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Errorf("%s is not what the table of signals says; run go test ./internal/opcua -run SignalTable -update", name)
	}
}

// variable is the name of a signal in the PLC program: TriggerSeq for trigger_seq.
func variable(key string) string {
	var name strings.Builder
	for word := range strings.SplitSeq(key, "_") {
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return name.String()
}

// The PLC program in the manual uses every signal that profile standard asks for, and none that there is not.
func TestStructuredText(t *testing.T) {
	program, err := os.ReadFile("../../docs/plc/handshake.st")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	for line := range strings.SplitSeq(string(program), "\n") {
		name, rest, found := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); found && !strings.HasPrefix(rest, "=") && !strings.ContainsAny(name, " (") {
			declared[name] = true
		}
	}
	for _, row := range table {
		if Standard.demands(row.from) && row.key != "ready" && row.key != "result_code" && row.key != "fault_code" && !declared[variable(row.key)] {
			t.Errorf("%s is not in the program", variable(row.key))
		}
	}
}
