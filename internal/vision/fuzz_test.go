package vision

import (
	"context"
	"testing"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/part"
)

// request is what the library makes of a request's body; false where it refuses it, or panics, as it does for
// arrays of less than no elements (gopcua/opcua#892).
func request(wire []byte, into any) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	_, err := ua.Decode(wire, into)
	return err == nil
}

// verdicts passes every part at once.
type verdicts struct {
	silent
	station *Station
}

func (v *verdicts) Triggered(t part.Trigger) {
	go v.station.Answer(context.Background(), part.Result{Trigger: t, Verdict: part.Pass, Reason: part.None, Score: 1})
}

// Whatever a client sends as a call, with arguments of any type and length: it is refused, or it has exactly the
// results that the method promises.
func FuzzCall(f *testing.F) {
	s, _ := station(f)
	heard := &verdicts{station: s}
	s.listener = heard
	seed := func(object, method string, in ...any) {
		r := &ua.CallMethodRequest{ObjectID: ua.NewStringNodeID(ours, object), MethodID: ua.NewStringNodeID(ours, method)}
		for _, v := range in {
			r.InputArguments = append(r.InputArguments, ua.MustVariant(v))
		}
		wire, err := ua.Encode(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	seed("Station", "Station/Inspect", "A", "L", "", "")
	seed("Station", "Station/Inspect", "A", int32(1), []string{"x"}, true)
	seed("Station", "Station/Trigger", "A", "L", "bracket", "")
	seed("Station", "Station/GetResult", uint32(0))
	seed("Station", "Station/GetResult", []uint32{1, 2})
	const mode = "VisionSystem/VisionStateMachine/AutomaticModeStateMachine"
	seed(mode, mode+"/StartSingleJob", extension(measIDType, &measID{identifier{"M"}}), extension(partIDType, &partID{identifier{"P"}}), ua.NewExtensionObject(nil), ua.NewExtensionObject(nil), []string{})
	seed(mode, mode+"/StartSingleJob", extension(partIDType, &partID{identifier{"P"}}), "P", int16(1), uint8(0), "x")
	seed("VisionSystem/VisionStateMachine", "VisionSystem/VisionStateMachine/Halt", int32(1), "because")
	seed("VisionSystem/ResultManagement", "VisionSystem/ResultManagement/GetResultById", extension(resultIDType, &resultID{plain{"1"}}), int32(0))
	seed("VisionSystem/VisionStateMachine", "Station/Inspect", "A", "L", "", "")
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := &ua.CallMethodRequest{}
		if !request(wire, r) {
			t.Skip()
		}
		s.mu.Lock()
		s.mode = automatic
		s.mu.Unlock()
		result := s.space.call(r)
		if _, err := ua.Encode(result); err != nil {
			t.Fatal(err)
		}
		if result.StatusCode != ua.StatusOK {
			if len(result.OutputArguments) > 0 {
				t.Errorf("%v with %d results", result.StatusCode, len(result.OutputArguments))
			}
			return
		}
		promised := s.space.find(r.MethodID).method.out
		if len(result.OutputArguments) != len(promised) {
			t.Fatalf("%d results, promised are %d", len(result.OutputArguments), len(promised))
		}
		for i, v := range result.OutputArguments {
			want := ua.TypeIDExtensionObject
			switch {
			case promised[i].dataType.Namespace() == standard:
				want = ua.TypeID(promised[i].dataType.IntID())
			case promised[i].dataType.IntID() == handleType:
				want = ua.TypeIDUint32
			}
			if v.Type() != want {
				t.Errorf("%s is %v, promised is %v", promised[i].name, v.Type(), want)
			}
		}
	})
}

// Whatever a client writes: it is refused, or stands there afterwards, and no pass is shown that the line did not give.
func FuzzWrite(f *testing.F) {
	s, _ := station(f)
	for name, v := range map[string]any{"PartPresent": true, "TriggerSeq": uint32(1), "PartId": "A", "Accept": true, "PlcHeartbeat": []uint32{1}} {
		wire, err := ua.Encode(&ua.WriteValue{NodeID: ua.NewStringNodeID(ours, "Station/Handshake/"+name), AttributeID: ua.AttributeIDValue,
			Value: &ua.DataValue{EncodingMask: ua.DataValueValue, Value: ua.MustVariant(v)}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		w := &ua.WriteValue{}
		if !request(wire, w) {
			t.Skip()
		}
		results, _ := s.take([]*ua.WriteValue{w})
		status := results[0]
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.handshake.pass() {
			t.Error("a pass that nobody gave")
		}
		if status == ua.StatusOK && s.space.attribute(w.NodeID, ua.AttributeIDValue).Value.Value() != w.Value.Value.Value() {
			t.Errorf("%v was taken and does not stand", w.Value.Value.Value())
		}
	})
}

// Reading, browsing and following paths take any request.
func FuzzAddressSpace(f *testing.F) {
	s, _ := station(f)
	for _, r := range []any{
		&ua.BrowseDescription{NodeID: ua.NewNumericNodeID(0, id.ObjectsFolder), ReferenceTypeID: ua.NewNumericNodeID(0, id.HierarchicalReferences), IncludeSubtypes: true},
		&ua.BrowsePath{StartingNode: ua.NewNumericNodeID(0, id.ObjectsFolder), RelativePath: &ua.RelativePath{Elements: []*ua.RelativePathElement{{
			ReferenceTypeID: ua.NewNumericNodeID(0, id.HierarchicalReferences), IncludeSubtypes: true, TargetName: &ua.QualifiedName{NamespaceIndex: ours, Name: "Station"}}}}},
		&ua.ReadValueID{NodeID: ua.NewStringNodeID(ours, "Station/Ready"), AttributeID: ua.AttributeIDValue, DataEncoding: &ua.QualifiedName{}},
	} {
		wire, err := ua.Encode(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var answers []any
		if d := (&ua.BrowseDescription{}); request(wire, d) {
			answers = append(answers, s.space.browse(d))
		}
		if p := (&ua.BrowsePath{}); request(wire, p) {
			answers = append(answers, s.space.translate(p))
		}
		if r := (&ua.ReadValueID{}); request(wire, r) {
			answers = append(answers, s.space.attribute(r.NodeID, r.AttributeID))
		}
		for _, a := range answers {
			if _, err := ua.Encode(a); err != nil {
				t.Errorf("%T: %v", a, err)
			}
		}
	})
}
