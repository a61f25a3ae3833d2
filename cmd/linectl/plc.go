package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/opcua"
	"linectl/internal/opcua/pki"
)

func (p *program) plcCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "plc",
		Short: "the link to the PLC: what it offers, certificates, and a simulated PLC to commission against",
	}
	c.AddCommand(p.plcProbeCommand(), p.plcStatusCommand(), p.plcCertCommand(), p.plcTrustCommand(), p.plcSimulateCommand())
	return c
}

func (p *program) plcCertCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cert",
		Short: "linectl's own certificate, which the PLC has to trust; made if there is none yet",
		Long: `Cert shows linectl's own certificate, and makes it if there is none yet. The PLC has to trust it: import the
.der file there. 60 days before it runs out a second row shows the one that follows: have the PLC trust that
one as well; linectl takes it from the last day on.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := p.draft("state")
			if err != nil {
				return err
			}
			own, err := pki.Open(cfg.PKI(), opcua.Name)
			if err != nil {
				return err
			}
			next, err := pki.Next(cfg.PKI(), opcua.Name)
			if err != nil {
				return err
			}
			shown := show(own)
			if next != nil {
				shown.Next = new(show(*next))
			}
			var rows [][]string
			for s := &shown; s != nil; s = s.Next {
				rows = append(rows, []string{s.File, s.URI, s.Until.Format(time.DateOnly), s.SHA256, s.SHA1})
			}
			return p.print(shown, []string{"file", "application uri", "valid until", "sha-256", "sha-1"}, rows)
		},
	}
}

// ownCertificate is linectl's own certificate as people compare it; PLCs show the SHA-1, too.
type ownCertificate struct {
	File   string          `json:"file"`
	URI    string          `json:"application_uri"`
	SHA256 string          `json:"sha256"`
	SHA1   string          `json:"sha1"`
	Until  time.Time       `json:"valid_until"`
	Next   *ownCertificate `json:"next,omitempty"`
}

func show(i pki.Identity) ownCertificate {
	return ownCertificate{File: i.File, URI: i.URI, SHA256: pki.Fingerprint(i.Certificate), SHA1: pki.Thumbprint(i.Certificate), Until: i.Until}
}

func (p *program) plcTrustCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "trust [ADDRESS]",
		Short: "fetch the PLC's certificate, show its fingerprint, and pin it",
		Long: `Trust asks the configured endpoint for its certificate and shows its fingerprint. Compare it with
the one that the PLC's own engineering tool shows: whoever answers on the network could be somebody
else. From then on linectl talks to the owner of that certificate and to nobody else. With an address
(opc.tcp://HOST:PORT) it asks that PLC, and no config is needed yet.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := p.addressed(args)
			if err != nil {
				return err
			}
			return p.trustPLC(c.Context(), cfg, yes)
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask: the fingerprint is known to be right")
	return c
}

func (p *program) trustPLC(ctx context.Context, cfg config.Config, yes bool) error {
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
	own, err := pki.Open(cfg.PKI(), opcua.Name)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s shows a certificate\n  subject      \"%s\"\n  valid until  %s\n  SHA-256      %s\n  SHA-1        %s\n",
		cfg.PLC.Endpoint, shown(parsed.Subject.String(), 100), parsed.NotAfter.Format(time.DateOnly), pki.Fingerprint(certificate), pki.Thumbprint(certificate))
	fmt.Fprintf(p.out, "linectl's own, which the PLC has to trust\n  file         %s\n  SHA-256      %s\n  SHA-1        %s\n",
		own.File, pki.Fingerprint(own.Certificate), pki.Thumbprint(own.Certificate))
	if time.Now().After(parsed.NotAfter) {
		fmt.Fprintln(p.out, "the PLC's certificate has run out: there will be no session with it")
	}
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
