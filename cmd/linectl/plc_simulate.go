package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/opcua/pki"
	"linectl/internal/sim/conveyor"
	"linectl/internal/sim/plc"
	"linectl/internal/store"
)

// simulation is a standing PLC in the foreground.
type simulation struct {
	*program
	plc    plc.Config
	belt   conveyor.Belt
	count  int    // of parts; 0 for no end
	client string // file of the certificate of the one client that is let in
	faults string // file
	replay string // file
	speed  float64
	view   bool
}

func (p *program) plcSimulateCommand() *cobra.Command {
	s := &simulation{program: p}
	c := &cobra.Command{
		Use:   "simulate",
		Short: "run a simulated PLC: a real OPC UA server that presents parts and judges the answers as a PLC does",
		Long: `Simulate runs a simulated PLC in the foreground: a real OPC UA server, signed and encrypted, with the
PLC's side of the handshake. Parts come along a conveyor; --faults lets go wrong what goes wrong in a
plant; --replay brings the parts of a record, in their own time. It prints the [plc] section for a
config file and then each part; with -o json a line for each event. The same lines are appended to
log.jsonl in its folder.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return s.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&s.plc.Address, "address", "127.0.0.1:4840", "where to listen")
	f.StringVar(&s.plc.Folder, "folder", "linectl-plc", "folder of the PLC's certificate and of its log")
	f.StringVar(&s.client, "client", "", "file with the certificate of the only client to let in; without it every client is")
	f.StringVar(&s.plc.Profile, "profile", "full", "tags that the PLC has: minimal, standard or full")
	f.IntVar(&s.plc.Width, "width", 16, "width of the part counter in bits: 16 or 32")
	f.DurationVar(&s.plc.ResultLimit, "limit", 600*time.Millisecond, "how long the PLC waits for a result before it rejects")
	f.DurationVar(&s.plc.Shortest, "interval", 10*time.Millisecond, "shortest interval that a subscription is granted")
	f.IntVar(&s.plc.PerRequest, "nodes", 32, "nodes that the PLC's server takes in one request")
	f.Float64Var(&s.belt.Rate, "rate", 60, "parts a minute")
	f.Float64Var(&s.belt.Jitter, "jitter", 0, "how much the time between two parts may differ, as a share of it: 0 to 1")
	f.Uint64Var(&s.belt.Seed, "seed", 1, "seed of the jitter and of faults by chance: the same seed brings the same line")
	f.IntVar(&s.count, "count", 0, "end after so many parts; 0 for no end")
	f.StringVar(&s.belt.Lot, "lot", "", "lot of the parts")
	f.IntVar(&s.belt.LotSize, "lot-size", 0, "parts to a lot, whose name then ends with a number; 0 for one lot")
	f.StringVar(&s.belt.Recipe, "recipe", "", "recipe that the PLC asks for; empty leaves the choice to linectl")
	f.StringVar(&s.belt.UserData, "user-data", "", "user data of every part")
	f.StringVar(&s.faults, "faults", "", "file with a script of faults")
	f.StringVar(&s.replay, "replay", "", "bring the parts of this file: linectl's record (linectl.db) or a log.jsonl")
	f.Float64Var(&s.speed, "speed", 1, "how many times as fast as recorded --replay is")
	f.BoolVar(&s.view, "view", false, "on a terminal: keep the state of the line in view below the parts")
	return c
}

func (s *simulation) run(ctx context.Context) (err error) {
	cfg, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	log.SetOutput(io.Discard) // the server library reports its own start there
	if err := os.MkdirAll(s.plc.Folder, 0o750); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(s.plc.Folder, "log.jsonl"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("log of the simulated PLC: %w", err)
	}
	defer func() { err = cmp.Or(err, file.Close()) }() // not joined: a hint is found only on the way down
	logged, show := json.NewEncoder(file), s.reporter()
	var unlogged error     // the first line that did not get into the log
	var showing sync.Mutex // a client may come before the first line is out
	cfg.Report = func(e conveyor.Event) {
		showing.Lock()
		defer showing.Unlock()
		if err := logged.Encode(e); err != nil && unlogged == nil {
			unlogged = fmt.Errorf("log of the simulated PLC: %w", err)
		}
		show.event(e)
	}
	line, err := conveyor.Start(cfg)
	if errors.Is(err, syscall.EADDRINUSE) {
		return hint.New(hint.Failure, err, "another program listens there: end it, or choose another with --address")
	}
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, line.Close(), unlogged) }()
	showing.Lock()
	show.begin(line)
	showing.Unlock()
	defer show.end()
	_, err = line.Run(ctx)
	return stopped(ctx, err)
}

// prepare checks the command line and reads the files that it names.
func (s *simulation) prepare(ctx context.Context) (cfg conveyor.Config, err error) {
	refuse := func(format string, args ...any) error { return hint.New(hint.Usage, fmt.Errorf(format, args...), "") }
	switch {
	case !(s.belt.Rate > 0 && s.belt.Rate <= 60_000):
		return cfg, hint.New(hint.Usage, fmt.Errorf("--rate %g is out of range; allowed is more than 0, up to 60000", s.belt.Rate), "60 is a part a second")
	case !(s.belt.Jitter >= 0 && s.belt.Jitter <= 1):
		return cfg, refuse("--jitter %g is out of range; allowed is 0 to 1", s.belt.Jitter)
	case !slices.Contains([]string{"minimal", "standard", "full"}, s.plc.Profile):
		return cfg, refuse("--profile %q is unknown; choose minimal, standard or full", s.plc.Profile)
	case s.plc.Shortest < time.Millisecond || s.plc.Shortest > time.Minute:
		return cfg, refuse("--interval %s is out of range; allowed is 1ms to 1m", s.plc.Shortest)
	case s.plc.PerRequest < 5 || s.plc.PerRequest > 10_000:
		return cfg, refuse("--nodes %d is out of range; allowed is 5 to 10000", s.plc.PerRequest)
	case !(s.speed > 0 && s.speed <= 1000):
		return cfg, refuse("--speed %g is out of range; allowed is more than 0, up to 1000", s.speed)
	case s.count < 0:
		return cfg, refuse("--count %d is out of range; allowed is 0 or more", s.count)
	case s.belt.LotSize < 0:
		return cfg, refuse("--lot-size %d is out of range; allowed is 0 or more", s.belt.LotSize)
	case s.plc.ResultLimit <= 0:
		return cfg, refuse("--limit %s is out of range; allowed is more than 0", s.plc.ResultLimit)
	}
	if s.client != "" {
		certificate, err := pki.Read(s.client)
		if err != nil {
			return cfg, hint.New(hint.Usage, fmt.Errorf("--client: %w", err), "'linectl plc cert' names the file of linectl's certificate")
		}
		s.plc.Trusted = [][]byte{certificate}
	}
	cfg = conveyor.Config{PLC: s.plc, Items: s.belt.Items(), Count: s.count, Seed: s.belt.Seed}
	if s.faults != "" {
		if cfg.Script, err = conveyor.ReadScript(s.faults); err != nil {
			return cfg, err
		}
	}
	if s.replay != "" {
		recorded, err := readRecorded(ctx, s.replay)
		if err != nil {
			return cfg, err
		}
		cfg.Items = conveyor.Each(conveyor.Replay(recorded, s.speed))
	}
	return cfg, nil
}

// readRecorded reads the parts of a record or of a simulated PLC's log, oldest first.
func readRecorded(ctx context.Context, name string) ([]conveyor.Recorded, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, hint.New(hint.Usage, fmt.Errorf("--replay: %w", err), "name linectl.db, or the log.jsonl of a simulated PLC")
	}
	defer file.Close()
	const sqlite = "SQLite format 3\x00"
	head := make([]byte, len(sqlite))
	var recorded []conveyor.Recorded
	if _, err := io.ReadFull(file, head); err == nil && string(head) == sqlite {
		recorded, err = readRecordedParts(ctx, name)
		if err != nil {
			return nil, err
		}
	} else if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	} else if recorded, err = conveyor.ReadLog(file); err != nil {
		return nil, hint.New(hint.Usage, fmt.Errorf("--replay: %s, %w", name, err), "name linectl.db, or the log.jsonl of a simulated PLC")
	}
	if len(recorded) == 0 {
		return nil, hint.New(hint.NoMatch, fmt.Errorf("--replay: there is no part in %s", name), "")
	}
	return recorded, nil
}

func readRecordedParts(ctx context.Context, name string) (recorded []conveyor.Recorded, err error) {
	c := store.DefaultConfig()
	c.Path = name
	reader, err := store.OpenReader(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	var ids []int64
	for found, err := range reader.Find(ctx, store.Filter{}) {
		if err != nil {
			return nil, err
		}
		if found.Missed > 0 {
			continue // nobody saw them; the counter shows the gap
		}
		r := conveyor.Recorded{At: found.At, Seq: found.Sequence.Value, Bits: found.Sequence.Bits, Was: found.Verdict.String()}
		r.Part.ID, r.Part.Lot = found.PartID, found.Lot
		recorded, ids = append(recorded, r), append(ids, found.ID)
	}
	const page = 500
	for from := 0; from < len(ids); from += page {
		few := ids[from:min(from+page, len(ids))]
		asked, err := reader.Asked(ctx, few)
		if err != nil {
			return nil, err
		}
		for i, id := range few {
			recorded[from+i].Part.Recipe, recorded[from+i].Part.UserData = asked[id].Recipe, asked[id].UserData
		}
	}
	slices.Reverse(recorded)
	return recorded, nil
}

// stopped forgives what a person's Ctrl-C brought about.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// handshake is one line about one part.
func handshake(s conveyor.Seen) string {
	verdict := "REJECT"
	if s.Pass {
		verdict = "pass"
	}
	code, score := "-", "-"
	if s.Told {
		code, score = fmt.Sprint(*s.Code), fmt.Sprintf("%.4g", *s.Score)
	}
	why := s.Why
	if s.Was != "" && s.Was != s.Verdict() {
		why = strings.TrimLeft(why+"; recorded as "+s.Was, "; ")
	}
	return strings.TrimRight(fmt.Sprintf("%6d  %-10s  %-6s  %4s  %8s  %6.1f ms  %s", s.Seq, s.ID, verdict, code, score, s.Latency, why), " ")
}
