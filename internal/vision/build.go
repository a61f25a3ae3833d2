package vision

import (
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/part"
)

// build makes the address space: as much of the standard's own as clients ask for, linectl's station,
// and the vision system of OPC 40100-1.
func (s *Station) build() *space {
	a := &space{nodes: map[string]*node{}}
	root := a.number(nil, 0, id.RootFolder, ua.NodeClassObject, "Root", id.FolderType)
	objects := a.number(root, id.Organizes, id.ObjectsFolder, ua.NodeClassObject, "Objects", id.FolderType)
	buildEvents(a, root)
	s.buildServer(a, objects)
	s.buildStation(a, objects)
	s.buildVisionSystem(a, objects)
	return a
}

func (s *Station) buildServer(a *space, objects *node) {
	begun := time.Now()
	server := a.number(objects, id.Organizes, id.Server, ua.NodeClassObject, "Server", id.ServerType)
	server.notifies = true
	variable := func(parent *node, kind, number uint32, name string, dataType uint32, array bool, v value) *node {
		n := a.number(parent, kind, number, ua.NodeClassVariable, name, id.BaseDataVariableType)
		n.dataType, n.array, n.value = ua.NewNumericNodeID(standard, dataType), array, v
		return n
	}
	variable(server, id.HasProperty, id.Server_ServerArray, "ServerArray", id.String, true, constant([]string{s.identity.URI}))
	variable(server, id.HasProperty, id.Server_NamespaceArray, "NamespaceArray", id.String, true,
		constant([]string{"http://opcfoundation.org/UA/", s.identity.URI, MachineVision, Namespace}))
	variable(server, id.HasProperty, id.Server_ServiceLevel, "ServiceLevel", id.Byte, false, constant(byte(255)))
	buildLimits(a, server, variable)
	status := variable(server, id.HasComponent, id.Server_ServerStatus, "ServerStatus", id.ServerStatusDataType, false, func() (any, ua.StatusCode) {
		return ua.NewExtensionObject(&ua.ServerStatusDataType{
			StartTime: begun, CurrentTime: time.Now(), State: ua.ServerStateRunning, BuildInfo: &ua.BuildInfo{ProductName: "linectl"}, ShutdownReason: text(""),
		}), ua.StatusOK
	})
	variable(status, id.HasComponent, id.Server_ServerStatus_StartTime, "StartTime", id.UtcTime, false, constant(begun))
	variable(status, id.HasComponent, id.Server_ServerStatus_CurrentTime, "CurrentTime", id.UtcTime, false, func() (any, ua.StatusCode) { return time.Now(), ua.StatusOK })
	variable(status, id.HasComponent, id.Server_ServerStatus_State, "State", id.ServerState, false, constant(int32(ua.ServerStateRunning)))
}

// buildLimits says what one request may hold, so that clients divide theirs.
func buildLimits(a *space, server *node, variable func(parent *node, kind, number uint32, name string, dataType uint32, array bool, v value) *node) {
	capabilities := a.number(server, id.HasComponent, id.Server_ServerCapabilities, ua.NodeClassObject, "ServerCapabilities", id.ServerCapabilitiesType)
	variable(capabilities, id.HasProperty, id.Server_ServerCapabilities_MinSupportedSampleRate, "MinSupportedSampleRate", id.Duration, false, constant(float64(shortest.Milliseconds())))
	limits := a.number(capabilities, id.HasComponent, id.Server_ServerCapabilities_OperationLimits, ua.NodeClassObject, "OperationLimits", id.OperationLimitsType)
	for name, number := range map[string]uint32{
		"MaxNodesPerRead":                          id.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
		"MaxNodesPerWrite":                         id.Server_ServerCapabilities_OperationLimits_MaxNodesPerWrite,
		"MaxNodesPerMethodCall":                    id.Server_ServerCapabilities_OperationLimits_MaxNodesPerMethodCall,
		"MaxNodesPerBrowse":                        id.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
		"MaxNodesPerTranslateBrowsePathsToNodeIds": id.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIDs,
	} {
		variable(limits, id.HasProperty, number, name, id.UInt32, false, constant(uint32(perRequest)))
	}
}

// now gives a variable from the station's status.
func (s *Station) now(f func(part.Status) any) value {
	return func() (any, ua.StatusCode) { return f(s.status), ua.StatusOK }
}

