package opcua

import (
	"slices"
	"strings"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/setting"
)

// Tags is the [plc.tags] section: the node id of each signal, as ns=3;s="Inspect"."Reject" or, better,
// with the namespace's URI, which stays when the PLC renumbers its namespaces:
// nsu=http://www.siemens.com/simatic-s7-opcua;s="Inspect"."Reject". A signal without a node is not used.
type Tags struct {
	// PartPresent (Boolean) is TRUE from "part in view" until the PLC has taken the result or given up.
	PartPresent string `toml:"part_present"`
	// TriggerSeq (UInt16 or UInt32) is the part counter, +1 a part, written before part_present.
	TriggerSeq string `toml:"trigger_seq"`
	// PartID (String) is the part's serial or data-matrix code.
	PartID string `toml:"part_id"`
	// RecipeID (String or an integer) is the recipe that the PLC asks for; "" or 0 leaves the choice to linectl.
	RecipeID string `toml:"recipe_id"`
	// Lot (String) is the lot that the part belongs to.
	Lot string `toml:"lot"`
	// UserData (String) is whatever else should be kept with the part: a cavity, a shift, a tool.
	UserData string `toml:"user_data"`
	// ResultAck (Boolean) rises when the PLC has taken the result. Where it is set, the fall of
	// part_present means nothing: it is for lines where that falls early.
	ResultAck string `toml:"result_ack"`
	// PLCHeartbeat (any integer, or Boolean) changes as long as the PLC's program runs.
	PLCHeartbeat string `toml:"plc_heartbeat"`
	// Accept (Boolean) is TRUE only for a good part.
	Accept string `toml:"accept"`
	// Reject (Boolean) rests TRUE; it is FALSE only together with a good verdict.
	Reject string `toml:"reject"`
	// ResultSeq (the type of trigger_seq) is the counter of the part that the result belongs to.
	ResultSeq string `toml:"result_seq"`
	// ResultPartID (String) is the part id that the result belongs to.
	ResultPartID string `toml:"result_part_id"`
	// ResultRecipeID (the type of recipe_id) is the recipe that the PLC asked for with the part that the result belongs to.
	ResultRecipeID string `toml:"result_recipe_id"`
	// ResultCode (Int16, UInt16, Int32 or UInt32) is 1 for a good part, 2 for a bad one, from 20 on for one that was not inspected.
	ResultCode string `toml:"result_code"`
	// Score (Float or Double) is the anomaly score; -1 where nothing was scored.
	Score string `toml:"score"`
	// ResultValid (Boolean) is written last and alone: the result counts only while it is TRUE.
	ResultValid string `toml:"result_valid"`
	// Ready (Boolean) says that a part would be inspected now.
	Ready string `toml:"ready"`
	// Busy (Boolean) is TRUE from the trigger to the verdict.
	Busy string `toml:"busy"`
	// Fault (Boolean) is TRUE until the cause of a fault is gone.
	Fault string `toml:"fault"`
	// FaultCode (Int16, UInt16, Int32 or UInt32) is the cause, in the numbers of result_code; 0 without a fault.
	FaultCode string `toml:"fault_code"`
	// VisionHeartbeat (UInt16, UInt32, Int16 or Int32) counts up as long as linectl's own loop runs.
	VisionHeartbeat string `toml:"vision_heartbeat"`
	// MissedCount (UInt16, UInt32, Int16 or Int32) is how many parts went by unseen since linectl started.
	MissedCount string `toml:"missed_count"`
	// OverrunCount (UInt16, UInt32, Int16 or Int32) is how many parts came while linectl was busy.
	OverrunCount string `toml:"overrun_count"`
	// DeadlineCount (UInt16, UInt32, Int16 or Int32) is how many verdicts were not ready in time.
	DeadlineCount string `toml:"deadline_count"`
	// StationState (Int16, UInt16, Int32 or UInt32) is what linectl does: 0 it is away, 1 connected, 2 ready, 3 at a part, 4 fault.
	StationState string `toml:"station_state"`
	// LastOutage (Int16, UInt16, Int32 or UInt32) is why linectl was last without a session, in the numbers of the link's states; 0 if it
	// never was since it started.
	LastOutage string `toml:"last_outage"`
}

// signal is one row of the table of signals.
type signal int

const (
	partPresent signal = iota
	triggerSeq
	partID
	recipeID
	lot
	userData
	resultAck
	plcHeartbeat
	accept
	reject
	resultSeq
	resultPartID
	resultRecipeID
	resultCode
	score
	resultValid
	ready
	busy
	fault
	faultCode
	visionHeartbeat
	missedCount
	overrunCount
	deadlineCount
	stationState
	lastOutage
	signals // how many there are
)

var (
	boolean = []ua.TypeID{ua.TypeIDBoolean}
	counter = []ua.TypeID{ua.TypeIDUint16, ua.TypeIDUint32}
	tally   = []ua.TypeID{ua.TypeIDUint16, ua.TypeIDUint32, ua.TypeIDInt16, ua.TypeIDInt32}
	whole   = []ua.TypeID{ua.TypeIDInt16, ua.TypeIDUint16, ua.TypeIDInt32, ua.TypeIDUint32}
	text    = []ua.TypeID{ua.TypeIDString}
	number  = []ua.TypeID{ua.TypeIDFloat, ua.TypeIDDouble}
	integer = []ua.TypeID{ua.TypeIDSByte, ua.TypeIDByte, ua.TypeIDInt16, ua.TypeIDUint16, ua.TypeIDInt32, ua.TypeIDUint32, ua.TypeIDInt64, ua.TypeIDUint64}
)

