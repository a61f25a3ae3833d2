package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/hint"
)

// session is one connection to the PLC from its verification to its end. It is never repaired.
type session struct {
	client   *opcua.Client
	limits   limits
	every    time.Duration // poll interval
	stale    time.Duration
	began    time.Time     // when the snapshot was read
	notices  []string      // what will stop the link one day
	verifies bool          // read a result back before it becomes valid
	search   bool          // look for names like those of missing tags
	most     int           // nodes in one request
	rounds   time.Duration // one round trip, as measured
	path     Path
	outage   State // why there was no session before
	feed     *feed // nil where the trigger is polled

	ids     [signals]*ua.NodeID // nil where the signal is not used
	own     [signals]*ua.NodeID // the same before they were registered
	types   [signals]ua.TypeID
	polled  []signal // read every time
	latched []signal // read once for each part
	unnamed int      // so many readings of a part's names had no answer, one after the other

	turn chan struct{} // holds one token: writes go one after the other

	once  sync.Once
	ended chan struct{}
	cause error // valid when ended is closed
}

func newSession(cfg Config, limits limits) *session {
	s := &session{
		limits:   limits,
		every:    cfg.Poll.Std(),
		stale:    cfg.Stale.Std(),
		verifies: cfg.VerifyWrites,
		most:     fewestNodes,
		turn:     make(chan struct{}, 1),
		ended:    make(chan struct{}),
	}
	for _, p := range []signal{partPresent, triggerSeq, resultAck, plcHeartbeat} {
		if cfg.Tags.has(p) {
			s.polled = append(s.polled, p)
		}
	}
	for _, l := range []signal{triggerSeq, partID, recipeID, lot, userData} {
		if cfg.Tags.has(l) {
			s.latched = append(s.latched, l)
		}
	}
	if len(s.latched) > 0 { // last, so that it comes after the names where they take two requests
		s.latched = append(s.latched, partPresent)
	}
	return s
}

// fail ends the session; the first cause counts.
func (s *session) fail(cause error) {
	s.once.Do(func() {
		s.cause = cause
		close(s.ended)
	})
}

// close lets go of the connection. Whoever waits to write learns that the session is over.
func (s *session) close() {
	s.fail(ErrNoSession)
	ctx, cancel := context.WithTimeout(context.Background(), s.limits.farewell)
	defer cancel()
	if s.feed != nil {
		done := make(chan struct{})
		defer close(done)
		go s.feed.drain(done)
	}
	s.client.Close(ctx)
}

func (s *session) has(sig signal) bool { return s.ids[sig] != nil }

const (
	usualNodes  = 30 // in one request; what any PLC but the smallest takes
	fewestNodes = 5  // what names a part is read in one request, so that it belongs together
)

// capacity is how many nodes the PLC takes in one request, up to the given number, as far as it says so.
func (s *session) capacity(ctx context.Context, most int) (int, error) {
	request := &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnNeither}
	for _, limit := range []uint32{
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead, id.Server_ServerCapabilities_OperationLimits_MaxNodesPerWrite,
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse, id.Server_ServerCapabilities_OperationLimits_MaxNodesPerRegisterNodes,
	} {
		request.NodesToRead = append(request.NodesToRead, &ua.ReadValueID{NodeID: ua.NewNumericNodeID(0, limit), AttributeID: ua.AttributeIDValue})
	}
	results, err := s.ask(ctx, request)
	if err != nil {
		return 0, fmt.Errorf("read the server's limits: %w", err)
	}
	if most = fewest(most, results); most < fewestNodes {
		return 0, ua.StatusBadTooManyOperations
	}
	return most, nil
}

// fewest is the smallest of a number and the limits among some values.
func fewest(most int, limits []*ua.DataValue) int {
	for _, v := range limits {
		if v == nil || severity(v.Status) != good || v.Value == nil {
			continue
		}
		if limit, ok := v.Value.Value().(uint32); ok && limit > 0 { // 0 is no limit
			most = int(min(limit, uint32(most)))
		}
	}
	return most
}

