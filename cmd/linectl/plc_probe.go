package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/opcua"
)

func (p *program) plcProbeCommand() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:   "probe [ADDRESS]",
		Short: "what the PLC offers and grants, how fast it answers, and the [plc] section that goes with it",
		Long: `Probe connects as the line would and shows the PLC's endpoints, each configured tag with type, rights
and value, tags that bear the name of a signal but are not configured, the time that a poll takes, the
shortest subscription that the PLC grants, and its clock. It ends with a [plc] section to paste. Nothing is
written, and a config that lacks tags is good enough. With an address (opc.tcp://HOST:PORT) it probes that PLC, and
no config is needed at all.

With --watch it shows the handshake live: each change of a tag, until Ctrl-C.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := p.addressed(args)
			if err != nil {
				return err
			}
			if watch {
				return p.watchPLC(c.Context(), cfg)
			}
			return p.probePLC(c.Context(), cfg)
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "show each change of a tag until Ctrl-C")
	return c
}

func (p *program) probePLC(ctx context.Context, cfg config.Config) error {
	report, failed := opcua.Probe(ctx, cfg.PLC, cfg.PKI())
	var rows [][]string
	for _, t := range report.Tags {
		note := t.Wrong
		if t.Found {
			note = cmp.Or(note, "not configured; found by its name")
		}
		rows = append(rows, []string{t.Key, cmp.Or(t.Type, "-"), cmp.Or(t.Rights, "-"), cmp.Or(shown(t.Value, 24), "-"), shown(t.Node, 200), shown(note, 400)})
	}
	header := []string{"signal", "type", "rights", "value", "node", "note"}
	if p.output != "table" {
		if err := p.print(report, header, rows); err != nil {
			return err
		}
		return failed
	}
	var offers [][]string
	for _, o := range report.Offers {
		offers = append(offers, []string{shown(o.Policy, 80), o.Mode, strings.Join(o.Users, ", "), o.SHA256})
	}
	if len(offers) > 0 {
		if err := p.print(nil, []string{"policy", "mode", "users", "sha-256 of the certificate"}, offers); err != nil {
			return err
		}
	}
	if failed != nil {
		return failed
	}
	for _, notice := range cfg.PLC.Notices() {
		fmt.Fprintf(p.out, "\n%s\n", notice)
	}
	fmt.Fprintf(p.out, "\nnamespaces  %s\n\n", shown(strings.Join(report.Namespaces, "  "), 2000))
	if err := p.print(nil, header, rows); err != nil {
		return err
	}
	for _, other := range report.Others {
		fmt.Fprintf(p.out, "\nThe same names are at %s once more, another line's perhaps. Is that one meant? Write its part_present into [plc.tags] and probe again.\n", shown(other, 200))
	}
	fmt.Fprintf(p.out, "\nrequests     %s\n%s", roundTrips(report), histogram(report.Rounds))
	fmt.Fprintf(p.out, "subscription %s\nclock        %s\n\n", granted(report), offset(report))
	if err := p.print(nil, []string{"trigger", "news after", "requests", "each", "in all", fmt.Sprintf("line.cycle %s", cfg.Line.Cycle)}, paths(report, cfg.Line.Cycle.Std())); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "\n%s", report.Section)
	return nil
}

// draft reads a config that need not be finished: only the keys that begin with one of the given ones have to be
// right. It is how a link is set up, certificates first and tags last.
func (p *program) draft(needed ...string) (config.Config, error) {
	document, err := os.ReadFile(p.configPath)
	if err != nil {
		return config.Load(p.configPath) // says it better
	}
	cfg, mistakes := config.Parse(document)
	for _, m := range mistakes {
		needs := func(prefix string) bool { return strings.HasPrefix(m.Key, prefix) }
		if m.Key == "" || !strings.HasPrefix(m.Key, "plc.tags.") && slices.ContainsFunc(needed, needs) {
			return config.Load(p.configPath)
		}
	}
	return cfg, nil
}

// addressed is the draft for the PLC whose address stands on the command line, or for the configured one. With an address no
// config has to be there yet; what there is of it counts.
func (p *program) addressed(args []string) (config.Config, error) {
	if len(args) == 0 {
		return p.draft("state", "plc.")
	}
	cfg := config.Default()
	if document, err := os.ReadFile(p.configPath); err == nil {
		cfg, _ = config.Parse(document)
	}
	cfg.PLC.Endpoint = args[0]
	for _, problem := range cfg.PLC.Check() {
		if !strings.HasPrefix(problem.Key, "tags.") {
			return cfg, hint.New(hint.Usage, fmt.Errorf("plc.%s: %s", problem.Key, problem.Message), "'linectl check' lists every mistake in the config")
		}
	}
	return cfg, nil
}

func inMilliseconds(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }

func roundTrips(r opcua.Report) string {
	return fmt.Sprintf("%d readings: p50 %s, p90 %s, p99 %s, longest %s", len(r.Rounds),
		inMilliseconds(r.Round(50)), inMilliseconds(r.Round(90)), inMilliseconds(r.Round(99)), inMilliseconds(r.Round(100)))
}

// histogram draws how many readings took how long, in steps that double.
func histogram(rounds []time.Duration) string {
	var b strings.Builder
	from := time.Duration(0)
	for to, i := 250*time.Microsecond, 0; i < len(rounds); from, to = to, 2*to {
		n := 0
		for ; i < len(rounds) && rounds[i] < to; i++ {
			n++
		}
		if n > 0 {
			fmt.Fprintf(&b, "  %10s to %10s  %5d  %s\n", inMilliseconds(from), inMilliseconds(to), n, strings.Repeat("#", (40*n+len(rounds)-1)/len(rounds)))
		}
	}
	return b.String()
}

// paths are the ways to learn of a part, each held against the cycle as the line holds it at its start.
func paths(r opcua.Report, cycle time.Duration) [][]string {
	var rows [][]string
	for _, path := range r.Paths {
		verdict := "fits"
		if path.Fits(cycle) != nil {
			verdict = "TOO SLOW"
		}
		rows = append(rows, []string{string(path.Trigger), inMilliseconds(path.Wait), fmt.Sprint(path.Rounds), inMilliseconds(path.Round), inMilliseconds(path.Whole()), verdict})
	}
	return rows
}

func granted(r opcua.Report) string {
	if r.Refused != "" {
		return "refused: " + r.Refused
	}
	return fmt.Sprintf("at best every %s, sampled every %s; %d messages came, p50 %s apart, longest %s", inMilliseconds(r.Publishing), inMilliseconds(r.Sampling),
		len(r.Gaps), inMilliseconds(r.Gap(50)), inMilliseconds(r.Gap(100)))
}

func offset(r opcua.Report) string {
	switch {
	case !r.ClockKnown:
		return "not told"
	case r.Clock.Abs() < time.Millisecond:
		return "that of this machine"
	case r.Clock < 0:
		return fmt.Sprintf("%s behind this machine", (-r.Clock).Round(time.Millisecond))
	}
	return fmt.Sprintf("%s ahead of this machine", r.Clock.Round(time.Millisecond))
}

func (p *program) watchPLC(ctx context.Context, cfg config.Config) error {
	return opcua.Watch(ctx, cfg.PLC, cfg.PKI(), func(c opcua.Change) {
		fmt.Fprintf(p.out, "%s  %-16s  %s\n", c.At.Format("15:04:05.000"), c.Key, shown(c.Value, 200))
	})
}
