package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/hint"
	"linectl/internal/opcua/pki"
)

// Offer is one endpoint of the PLC.
type Offer struct {
	Policy string   `json:"policy"`
	Mode   string   `json:"mode"`
	Users  []string `json:"users"` // anonymous, user name, certificate, issued
	SHA256 string   `json:"sha256"`
}

// TagReport is what the PLC says of one tag.
type TagReport struct {
	Key    string `json:"key"`
	Node   string `json:"node"`
	Type   string `json:"type"`
	Rights string `json:"rights"` // read, or read and write
	Value  string `json:"value"`
	Wrong  string `json:"wrong,omitempty"`  // what linectl could not work with
	Found  bool   `json:"found"`            // not configured; found by its name
	Better string `json:"better,omitempty"` // node with the signal's name, where the configured one is missing
}

// Report is everything that a PLC offers and grants. Durations are measured over the session that a
// line would have, with the nodes that a line reads.
type Report struct {
	Endpoint   string          `json:"endpoint"`
	Offers     []Offer         `json:"endpoints"`
	Namespaces []string        `json:"namespaces"`
	Tags       []TagReport     `json:"tags"`
	Others     []string        `json:"other_sets,omitempty"` // ways to where the same signals are found once more
	Rounds     []time.Duration `json:"round_trips_ns"`       // of everything that a line reads, in ascending order
	Clock      time.Duration   `json:"clock_offset_ns"`
	ClockKnown bool            `json:"clock_known"`
	// Publishing and Sampling are the intervals that the PLC grants where the shortest is asked for.
	Publishing time.Duration `json:"publishing_ns"`
	Sampling   time.Duration `json:"sampling_ns"`
	Refused    string        `json:"subscription_refused,omitempty"`
	// Gaps are the times between the messages of that subscription as they came, in ascending order.
	Gaps []time.Duration `json:"subscription_gaps_ns"`
	// Paths are what each way to learn of a part costs here: the configured poll, the shortest subscription.
	Paths   []Path `json:"paths"`
	Section string `json:"section"` // [plc] of a config, as far as it is known
}

// Round is the round trip that so many of 100 did not exceed.
func (r Report) Round(percent int) time.Duration {
	return percentile(r.Rounds, percent)
}

// Gap is the time between two messages of the subscription that so many of 100 did not exceed.
func (r Report) Gap(percent int) time.Duration { return percentile(r.Gaps, percent) }

const (
	probeRounds = 300
	probeTime   = 3 * time.Second
	listenGaps  = 50
	listenTime  = 2 * time.Second
)

// Probe asks a PLC for what it offers, and measures. The config may lack tags: it is how one finds out
// which there are. Nothing is written. Where the PLC shows its endpoints but lets nobody in, the report
// says that much, beside the error.
func Probe(ctx context.Context, cfg Config, folder string) (Report, error) {
	report := Report{Endpoint: cfg.Endpoint}
	if err := checkDraft(cfg); err != nil {
		return report, err
	}
	limits := usual()
	ctx, cancel := context.WithTimeout(ctx, 4*limits.connect+limits.open+probeTime+listenTime)
	defer cancel()
	asking, done := context.WithTimeout(ctx, limits.connect)
	offered, err := (&peer{cfg: cfg}).discover(asking)
	done()
	if err != nil {
		return report, err
	}
	for _, e := range offered {
		report.Offers = append(report.Offers, offer(e))
	}
	p, err := gather(cfg, folder)
	if err != nil {
		return report, err
	}
	endpoint, err := p.trusted(ctx)
	if err != nil {
		return report, err
	}
	s, err := p.enter(ctx, endpoint, limits)
	if err != nil {
		return report, err
	}
	defer s.close()
	if s.most, err = s.capacity(ctx, 2*fewestNodes); err != nil {
		return report, p.explain(err)
	}
	return report, s.probe(ctx, p, &report)
}

// checkDraft lets a config pass that lacks tags.
func checkDraft(cfg Config) error {
	for _, problem := range cfg.Check() {
		if sig, found := strings.CutPrefix(problem.Key, "tags."); !found || cfg.Tags.named(sig) {
			return hint.New(hint.Usage, fmt.Errorf("plc.%s: %s", problem.Key, problem.Message), "'linectl check' lists every mistake in the config")
		}
	}
	return nil
}