// table is the one place that knows what each signal is: its key, its node in the config, the types
// that its tag may have, whether linectl writes it, and the profile from which on it must be there.
var table = [signals]struct {
	key    string
	node   func(Tags) string
	types  []ua.TypeID
	output bool
	from   Profile
}{
	partPresent:     {"part_present", func(t Tags) string { return t.PartPresent }, boolean, false, Minimal},
	triggerSeq:      {"trigger_seq", func(t Tags) string { return t.TriggerSeq }, counter, false, Standard},
	partID:          {"part_id", func(t Tags) string { return t.PartID }, text, false, Full},
	recipeID:        {"recipe_id", func(t Tags) string { return t.RecipeID }, slices.Concat(text, integer), false, Full},
	lot:             {"lot", func(t Tags) string { return t.Lot }, text, false, Full},
	userData:        {"user_data", func(t Tags) string { return t.UserData }, text, false, ""},
	resultAck:       {"result_ack", func(t Tags) string { return t.ResultAck }, boolean, false, ""},
	plcHeartbeat:    {"plc_heartbeat", func(t Tags) string { return t.PLCHeartbeat }, slices.Concat(boolean, integer), false, Standard},
	accept:          {"accept", func(t Tags) string { return t.Accept }, boolean, true, Standard},
	reject:          {"reject", func(t Tags) string { return t.Reject }, boolean, true, Minimal},
	resultSeq:       {"result_seq", func(t Tags) string { return t.ResultSeq }, counter, true, Standard},
	resultPartID:    {"result_part_id", func(t Tags) string { return t.ResultPartID }, text, true, Full},
	resultRecipeID:  {"result_recipe_id", func(t Tags) string { return t.ResultRecipeID }, slices.Concat(text, integer), true, ""},
	resultCode:      {"result_code", func(t Tags) string { return t.ResultCode }, whole, true, Standard},
	score:           {"score", func(t Tags) string { return t.Score }, number, true, Full},
	resultValid:     {"result_valid", func(t Tags) string { return t.ResultValid }, boolean, true, Minimal},
	ready:           {"ready", func(t Tags) string { return t.Ready }, boolean, true, Standard},
	busy:            {"busy", func(t Tags) string { return t.Busy }, boolean, true, Full},
	fault:           {"fault", func(t Tags) string { return t.Fault }, boolean, true, Standard},
	faultCode:       {"fault_code", func(t Tags) string { return t.FaultCode }, whole, true, Standard},
	visionHeartbeat: {"vision_heartbeat", func(t Tags) string { return t.VisionHeartbeat }, tally, true, Standard},
	missedCount:     {"missed_count", func(t Tags) string { return t.MissedCount }, tally, true, Full},
	overrunCount:    {"overrun_count", func(t Tags) string { return t.OverrunCount }, tally, true, Full},
	deadlineCount:   {"deadline_count", func(t Tags) string { return t.DeadlineCount }, tally, true, Full},
	stationState:    {"station_state", func(t Tags) string { return t.StationState }, whole, true, ""},
	lastOutage:      {"last_outage", func(t Tags) string { return t.LastOutage }, whole, true, ""},
}

// has tells whether a signal has a node.
func (t Tags) has(s signal) bool { return table[s].node(t) != "" }

// named tells whether the signal of a key has a node.
func (t Tags) named(key string) bool {
	for s := range signals {
		if table[s].key == key {
			return t.has(s)
		}
	}
	return false
}

// check reports every mistake in the section.
func (t Tags) check(profile Profile) []setting.Problem {
	var problems []setting.Problem
	say := func(s signal, format string, args ...any) {
		problems = append(problems, setting.Problemf("tags."+table[s].key, format, args...))
	}
	taken := map[string]signal{}
	for s := range signals {
		node := table[s].node(t)
		if node == "" {
			if profile.demands(table[s].from) {
				say(s, "is missing; profile %s needs it", profile)
			}
			continue
		}
		if _, err := parseNode(node); err != nil {
			say(s, "%v", err)
			continue
		}
		if other, double := taken[node]; double {
			say(s, "is the same node as tags.%s: %s", table[other].key, node)
			continue
		}
		taken[node] = s
	}
	if profile == Minimal && t.has(triggerSeq) != t.has(resultSeq) {
		say(resultSeq, "goes with tags.trigger_seq: configure both or neither")
	}
	if t.has(resultRecipeID) && !t.has(recipeID) {
		say(resultRecipeID, "echoes tags.recipe_id, which is not configured")
	}
	return problems
}

// typeNames writes the types as PLC programmers know them.
func typeNames(types []ua.TypeID) string {
	var names []string
	for _, t := range types {
		names = append(names, typeName(t))
	}
	return orList(names)
}

func typeName(t ua.TypeID) string {
	switch t {
	case ua.TypeIDUint16:
		return "UInt16"
	case ua.TypeIDUint32:
		return "UInt32"
	case ua.TypeIDUint64:
		return "UInt64"
	}
	return strings.TrimPrefix(t.String(), "TypeID")
}