// verify asks for every configured tag: that it is there, has an allowed type and can be written where
// linectl writes it. All wrong tags are named in one error.
func (s *session) verify(ctx context.Context, nodes [signals]node) error {
	namespaces := s.client.Namespaces()
	var wrong []string
	var missing []signal
	say := func(sig signal, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("plc.tags.%s: %s: %s", table[sig].key, nodes[sig], fmt.Sprintf(format, args...)))
	}
	var used []signal
	taken := map[string]signal{}
	for sig := range signals {
		if nodes[sig].make == nil {
			continue
		}
		id, err := nodes[sig].resolve(namespaces)
		if err != nil {
			say(sig, "%v", err)
			continue
		}
		if other, double := taken[id.String()]; double { // however each of the two is written
			say(sig, "is the same node as plc.tags.%s", table[other].key)
			continue
		}
		taken[id.String()] = sig
		s.ids[sig], s.own[sig] = id, id
		used = append(used, sig)
	}
	for part := range slices.Chunk(used, s.most/2) {
		request := &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnNeither}
		for _, sig := range part {
			request.NodesToRead = append(request.NodesToRead,
				&ua.ReadValueID{NodeID: s.ids[sig], AttributeID: ua.AttributeIDValue},
				&ua.ReadValueID{NodeID: s.ids[sig], AttributeID: ua.AttributeIDUserAccessLevel})
		}
		results, err := s.ask(ctx, request)
		if err != nil {
			return fmt.Errorf("read the tags: %w", err)
		}
		for i, sig := range part {
			switch err := s.admit(sig, results[2*i], results[2*i+1]); {
			case errors.Is(err, errMissing) && s.search:
				missing = append(missing, sig)
			case err != nil:
				say(sig, "%v", err)
			}
		}
	}
	if len(missing) > 0 {
		there, _ := s.browse(ctx) // without names the error says less, but it stands
		for _, sig := range missing {
			say(sig, "%v%s", errMissing, likeness(nodes[sig].String(), there))
		}
	}
	for echo, of := range map[signal]signal{resultSeq: triggerSeq, resultRecipeID: recipeID} {
		if s.types[echo] != s.types[of] && s.types[echo] != 0 && s.types[of] != 0 { // 0 where it is not used, or wrong already
			say(echo, "is %s; it must have the type of %s, %s", typeName(s.types[echo]), table[of].key, typeName(s.types[of]))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	text := strings.Join(wrong, "\n")
	if len(wrong) > 1 {
		text = fmt.Sprintf("%d tags are wrong:\n%s", len(wrong), text)
	}
	return in(WrongTags, hint.New(hint.Failure, errors.New(text), "correct [plc.tags], or the tag and its access rights in the PLC program; 'linectl check --connect' tries again"))
}

var errMissing = errors.New("does not exist on the PLC")

// admit takes a tag's type from its value: the DataType attribute is not reliable on every server.
func (s *session) admit(sig signal, value, access *ua.DataValue) error {
	switch value.Status {
	case ua.StatusBadNodeIDUnknown, ua.StatusBadNodeIDInvalid:
		return errMissing
	case ua.StatusBadAttributeIDInvalid:
		return errors.New("is not a variable")
	case ua.StatusBadNotReadable, ua.StatusBadUserAccessDenied:
		return errors.New("cannot be read by this user")
	}
	if severity(value.Status) == bad || value.Value == nil || value.Value.Type() == ua.TypeIDNull {
		return fmt.Errorf("has no value (%s)", statusName(value.Status))
	}
	is, allowed := value.Value.Type(), table[sig].types
	switch {
	case value.Value.Has(ua.VariantArrayValues):
		return fmt.Errorf("is an array of %s; allowed is %s: name the node of one element", typeName(is), typeNames(allowed))
	case !slices.Contains(allowed, is):
		return fmt.Errorf("is %s; allowed is %s", typeName(is), typeNames(allowed))
	}
	s.types[sig] = is
	if level, ok := accessLevel(access); ok && table[sig].output && level&ua.AccessLevelTypeCurrentWrite == 0 {
		return errors.New("cannot be written by this user")
	}
	return nil
}

func accessLevel(v *ua.DataValue) (ua.AccessLevelType, bool) {
	if severity(v.Status) != good || v.Value == nil {
		return 0, false
	}
	level, ok := v.Value.Value().(uint8)
	return ua.AccessLevelType(level), ok
}

// register has the PLC prepare the nodes for fast access. The ids that it returns live as long as the session.
func (s *session) register(ctx context.Context) error {
	var used []signal
	for sig, id := range s.ids {
		if id != nil {
			used = append(used, signal(sig))
		}
	}
	for part := range slices.Chunk(used, s.most) {
		request := &ua.RegisterNodesRequest{}
		for _, sig := range part {
			request.NodesToRegister = append(request.NodesToRegister, s.ids[sig])
		}
		response, err := s.client.RegisterNodes(ctx, request)
		if err != nil {
			return err
		}
		if len(response.RegisteredNodeIDs) != len(part) {
			return fmt.Errorf("registered %d nodes, got %d", len(part), len(response.RegisteredNodeIDs))
		}
		for i, sig := range part {
			s.ids[sig] = response.RegisteredNodeIDs[i]
		}
	}
	return nil
}
