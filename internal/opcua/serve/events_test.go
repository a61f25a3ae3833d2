package serve

import (
	"slices"
	"testing"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

var (
	kindA = ua.NewNumericNodeID(2, 1013)
	kindB = ua.NewNumericNodeID(2, 1024)
)

func operand(v any) *ua.ExtensionObject { return ua.NewExtensionObject(v) }

func literal(v any) *ua.ExtensionObject { return operand(&ua.LiteralOperand{Value: ua.MustVariant(v)}) }

func named(names ...string) *ua.ExtensionObject { return operand(path(names...)) }

func path(names ...string) *ua.SimpleAttributeOperand {
	o := &ua.SimpleAttributeOperand{TypeDefinitionID: ua.NewNumericNodeID(0, id.BaseEventType), AttributeID: ua.AttributeIDValue}
	for _, name := range names {
		o.BrowsePath = append(o.BrowsePath, &ua.QualifiedName{Name: name})
	}
	return o
}

func element(op ua.FilterOperator, operands ...*ua.ExtensionObject) *ua.ContentFilterElement {
	return &ua.ContentFilterElement{FilterOperator: op, FilterOperands: operands}
}

func at(index uint32) *ua.ExtensionObject { return operand(&ua.ElementOperand{Index: index}) }

// Which events a client gets by what it asks for, as asyncua, node-opcua and UaExpert ask.
func TestEventFilters(t *testing.T) {
	e := Event{"EventType": kindA, "Severity": uint16(100), "SourceName": "VisionSystem"}
	for _, c := range []struct {
		name     string
		elements []*ua.ContentFilterElement
		want     bool
	}{
		{"none", nil, true},
		{"of its type", []*ua.ContentFilterElement{element(ua.FilterOperatorOfType, literal(kindA))}, true},
		{"of any type", []*ua.ContentFilterElement{element(ua.FilterOperatorOfType, literal(ua.NewNumericNodeID(0, id.BaseEventType)))}, true},
		{"of another type", []*ua.ContentFilterElement{element(ua.FilterOperatorOfType, literal(kindB))}, false},
		{"of a type that is no node", []*ua.ContentFilterElement{element(ua.FilterOperatorOfType, literal("A"))}, false},
		{"in a list", []*ua.ContentFilterElement{element(ua.FilterOperatorInList, named("EventType"), literal(kindB), literal(kindA))}, true},
		{"in another list", []*ua.ContentFilterElement{element(ua.FilterOperatorInList, named("EventType"), literal(kindB))}, false},
		{"in an empty list", []*ua.ContentFilterElement{element(ua.FilterOperatorInList, named("EventType"))}, false},
		{"one of two", []*ua.ContentFilterElement{element(ua.FilterOperatorOr, at(1), at(2)), element(ua.FilterOperatorOfType, literal(kindB)), element(ua.FilterOperatorOfType, literal(kindA))}, true},
		{"both of two", []*ua.ContentFilterElement{element(ua.FilterOperatorAnd, at(1), at(2)), element(ua.FilterOperatorOfType, literal(kindB)), element(ua.FilterOperatorOfType, literal(kindA))}, false},
		{"not", []*ua.ContentFilterElement{element(ua.FilterOperatorNot, at(1)), element(ua.FilterOperatorOfType, literal(kindB))}, true},
		{"equal", []*ua.ContentFilterElement{element(ua.FilterOperatorEquals, named("SourceName"), literal("VisionSystem"))}, true},
		{"of another type of number", []*ua.ContentFilterElement{element(ua.FilterOperatorEquals, named("Severity"), literal(int32(100)))}, false},
		{"a list is equal to nothing", []*ua.ContentFilterElement{element(ua.FilterOperatorEquals, literal([]int32{1}), literal([]int32{1}))}, false},
		{"without a field", []*ua.ContentFilterElement{element(ua.FilterOperatorIsNull, named("Nothing"))}, true},
	} {
		if !sound(c.elements) {
			t.Errorf("%s: refused", c.name)
		} else if got := meets(&ua.ContentFilter{Elements: c.elements}, e); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	for name, elements := range map[string][]*ua.ContentFilterElement{
		"a circle":                {element(ua.FilterOperatorNot, at(0))},
		"one that is not there":   {element(ua.FilterOperatorNot, at(1))},
		"an unknown operator":     {element(ua.FilterOperatorLike, named("SourceName"), literal("%"))},
		"too few operands":        {element(ua.FilterOperatorAnd, literal(true))},
		"no operand":              {element(ua.FilterOperatorOfType)},
		"an operand of nothing":   {element(ua.FilterOperatorOfType, nil)},
		"an operand of that kind": {element(ua.FilterOperatorOfType, operand(&ua.AttributeOperand{}))},
		"nothing":                 {nil},
	} {
		if sound(elements) {
			t.Errorf("%s is taken", name)
		}
	}
}

// The queue of an item holds as many events as it may, the newest or the oldest, with the fields that were asked for.
func TestEventQueue(t *testing.T) {
	for oldest, want := range map[bool][]uint16{true: {3, 4}, false: {1, 2}} {
		i := &item{handle: 7, size: 2, oldest: oldest, filter: &ua.EventFilter{SelectClauses: []*ua.SimpleAttributeOperand{path("Severity"), path("A", "B"), path("Nothing"), nil}}}
		for n := range uint16(4) {
			i.happened(Event{"Severity": n + 1, "A/B": "x"})
		}
		var got []uint16
		for _, e := range i.events {
			got = append(got, e.EventFields[0].Value().(uint16))
			if e.ClientHandle != 7 || len(e.EventFields) != 4 || e.EventFields[1].Value() != "x" || e.EventFields[2].Value() != nil || e.EventFields[3].Value() != nil {
				t.Errorf("%+v", e)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("discards the oldest: %v; has %v, want %v", oldest, got, want)
		}
	}
}

// decodes tells whether the library can read it; it panics where it cannot (gopcua/opcua#892).
func decodes(wire []byte, into any) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	_, err := ua.Decode(wire, into)
	return err == nil
}

// Whatever a client asks for: it is refused, or every event can be held against it and told.
func FuzzEventFilter(f *testing.F) {
	for _, filter := range []*ua.EventFilter{
		{SelectClauses: []*ua.SimpleAttributeOperand{path("EventType")}, WhereClause: &ua.ContentFilter{Elements: []*ua.ContentFilterElement{
			element(ua.FilterOperatorAnd, at(1), at(2)), element(ua.FilterOperatorInList, named("EventType"), literal(kindA)), element(ua.FilterOperatorOfType, literal(kindB))}}},
		{SelectClauses: []*ua.SimpleAttributeOperand{path("A", "B")}},
	} {
		wire, err := ua.Encode(filter)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		filter := &ua.EventFilter{}
		if !decodes(wire, filter) {
			t.Skip()
		}
		taken, status := eventFilter(ua.NewExtensionObject(filter))
		if status != ua.StatusOK {
			return
		}
		i := &item{size: 1, filter: taken}
		e := Event{"EventType": kindA, "A/B": []int32{1}}
		if meets(taken.WhereClause, e) {
			i.happened(e)
			if _, err := ua.Encode(i.events[0]); err != nil {
				t.Error(err)
			}
		}
	})
}
