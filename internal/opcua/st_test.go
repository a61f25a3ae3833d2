package opcua

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// As much of IEC 61131-3 structured text as the programs in docs/plc use, run as a PLC does: scan by scan. It is an
// interpreter and no compiler, so that what is tested is the text that people copy.
type structuredText struct {
	t       *testing.T
	body    []string // tokens
	at      int
	vars    map[string]any // bool, int or time.Duration, by name in lower case; timers as their parts
	now     time.Duration
	skipped bool // what is read is not carried out
}

var (
	stComment = regexp.MustCompile(`(?s)\(\*.*?\*\)`)
	stToken   = regexp.MustCompile(`T#\d+M?S|[A-Za-z_][A-Za-z_0-9.]*|\d+|:=|<>|[=+():;,]`)
	stDeclare = regexp.MustCompile(`(?m)^\s*(\w+)\s*:\s*(\w+)(?:\s*:=\s*([^;]+))?;`)
)

// newST reads declarations and statements.
func newST(t *testing.T, declarations, statements string) *structuredText {
	p := &structuredText{t: t, vars: map[string]any{}}
	for _, d := range stDeclare.FindAllStringSubmatch(stComment.ReplaceAllString(declarations, ""), -1) {
		name, kind, first := strings.ToLower(d[1]), d[2], d[3]
		switch kind {
		case "BOOL":
			p.vars[name] = first == "TRUE"
		case "INT", "UINT", "UDINT":
			p.vars[name] = 0
		case "TIME":
			p.vars[name] = duration(first)
		case "TON":
			p.vars[name+".q"], p.vars[name+".since"] = false, time.Duration(-1)
		default:
			t.Fatalf("%s is %s", name, kind)
		}
	}
	p.body = stToken.FindAllString(stComment.ReplaceAllString(statements, ""), -1)
	return p
}

func duration(text string) time.Duration {
	d, _ := time.ParseDuration(strings.ToLower(strings.TrimPrefix(text, "T#")))
	return d
}

// scan runs the program once, some time after the last.
func (p *structuredText) scan(after time.Duration) {
	p.now += after
	p.at = 0
	p.statements()
	if p.at != len(p.body) {
		p.t.Fatalf("%q is not understood", p.body[p.at:])
	}
}

func (p *structuredText) peek() string {
	if p.at < len(p.body) {
		return p.body[p.at]
	}
	return ""
}

func (p *structuredText) next() string {
	token := p.peek()
	p.at++
	return token
}

func (p *structuredText) expect(token string) {
	p.t.Helper()
	if got := p.next(); got != token {
		p.t.Fatalf("%q where %q belongs, after %q", got, token, p.body[max(0, p.at-6):p.at])
	}
}

// when runs some statements, or only reads them.
func (p *structuredText) when(run bool, statements func()) {
	before := p.skipped
	p.skipped = before || !run
	statements()
	p.skipped = before
}

func (p *structuredText) statements() {
	for {
		switch token := p.peek(); {
		case token == "IF":
			p.branch()
		case token == "CASE":
			p.choose()
		case token == "" || strings.HasPrefix(token, "END_") || token == "ELSIF" || token == "ELSE" || token[0] >= '0' && token[0] <= '9':
			return
		default:
			p.statement()
		}
	}
}

func (p *structuredText) branch() {
	taken := false
	for p.next() != "END_IF" { // behind IF, ELSIF, ELSE
		word, holds := p.body[p.at-1], true
		if word != "ELSE" {
			holds = p.expression().(bool)
			p.expect("THEN")
		}
		p.when(holds && !taken, p.statements)
		taken = taken || holds
	}
	p.expectOptional(";")
}

func (p *structuredText) choose() {
	p.next()
	value := p.expression()
	p.expect("OF")
	for p.peek() != "END_CASE" {
		n, err := strconv.Atoi(p.next())
		if err != nil {
			p.t.Fatal(err)
		}
		p.expect(":")
		p.when(value == n, p.statements)
	}
	p.next()
	p.expectOptional(";")
}

