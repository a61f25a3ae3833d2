package vision

import (
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/opcua/serve"
)

// The namespaces of the server, by index.
const (
	standard = 0
	local    = 1 // the application's own URI
	machine  = 2 // MachineVision
	ours     = 3 // Namespace
)

// MachineVision is the namespace of OPC 40100-1.
const MachineVision = "http://opcfoundation.org/UA/MachineVision"

// Namespace is the namespace of linectl's own nodes.
const Namespace = "urn:linectl:vision"

// value is a variable's: its status says what it is worth. It is asked for under the station's lock.
type value func() (any, ua.StatusCode)

// node is one node of the address space, which does not change while the server runs.
type node struct {
	id         *ua.NodeID
	class      ua.NodeClass
	name       *ua.QualifiedName
	definition uint32 // type definition in namespace 0, or in machine where typed is set
	typed      bool
	notifies   bool // tells events
	dataType   *ua.NodeID
	array      bool
	value      value
	set        func(v any) // nil where nothing can be written
	method     *method
	references []reference
}

type reference struct {
	kind    uint32 // in namespace 0
	forward bool
	target  *node
}

// space is the address space: a tree.
type space struct{ nodes map[string]*node }

func (s *space) find(id *ua.NodeID) *node { return s.nodes[id.String()] }

// add hangs a node below another.
func (s *space) add(parent *node, kind uint32, n *node) *node {
	s.nodes[n.id.String()] = n
	if parent != nil {
		parent.references = append(parent.references, reference{kind, true, n})
		n.references = append(n.references, reference{kind, false, parent})
	}
	return n
}

// number makes a node of the standard's own.
func (s *space) number(parent *node, kind, number uint32, class ua.NodeClass, name string, definition uint32) *node {
	return s.add(parent, kind, &node{id: ua.NewNumericNodeID(standard, number), class: class, name: &ua.QualifiedName{Name: name}, definition: definition})
}

// child makes a node of ours, whose id is its path.
func (s *space) child(parent *node, kind uint32, namespace uint16, class ua.NodeClass, name string, definition uint32) *node {
	path := name
	if parent.id.Type() == ua.NodeIDTypeString {
		path = parent.id.StringID() + "/" + name
	}
	return s.add(parent, kind, &node{id: ua.NewStringNodeID(ours, path), class: class, name: &ua.QualifiedName{NamespaceIndex: namespace, Name: name}, definition: definition})
}

func (s *space) object(parent *node, namespace uint16, name string, definition uint32) *node {
	n := s.child(parent, id.HasComponent, namespace, ua.NodeClassObject, name, definition)
	n.typed = namespace == machine
	return n
}

func (s *space) variable(parent *node, namespace uint16, name string, dataType uint32, v value) *node {
	n := s.child(parent, id.HasComponent, namespace, ua.NodeClassVariable, name, id.BaseDataVariableType)
	n.dataType, n.value = ua.NewNumericNodeID(standard, dataType), v
	return n
}

func (s *space) property(parent *node, name string, dataType uint32, v value) *node {
	n := s.child(parent, id.HasProperty, standard, ua.NodeClassVariable, name, id.PropertyType)
	n.dataType, n.value = ua.NewNumericNodeID(standard, dataType), v
	return n
}

// method makes a method with its arguments.
func (s *space) method(parent *node, namespace uint16, name string, m method) {
	n := s.child(parent, id.HasComponent, namespace, ua.NodeClassMethod, name, 0)
	n.method = &m
	for name, arguments := range map[string][]argument{"InputArguments": m.in, "OutputArguments": m.out} {
		if len(arguments) > 0 {
			list := describe(arguments)
			s.property(n, name, id.Argument, func() (any, ua.StatusCode) { return list, ua.StatusOK }).array = true
		}
	}
}

func constant(v any) value { return func() (any, ua.StatusCode) { return v, ua.StatusOK } }

// attribute reads. The caller holds the station's lock.
func (s *space) attribute(at *ua.NodeID, attribute ua.AttributeID) *ua.DataValue {
	n := s.find(at)
	if n == nil {
		return serve.Refused(ua.StatusBadNodeIDUnknown)
	}
	switch attribute {
	case ua.AttributeIDNodeID:
		return serve.Known(n.id)
	case ua.AttributeIDNodeClass:
		return serve.Known(int32(n.class))
	case ua.AttributeIDBrowseName:
		return serve.Known(n.name)
	case ua.AttributeIDDisplayName:
		return serve.Known(text(n.name.Name))
	case ua.AttributeIDWriteMask, ua.AttributeIDUserWriteMask:
		return serve.Known(uint32(0))
	}
	switch {
	case n.class == ua.NodeClassObject && attribute == ua.AttributeIDEventNotifier:
		if n.notifies {
			return serve.Known(byte(1))
		}
		return serve.Known(byte(0))
	case n.class == ua.NodeClassObjectType && attribute == ua.AttributeIDIsAbstract:
		return serve.Known(false)
	case n.class == ua.NodeClassMethod && (attribute == ua.AttributeIDExecutable || attribute == ua.AttributeIDUserExecutable):
		return serve.Known(true)
	case n.class != ua.NodeClassVariable:
		return serve.Refused(ua.StatusBadAttributeIDInvalid)
	}
	switch attribute {
	case ua.AttributeIDValue:
		v, status := n.value()
		if status != ua.StatusOK {
			return serve.Refused(status)
		}
		return serve.Known(v)
	case ua.AttributeIDDataType:
		return serve.Known(n.dataType)
	case ua.AttributeIDValueRank:
		return serve.Known(n.rank())
	case ua.AttributeIDAccessLevel, ua.AttributeIDUserAccessLevel:
		level := ua.AccessLevelTypeCurrentRead
		if n.set != nil {
			level |= ua.AccessLevelTypeCurrentWrite
		}
		return serve.Known(byte(level))
	case ua.AttributeIDHistorizing:
		return serve.Known(false)
	case ua.AttributeIDMinimumSamplingInterval:
		return serve.Known(float64(0))
	}
	return serve.Refused(ua.StatusBadAttributeIDInvalid)
}

