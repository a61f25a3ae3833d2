package main

import (
	"context"
	"io"
	stdlog "log"
	"log/slog"
	"net"

	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/line"
	"linectl/internal/opcua"
	"linectl/internal/part"
	"linectl/internal/vision"
)

// edge is where the parts come from: the link to a PLC's server, or a server of our own that PLCs call.
type edge interface {
	line.PLC
	Run(context.Context) error
}

func (s *station) edge() edge {
	if s.called != nil {
		return s.called
	}
	return s.link
}

// openVision makes the server that PLCs call. Its sequence goes on where the record ends.
func (s *station) openVision(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	last, err := s.store.Last(ctx, cfg.Line.Name)
	if err != nil {
		return err
	}
	reserved, err := s.store.Reserved(ctx, cfg.Line.Name)
	if err != nil {
		return err
	}
	numbers := vision.Numbers{Last: last.Last, Reserved: reserved, Reserve: func(ctx context.Context, last part.Sequence) error {
		return s.store.Reserve(ctx, cfg.Line.Name, last)
	}}
	recipe := ""
	if s.inspector != nil {
		recipe = s.inspector.Recipe().Name
	}
	s.called, err = newVision(cfg, numbers, recipe, s.runner, log)
	return err
}

func newVision(cfg *config.Config, numbers vision.Numbers, recipe string, listener opcua.Listener, log *slog.Logger) (*vision.Station, error) {
	stdlog.SetOutput(io.Discard) // the server library reports its own start there
	return vision.New(cfg.Vision, cfg.PKI(), numbers, cfg.Line.Cycle.Std(), recipe, listener, log)
}

// tryVision tries whether the server could listen; one that runs holds its address.
func tryVision(listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return hint.New(hint.Failure, err, "is linectl running already? Otherwise correct vision.listen")
	}
	return l.Close()
}
