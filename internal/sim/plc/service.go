package plc

import (
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uasc"
)

// perRequest is how many nodes the server takes in one request; it says so in its capabilities.
const perRequest = 32

// getEndpoints answers for whatever name the client used: a PLC may be reached by several.
func (p *PLC) getEndpoints(_ *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
	request, ok := r.(*ua.GetEndpointsRequest)
	if !ok {
		return nil, ua.StatusBadRequestTypeInvalid
	}
	p.hangs()
	return &ua.GetEndpointsResponse{ResponseHeader: p.header(r), Endpoints: p.endpoints(request.EndpointURL)}, nil
}

func (p *PLC) endpoints(url string) []*ua.EndpointDescription {
	var all []*ua.EndpointDescription
	for _, e := range p.server.Endpoints() {
		named := *e
		named.EndpointURL = url
		all = append(all, &named)
	}
	return all
}

func (p *PLC) registerNodes(_ *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
	request, ok := r.(*ua.RegisterNodesRequest)
	switch {
	case !ok:
		return nil, ua.StatusBadRequestTypeInvalid
	case p.cfg.NoRegister:
		return nil, ua.StatusBadServiceUnsupported
	case len(request.NodesToRegister) > perRequest:
		return nil, ua.StatusBadTooManyOperations
	}
	if err := p.sessions.check(request.RequestHeader); err != nil {
		return nil, err
	}
	response := &ua.RegisterNodesResponse{ResponseHeader: p.header(r)}
	for _, node := range request.NodesToRegister {
		response.RegisteredNodeIDs = append(response.RegisteredNodeIDs, p.space.register(node))
	}
	return response, nil
}

// noSubscription refuses: the library's subscriptions outlive their sessions and take each other's numbers.
func noSubscription(*uasc.SecureChannel, ua.Request, uint32) (ua.Response, error) {
	return nil, ua.StatusBadServiceUnsupported
}

// browse shows the way from the root to the tags; all references are forward ones.
func (p *PLC) browse(_ *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
	request, ok := r.(*ua.BrowseRequest)
	if !ok {
		return nil, ua.StatusBadRequestTypeInvalid
	}
	if err := p.sessions.check(request.RequestHeader); err != nil {
		return nil, err
	}
	response := &ua.BrowseResponse{ResponseHeader: p.header(r)}
	for _, n := range request.NodesToBrowse {
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

func (p *PLC) read(_ *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
	request, ok := r.(*ua.ReadRequest)
	switch {
	case !ok:
		return nil, ua.StatusBadRequestTypeInvalid
	case len(request.NodesToRead) > perRequest:
		return nil, ua.StatusBadTooManyOperations
	}
	if err := p.sessions.check(request.RequestHeader); err != nil {
		return nil, err
	}
	p.delay(&p.reading)
	response := &ua.ReadResponse{ResponseHeader: p.header(r)}
	for _, n := range request.NodesToRead {
		namespace, err := p.server.Namespace(int(n.NodeID.Namespace()))
		if err != nil {
			response.Results = append(response.Results, refusal(ua.StatusBadNodeIDUnknown))
			continue
		}
		response.Results = append(response.Results, namespace.Attribute(n.NodeID, n.AttributeID))
	}
	return response, nil
}

// write carries the writes of a request out last to first: the standard leaves the order open, and a
// client that relies on one should find out here.
func (p *PLC) write(_ *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
	request, ok := r.(*ua.WriteRequest)
	switch {
	case !ok:
		return nil, ua.StatusBadRequestTypeInvalid
	case len(request.NodesToWrite) > perRequest:
		return nil, ua.StatusBadTooManyOperations
	}
	if err := p.sessions.check(request.RequestHeader); err != nil {
		return nil, err
	}
	p.delay(&p.writing)
	response := &ua.WriteResponse{ResponseHeader: p.header(r), Results: make([]ua.StatusCode, len(request.NodesToWrite))}
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
