package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
)

// newLogHandler writes lines for people. Under systemd each line begins with its priority, as
// sd-daemon(3) has it, so that 'journalctl -p err' works; the journal has a clock of its own.
func newLogHandler(w io.Writer) slog.Handler {
	if os.Getenv("JOURNAL_STREAM") == "" {
		return slog.NewTextHandler(w, nil)
	}
	return slog.NewTextHandler(journal{w}, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})
}

// journal turns the level that a line begins with into a priority.
type journal struct{ w io.Writer }

func (j journal) Write(line []byte) (int, error) {
	for level, priority := range map[string]string{"ERROR": "<3>", "WARN": "<4>", "INFO": "<6>", "DEBUG": "<7>"} {
		if rest, ok := bytes.CutPrefix(line, []byte("level="+level+" ")); ok {
			if _, err := j.w.Write(append([]byte(priority), rest...)); err != nil {
				return 0, err
			}
			return len(line), nil
		}
	}
	return j.w.Write(line)
}
