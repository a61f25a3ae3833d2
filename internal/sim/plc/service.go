package plc

import (
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/opcua/serve"
)

// tooMany tells whether a request has more nodes than the server takes.
func (p *PLC) tooMany(nodes int) bool { return nodes > p.cfg.PerRequest }

func (p *PLC) registerNodes(_ *serve.Session, r *ua.RegisterNodesRequest) (ua.Response, error) {
	if p.tooMany(len(r.NodesToRegister)) {
		return nil, ua.StatusBadTooManyOperations
	}
	response := &ua.RegisterNodesResponse{ResponseHeader: p.server.Header(r)}
	for _, node := range r.NodesToRegister {
		response.RegisteredNodeIDs = append(response.RegisteredNodeIDs, p.space.register(node))
	}
	return response, nil
}

// browse shows the way from the root to the tags; all references are forward ones.
func (p *PLC) browse(_ *serve.Session, r *ua.BrowseRequest) (ua.Response, error) {
	if p.tooMany(len(r.NodesToBrowse)) {
		return nil, ua.StatusBadTooManyOperations
	}
	response := &ua.BrowseResponse{ResponseHeader: p.server.Header(r)}
	for _, n := range r.NodesToBrowse {
		result := &ua.BrowseResult{StatusCode: ua.StatusGood, References: []*ua.ReferenceDescription{}}
		switch {
		case n.BrowseDirection == ua.BrowseDirectionInverse:
		case n.NodeID.Namespace() == p.space.index:
			result = p.space.Browse(n)
		case n.NodeID.Namespace() == 0 && n.NodeID.IntID() == id.RootFolder:
			result.References = append(result.References, reference(ua.NewNumericNodeID(0, id.ObjectsFolder), "Objects", ua.NodeClassObject, id.FolderType))
		case n.NodeID.Namespace() == 0 && n.NodeID.IntID() == id.ObjectsFolder:
			result.References = append(result.References,
				reference(ua.NewNumericNodeID(0, id.Server), "Server", ua.NodeClassObject, id.ServerType),
				reference(ua.NewStringNodeID(p.space.index, folder), "Inspect", ua.NodeClassObject, id.FolderType))
		}
		response.Results = append(response.Results, result)
	}
	return response, nil
}

func (p *PLC) read(_ *serve.Session, r *ua.ReadRequest) (ua.Response, error) {
	if p.tooMany(len(r.NodesToRead)) {
		return nil, ua.StatusBadTooManyOperations
	}
	p.delay(&p.reading)
	response := &ua.ReadResponse{ResponseHeader: p.server.Header(r)}
	for _, n := range r.NodesToRead {
		response.Results = append(response.Results, p.attribute(n.NodeID, n.AttributeID))
	}
	return response, nil
}

// attribute reads. What the server says of itself is the PLC's own.
func (p *PLC) attribute(node *ua.NodeID, attribute ua.AttributeID) *ua.DataValue {
	if node.Namespace() == 0 && attribute == ua.AttributeIDValue {
		switch node.IntID() {
		case id.Server_ServerStatus_CurrentTime:
			return serve.Known(p.now())
		case id.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead, id.Server_ServerCapabilities_OperationLimits_MaxNodesPerWrite,
			id.Server_ServerCapabilities_OperationLimits_MaxNodesPerRegisterNodes, id.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse:
			if p.cfg.Silent {
				return serve.Refused(ua.StatusBadNodeIDUnknown)
			}
			return serve.Known(uint32(p.cfg.PerRequest))
		}
	}
	namespace, err := p.server.Library().Namespace(int(node.Namespace()))
	if err != nil {
		return serve.Refused(ua.StatusBadNodeIDUnknown)
	}
	return namespace.Attribute(node, attribute)
}

// write carries the writes of a request out last to first: the standard leaves the order open, and a
// client that relies on one should find out here.
func (p *PLC) write(_ *serve.Session, request *ua.WriteRequest) (ua.Response, error) {
	if p.tooMany(len(request.NodesToWrite)) {
		return nil, ua.StatusBadTooManyOperations
	}
	p.delay(&p.writing)
	response := &ua.WriteResponse{ResponseHeader: p.server.Header(request), Results: make([]ua.StatusCode, len(request.NodesToWrite))}
	written := map[string]any{}
	for i := len(request.NodesToWrite) - 1; i >= 0; i-- {
		n := request.NodesToWrite[i]
		status := ua.StatusBadNodeIDUnknown
		if n.NodeID.Namespace() == p.space.index {
			status = p.space.SetAttribute(n.NodeID, n.AttributeID, n.Value)
		}
		response.Results[i] = status
		if key, known := p.space.key(n.NodeID); known && status == ua.StatusOK {
			written[key] = n.Value.Value.Value()
		}
	}
	if p.cfg.OnWrite != nil && len(written) == len(request.NodesToWrite) {
		p.cfg.OnWrite(written)
	}
	return response, nil
}
