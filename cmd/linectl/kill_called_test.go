package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/opcua/pki"
	"linectl/internal/part"
	"linectl/internal/store"
)

// TestKillCalled kills the daemon at random instants while a PLC calls it, and holds the record against what the PLC
// was told: every result has its row, and no number was ever given to two parts, nor left out of the record.
func TestKillCalled(t *testing.T) {
	kills := 40
	if testing.Short() {
		kills = 8
	}
	folder := t.TempDir()
	own, err := pki.Open(folder, "plc")
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("linectl")
	if err != nil {
		t.Fatal(err)
	}
	address, config := calledConfig(t, folder, own)
	parts := map[uint32]string{} // as the PLC was told, by number
	told := map[uint32]int16{}   // codes of results
	brought := 0
	// bring calls linectl for one part after the other until a call fails.
	bring := func(ctx context.Context, client *opcua.Client, most int) {
		for range most {
			brought++
			id := fmt.Sprintf("SN-%05d", brought)
			out, err := callMethod(ctx, client, "Trigger", id, "L1", "", "")
			if err != nil {
				return
			}
			number := out[0].Value().(uint32)
			if before, twice := parts[number]; twice {
				t.Errorf("number %d is %s and was %s", number, id, before)
			}
			parts[number] = id
			for decided := false; !decided; {
				out, err := callMethod(ctx, client, "GetResult", number)
				if err != nil {
					return
				}
				if decided = out[0].Value().(bool); decided {
					told[number] = out[2].Value().(int16)
				}
			}
		}
	}
	log, err := os.Create(filepath.Join(folder, "linectl.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	killed := 0
	for ; ; killed++ {
		daemon := exec.Command(program, "run", "-c", config)
		daemon.Stdout, daemon.Stderr = log, log
		if err := daemon.Start(); err != nil {
			t.Fatal(err)
		}
		client := connectCalled(t, address, own, filepath.Join(folder, "state/pki/linectl.der"))
		// On a busy machine many rounds end before their first result.
		if killed >= kills && (len(told) >= kills || killed == 4*kills) { // what comes now tells what went by before it
			bring(t.Context(), client, 3)
			client.Close(t.Context())
			if err := daemon.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := daemon.Wait(); err != nil {
				t.Error(err)
			}
			break
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); bring(ctx, client, 1_000_000) }()
		time.Sleep(rand.N(150 * time.Millisecond))
		if err := daemon.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = daemon.Wait()
		cancel()
		<-done
		client.Close(t.Context())
	}

	c := store.DefaultConfig()
	c.Path = filepath.Join(folder, "state/linectl.db")
	reader, err := store.OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	rows, accounted, missed := map[uint32]string{}, map[uint32]int{}, 0
	for p, err := range reader.Find(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		for n := range max(p.Missed, 1) {
			accounted[p.Sequence.Value-n]++
		}
		missed += int(p.Missed)
		if p.Missed == 0 {
			rows[p.Sequence.Value] = p.PartID
		}
	}
	for number, id := range parts {
		row, ok := rows[number]
		if _, result := told[number]; result && !ok {
			t.Errorf("the PLC was told the result of %s, number %d, which has no row", id, number)
		}
		if ok && row != id {
			t.Errorf("number %d is %s, its row says %s", number, id, row)
		}
		if accounted[number] != 1 {
			t.Errorf("number %d is accounted for %d times", number, accounted[number])
		}
	}
	t.Logf("%d parts got a number, the PLC was told %d results; %d rows, %d numbers count as missed after %d kills", len(parts), len(told), len(rows), missed, killed)
	if len(told) < kills {
		t.Error("the test did not reach what it should test")
	}
	for number, code := range told {
		if code != part.Bypass.Code() && code != part.NotReady.Code() {
			t.Errorf("number %d: code %d", number, code)
		}
	}
}

// connectCalled opens a session as soon as linectl's server is there.
func connectCalled(t *testing.T, address string, own pki.Identity, server string) *opcua.Client {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		client, err := tryConnect(t.Context(), address, own, server)
		if err == nil {
			return client
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
	}
}

// callMethod calls one of the station's.
func callMethod(ctx context.Context, client *opcua.Client, name string, in ...any) ([]*ua.Variant, error) {
	r := &ua.CallMethodRequest{ObjectID: ua.NewStringNodeID(3, "Station"), MethodID: ua.NewStringNodeID(3, "Station/"+name)}
	for _, v := range in {
		r.InputArguments = append(r.InputArguments, ua.MustVariant(v))
	}
	result, err := client.Call(ctx, r)
	if err != nil {
		return nil, err
	}
	if result.StatusCode != ua.StatusOK {
		return nil, result.StatusCode
	}
	return result.OutputArguments, nil
}
