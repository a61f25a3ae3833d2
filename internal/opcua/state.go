package opcua

import (
	"errors"
	"time"
)

// State is what the supervisor of the link does, or what keeps it from doing so. Its number goes to the PLC
// in last_outage once a session is up again; the numbers are a contract with PLC programs: never renumber them.
type State int16

// The states.
const (
	Up             State = 0
	Connecting     State = 1
	Unreachable    State = 2
	NotOPCUA       State = 3
	NotOffered     State = 4
	BadCertificate State = 5
	NotTrusted     State = 6
	UserRefused    State = 7
	NoSessionLeft  State = 8
	WrongTags      State = 9
	NoFeed         State = 10
	TooSlow        State = 11
	Silent         State = 12
	WriteFailed    State = 13
	BadValue       State = 14
	Lost           State = 15
	Stopped        State = 16
	Failed         State = 17
	Away           State = 18
)

// states is the one table of states: name for the status and its counts, text for people, and what to do next.
var states = [...]struct{ name, text, next string }{
	Up:             {"up", "a session is up, every tag is verified", "nothing"},
	Connecting:     {"connecting", "the first session since linectl started is being opened", "wait some seconds"},
	Unreachable:    {"unreachable", "nobody answers at plc.endpoint", "check the PLC's power, the cable, the address in plc.endpoint, and the firewall between"},
	NotOPCUA:       {"not-opcua", "what answers does not speak OPC UA as it should", "is plc.endpoint the PLC's OPC UA server? Its usual port is 4840"},
	NotOffered:     {"not-offered", "the PLC does not offer the configured policy, mode or kind of user", "'linectl plc probe' lists what it offers"},
	BadCertificate: {"bad-certificate", "the PLC's certificate is not the pinned one, has run out, is revoked or malformed", "compare its fingerprint at the PLC, then 'linectl plc trust'"},
	NotTrusted:     {"not-trusted", "the PLC does not trust linectl's certificate", "import the file that 'linectl plc cert' shows into the PLC's list of trusted clients"},
	UserRefused:    {"user-refused", "the PLC refuses the user or the password", "check plc.user and the password in plc.password_file"},
	NoSessionLeft:  {"no-session-left", "the PLC has no session left", "close other OPC UA clients; abandoned sessions end by themselves"},
	WrongTags:      {"wrong-tags", "tags are missing, of the wrong type or not writable", "'linectl check --connect' names each of them"},
	NoFeed:         {"no-subscription", "the PLC grants no subscription on the trigger", "set plc.trigger to poll"},
	TooSlow:        {"too-slow", "the path to the PLC is too slow for line.cycle", "'linectl plc probe' shows where the time goes"},
	Silent:         {"silent", "the PLC stopped answering in the middle of a session", "network between the two, load of the PLC's CPU"},
	WriteFailed:    {"write-failed", "the PLC did not confirm a write", "is the tag writable over OPC UA, and its type unchanged?"},
	BadValue:       {"bad-value", "an input is null, of doubtful quality or of another type than before", "the log names the tag; look at it in the PLC"},
	Lost:           {"lost", "the connection broke", "network between the two; was the PLC restarted or its program loaded?"},
	Stopped:        {"program-stopped", "plc_heartbeat stands: the server answers, the PLC's program does not run", "set the PLC to RUN"},
	Failed:         {"failed", "something else", "the log says what"},
	Away:           {"away", "linectl does not run", "'systemctl status linectl'"},
}

// Known tells whether there is such a state.
func (s State) Known() bool { return s >= 0 && int(s) < len(states) }

// String is the state's name.
func (s State) String() string { return states[s].name }

// Text says in a sentence what the state means.
func (s State) Text() string { return states[s].text }

// Next says what a person does about it.
func (s State) Next() string { return states[s].next }

// Status is how the link is, for people and for scripts.
type Status struct {
	State    State          `json:"code"`
	Name     string         `json:"state"`
	Since    time.Time      `json:"since"`
	Error    string         `json:"error,omitempty"`
	Next     string         `json:"next"`
	Insecure bool           `json:"insecure"`
	Sessions int            `json:"sessions"`         // since linectl started
	Outages  map[string]int `json:"outages"`          // since linectl started, by the name of the state
	Last     State          `json:"last_outage"`      // 0: none since linectl started
	Path     Path           `json:"path,omitzero"`    // of the newest session
	Serves   string         `json:"serves,omitempty"` // where linectl's own server listens, if the PLC calls it
	Process  int            `json:"pid"`
	Born     string         `json:"born,omitempty"` // when that process began, in terms that no other process shares
}

// outageError is a failure that has a state of its own.
type outageError struct {
	state State
	err   error
}

func (e *outageError) Error() string { return e.err.Error() }
func (e *outageError) Unwrap() error { return e.err }

// in gives a failure its state; nil stays nil.
func in(state State, err error) error {
	if err == nil {
		return nil
	}
	return &outageError{state, err}
}

// outage is the state that a failure brings about, the given one where it has none of its own.
func outage(err error, otherwise State) State {
	var e *outageError
	if errors.As(err, &e) {
		return e.state
	}
	return otherwise
}
