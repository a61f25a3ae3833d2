package plc

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/server"
	"github.com/gopcua/opcua/server/attrs"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/opcua/serve"
)

// space is the PLC's tags as a namespace of the server. The library's own namespaces check neither
// types nor access.
type space struct {
	plc   *PLC
	index uint16
	keys  map[string]string // by string identifier
	names map[uint32]string // by registered number: fast names, gone after a restart as on real PLCs
	epoch uint32
}

func newSpace(p *PLC) *space {
	s := &space{plc: p, keys: map[string]string{}, names: map[uint32]string{}, epoch: rand.Uint32() | 1<<16}
	for i, key := range slices.Sorted(maps.Keys(p.tags)) {
		s.keys[identifier(key)] = key
		s.names[s.epoch+uint32(i)] = key
	}
	return s
}

// key finds the tag of a node.
func (s *space) key(node *ua.NodeID) (string, bool) {
	var key string
	var found bool
	switch node.Type() {
	case ua.NodeIDTypeString:
		key, found = s.keys[node.StringID()]
	case ua.NodeIDTypeTwoByte, ua.NodeIDTypeFourByte, ua.NodeIDTypeNumeric:
		key, found = s.names[node.IntID()]
	}
	return key, found
}

// register gives the fast name of a node; one that is unknown keeps its own.
func (s *space) register(node *ua.NodeID) *ua.NodeID {
	key, found := s.key(node)
	if !found || node.Namespace() != s.index {
		return node
	}
	for number, name := range s.names {
		if name == key {
			return ua.NewNumericNodeID(s.index, number)
		}
	}
	return node
}

// Attribute reads.
func (s *space) Attribute(node *ua.NodeID, attribute ua.AttributeID) *ua.DataValue {
	key, found := s.key(node)
	if !found {
		return serve.Refused(ua.StatusBadNodeIDUnknown)
	}
	value, status := s.plc.value(key)
	switch attribute {
	case ua.AttributeIDValue:
		if status != ua.StatusOK {
			return &ua.DataValue{EncodingMask: ua.DataValueValue | ua.DataValueStatusCode, Value: ua.MustVariant(value), Status: status}
		}
		return serve.Known(value)
	case ua.AttributeIDNodeID:
		return serve.Known(node)
	case ua.AttributeIDNodeClass:
		return serve.Known(int32(ua.NodeClassVariable))
	case ua.AttributeIDBrowseName:
		return serve.Known(attrs.BrowseName(key))
	case ua.AttributeIDDisplayName:
		return serve.Known(attrs.DisplayName("", "")) // as on PLCs whose makers forgot it: the browse name counts
	case ua.AttributeIDDataType:
		return serve.Known(ua.NewNumericNodeID(0, uint32(ua.MustVariant(value).Type())))
	case ua.AttributeIDValueRank:
		return serve.Known(int32(-1))
	case ua.AttributeIDAccessLevel, ua.AttributeIDUserAccessLevel:
		level := ua.AccessLevelTypeCurrentRead
		if s.writable(key) {
			level |= ua.AccessLevelTypeCurrentWrite
		}
		return serve.Known(byte(level))
	}
	return serve.Refused(ua.StatusBadAttributeIDInvalid)
}

func (s *space) writable(key string) bool {
	return !slices.Contains(inputs, key) && !slices.Contains(s.plc.cfg.ReadOnly, key)
}

// SetAttribute writes: a value alone, of exactly the tag's type.
func (s *space) SetAttribute(node *ua.NodeID, attribute ua.AttributeID, value *ua.DataValue) ua.StatusCode {
	key, found := s.key(node)
	switch {
	case !found:
		return ua.StatusBadNodeIDUnknown
	case attribute != ua.AttributeIDValue, !s.writable(key):
		return ua.StatusBadNotWritable
	case value == nil || value.EncodingMask != ua.DataValueValue || value.Value == nil:
		return ua.StatusBadWriteNotSupported
	}
	p := s.plc
	p.mu.Lock()
	defer p.mu.Unlock()
	if status := p.refused[key]; status != ua.StatusOK {
		return status
	}
	if reflect.TypeOf(value.Value.Value()) != reflect.TypeOf(p.tags[key]) {
		return ua.StatusBadTypeMismatch
	}
	p.tags[key] = value.Value.Value()
	p.scan()
	return ua.StatusOK
}

// Name is the namespace's URI.
func (s *space) Name() string { return Namespace }

// ID is the namespace's index.
func (s *space) ID() uint16 { return s.index }

// SetID is called by the server when it adds the namespace.
func (s *space) SetID(index uint16) { s.index = index }

// AddNode adds nothing: the tags are fixed.
func (s *space) AddNode(n *server.Node) *server.Node { return n }

// Node knows no nodes of the server's own kind.
func (s *space) Node(*ua.NodeID) *server.Node { return nil }

// Objects has no node of the server's own kind.
func (s *space) Objects() *server.Node { return nil }

// Root has no node of the server's own kind.
func (s *space) Root() *server.Node { return nil }

// Browse lists the tags under the folder Inspect.
func (s *space) Browse(request *ua.BrowseDescription) *ua.BrowseResult {
	result := &ua.BrowseResult{StatusCode: ua.StatusGood, References: []*ua.ReferenceDescription{}}
	if request.NodeID.StringID() != folder {
		return result
	}
	for _, name := range slices.Sorted(maps.Keys(s.keys)) {
		result.References = append(result.References, reference(ua.NewStringNodeID(s.index, name), name, ua.NodeClassVariable, id.BaseDataVariableType))
	}
	return result
}

// folder is the identifier of the object that holds the tags, as a data block does.
const folder = `"Inspect"`

func reference(node *ua.NodeID, name string, class ua.NodeClass, definition uint32) *ua.ReferenceDescription {
	return &ua.ReferenceDescription{
		ReferenceTypeID: ua.NewNumericNodeID(0, id.HasComponent),
		IsForward:       true,
		NodeID:          ua.NewExpandedNodeID(node, "", 0),
		BrowseName:      &ua.QualifiedName{NamespaceIndex: node.Namespace(), Name: name},
		DisplayName:     attrs.DisplayName("", ""),
		NodeClass:       class,
		TypeDefinition:  ua.NewNumericExpandedNodeID(0, definition),
	}
}
