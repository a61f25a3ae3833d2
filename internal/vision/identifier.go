package vision

import (
	"sync"

	"github.com/gopcua/opcua/ua"
)

// The data types of OPC 40100-1 that name things, by their numbers in its namespace (NodeIds.csv of the
// OPC Foundation's nodeset, version 1.0.0).
const (
	recipeIDType  = 3002
	productIDType = 3003
	partIDType    = 3004
	resultType    = 3006
	internalType  = 3013 // internal id of a recipe
	measIDType    = 3015
	jobIDType     = 3016
	handleType    = 3018 // a UInt32
	resultIDType  = 3021
)

func named(name string, dataType uint32) argument {
	return argument{name: name, dataType: ua.NewNumericNodeID(machine, dataType)}
}

// identifier is a structure with optional fields (Part 6, 5.2.7): a mask, its text, and what linectl does
// not use.
type identifier struct{ Text string }

// Decode reads a body.
func (i *identifier) Decode(body []byte) (int, error) {
	b := ua.NewBuffer(body)
	b.ReadUint32()
	i.Text = b.ReadString()
	return len(body), b.Error()
}

// Encode writes a body without optional fields.
func (i *identifier) Encode() ([]byte, error) {
	b := ua.NewBuffer(nil)
	b.WriteUint32(0)
	b.WriteString(i.Text)
	return b.Bytes(), b.Error()
}

// plain is a structure of nothing but its text.
type plain struct{ Text string }

// Decode reads a body.
func (i *plain) Decode(body []byte) (int, error) {
	b := ua.NewBuffer(body)
	i.Text = b.ReadString()
	return len(body), b.Error()
}

// Encode writes a body.
func (i *plain) Encode() ([]byte, error) {
	b := ua.NewBuffer(nil)
	b.WriteString(i.Text)
	return b.Bytes(), b.Error()
}

type (
	recipeID   struct{ identifier }
	internalID struct{ identifier }
	partID     struct{ identifier }
	measID     struct{ identifier }
	jobID      struct{ plain }
	resultID   struct{ plain }
)

// encodings are the numbers of their binary encodings.
var encodings = map[uint32]struct {
	number uint32
	empty  interface{ text() string }
}{
	recipeIDType: {5002, &recipeID{}},
	measIDType:   {5006, &measID{}},
	jobIDType:    {5008, &jobID{}},
	partIDType:   {5013, &partID{}},
	internalType: {5268, &internalID{}},
	resultIDType: {5274, &resultID{}},
}

func (i *identifier) text() string { return i.Text }
func (i *plain) text() string      { return i.Text }

// known makes the library able to read and write the identifiers: it keeps one book for the process.
var known = sync.OnceFunc(func() {
	for _, e := range encodings {
		ua.RegisterExtensionObject(ua.NewNumericNodeID(machine, e.number), e.empty)
	}
})

// identifierOf reads an argument that names something. Null, as most clients send it, is no name.
func identifierOf(a argument, got any) (string, ua.StatusCode) {
	if got == nil {
		return "", ua.StatusOK
	}
	object, ok := got.(*ua.ExtensionObject)
	if !ok {
		return "", ua.StatusBadTypeMismatch
	}
	if object.EncodingMask == ua.ExtensionObjectEmpty || object.Value == nil && object.TypeID != nil && object.TypeID.NodeID.IntID() == 0 {
		return "", ua.StatusOK
	}
	if a.dataType.IntID() == productIDType {
		return anyProduct, ua.StatusOK
	}
	e := encodings[a.dataType.IntID()]
	found, ok := object.Value.(interface{ text() string })
	if !ok || object.TypeID.NodeID.Namespace() != machine || object.TypeID.NodeID.IntID() != e.number {
		return "", ua.StatusBadTypeMismatch
	}
	if len(found.text()) > longestText {
		return "", ua.StatusBadOutOfRange
	}
	return found.text(), ua.StatusOK
}

// anyProduct stands for a product that was named: linectl knows none, so it does not matter which.
const anyProduct = "a product"

// jobName is a job as the standard has it.
func jobName(name string) *ua.ExtensionObject { return extension(jobIDType, &jobID{plain{name}}) }

func extension(dataType uint32, v any) *ua.ExtensionObject {
	return &ua.ExtensionObject{
		TypeID:       ua.NewFourByteExpandedNodeID(machine, uint16(encodings[dataType].number)),
		EncodingMask: ua.ExtensionObjectBinary, Value: v,
	}
}
