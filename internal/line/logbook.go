package line

import (
	"context"
	"log/slog"
)

// logbook is the one goroutine that tells people, in the log and in the record, what happens beside the parts. It is
// not the recorder's, so that a fault of the disk is told, with its own time, while rows wait for the disk.
type logbook struct {
	store Store
	log   *slog.Logger
	notes *queue[Note]
}

func newLogbook(store Store, log *slog.Logger) *logbook {
	return &logbook{store: store, log: log, notes: newQueue[Note]()}
}

// run tells what comes until ctx ends, and then what is left.
func (b *logbook) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			b.tell()
			return
		case <-b.notes.ready():
			b.tell()
		}
	}
}

func (b *logbook) tell() {
	for _, n := range b.notes.take() {
		b.log.Log(context.Background(), n.level(), n.Detail, "event", n.Kind)
		b.store.Event(n.Kind, "linectl", n.Detail)
	}
}

// level is such that what keeps parts from passing is an error, and what a person should look into a warning.
func (n Note) level() slog.Level {
	switch n.Kind {
	case "fault":
		return slog.LevelError
	case "link-lost", "ack-timeout", "counter-restarted", "late-failure":
		return slog.LevelWarn
	}
	return slog.LevelInfo // plc-link among them: the link has its own line in the log
}