func (n *node) rank() int32 {
	if n.array {
		return 1
	}
	return -1
}

func text(s string) *ua.LocalizedText { return ua.NewLocalizedText(s) }

// follows tells whether a reference is of the kind that was asked for. Part 3, 7: below References (31)
// are the hierarchical ones (33), of which HasChild (34) and Aggregates (44) have those of parts.
func follows(kind uint32, asked *ua.NodeID, subtypes bool) bool {
	switch asked.IntID() {
	case 0:
		return true
	case kind:
		return asked.Namespace() == standard
	case id.References:
		return subtypes
	case id.HierarchicalReferences:
		return subtypes && kind != id.HasTypeDefinition
	case id.NonHierarchicalReferences:
		return subtypes && kind == id.HasTypeDefinition
	case id.HasChild:
		return subtypes && (kind == id.HasComponent || kind == id.HasProperty || kind == id.HasSubtype)
	case id.Aggregates:
		return subtypes && (kind == id.HasComponent || kind == id.HasProperty)
	}
	return false
}

func (s *space) browse(d *ua.BrowseDescription) *ua.BrowseResult {
	n := s.find(d.NodeID)
	if n == nil {
		return &ua.BrowseResult{StatusCode: ua.StatusBadNodeIDUnknown}
	}
	result := &ua.BrowseResult{StatusCode: ua.StatusGood, References: []*ua.ReferenceDescription{}}
	for _, r := range n.references {
		if d.BrowseDirection == ua.BrowseDirectionForward && !r.forward || d.BrowseDirection == ua.BrowseDirectionInverse && r.forward ||
			!follows(r.kind, d.ReferenceTypeID, d.IncludeSubtypes) || d.NodeClassMask != 0 && d.NodeClassMask&uint32(r.target.class) == 0 {
			continue
		}
		result.References = append(result.References, &ua.ReferenceDescription{
			ReferenceTypeID: ua.NewNumericNodeID(standard, r.kind), IsForward: r.forward, NodeID: ua.NewExpandedNodeID(r.target.id, "", 0),
			BrowseName: r.target.name, DisplayName: text(r.target.name.Name), NodeClass: r.target.class, TypeDefinition: r.target.typeDefinition(),
		})
	}
	if n.definition != 0 && d.BrowseDirection != ua.BrowseDirectionInverse && follows(id.HasTypeDefinition, d.ReferenceTypeID, d.IncludeSubtypes) &&
		(d.NodeClassMask == 0 || d.NodeClassMask&uint32(ua.NodeClassObjectType|ua.NodeClassVariableType) != 0) {
		class := ua.NodeClassObjectType
		if n.class == ua.NodeClassVariable {
			class = ua.NodeClassVariableType
		}
		result.References = append(result.References, &ua.ReferenceDescription{
			ReferenceTypeID: ua.NewNumericNodeID(standard, id.HasTypeDefinition), IsForward: true, NodeID: n.typeDefinition(),
			BrowseName: &ua.QualifiedName{}, DisplayName: text(""), NodeClass: class, TypeDefinition: ua.NewNumericExpandedNodeID(0, 0),
		})
	}
	return result
}

func (n *node) typeDefinition() *ua.ExpandedNodeID {
	namespace := uint16(standard)
	if n.typed {
		namespace = machine
	}
	return ua.NewExpandedNodeID(ua.NewNumericNodeID(namespace, n.definition), "", 0)
}

// translate follows a path of browse names.
func (s *space) translate(path *ua.BrowsePath) *ua.BrowsePathResult {
	n := s.find(path.StartingNode)
	if n == nil {
		return &ua.BrowsePathResult{StatusCode: ua.StatusBadNodeIDUnknown}
	}
	if path.RelativePath == nil || len(path.RelativePath.Elements) == 0 {
		return &ua.BrowsePathResult{StatusCode: ua.StatusBadNothingToDo}
	}
	for _, e := range path.RelativePath.Elements {
		var next *node
		for _, r := range n.references {
			if e.TargetName != nil && r.forward != e.IsInverse && follows(r.kind, e.ReferenceTypeID, e.IncludeSubtypes) && *r.target.name == *e.TargetName {
				next = r.target
				break
			}
		}
		if next == nil {
			return &ua.BrowsePathResult{StatusCode: ua.StatusBadNoMatch}
		}
		n = next
	}
	return &ua.BrowsePathResult{StatusCode: ua.StatusGood, Targets: []*ua.BrowsePathTarget{
		{TargetID: ua.NewExpandedNodeID(n.id, "", 0), RemainingPathIndex: 1<<32 - 1},
	}}
}