func (p *structuredText) expectOptional(token string) {
	if p.peek() == token {
		p.next()
	}
}

// statement is an assignment, or a timer's turn.
func (p *structuredText) statement() {
	name := strings.ToLower(p.next())
	if p.next() == ":=" {
		value := p.expression()
		p.expect(";")
		if old, known := p.vars[name]; !known || fmt.Sprintf("%T", old) != fmt.Sprintf("%T", value) {
			p.t.Fatalf("%s := %v (%T), it is %T", name, value, value, old)
		} else if !p.skipped {
			p.vars[name] = value
		}
		return
	}
	p.expect("IN")
	p.expect(":=")
	in := p.expression().(bool)
	p.expect(",")
	p.expect("PT")
	p.expect(":=")
	limit := p.expression().(time.Duration)
	p.expect(")")
	p.expect(";")
	since, known := p.vars[name+".since"].(time.Duration)
	if !known {
		p.t.Fatalf("%s is no timer", name)
	}
	switch {
	case p.skipped:
		return
	case !in:
		since = -1
	case since < 0:
		since = p.now
	}
	p.vars[name+".since"], p.vars[name+".q"] = since, in && p.now-since >= limit
}

// expression: OR binds weakest, then AND, comparison, sum, NOT.
func (p *structuredText) expression() any {
	value := p.conjunction()
	for p.peek() == "OR" {
		p.next()
		other := p.conjunction().(bool)
		value = value.(bool) || other
	}
	return value
}

func (p *structuredText) conjunction() any {
	value := p.comparison()
	for p.peek() == "AND" {
		p.next()
		other := p.comparison().(bool)
		value = value.(bool) && other
	}
	return value
}

func (p *structuredText) comparison() any {
	value := p.sum()
	switch p.peek() {
	case "=":
		p.next()
		return value == p.sum()
	case "<>":
		p.next()
		return value != p.sum()
	}
	return value
}

func (p *structuredText) sum() any {
	value := p.term()
	for p.peek() == "+" {
		p.next()
		value = (value.(int) + p.term().(int)) & 0xFFFF // UINT
	}
	return value
}

func (p *structuredText) term() any {
	switch token := p.next(); {
	case token == "NOT":
		return !p.term().(bool)
	case token == "(":
		value := p.expression()
		p.expect(")")
		return value
	case token == "TRUE", token == "FALSE":
		return token == "TRUE"
	case strings.HasPrefix(token, "T#"):
		return duration(token)
	case token != "" && token[0] >= '0' && token[0] <= '9':
		n, _ := strconv.Atoi(token)
		return n
	default:
		value, known := p.vars[strings.ToLower(token)]
		if !known {
			p.t.Fatalf("%q is not declared", token)
		}
		return value
	}
}

// stPrograms are the program in docs/plc/handshake.st and the one in the text of docs/plc.md.
func stPrograms(t *testing.T) map[string]func(*testing.T) *structuredText {
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	cut := func(text, from, to string) string {
		_, text, found := strings.Cut(text, from)
		text, _, closed := strings.Cut(text, to)
		if !found || !closed {
			t.Fatalf("there is nothing from %q to %q", from, to)
		}
		return text
	}
	block, manual := read("../../docs/plc/handshake.st"), read("../../docs/plc.md")
	return map[string]func(*testing.T) *structuredText{
		"handshake.st": func(t *testing.T) *structuredText {
			return newST(t, cut(block, "VAR_INPUT", "Done := FALSE;"), "Done := FALSE;"+cut(block, "\nDone := FALSE;", "END_FUNCTION_BLOCK"))
		},
		"plc.md": func(t *testing.T) *structuredText {
			tags := "PartPresent : BOOL;\nTriggerSeq : UINT;\nPlcHeartbeat : UINT;\nAccept : BOOL;\nReject : BOOL := TRUE;\nResultSeq : UINT;\nResultValid : BOOL;\nFault : BOOL;\nVisionHeartbeat : UINT;\npartArrived : BOOL;\n"
			return newST(t, tags+cut(manual, "    VAR\n", "END_VAR"), "PlcHeartbeat := PlcHeartbeat + 1;"+cut(manual, "    PlcHeartbeat := PlcHeartbeat + 1;", "`partArrived` is TRUE"))
		},
	}
}

