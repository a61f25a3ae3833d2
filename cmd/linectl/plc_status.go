package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/opcua"
	"linectl/internal/whole"
)

func (p *program) plcStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "how the running daemon's link to the PLC is, since when, and what to do about it",
		Long: `Status shows what the daemon itself last said of its link: the state, since when, why, what a person does
about it, and how often each outage came since the daemon started. It asks nothing of the PLC. With [vision],
where the PLC calls linectl, the link is up while linectl's own server can be called. The exit code is 0
while the link is up and 1 otherwise.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			s, err := readStatus(statusFile(cfg))
			if err != nil {
				return err
			}
			since := s.Since.In(p.zone).Format(time.DateTime)
			text := s.State.Text()
			if s.Serves != "" && s.State == opcua.Up {
				text = "linectl's own server can be called at " + s.Serves
			}
			rows := [][]string{{"state", fmt.Sprintf("%s: %s", s.Name, text)}, {"since", since}}
			if s.Error != "" {
				rows = append(rows, []string{"why", s.Error})
			}
			rows = append(rows, []string{"next", s.Next})
			if s.Insecure {
				rows = append(rows, []string{"security", "INSECURE: neither signed nor encrypted"})
			}
			if s.Path.Trigger != "" {
				rows = append(rows, []string{"path", fmt.Sprintf("%s, %s of each part's time", s.Path.Trigger, inMilliseconds(s.Path.Whole()))})
			}
			rows = append(rows, []string{"sessions", fmt.Sprint(s.Sessions)})
			for _, name := range sortedKeys(s.Outages) {
				rows = append(rows, []string{"outages", fmt.Sprintf("%s %d", name, s.Outages[name])})
			}
			if err := p.print(s, []string{"what", "value"}, rows); err != nil {
				return err
			}
			if s.State != opcua.Up {
				return hint.New(hint.Failure, fmt.Errorf("the link to the PLC is not up: %s", s.Name), s.Next)
			}
			return nil
		},
	}
}

func sortedKeys(m map[string]int) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// statusFile is where the daemon says how its link is.
func statusFile(cfg *config.Config) string { return filepath.Join(cfg.State, "plc-status.json") }

// readStatus reads what the daemon said last. One that was killed cannot say that it is away.
func readStatus(file string) (opcua.Status, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return opcua.Status{}, hint.New(hint.NoMatch, fmt.Errorf("no daemon has said anything yet: %s is not there", file), "start it: systemctl start linectl")
	}
	if err != nil {
		return opcua.Status{}, err
	}
	var s opcua.Status
	if err := json.Unmarshal(content, &s); err != nil || !s.State.Known() {
		return opcua.Status{}, hint.New(hint.Damage, fmt.Errorf("%s is not what the daemon writes", file), "it is written anew with the next change, at the latest when the daemon starts")
	}
	if s.State != opcua.Away && (errors.Is(syscall.Kill(s.Process, 0), syscall.ESRCH) || s.Born != "" && born(s.Process) != s.Born) {
		s.State, s.Error = opcua.Away, fmt.Sprintf("process %d ended without a word; it said last: %s", s.Process, s.Name)
		s.Name, s.Next = s.State.String(), s.State.Next()
	}
	return s, nil
}

// born tells a process from all that had, or will have, its number: the boot, and the clock ticks from then to its start
// (proc(5)). "" where there is no such process.
func born(process int) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	if err != nil {
		return ""
	}
	const began = 22 - 3 // the fields after the name in brackets begin with the third
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= began {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + fields[began]
}

// statusKeeper keeps the newest status of the link in a file, off the link's own path: a disk may hang.
type statusKeeper struct {
	newest chan opcua.Status
	done   chan struct{}
}

func keepStatus(file, line string, log *slog.Logger) *statusKeeper {
	k := &statusKeeper{make(chan opcua.Status, 1), make(chan struct{})}
	go func() {
		defer close(k.done)
		for s := range k.newest {
			s.Born = born(s.Process)
			notify(log, "STATUS="+line+"; PLC link "+s.Name)
			if err := writeStatus(file, s); err != nil {
				log.Error("the link's status cannot be written", "error", err)
			}
		}
	}()
	return k
}

// tell takes a status in place of one that was not written yet. It is called by one goroutine at a time.
func (k *statusKeeper) tell(s opcua.Status) {
	select {
	case <-k.newest:
	default:
	}
	k.newest <- s
}

// close waits until the last one is written.
func (k *statusKeeper) close() {
	close(k.newest)
	<-k.done
}

func writeStatus(file string, s opcua.Status) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return whole.Write(file, 0o640, whole.Bytes(append(content, '\n')))
}
