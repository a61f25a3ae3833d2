package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/opcua"
	"linectl/internal/store"
)

func (p *program) checkCommand() *cobra.Command {
	var connect bool
	c := &cobra.Command{
		Use:   "check",
		Short: "every mistake in the config; with --connect also tries the PLC, the camera, the recipe and the disk",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			if !connect {
				fmt.Fprintf(p.out, "%s: no mistakes\n", p.configPath)
				for _, notice := range cfg.PLC.Notices() {
					fmt.Fprintf(p.out, "plc: %s\n", notice)
				}
				return nil
			}
			return p.tryAll(c.Context(), cfg)
		},
	}
	c.Flags().BoolVar(&connect, "connect", false, "also try everything that the line needs; nothing is changed")
	return c
}

// trial is what came of trying one thing that the line needs.
type trial struct {
	What   string  `json:"what"`
	Target string  `json:"target"`
	OK     bool    `json:"ok"`
	TookMS float64 `json:"took_ms"`
	Error  string  `json:"error,omitempty"`
	Hint   string  `json:"hint,omitempty"`
}

// tryAll tries each thing by itself, so that one failure does not hide the next.
func (p *program) tryAll(ctx context.Context, cfg *config.Config) error {
	quiet := slog.New(slog.DiscardHandler)
	var trials []trial
	failed := 0
	try := func(what, target string, do func() error) {
		begun := time.Now()
		err := do()
		t := trial{What: what, Target: target, OK: err == nil, TookMS: float64(time.Since(begun).Microseconds()) / 1000}
		if err != nil {
			failed++
			t.Error, t.Hint = err.Error(), hint.Of(err)
		}
		trials = append(trials, t)
	}
	if cfg.Vision.Serves() {
		try("vision", cfg.Vision.Listen, func() error { return tryVision(cfg.Vision.Listen) })
	} else {
		try("plc", cfg.PLC.Endpoint+notSecure(cfg), func() error { return opcua.Check(ctx, cfg.PLC, cfg.PKI(), cfg.Line.Cycle.Std()) })
	}
	for _, c := range cfg.Cameras {
		try("camera "+c.Name, c.Shown(), func() error { return tryCamera(ctx, c) })
	}
	if cfg.Inspect.Recipe != "" {
		try("recipe", cfg.Inspect.Recipe+" on "+cfg.Inspect.Device, func() error {
			inspector, err := inspect.Open(cfg.Inspect, cfg.Folders(), quiet)
			if err != nil {
				return err
			}
			return inspector.Close()
		})
	}
	try("disk", cfg.Store.Path, func() error { return store.Check(ctx, cfg.Store) })

	if err := p.printTrials(trials); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(trials))
	}
	return nil
}

// notSecure shows wherever the state of a line is shown.
func notSecure(cfg *config.Config) string {
	if cfg.PLC.Insecure {
		return " INSECURE"
	}
	return ""
}

func (p *program) printTrials(trials []trial) error {
	rows := make([][]string, len(trials))
	for i, t := range trials {
		verdict := "ok"
		if !t.OK {
			verdict = "FAILED"
		}
		rows[i] = []string{t.What, verdict, fmt.Sprintf("%.0f ms", t.TookMS), t.Target}
	}
	if err := p.print(trials, []string{"what", "result", "took", "target"}, rows); err != nil || p.output != "table" {
		return err
	}
	for _, t := range trials {
		if t.OK {
			continue
		}
		fmt.Fprintf(p.out, "\n%s: %s\n", t.What, strings.ReplaceAll(lines(t.Error), "\n", "\n  "))
		if t.Hint != "" {
			fmt.Fprintf(p.out, "  next: %s\n", t.Hint)
		}
	}
	return nil
}
