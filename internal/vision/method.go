package vision

import (
	"unicode/utf8"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// argument is one of a method, by name and data type.
type argument struct {
	name     string
	dataType *ua.NodeID
	array    bool
}

func of(name string, dataType uint32) argument {
	return argument{name: name, dataType: ua.NewNumericNodeID(standard, dataType)}
}

// method is something that a client can call. The arguments come in the number and types that in says.
type method struct {
	in, out []argument
	call    func(in []any) (out []any, status ua.StatusCode)
}

func describe(arguments []argument) []*ua.ExtensionObject {
	var list []*ua.ExtensionObject
	for _, a := range arguments {
		rank := int32(-1)
		if a.array {
			rank = 1
		}
		list = append(list, &ua.ExtensionObject{
			TypeID:       ua.NewFourByteExpandedNodeID(0, id.Argument_Encoding_DefaultBinary),
			EncodingMask: ua.ExtensionObjectBinary,
			Value:        &ua.Argument{Name: a.name, DataType: a.dataType, ValueRank: rank, ArrayDimensions: []uint32{}, Description: text("")},
		})
	}
	return list
}

// longestText is the longest text that is taken as an argument, in bytes.
const longestText = 1024

// call checks object, method and arguments, and calls.
func (s *space) call(r *ua.CallMethodRequest) *ua.CallMethodResult {
	result := &ua.CallMethodResult{InputArgumentResults: []ua.StatusCode{}, InputArgumentDiagnosticInfos: []*ua.DiagnosticInfo{}, OutputArguments: []*ua.Variant{}}
	object, called := s.find(r.ObjectID), s.find(r.MethodID)
	switch {
	case object == nil:
		result.StatusCode = ua.StatusBadNodeIDUnknown
		return result
	case called == nil || called.method == nil || !object.has(called):
		result.StatusCode = ua.StatusBadMethodInvalid
		return result
	case len(r.InputArguments) < len(called.method.in):
		result.StatusCode = ua.StatusBadArgumentsMissing
		return result
	case len(r.InputArguments) > len(called.method.in):
		result.StatusCode = ua.StatusBadTooManyArguments
		return result
	}
	in := make([]any, len(r.InputArguments))
	for i, v := range r.InputArguments {
		status := ua.StatusOK
		in[i], status = called.method.in[i].take(v)
		if status != ua.StatusOK {
			result.StatusCode = ua.StatusBadInvalidArgument
		}
		result.InputArgumentResults = append(result.InputArgumentResults, status)
	}
	if result.StatusCode != ua.StatusOK {
		return result
	}
	out, status := called.method.call(in)
	result.StatusCode = status
	for _, v := range out {
		result.OutputArguments = append(result.OutputArguments, ua.MustVariant(v))
	}
	return result
}

func (n *node) has(method *node) bool {
	for _, r := range n.references {
		if r.forward && r.target == method {
			return true
		}
	}
	return false
}

// take checks one argument. The identifiers of OPC 40100-1 come as their text; one that is null is empty.
func (a argument) take(v *ua.Variant) (any, ua.StatusCode) {
	var got any
	if v != nil {
		got = v.Value()
	}
	fits := false
	switch {
	case a.dataType.Namespace() == machine:
		return identifierOf(a, got)
	case a.array:
		return nil, ua.StatusOK // Parameters: linectl's recipes take none
	case a.dataType.IntID() == id.String:
		var s string
		if s, fits = got.(string); fits && (len(s) > longestText || !utf8.ValidString(s)) {
			return nil, ua.StatusBadOutOfRange
		}
	case a.dataType.IntID() == id.Int32:
		_, fits = got.(int32)
	case a.dataType.IntID() == id.UInt32:
		_, fits = got.(uint32)
	}
	if !fits {
		return nil, ua.StatusBadTypeMismatch
	}
	return got, ua.StatusOK
}
