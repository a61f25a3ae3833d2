package store

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"linectl/internal/part"
)

// killedFolder names the folder for the process that is killed.
const killedFolder = "LINECTL_TEST_KILLED_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(killedFolder); folder != "" {
		writeUntilKilled(folder)
	}
	if folder := os.Getenv(powerFolder); folder != "" {
		writeAndLog(folder)
	}
	if folder := os.Getenv(picturesFolderVariable); folder != "" {
		keepPictures(folder)
	}
	if folder := os.Getenv(hungFolder); folder != "" {
		workBesideAShareThatHangs(folder)
	}
	os.Exit(m.Run())
}

// writeUntilKilled inserts rows from several goroutines and prints each id once Insert has returned.
func writeUntilKilled(folder string) {
	s, err := Open(context.Background(), configIn(folder), slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	fmt.Println("open")
	for range 3 {
		go func() {
			for n := uint32(0); ; n++ {
				id, err := s.Insert(context.Background(), good(n))
				if err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(id)
				out.Unlock()
				s.Deliver(id, written(part.Pass, part.None))
				s.KeepPicture(id, frame(32, 32, 1), part.Reject)
			}
		}()
	}
	select {}
}

// crashes is how many times the writer is killed: LINECTL_TEST_CRASHES, which 'make crash' sets to 1000.
func crashes(t *testing.T) int {
	if text := os.Getenv("LINECTL_TEST_CRASHES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return 5
	}
	return 25
}

// TestKilledWriterHasEveryRowThatItReported kills the writer at random instants: every id that Insert
// returned is in the record, whole, every row of a picture has its file, and the chain verifies. After
// 25 kills it goes on with a new record.
func TestKilledWriterHasEveryRowThatItReported(t *testing.T) {
	var folder string
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	rounds, total := crashes(t), 0
	var links, pictures, broken int64
	var missing, damaged int
	for round := range rounds {
		if round%25 == 0 {
			folder = t.TempDir()
		}
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), killedFolder+"="+folder)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "open" {
			t.Fatalf("the writer says %q", lines.Text())
		}
		time.AfterFunc(time.Duration(random.Int64N(int64(60*time.Millisecond))), func() { child.Process.Kill() })
		var reported []int64
		for lines.Scan() {
			id, err := strconv.ParseInt(lines.Text(), 10, 64)
			if err != nil {
				if strings.HasPrefix(lines.Text(), "error") {
					t.Fatalf("the writer says %q", lines.Text())
				}
				break // the last line may be cut off
			}
			reported = append(reported, id)
		}
		child.Wait()
		if len(reported) > 0 {
			reported = reported[:len(reported)-1] // its line may have lost digits
		}

		s := openStore(t, configIn(folder))
		for _, id := range reported {
			if got, err := s.Part(t.Context(), id); err != nil || got.Record.Finding == nil || len(got.Record.Finding.Map.Cells) != 6 {
				missing++
				t.Errorf("record %d was reported and is %+v, %v", id, got.Record, err)
			}
		}
		total += len(reported)
		var damage string
		if err := s.db.QueryRow("PRAGMA integrity_check").Scan(&damage); err != nil || damage != "ok" {
			damaged++
			t.Errorf("integrity: %s, %v", damage, err)
		}
		picturesHaveFiles(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		v, problems := verify(t, configIn(folder), VerifyOptions{Read: true})
		if problems != nil {
			broken += v.Problems
			t.Errorf("the chain: %v", problems)
		}
		if round%25 == 24 || round == rounds-1 {
			links, pictures = links+v.Links, pictures+v.Pictures
		}
	}
	t.Logf(`
kills                          %7d
rows reported before the kill  %7d
of them missing or not whole   %7d
damaged databases              %7d
links verified                 %7d
of them broken                 %7d
pictures with their rows       %7d`, rounds, total, missing, damaged, links, broken, pictures)
	if total == 0 {
		t.Error("no row was reported at all")
	}
}

func picturesHaveFiles(t *testing.T, s *Store) {
	t.Helper()
	rows, err := s.Reader.db.Query(`SELECT path, bytes FROM frame`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var path string
		var size int64
		if err := rows.Scan(&path, &size); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(s.config.Pictures + "/" + path); err != nil || info.Size() != size {
			t.Fatalf("picture %s: %v, %v", path, info, err)
		}
	}
}
