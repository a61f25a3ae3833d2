package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/opcua"
	"linectl/internal/opcua/pki"
	"linectl/internal/sim/plc"
)

func (p *program) plcCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "plc",
		Short: "the link to the PLC: what it offers, certificates, and a simulated PLC to commission against",
	}
	c.AddCommand(p.plcProbeCommand(), p.plcCertCommand(), p.plcTrustCommand(), p.plcSimulateCommand())
	return c
}

func (p *program) plcCertCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cert",
		Short: "linectl's own certificate, which the PLC has to trust; made if there is none yet",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			own, err := pki.Open(cfg.PKI(), opcua.Name)
			if err != nil {
				return err
			}
			shown := struct {
				File   string    `json:"file"`
				URI    string    `json:"application_uri"`
				SHA256 string    `json:"sha256"`
				Until  time.Time `json:"valid_until"`
			}{own.File, own.URI, pki.Fingerprint(own.Certificate), own.Until}
			return p.print(shown, []string{"file", "application uri", "valid until", "sha-256"},
				[][]string{{shown.File, shown.URI, shown.Until.Format(time.DateOnly), shown.SHA256}})
		},
	}
}

func (p *program) plcTrustCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "trust",
		Short: "fetch the PLC's certificate, show its fingerprint, and pin it",
		Long: `Trust asks the configured endpoint for its certificate and shows its fingerprint. Compare it with
the one that the PLC's own engineering tool shows: whoever answers on the network could be somebody
else. From then on linectl talks to the owner of that certificate and to nobody else.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.trustPLC(c.Context(), yes) },
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask: the fingerprint is known to be right")
	return c
}

func (p *program) trustPLC(ctx context.Context, yes bool) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	if cfg.PLC.ServerSHA256 != "" {
		return hint.New(hint.Usage, errors.New("plc.server_sha256 pins the PLC's certificate already"), "change it there, or remove it to pin a file")
	}
	certificate, err := opcua.Fetch(ctx, cfg.PLC)
	if err != nil {
		return err
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return fmt.Errorf("the PLC's certificate: %w", err)
	}
	file := cfg.PLC.Pinned(cfg.PKI())
	fmt.Fprintf(p.out, "%s shows a certificate\n  subject      %s\n  valid until  %s\n  SHA-256      %s\n",
		cfg.PLC.Endpoint, parsed.Subject, parsed.NotAfter.Format(time.DateOnly), pki.Fingerprint(certificate))
	if pinned, err := pki.Read(file); err == nil {
		if bytes.Equal(pinned, certificate) {
			fmt.Fprintf(p.out, "it is trusted already: %s\n", file)
			return nil
		}
		fmt.Fprintf(p.out, "it would replace the one that is trusted now, SHA-256 %s\n", pki.Fingerprint(pinned))
	}
	if !yes && !p.confirm("Is this the fingerprint that the PLC itself shows?") {
		return errors.New("not confirmed; nothing was changed")
	}
	if err := pki.Keep(file, certificate); err != nil {
		return hint.New(hint.Failure, fmt.Errorf("store the PLC's certificate: %w", err), "run this as the user that may write there")
	}
	fmt.Fprintf(p.out, "trusted: %s\n", file)
	return nil
}

// confirm asks a question; only a clear yes is one.
func (p *program) confirm(question string) bool {
	fmt.Fprintf(p.err, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(p.in).ReadString('\n') // no answer is a no
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// simulation is a simulated PLC in the foreground.
type simulation struct {
	plc   plc.Config
	part  plc.Part
	rate  float64 // parts a minute
	count int     // of parts; 0 for no end
}

func (p *program) plcSimulateCommand() *cobra.Command {
	var s simulation
	c := &cobra.Command{
		Use:   "simulate",
		Short: "run a simulated PLC: a real OPC UA server that presents parts and judges the answers as a PLC does",
		Long: `Simulate runs a simulated PLC in the foreground: a real OPC UA server, signed and encrypted, with the
PLC's side of the handshake. It prints the [plc] section for a config file and then each part.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.simulate(c.Context(), s) },
	}
	f := c.Flags()
	f.StringVar(&s.plc.Address, "address", "127.0.0.1:4840", "where to listen")
	f.StringVar(&s.plc.Folder, "folder", "linectl-plc", "folder of the PLC's certificate and of its log of results")
	f.IntVar(&s.plc.Width, "width", 16, "width of the part counter in bits: 16 or 32")
	f.DurationVar(&s.plc.ResultLimit, "limit", 600*time.Millisecond, "how long the PLC waits for a result before it rejects")
	f.Float64Var(&s.rate, "rate", 60, "parts a minute")
	f.IntVar(&s.count, "count", 0, "end after so many parts; 0 for no end")
	f.StringVar(&s.part.Lot, "lot", "", "lot of the parts")
	f.StringVar(&s.part.Recipe, "recipe", "", "recipe that the PLC asks for; empty leaves the choice to linectl")
	return c
}

func (p *program) simulate(ctx context.Context, s simulation) (err error) {
	if s.rate <= 0 || s.rate > 60_000 {
		return hint.New(hint.Usage, fmt.Errorf("--rate %g is out of range; allowed is more than 0, up to 60000", s.rate), "60 is a part a second")
	}
	log.SetOutput(io.Discard) // the server library reports its own start there
	sim, err := plc.Start(s.plc)
	if errors.Is(err, syscall.EADDRINUSE) {
		return hint.New(hint.Failure, err, "another program listens there: end it, or choose another with --address")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sim.Close()) }()
	fmt.Fprintf(p.out, "%s\n%6s  %-10s  %-6s  %4s  %8s  %9s\n", sim.Section(), "seq", "part", "result", "code", "score", "latency")
	pace := time.NewTicker(time.Duration(float64(time.Minute) / s.rate))
	defer pace.Stop()
	for n := 1; ; n++ {
		s.part.ID = fmt.Sprintf("P%06d", n)
		outcome, err := sim.Inspect(ctx, s.part)
		if err != nil {
			return stopped(ctx, err)
		}
		fmt.Fprintf(p.out, "%s\n", handshake(s.part, outcome))
		if n == s.count {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-pace.C:
		}
	}
}

// stopped forgives what a person's Ctrl-C brought about.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// handshake is one line about one part.
func handshake(part plc.Part, o plc.Outcome) string {
	verdict := "REJECT"
	if o.Pass {
		verdict = "pass"
	}
	code, score := "-", "-"
	if o.Told {
		code, score = fmt.Sprint(o.Code), fmt.Sprintf("%.4g", o.Score)
	}
	return strings.TrimRight(fmt.Sprintf("%6d  %-10s  %-6s  %4s  %8s  %6.1f ms  %s", o.Seq, part.ID, verdict, code, score,
		float64(o.Latency.Microseconds())/1000, o.Why), " ")
}
