package plc

import (
	"sync"

	"github.com/gopcua/opcua/schema"
)

// standardNodes is as much of the standard's own address space as a small PLC has. The library reads
// the whole of it, 3.5 MB of XML, with every server that it makes, which takes seconds.
const standardNodes = `<UANodeSet>
<Aliases/>
<UAReferenceType NodeId="i=33" BrowseName="HierarchicalReferences"><DisplayName>HierarchicalReferences</DisplayName><References/></UAReferenceType>
<UAReferenceType NodeId="i=35" BrowseName="Organizes"><DisplayName>Organizes</DisplayName><References/></UAReferenceType>
<UAReferenceType NodeId="i=47" BrowseName="HasComponent"><DisplayName>HasComponent</DisplayName><References/></UAReferenceType>
<UAObject NodeId="i=84" BrowseName="Root"><DisplayName>Root</DisplayName><References/></UAObject>
<UAObject NodeId="i=85" BrowseName="Objects"><DisplayName>Objects</DisplayName><References/></UAObject>
<UAObject NodeId="i=2253" BrowseName="Server"><DisplayName>Server</DisplayName><References/></UAObject>
</UANodeSet>`

// small makes every server of this process begin with standardNodes: the library takes its address space
// from a variable and offers no other way.
var small = sync.OnceFunc(func() { schema.OpcUaNodeSet2 = []byte(standardNodes) })