func offer(e *ua.EndpointDescription) Offer {
	o := Offer{
		Policy: strings.TrimPrefix(e.SecurityPolicyURI, ua.SecurityPolicyURIPrefix),
		Mode:   strings.TrimPrefix(e.SecurityMode.String(), "MessageSecurityMode"),
	}
	if len(e.ServerCertificate) > 0 {
		o.SHA256 = pki.Fingerprint(e.ServerCertificate)
	}
	for _, t := range e.UserIdentityTokens {
		name, known := map[ua.UserTokenType]string{
			ua.UserTokenTypeAnonymous: "anonymous", ua.UserTokenTypeUserName: "user name",
			ua.UserTokenTypeCertificate: "certificate", ua.UserTokenTypeIssuedToken: "issued",
		}[t.TokenType]
		if known && !slices.Contains(o.Users, name) {
			o.Users = append(o.Users, name)
		}
	}
	return o
}

func (s *session) probe(ctx context.Context, p peer, report *Report) error {
	report.Namespaces = s.client.Namespaces()
	there, err := s.browse(ctx)
	if err != nil && ctx.Err() != nil {
		return p.explain(err)
	}
	configured := map[string]bool{}
	for _, n := range p.nodes {
		if n.make == nil {
			continue
		}
		if id, err := n.resolve(report.Namespaces); err == nil && int(id.Namespace()) < len(report.Namespaces) {
			configured[textOf(id, report.Namespaces)] = true
		}
	}
	var ours []Variable
	ours, report.Others = stations(there, configured)
	for sig := range signals {
		t, err := s.inquire(ctx, sig, p.nodes[sig], there, ours)
		if err != nil {
			return p.explain(err)
		}
		if t.Node != "" {
			report.Tags = append(report.Tags, t)
		}
	}
	report.Section = section(p.cfg, report.Tags)
	report.clock(ctx, s)
	if report.Rounds, err = s.measure(ctx, probeRounds, probeTime); err != nil {
		return p.explain(err)
	}
	report.subscribe(ctx, s) // last: where it is refused, the library takes the connection for lost
	report.Paths = append(report.Paths, p.cfg.with(Polling).path(s.every, report.Round(90)))
	if report.Refused == "" {
		report.Paths = append(report.Paths, p.cfg.with(Subscribing).path(s.feed.wait(), report.Round(90)))
	}
	return nil
}

// inquire asks for one tag; one that is not configured is looked for by its name among the station's own.
func (s *session) inquire(ctx context.Context, sig signal, n node, there, ours []Variable) (TagReport, error) {
	t := TagReport{Key: table[sig].key, Node: n.String()}
	if n.make == nil {
		var err error
		if n, err = parseNode(called(t.Key, ours)); err != nil {
			return TagReport{}, nil
		}
		t.Node, t.Found = n.String(), true
	}
	nodeID, err := n.resolve(s.client.Namespaces())
	if err != nil {
		t.Wrong = err.Error()
		return t, nil
	}
	results, err := s.ask(ctx, &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnNeither, NodesToRead: []*ua.ReadValueID{
		{NodeID: nodeID, AttributeID: ua.AttributeIDValue},
		{NodeID: nodeID, AttributeID: ua.AttributeIDUserAccessLevel},
	}})
	if err != nil {
		return t, err
	}
	if v := results[0].Value; v != nil && v.Type() != ua.TypeIDNull {
		t.Type, t.Value = typeName(v.Type()), fmt.Sprint(v.Value())
	}
	if level, ok := accessLevel(results[1]); ok {
		t.Rights = "read"
		if level&ua.AccessLevelTypeCurrentWrite != 0 {
			t.Rights = "read, write"
		}
	}
	switch err := s.admit(sig, results[0], results[1]); {
	case err == errMissing:
		t.Wrong, t.Better = err.Error()+likeness(t.Node, there), called(t.Key, ours)
	case err != nil:
		t.Wrong = err.Error()
	default:
		s.ids[sig], s.own[sig] = nodeID, nodeID
	}
	return t, nil
}

// called is the node of the variable that bears a signal's name; "" where there is none.
func called(key string, ours []Variable) string {
	for _, v := range ours {
		if lastName(v.Name) == bare(key) {
			return v.Node
		}
	}
	return ""
}

// clock compares the PLC's clock with this machine's, to half a round trip.
func (r *Report) clock(ctx context.Context, s *session) {
	before := time.Now()
	results, err := s.ask(ctx, &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnNeither, NodesToRead: []*ua.ReadValueID{
		{NodeID: clock(), AttributeID: ua.AttributeIDValue},
	}})
	took := time.Since(before)
	if err != nil || results[0].Value == nil {
		return
	}
	if now, ok := results[0].Value.Value().(time.Time); ok {
		r.Clock, r.ClockKnown = now.Sub(before.Add(took/2)), true
	}
}

