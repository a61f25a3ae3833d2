package main

import (
	"fmt"
	"io"
	"strings"
)

// plainText leaves text as it is, for CSV.
func plainText(text string) string { return text }

// forTerminal makes text fit for a terminal.
func forTerminal(text string) string { return shown(text, 200) }

// fields are what is known of the part, a line for each; text from outside goes through clean.
func (s storyPage) fields(clean func(string) string) [][]string {
	var fields [][]string
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, []string{name, clean(value)})
		}
	}
	add("record", fmt.Sprint(s.ID))
	add("seen at", s.At)
	add("station", s.Station)
	if s.Sequence != nil {
		add("sequence", fmt.Sprintf("%d (%d bits)", *s.Sequence, s.bits))
	}
	if s.Missed > 0 {
		add("missed", fmt.Sprintf("%d parts up to this sequence", s.Missed))
	}
	add("part", s.PartID)
	add("lot", s.Lot)
	if s.Hold != nil {
		add("held", fmt.Sprintf("the lot, by %s at %s: %s", s.Hold.Who, s.Hold.At, s.Hold.Why))
	}
	add("user data", s.UserData)
	add("mode", s.Mode)
	if s.Recovered {
		add("recovered", "from the PLC's tags, after linectl had been cut off")
	}
	add("verdict", joined(s.Verdict, s.Reason))
	if s.Verdict != s.Decided || s.Reason != s.DecidedReason {
		add("decided", joined(s.Decided, s.DecidedReason))
	}
	add("detail", s.Detail)
	if s.Score != nil {
		score := figure(s.Score)
		if s.Threshold != nil && *s.Threshold > 0 {
			score += fmt.Sprintf(" (%.2f of the threshold %s)", *s.Score / *s.Threshold, figure(s.Threshold))
		}
		if s.Late {
			score += ", after the deadline: never sent"
		}
		add("score", score)
	}
	add("zone", s.Zone)
	if s.ForReview {
		add("review", "passed near the threshold: a person should look at it")
	}
	for _, r := range s.Reviews {
		add("reviewed", fmt.Sprintf("%s, by %s at %s: %s", r.Verdict, r.Who, r.At, r.Why))
	}
	if s.Recipe != "" {
		add("recipe", fmt.Sprintf("%s version %d", s.Recipe, s.Version))
	}
	add("hash", s.Hash)
	add("backbone", s.Backbone)
	if s.Brightness != nil && s.Spread != nil && s.Sharpness != nil {
		add("quality", fmt.Sprintf("brightness %.1f, spread %.1f, sharpness %.1f", *s.Brightness, *s.Spread, *s.Sharpness))
	}
	for _, p := range s.Pictures {
		where := p.Path
		if p.Removed != "" {
			where = fmt.Sprintf("removed by retention (%s) at %s", p.Why, p.Removed)
		}
		add("picture", fmt.Sprintf("%s (camera %s, %d x %d)", where, p.Camera, p.Width, p.Height))
		add("exposed at", p.ExposedAt)
		add("taken from", p.Source)
	}
	if len(s.Pictures) == 0 {
		add("frame", s.Digest)
	}
	add("device", s.Device)
	add("software", s.Software)
	for _, d := range s.Deliveries {
		add("told plc", fmt.Sprintf("%s, %s at %s", joined(d.Verdict, d.Reason), d.Outcome, d.At))
		add("because", d.Error)
	}
	if len(s.Deliveries) == 0 {
		add("told plc", "nothing is known of a delivery")
	}
	switch {
	case s.NoOverlay != "":
		add("heatmap", "none: "+s.NoOverlay)
	case s.Note != "":
		add("heatmap", fmt.Sprintf("%s (on grey: %s)", s.Overlay, s.Note))
	default:
		add("heatmap", s.Overlay)
	}
	return fields
}

func joined(verdict, reason string) string {
	if reason == "" {
		return verdict
	}
	return verdict + ": " + reason
}

// barWidth is how many characters stand for the whole cycle.
const barWidth = 40

// write prints the page for a person.
func (s storyPage) write(out io.Writer, coloured bool) error {
	var b strings.Builder
	title := strings.ToUpper(s.Verdict)
	if coloured {
		colour := "31"
		if s.Verdict == "pass" {
			colour = "32"
		}
		title = "\033[" + colour + ";1m" + title + "\033[0m"
	}
	fmt.Fprintf(&b, "%s  %s\n", title, forTerminal(nameOf(s)))
	if s.ReasonText != "" {
		fmt.Fprintf(&b, "  %s\n", s.ReasonText)
		if s.Hint != "" {
			fmt.Fprintf(&b, "  hint: %s\n", s.Hint)
		}
	}
	b.WriteString("\n")
	for _, f := range s.fields(forTerminal) {
		fmt.Fprintf(&b, "  %-11s %s\n", f[0], f[1])
	}
	if n := len(s.Deliveries); n > 0 {
		s.writeStages(&b, s.Deliveries[n-1])
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func nameOf(s storyPage) string {
	if s.PartID != "" {
		return "part " + s.PartID
	}
	return fmt.Sprintf("record %d", s.ID)
}

// writeStages draws how long each stage took, one after the other, against the cycle as configured now.
func (s storyPage) writeStages(b *strings.Builder, d deliveryPage) {
	if len(d.Stages) == 0 {
		return
	}
	fmt.Fprintf(b, "\n  %-11s %8s  of a cycle of %.0f ms\n", "stage", "ms", s.CycleMS)
	scale := barWidth / max(s.CycleMS, d.TotalMS, 1)
	at := 0.0
	for _, stage := range d.Stages {
		from, to := int(at*scale), int((at+stage.MS)*scale+0.5)
		fmt.Fprintf(b, "  %-11s %8.1f  %s%s\n", forTerminal(stage.Name), stage.MS, strings.Repeat(" ", min(from, barWidth)), strings.Repeat("▇", max(min(to, barWidth)-from, 0)))
		at += stage.MS
	}
	fmt.Fprintf(b, "  %-11s %8.1f  %s\n", "total", d.TotalMS, strings.Repeat("━", min(int(d.TotalMS*scale+0.5), barWidth)))
}
