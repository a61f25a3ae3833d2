package vision

import (
	"crypto/rand"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/opcua/serve"
	"linectl/internal/part"
)

// Results and events by the names of OPC 40100-1, 9 and 10.

// resultData is ResultDataType with the fields that linectl has (Part 6, 5.2.7: a mask of the optional fields first).
type resultData struct {
	station *Station
	job     *job
}

// Decode is for nobody: linectl takes no results.
func (r *resultData) Decode(body []byte) (int, error) { return len(body), ua.StatusBadNotSupported }

// Encode writes the fields in the order of the type.
func (r *resultData) Encode() ([]byte, error) {
	const isSimulated, measurement, partName, externalRecipe, content = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 8
	b := ua.NewBuffer(nil)
	write := func(parts ...interface{ Encode() ([]byte, error) }) {
		for _, p := range parts {
			body, err := p.Encode()
			if err != nil {
				return // texts encode
			}
			b.Write(body)
		}
	}
	j := r.job
	b.WriteUint32(isSimulated | measurement | partName | externalRecipe | content)
	write(&resultID{plain{j.name()}})
	b.WriteBool(false) // IsPartial
	b.WriteBool(j.result.Reason == part.Shadow)
	b.WriteInt32(resultState(j))
	write(&measID{identifier{j.meas}}, &partID{identifier{j.trigger.PartID}}, &recipeID{identifier{r.station.recipe}},
		&internalID{identifier{r.station.recipe}}, &identifier{}, // no configurations
		&jobID{plain{j.name()}})
	b.WriteTime(j.at)
	b.WriteUint32(uint32(len(j.content())))
	for _, v := range j.content() {
		write(v)
	}
	return b.Bytes(), b.Error()
}

// content is what the standard leaves to the maker: pass, code and score.
func (j *job) content() []*ua.Variant {
	return []*ua.Variant{ua.MustVariant(j.result.Verdict == part.Pass), ua.MustVariant(j.result.Reason.Code()), ua.MustVariant(j.result.ScoreTold())}
}

const resultEncoding = 5018 // default binary, of ResultDataType

// callGetResultByID gives one of the newest results by its id, which is the job's.
func (s *Station) callGetResultByID(in []any) ([]any, ua.StatusCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if j.name() == in[0].(string) && j.over() {
			return []any{uint32(0), &ua.ExtensionObject{TypeID: ua.NewFourByteExpandedNodeID(machine, resultEncoding),
				EncodingMask: ua.ExtensionObjectBinary, Value: &resultData{s, j}}, done}, ua.StatusOK
		}
	}
	return []any{uint32(0), ua.NewExtensionObject(nil), errResult}, ua.StatusOK
}

// The types of events, by their numbers in the nodeset.
const (
	jobStarted  = 1013
	resultReady = 1024
)

// buildEvents makes the types of the events, so that clients find their fields.
func buildEvents(a *space, root *node) {
	types := a.number(root, id.Organizes, id.TypesFolder, ua.NodeClassObject, "Types", id.FolderType)
	folder := a.number(types, id.Organizes, id.EventTypesFolder, ua.NodeClassObject, "EventTypes", id.FolderType)
	base := a.number(folder, id.Organizes, id.BaseEventType, ua.NodeClassObjectType, "BaseEventType", 0)
	field := func(of *node, namespace uint16, name string, dataType *ua.NodeID) {
		n := a.property(of, name, 0, func() (any, ua.StatusCode) { return nil, ua.StatusBadNoData }) // a type has no value
		n.name.NamespaceIndex, n.dataType = namespace, dataType
	}
	for name, dataType := range map[string]uint32{"EventId": id.ByteString, "EventType": id.NodeID, "SourceNode": id.NodeID, "SourceName": id.String,
		"Time": id.UtcTime, "ReceiveTime": id.UtcTime, "Message": id.LocalizedText, "Severity": id.UInt16} {
		field(base, standard, name, ua.NewNumericNodeID(standard, dataType))
	}
	kind := func(number uint32, name string) *node {
		return a.add(base, id.HasSubtype, &node{id: ua.NewNumericNodeID(machine, number), class: ua.NodeClassObjectType, name: &ua.QualifiedName{NamespaceIndex: machine, Name: name}})
	}
	numbered := func(number uint32) *ua.NodeID { return ua.NewNumericNodeID(machine, number) }
	field(kind(jobStarted, "JobStartedEventType"), machine, "JobId", numbered(jobIDType))
	ready := kind(resultReady, "ResultReadyEventType")
	for name, dataType := range map[string]*ua.NodeID{"ResultId": numbered(resultIDType), "JobId": numbered(jobIDType), "MeasId": numbered(measIDType), "PartId": numbered(partIDType),
		"ExternalRecipeId": numbered(recipeIDType), "InternalRecipeId": numbered(internalType), "ResultState": numbered(3009),
		"IsPartial": ua.NewNumericNodeID(standard, id.Boolean), "IsSimulated": ua.NewNumericNodeID(standard, id.Boolean), "CreationTime": ua.NewNumericNodeID(standard, id.UtcTime)} {
		field(ready, machine, name, dataType)
	}
	field(ready, machine, "ResultContent", ua.NewNumericNodeID(standard, id.BaseDataType))
}

// emit tells an event to whoever subscribed to events. The caller holds the lock, which a subscription takes to read: so another
// goroutine tells it, one after the other.
func (s *Station) emit(kind uint32, message string, fields serve.Event) {
	now := time.Now()
	number := make([]byte, 16)
	_, _ = rand.Read(number) // does not fail
	for name, value := range map[string]any{"EventId": number, "EventType": ua.NewNumericNodeID(machine, kind), "SourceNode": ua.NewStringNodeID(ours, "VisionSystem"),
		"SourceName": "VisionSystem", "Time": now, "ReceiveTime": now, "Message": text(message), "Severity": uint16(100)} {
		fields[name] = value
	}
	select {
	case s.events <- fields:
	default: // nobody waits for so many
	}
}

func (s *Station) emitStarted(j *job) {
	s.emit(jobStarted, "job "+j.name()+" has started", serve.Event{"JobId": jobName(j.name())})
}

func (s *Station) emitReady(j *job) {
	s.emit(resultReady, "result of job "+j.name(), serve.Event{
		"ResultId": extension(resultIDType, &resultID{plain{j.name()}}), "JobId": jobName(j.name()), "MeasId": extension(measIDType, &measID{identifier{j.meas}}),
		"PartId": extension(partIDType, &partID{identifier{j.trigger.PartID}}), "ExternalRecipeId": extension(recipeIDType, &recipeID{identifier{s.recipe}}),
		"InternalRecipeId": extension(internalType, &internalID{identifier{s.recipe}}), "ResultState": resultState(j), "IsPartial": false,
		"IsSimulated": j.result.Reason == part.Shadow, "CreationTime": j.at, "ResultContent": j.content(),
	})
}
