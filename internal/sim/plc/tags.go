package plc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gopcua/opcua/ua"
)

// Namespace is the URI of the namespace that holds the tags.
const Namespace = "urn:linectl:simulated-plc"

// inputs are the tags that the PLC writes itself; linectl can only read them.
var inputs = []string{"part_present", "trigger_seq", "part_id", "recipe_id", "lot", "user_data", "result_ack", "plc_heartbeat"}

// profiles are the tags of the profiles that do not have all.
var profiles = map[string][]string{
	"minimal": {"part_present", "reject", "result_valid"},
	"standard": {"part_present", "reject", "result_valid", "trigger_seq", "plc_heartbeat", "accept", "result_seq", "result_code", "ready", "fault", "fault_code",
		"vision_heartbeat"},
}

// initial are the tags as after a cold start. The type of a value is the type of its tag.
func initial(cfg Config) map[string]any {
	var sequence any = uint16(0)
	if cfg.Width == 32 {
		sequence = uint32(0)
	}
	tags := map[string]any{
		"part_present": false, "trigger_seq": sequence, "part_id": "", "recipe_id": "", "lot": "", "user_data": "", "result_ack": false, "plc_heartbeat": uint16(0),
		"accept": false, "reject": true, "result_seq": sequence, "result_part_id": "", "result_recipe_id": "", "result_code": int16(0), "score": float32(0), "result_valid": false,
		"ready": false, "busy": false, "fault": false, "fault_code": int16(0), "vision_heartbeat": uint16(0),
		"missed_count": uint32(0), "overrun_count": uint32(0), "deadline_count": uint32(0), "station_state": int16(0), "last_outage": int16(0),
	}
	if few := profiles[cfg.Profile]; few != nil {
		maps.DeleteFunc(tags, func(key string, _ any) bool { return !slices.Contains(few, key) })
	}
	for key, value := range cfg.Tags {
		if value == nil {
			delete(tags, key)
			continue
		}
		tags[key] = value
	}
	return tags
}

// Keys are the keys of all tags that a simulated PLC can have.
func Keys() []string { return slices.Sorted(maps.Keys(initial(Config{}))) }

// Memory is a copy of all tags by key, as a PLC with retentive memory keeps them over a restart: give
// it to the next one as Config.Tags.
func (p *PLC) Memory() map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.tags)
}

// Tag is the value of one tag; nil where there is none.
func (p *PLC) Tag(key string) any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tags[key]
}

func (p *PLC) value(key string) (any, ua.StatusCode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tags[key], p.spoiled[key]
}

// Set sets one tag past all checks, as somebody at the PLC's engineering tool could: a value of another
// type gives the tag that type.
func (p *PLC) Set(key string, value any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tags[key] = value
	p.scan()
}

// Tags maps each key of [plc.tags] to its node id.
func (p *PLC) Tags() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := map[string]string{}
	for key := range p.tags {
		ids[key] = fmt.Sprintf("nsu=%s;s=%s", Namespace, identifier(key))
	}
	return ids
}

// Section is the [plc] section of linectl.toml that goes with this PLC. Result_ack is left out: this
// PLC acknowledges with part_present.
func (p *PLC) Section() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[plc]\nendpoint = %q\nprofile = %q\nserver_certificate = %q\n\n[plc.tags]\n", p.endpoint, p.cfg.Profile, p.CertificateFile())
	tags := p.Tags()
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if key != "result_ack" {
			fmt.Fprintf(&b, "%-16s = '%s'\n", key, tags[key])
		}
	}
	return b.String()
}

// identifier is the node's string identifier in the way of a Siemens PLC, quotes included:
// "Inspect"."TriggerSeq" for trigger_seq.
func identifier(key string) string {
	var name strings.Builder
	for word := range strings.SplitSeq(key, "_") {
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return fmt.Sprintf(`"Inspect".%q`, name.String())
}
