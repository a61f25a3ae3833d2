package part

import (
	"errors"
	"fmt"
)

// Reason says why a part was not passed. It is written to the PLC as its code, to the record as
// its name, and shown to a person with its hint. The zero value, None, belongs to a pass.
type Reason int

// The codes below 20 are judgements of an inspected part; from 20 on the part was not inspected
// or its inspection did not count. Codes are a contract with PLC programs: never renumber them.
const (
	None            Reason = 1
	Anomaly         Reason = 2
	Deadline        Reason = 20
	NoFrame         Reason = 21
	BadFrame        Reason = 22
	InspectionFault Reason = 23
	RecipeMismatch  Reason = 24
	PresentAtStart  Reason = 25
	Busy            Reason = 26
	NotStored       Reason = 27
	ScoreInvalid    Reason = 28
	StaleFrame      Reason = 29
	RepeatedFrame   Reason = 30
	TooDark         Reason = 31
	TooBright       Reason = 32
	OutOfFocus      Reason = 33
	MissedTrigger   Reason = 34
	Overrun         Reason = 35
	LinkLost        Reason = 36
	Shadow          Reason = 37
	Bypass          Reason = 38
	Maintenance     Reason = 39
	NotReady        Reason = 40
	Interrupted     Reason = 41
	Unknown         Reason = 99
)

// reasons is the one table of reasons: name for records and filters, text for people, and what
// to do next.
var reasons = map[Reason]struct{ name, text, hint string }{
	None:            {"", "", ""},
	Anomaly:         {"anomaly", "the part does not look like the good parts of its recipe", "open the record with 'linectl show ID' and compare the heatmap with the part"},
	Deadline:        {"deadline", "the verdict was not ready in time", "see which stage took the time with 'linectl show ID'; raise line.cycle, or lower the input or bank size of the recipe"},
	NoFrame:         {"no-frame", "the camera gave no picture", "check the camera's cable and power; 'linectl camera snap' tries it alone"},
	BadFrame:        {"bad-frame", "the picture could not be read, or has another shape than the good ones", "check what writes the pictures, and the camera's format; the message names the file or device"},
	InspectionFault: {"inspection-fault", "the inspection itself failed", "read the message in the log; 'linectl check --connect' tries the recipe on this machine"},
	RecipeMismatch:  {"recipe-mismatch", "the PLC asks for a recipe that is not the active one", "activate the recipe that the PLC names, or correct the PLC's recipe tag"},
	PresentAtStart:  {"present-at-start", "the part was already there when linectl connected", "take the part out or let it pass again; its time of arrival is unknown"},
	Busy:            {"busy", "the part came while another inspection was still running", "the parts come faster than the cycle allows, or the inference call hangs"},
	NotStored:       {"not-stored", "the record could not be made durable", "check the disk: space, mount, permissions"},
	ScoreInvalid:    {"score-invalid", "the score is not a finite number", "verify the recipe with 'linectl recipe verify'"},
	StaleFrame:      {"stale-frame", "the picture was taken before the part came", "check the camera's trigger and buffering"},
	RepeatedFrame:   {"repeated-frame", "the picture is the same as an earlier one", "the camera or its driver is frozen: restart it"},
	TooDark:         {"too-dark", "the picture is much darker than the good ones", "check the lamp and the exposure time"},
	TooBright:       {"too-bright", "the picture is much brighter than the good ones", "check for stray light and the exposure time"},
	OutOfFocus:      {"out-of-focus", "the picture is much less sharp than the good ones", "check the lens: focus, dirt, oil mist"},
	MissedTrigger:   {"missed-trigger", "the PLC's counter jumped: parts went by unseen", "check the link to the PLC and the poll interval"},
	Overrun:         {"overrun", "the PLC went on to the next part before this one's verdict", "raise the PLC's own time limit above line.cycle"},
	LinkLost:        {"link-lost", "the link to the PLC was lost during the cycle", "check the network between this machine and the PLC"},
	Shadow:          {"shadow", "shadow mode: inspected and recorded, the PLC is told its default", "set line.mode to auto when the line may act on verdicts"},
	Bypass:          {"bypass", "bypass mode: the part was not inspected", "set line.mode to auto to inspect again"},
	Maintenance:     {"maintenance", "maintenance mode: verdicts do not count", "set line.mode to auto when maintenance is done"},
	NotReady:        {"not-ready", "the station was not ready when the part came", "the fault code names what is missing; 'linectl check --connect' tries everything"},
	Interrupted:     {"interrupted", "linectl stopped before the verdict reached the PLC", "see the log for why it stopped"},
	Unknown:         {"unknown", "the reason is not known", ""},
}

// String is the reason's name in records and filters; None is the empty string.
func (r Reason) String() string {
	if known, ok := reasons[r]; ok {
		return known.name
	}
	return fmt.Sprintf("reason-%d", int(r))
}

// Code is the number that the PLC is told in result_code.
func (r Reason) Code() int16 { return int16(r) }

// Text says in a sentence what happened.
func (r Reason) Text() string { return reasons[r].text }

// Hint says what a person does next.
func (r Reason) Hint() string { return reasons[r].hint }

// Inspected tells whether the reason is a judgement of the part itself; all others mean that the
// part was not inspected, or that its inspection did not count.
func (r Reason) Inspected() bool { return r < Deadline }

// ReasonByName finds a reason by the name that String gives.
func ReasonByName(name string) (Reason, error) {
	for r, known := range reasons {
		if known.name == name {
			return r, nil
		}
	}
	return Unknown, fmt.Errorf("there is no reason %q", name)
}

// ReasonByCode finds a reason by the number that the PLC was told; a number that no reason has is Unknown.
func ReasonByCode(code int64) Reason {
	if _, ok := reasons[Reason(code)]; ok {
		return Reason(code)
	}
	return Unknown
}

// reasonError carries the reason that a failure gives to the part in view.
type reasonError struct {
	reason Reason
	err    error
}

func (e *reasonError) Error() string { return e.err.Error() }
func (e *reasonError) Unwrap() error { return e.err }

// Because makes err the cause of a reject with that reason.
func Because(reason Reason, err error) error { return &reasonError{reason, err} }

// ReasonOf returns the reason that err carries, or the given one where it carries none.
func ReasonOf(err error, otherwise Reason) Reason {
	var e *reasonError
	if errors.As(err, &e) {
		return e.reason
	}
	return otherwise
}
