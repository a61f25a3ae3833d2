package store

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linectl/internal/part"
)

// hungFolder names the folder for the process whose pictures are on a share that does not answer.
const hungFolder = "LINECTL_TEST_HUNG_FOLDER"

// workBesideAShareThatHangs opens a record, writes two parts and closes it.
func workBesideAShareThatHangs(folder string) {
	c := configIn(folder)
	s, err := Open(context.Background(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for n := range uint32(2) {
		id, err := s.Insert(context.Background(), good(n))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		s.KeepPicture(id, frame(8, 8, 1), part.Reject)
	}
	fmt.Println(s.Close())
	os.Exit(0)
}

// TestShareThatHangsHoldsNothingUp: system calls on the folder of pictures do not return, as on an NFS mount whose server is gone. The
// record is opened, written and closed all the same, and what is lost is told.
func TestShareThatHangsHoldsNothingUp(t *testing.T) {
	for _, at := range []string{"", unfinished} { // where pictures of others are looked for, and where it is prepared
		t.Run("pictures/"+at, func(t *testing.T) {
			t.Parallel()
			folder, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			c := configIn(folder)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			child := exec.CommandContext(ctx, "strace", "-f", "-o", filepath.Join(t.TempDir(), "calls"), "-e", "signal=none", "-P", filepath.Join(c.Pictures, at),
				"-e", "trace=openat,newfstatat,mkdirat", "-e", "inject=openat,newfstatat,mkdirat:delay_enter=600000000", os.Args[0])
			child.Env = append(os.Environ(), hungFolder+"="+folder)
			said, err := child.StdoutPipe()
			if err == nil {
				err = child.Start()
			}
			if err != nil {
				t.Fatalf("strace ('scripts/setup.sh test' installs it): %v", err)
			}
			lines := bufio.NewReader(said)
			out, _ := lines.ReadString('\n')  // "" where the minute is over
			cancel()                          // strace would wait for the call that does not return
			_, _ = io.Copy(io.Discard, lines) // until the process that it traced has ended, too
			_ = child.Wait()
			if want := "the folder of pictures " + c.Pictures + " has not answered for 5s; 2 pictures that were to be written are lost"; strings.TrimSpace(out) != want {
				t.Errorf("Close says %s; want %s", out, want)
			}
			r, err := OpenReader(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var parts int
			var open bool
			if err := r.db.QueryRow(`SELECT count(*), EXISTS (SELECT 1 FROM meta WHERE key = 'in_use') FROM inspection`).Scan(&parts, &open); err != nil || parts != 2 || open {
				t.Errorf("%d parts, in use still: %v, %v", parts, open, err)
			}
			events, err := r.Events(t.Context(), time.Time{}, time.Time{}, 0)
			if err != nil || len(events) != 2 || events[0].Detail != "2 until the stop" || !strings.HasPrefix(events[1].Detail, "from record 1 on: the folder of pictures") {
				t.Errorf("the log book says %+v, %v", events, err)
			}
		})
	}
}

// A removal of pictures that does not return keeps the record from being closed no more than that.
func TestRetentionThatHangsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	s := openStore(t, configIn(t.TempDir()))
	answer := make(chan struct{})
	s.beside.Go(func() { <-answer })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("Close waits")
	}
	close(answer)
}