// The PLC's program passes a part on positive proof alone: of all combinations of what it may see, one.
func TestStructuredTextRuns(t *testing.T) {
	const scan = 10 * time.Millisecond
	for name, program := range stPrograms(t) {
		t.Run(name, func(t *testing.T) {
			passed := 0
			for bits := range 1 << 6 {
				is := func(n int) bool { return bits>>n&1 == 1 }
				p := program(t)
				alive := func() {
					if is(0) {
						p.vars["visionheartbeat"] = p.vars["visionheartbeat"].(int) + 1
					}
					p.scan(scan)
				}
				for range 150 { // linectl's heartbeat goes on, or has stood for longer than a second
					alive()
				}
				p.vars["partarrived"] = true
				alive()
				p.vars["partarrived"] = false
				if p.vars["partpresent"] != true || p.vars["triggerseq"] != 1 || p.vars["pass"] != false {
					t.Fatalf("a part came: %v", p.vars)
				}
				p.vars["resultvalid"], p.vars["accept"], p.vars["reject"], p.vars["fault"] = is(1), is(2), is(3), is(4)
				p.vars["resultseq"] = 0
				if is(5) {
					p.vars["resultseq"] = 1
				}
				for range 70 { // longer than its own limit
					alive()
				}
				if p.vars["partpresent"] != false || p.vars["state"] != 0 {
					t.Errorf("%06b: the part was never decided: %v", bits, p.vars)
				}
				if told := is(1) && is(5); (p.vars["noresult"] == 1) == told {
					t.Errorf("%06b: told %v, without a result %v", bits, told, p.vars["noresult"])
				}
				if want := is(0) && is(1) && is(2) && !is(3) && !is(4) && is(5); p.vars["pass"] != want {
					t.Errorf("alive %v, valid %v, accept %v, reject %v, fault %v, of this part %v: pass is %v", is(0), is(1), is(2), is(3), is(4), is(5), p.vars["pass"])
				} else if want {
					passed++
				}
				p.vars["partarrived"] = true
				alive()
				if p.vars["pass"] != false || p.vars["triggerseq"] != 2 {
					t.Errorf("%06b: the next part begins with pass %v, counter %v", bits, p.vars["pass"], p.vars["triggerseq"])
				}
			}
			if passed != 1 {
				t.Errorf("%d combinations pass", passed)
			}
		})
	}
}

// Parts that come too fast: the earlier one is decided as a reject, and the next has a counter of its own.
func TestStructuredTextOverrun(t *testing.T) {
	p := stPrograms(t)["handshake.st"](t)
	p.vars["partarrived"] = true
	p.scan(0)
	p.scan(10 * time.Millisecond)
	if p.vars["done"] != true || p.vars["pass"] != false || p.vars["overrun"] != 1 || p.vars["triggerseq"] != 2 || p.vars["partpresent"] != true {
		t.Errorf("%v", p.vars)
	}
	p.vars["partarrived"] = false
	p.vars["visionheartbeat"] = 1
	p.vars["resultvalid"], p.vars["accept"], p.vars["reject"], p.vars["resultseq"] = true, true, false, 1
	p.scan(10 * time.Millisecond)
	if p.vars["done"] != false || p.vars["pass"] != false {
		t.Errorf("the result of the earlier part was taken: %v", p.vars)
	}
	p.vars["resultseq"] = 2
	p.scan(10 * time.Millisecond)
	if p.vars["done"] != true || p.vars["pass"] != true {
		t.Errorf("the result of this part was not taken: %v", p.vars)
	}
	// The counter runs over as a UINT does.
	p.vars["triggerseq"], p.vars["partarrived"] = 0xFFFF, true
	p.scan(10 * time.Millisecond)
	if p.vars["triggerseq"] != 0 {
		t.Errorf("after 65535 comes %v", p.vars["triggerseq"])
	}
}