// result gives a variable from the newest verdict.
func (s *Station) result(f func(*job) any) value {
	return func() (any, ua.StatusCode) {
		if j := s.newest(); j != nil {
			return f(j), ua.StatusOK
		}
		return nil, ua.StatusBadNoData
	}
}

// buildStation makes linectl's own object: methods of plain types, for any PLC.
func (s *Station) buildStation(a *space, objects *node) {
	station := a.child(objects, id.HasComponent, ours, ua.NodeClassObject, "Station", id.BaseObjectType)
	b := func(name string, dataType uint32, f func(part.Status) any) {
		a.variable(station, ours, name, dataType, s.now(f))
	}
	b("Ready", id.Boolean, func(p part.Status) any { return p.Ready })
	b("Busy", id.Boolean, func(p part.Status) any { return p.Busy })
	b("Fault", id.Boolean, func(p part.Status) any { return p.Fault })
	b("FaultCode", id.Int16, func(p part.Status) any { return p.Code() })
	b("Heartbeat", id.UInt16, func(p part.Status) any { return p.Heartbeat })
	b("OverrunCount", id.UInt32, func(p part.Status) any { return p.Overrun })
	b("DeadlineCount", id.UInt32, func(p part.Status) any { return p.DeadlineMissed })

	result := a.child(station, id.HasComponent, ours, ua.NodeClassObject, "Result", id.BaseObjectType)
	r := func(name string, dataType uint32, f func(*job) any) {
		a.variable(result, ours, name, dataType, s.result(f))
	}
	r("Sequence", id.UInt32, func(j *job) any { return j.trigger.Sequence.Value })
	r("PartId", id.String, func(j *job) any { return j.trigger.PartID })
	r("Pass", id.Boolean, func(j *job) any { return j.result.Verdict == part.Pass })
	r("Code", id.Int16, func(j *job) any { return j.result.Reason.Code() })
	r("Score", id.Double, func(j *job) any { return j.result.ScoreTold() })

	s.buildHandshake(a, station)

	part := []argument{of("PartId", id.String), of("Lot", id.String), of("RecipeId", id.String), of("UserData", id.String)}
	verdict := []argument{of("Sequence", id.UInt32), of("Pass", id.Boolean), of("Code", id.Int16), of("Score", id.Double)}
	a.method(station, ours, "Inspect", method{in: part, out: verdict, call: s.callInspect})
	a.method(station, ours, "Trigger", method{in: part, out: []argument{of("Sequence", id.UInt32)}, call: s.callTrigger})
	a.method(station, ours, "GetResult", method{in: []argument{of("Sequence", id.UInt32)},
		out: []argument{of("Decided", id.Boolean), of("Pass", id.Boolean), of("Code", id.Int16), of("Score", id.Double), of("PartId", id.String)}, call: s.callGetResult})
}

func triggerOf(in []any) part.Trigger {
	return part.Trigger{PartID: in[0].(string), Lot: in[1].(string), Recipe: in[2].(string), UserData: in[3].(string)}
}

// callInspect returns with the verdict.
func (s *Station) callInspect(in []any) ([]any, ua.StatusCode) {
	j, err := s.trigger(triggerOf(in))
	if err != nil {
		return nil, ua.StatusBadInvalidState
	}
	<-j.done
	s.taken(j)
	return []any{j.trigger.Sequence.Value, j.result.Verdict == part.Pass, j.result.Reason.Code(), j.result.ScoreTold()}, ua.StatusOK
}

// callTrigger returns at once.
func (s *Station) callTrigger(in []any) ([]any, ua.StatusCode) {
	j, err := s.trigger(triggerOf(in))
	if err != nil {
		return nil, ua.StatusBadInvalidState
	}
	return []any{j.trigger.Sequence.Value}, ua.StatusOK
}

// callGetResult gives a verdict, as often as it is asked for; the first time acknowledges it.
func (s *Station) callGetResult(in []any) ([]any, ua.StatusCode) {
	j := s.job(in[0].(uint32))
	switch {
	case j == nil:
		return nil, ua.StatusBadNoData
	case !j.over():
		return []any{false, false, int16(0), float64(part.NotScored), j.trigger.PartID}, ua.StatusOK
	}
	s.taken(j)
	return []any{true, j.result.Verdict == part.Pass, j.result.Reason.Code(), j.result.ScoreTold(), j.trigger.PartID}, ua.StatusOK
}