// subscribe asks for the shortest intervals there are, and hears how often the clock comes through.
func (r *Report) subscribe(ctx context.Context, s *session) {
	feed, err := s.subscribe(ctx, time.Millisecond, present(s, partPresent))
	if err != nil {
		r.Refused = err.Error()
		return
	}
	s.feed = feed
	r.Publishing, r.Sampling = feed.publishing, feed.sampling
	r.Gaps = feed.gaps(ctx, listenGaps, listenTime)
}

// present are those of the signals that the session has.
func present(s *session, wanted ...signal) []signal {
	return slices.DeleteFunc(wanted, func(sig signal) bool { return !s.has(sig) })
}

// section writes the [plc] section that goes with what was found: the biggest profile that has all its tags.
func section(cfg Config, tags []TagReport) string {
	fine := map[string]string{}
	for _, t := range tags {
		if t.Wrong == "" {
			fine[t.Key] = t.Node
		} else if t.Better != "" {
			fine[t.Key] = t.Better
		}
	}
	profile := Profile("")
	for _, p := range profiles {
		whole := true
		for sig := range signals {
			whole = whole && (!p.demands(table[sig].from) || fine[table[sig].key] != "")
		}
		if whole {
			profile = p
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[plc]\nendpoint = %q\n", cfg.Endpoint)
	if profile == "" {
		fmt.Fprintf(&b, "# not even profile minimal has all its tags\n")
	} else {
		fmt.Fprintf(&b, "profile = %q\n", profile)
	}
	if cfg.Trigger == Subscribing {
		fmt.Fprintf(&b, "trigger = %q\n", cfg.Trigger)
	}
	if cfg.Poll != Default().Poll {
		fmt.Fprintf(&b, "poll = %q\n", cfg.Poll)
	}
	fmt.Fprintf(&b, "security_policy = %q\nsecurity_mode = %q\n", cfg.SecurityPolicy, cfg.SecurityMode)
	if cfg.Insecure {
		fmt.Fprintln(&b, "insecure = true")
	}
	for _, line := range [][2]string{{"server_certificate", cfg.ServerCertificate}, {"server_sha256", cfg.ServerSHA256}, {"user", cfg.User}, {"password_file", cfg.PasswordFile}, {"user_certificate", cfg.UserCertificate}, {"revoked", cfg.Revoked}} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%s = %q\n", line[0], line[1])
		}
	}
	fmt.Fprintf(&b, "\n[plc.tags]\n")
	for sig := range signals {
		if node := fine[table[sig].key]; node != "" {
			if sig == resultAck && !cfg.Tags.has(sig) {
				fmt.Fprint(&b, "# only where part_present falls early: ")
			}
			literal := "'" + node + "'"
			if strings.ContainsFunc(node, func(r rune) bool { return r == '\'' || !unicode.IsPrint(r) }) {
				literal = strconv.Quote(node) // nothing that a PLC calls a tag begins another line of the config
			}
			fmt.Fprintf(&b, "%-16s = %s\n", table[sig].key, literal)
		}
	}
	return b.String()
}

// Change is a tag that changed, or as it was when the watch began.
type Change struct {
	At    time.Time
	Key   string
	Value string
}

// Watch tells each change of a configured tag until ctx ends. It only reads, in a session of its own.
func Watch(ctx context.Context, cfg Config, folder string, tell func(Change)) error {
	if err := checkDraft(cfg); err != nil {
		return err
	}
	p, err := gather(cfg, folder)
	if err != nil {
		return err
	}
	p.search = true
	s, err := p.connect(ctx, usual())
	if err != nil {
		return err
	}
	defer s.close()
	var all []signal
	for sig := range signals {
		if s.has(sig) {
			all = append(all, sig)
		}
	}
	if len(all) == 0 {
		return hint.New(hint.Usage, errors.New("no tag is configured, so there is nothing to watch"), "'linectl plc probe' finds the tags by their names and prints the section for the config")
	}
	var last values
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	for first := true; ; first = false {
		v, err := s.readSoon(ctx, all)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return p.explain(err)
		}
		for _, sig := range all {
			if first || v[sig] != last[sig] {
				tell(Change{time.Now(), table[sig].key, fmt.Sprint(v[sig])})
				last[sig] = v[sig]
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
