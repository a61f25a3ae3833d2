package serve

import (
	"slices"
	"strings"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// Events as Part 4, 7.22.3 and 7.7 have them: a client names the fields that it wants and which events.

// Event is something that happened: its fields by their browse names, EventType among them. Names below one another are joined
// by a slash.
type Event map[string]any

const fieldEventType = "EventType"

// Emit tells an event to every item that watches for events.
func (s *Server) Emit(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.sessions {
		for _, sub := range n.subscriptions {
			for _, i := range sub.items {
				if i.filter != nil && i.mode != ua.MonitoringModeDisabled && meets(i.filter.WhereClause, e) {
					i.happened(e)
				}
			}
		}
	}
}

// happened puts the wanted fields of an event into the queue.
func (i *item) happened(e Event) {
	list := &ua.EventFieldList{ClientHandle: i.handle, EventFields: []*ua.Variant{}}
	for _, clause := range i.filter.SelectClauses {
		list.EventFields = append(list.EventFields, ua.MustVariant(field(clause, e)))
	}
	if len(i.events) >= i.size {
		if !i.oldest {
			return
		}
		i.events = slices.Clone(i.events[1:])
	}
	i.events = append(i.events, list)
}

// field is what an operand means in an event; nil where it has no such field.
func field(operand *ua.SimpleAttributeOperand, e Event) any {
	if operand == nil || operand.AttributeID != ua.AttributeIDValue {
		return nil
	}
	var names []string
	for _, name := range operand.BrowsePath {
		if name != nil {
			names = append(names, name.Name)
		}
	}
	return e[strings.Join(names, "/")]
}

// eventFilter is the filter of an item that watches for events.
func eventFilter(filter *ua.ExtensionObject) (*ua.EventFilter, ua.StatusCode) {
	if filter == nil {
		return nil, ua.StatusBadEventFilterInvalid
	}
	f, ok := filter.Value.(*ua.EventFilter)
	if !ok || f == nil || len(f.SelectClauses) == 0 || f.WhereClause != nil && !sound(f.WhereClause.Elements) {
		return nil, ua.StatusBadEventFilterInvalid
	}
	return f, ua.StatusOK
}

// sound tells whether a filter can be told true or false: operators that are known, which point forward alone.
func sound(elements []*ua.ContentFilterElement) bool {
	for at, e := range elements {
		if e == nil || len(e.FilterOperands) == 0 {
			return false
		}
		switch e.FilterOperator {
		case ua.FilterOperatorAnd, ua.FilterOperatorOr, ua.FilterOperatorEquals:
			if len(e.FilterOperands) != 2 {
				return false
			}
		case ua.FilterOperatorOfType, ua.FilterOperatorNot, ua.FilterOperatorIsNull, ua.FilterOperatorInList:
		default:
			return false
		}
		for _, o := range e.FilterOperands {
			if o == nil {
				return false
			}
			switch operand := o.Value.(type) {
			case *ua.ElementOperand:
				if int64(operand.Index) <= int64(at) || int64(operand.Index) >= int64(len(elements)) {
					return false
				}
			case *ua.LiteralOperand, *ua.SimpleAttributeOperand:
			default:
				return false
			}
		}
	}
	return true
}

// meets tells whether an event is one of those that are wanted.
func meets(where *ua.ContentFilter, e Event) bool {
	return where == nil || len(where.Elements) == 0 || isTrue(where.Elements, 0, e)
}

// isTrue tells so of one element. They point forward, so this ends.
func isTrue(elements []*ua.ContentFilterElement, at int, e Event) bool {
	element := elements[at]
	value := func(i int) any {
		switch o := element.FilterOperands[i].Value.(type) {
		case *ua.ElementOperand:
			return isTrue(elements, int(o.Index), e)
		case *ua.LiteralOperand:
			if o.Value == nil {
				return nil
			}
			return o.Value.Value()
		case *ua.SimpleAttributeOperand:
			return field(o, e)
		}
		return nil
	}
	switch element.FilterOperator {
	case ua.FilterOperatorAnd:
		return value(0) == true && value(1) == true
	case ua.FilterOperatorOr:
		return value(0) == true || value(1) == true
	case ua.FilterOperatorNot:
		return value(0) == false
	case ua.FilterOperatorIsNull:
		return value(0) == nil
	case ua.FilterOperatorOfType:
		wanted, ok := value(0).(*ua.NodeID)
		return ok && (same(wanted, e[fieldEventType]) || wanted.Namespace() == 0 && wanted.IntID() == id.BaseEventType)
	}
	for i := 1; i < len(element.FilterOperands); i++ { // Equals, InList
		if same(value(0), value(i)) {
			return true
		}
	}
	return false
}

// same compares what can be compared; a node by its name.
func same(a, b any) bool {
	if x, ok := a.(*ua.NodeID); ok {
		y, ok := b.(*ua.NodeID)
		return ok && x != nil && y != nil && x.String() == y.String()
	}
	switch a.(type) {
	case bool, string, int8, uint8, int16, uint16, int32, uint32, int64, uint64, float32, float64:
		return a == b
	}
	return false
}
