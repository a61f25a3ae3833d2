package line

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"linectl/internal/part"
	"linectl/internal/setting"
)

// station is everything around a runner, in fake time: each method takes as long, or fails, as the
// test says, and adds a line to the diary.
type station struct {
	mu      sync.Mutex
	begun   time.Time
	diary   []string
	cycle   time.Duration // testCycle where it is 0
	grab    time.Duration
	inspect func() (part.Finding, error)
	insert  func() error
	answer  func(context.Context) error
	rows    int64
	kept    []int64 // of which a picture was handed over
	lost    []int64
	events  []string
	log     *slog.Logger // discards where it is nil
	ends    error        // with which Run ends
	ended   time.Time
}

func (s *station) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.diary = append(s.diary, fmt.Sprintf("%dms ", time.Since(s.begun).Milliseconds())+fmt.Sprintf(format, args...))
}

func (s *station) Grab(ctx context.Context, after time.Time) (part.Frame, error) {
	select {
	case <-time.After(s.grab):
		return part.Frame{ExposedAt: after, SHA256: "f00"}, nil
	case <-ctx.Done():
		return part.Frame{}, ctx.Err()
	}
}
func (s *station) Inspect(context.Context, part.Frame) (part.Finding, error) { return s.inspect() }
func (s *station) Recipe() part.Recipe                                       { return testRecipe }

func (s *station) Answer(ctx context.Context, r part.Result) error {
	if err := s.answer(ctx); err != nil {
		s.note("answer %s failed: %v", r.Trigger.Sequence, err)
		return err
	}
	s.note("answer %s %s %s", r.Trigger.Sequence, r.Verdict, r.Reason)
	return nil
}
func (s *station) Clear(context.Context) error               { s.note("clear"); return nil }
func (s *station) Report(context.Context, part.Status) error { return nil }

func (s *station) Insert(_ context.Context, r part.Record) (int64, error) {
	if err := s.insert(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.rows++
	id := s.rows
	s.mu.Unlock()
	s.note("row %s %s %s", r.Trigger.Sequence, r.Verdict, r.Reason)
	return id, nil
}
func (s *station) Deliver(id int64, d part.Delivery) {
	s.note("delivery %d %s %s %s", id, d.Verdict, d.Reason, d.Outcome)
}
func (s *station) Late(id int64, f part.Finding)                      { s.note("late %d %.1f", id, f.Score) }
func (s *station) KeepPicture(id int64, _ part.Frame, _ part.Verdict) { s.kept = append(s.kept, id) }
func (s *station) LosePicture(id int64, _ part.Verdict, _ error)      { s.lost = append(s.lost, id) }
func (s *station) Recover(context.Context, string, part.Told, part.Count) (bool, error) {
	return false, nil
}
func (s *station) Last(context.Context, string) (part.Count, error) {
	return part.Count{}, nil
}
func (s *station) Event(kind, _, detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf("%s %s %s", time.Since(s.begun), kind, detail))
}
func (s *station) Healthy() error { return nil }

// journal keeps what is logged.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// running runs test against a connected line, ends the line and returns the diary.
func running(t *testing.T, s *station, test func(r *Runner)) []string {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if s.inspect == nil {
			s.inspect = func() (part.Finding, error) {
				time.Sleep(20 * time.Millisecond)
				return part.Finding{Recipe: testRecipe, Score: 1, Threshold: 2, Reason: part.None}, nil
			}
		}
		if s.insert == nil {
			s.insert = func() error { time.Sleep(2 * time.Millisecond); return nil }
		}
		if s.answer == nil {
			s.answer = func(context.Context) error { time.Sleep(3 * time.Millisecond); return nil }
		}
		if s.log == nil {
			s.log = slog.New(slog.DiscardHandler)
		}
		config := DefaultConfig()
		config.Cycle, config.WriteMargin = setting.Duration(cmp.Or(s.cycle, testCycle)), setting.Duration(testMargin)
		r := NewRunner(config, Deps{PLC: s, Camera: s, Inspector: s, Store: s, Log: s.log})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		r.Connected(part.Snapshot{Trigger: part.Trigger{Sequence: part.Sequence{Value: 6, Bits: 16}}})
		synctest.Wait()
		s.begun = time.Now()
		test(r)
		stop()
		if err := <-ended; !errors.Is(err, s.ends) {
			t.Errorf("Run: %v, want %v", err, s.ends)
		}
		s.ended = time.Now()
	})
	return s.diary
}

func bring(r *Runner, sequence uint32) {
	r.Triggered(part.Trigger{Sequence: part.Sequence{Value: sequence, Bits: 16}, SeenAt: time.Now()})
}

func wantDiary(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("what happened:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestRunnerPass(t *testing.T) {
	diary := running(t, &station{grab: 10 * time.Millisecond}, func(r *Runner) {
		bring(r, 7)
		time.Sleep(40 * time.Millisecond)
		r.Withdrawn()
		time.Sleep(time.Millisecond)
	})
	wantDiary(t, diary, "32ms row 7 pass ", "35ms answer 7 pass ", "35ms delivery 1 pass  written", "40ms clear")
}

func TestRunnerRejectWaitsForNoRow(t *testing.T) {
	s := &station{
		inspect: func() (part.Finding, error) {
			return part.Finding{Recipe: testRecipe, Score: 3, Threshold: 2, Reason: part.Anomaly}, nil
		},
		insert: func() error { time.Sleep(time.Second); return nil },
	}
	diary := running(t, s, func(r *Runner) { bring(r, 7); time.Sleep(2 * time.Second) })
	wantDiary(t, diary, "3ms answer 7 reject anomaly", "1000ms row 7 reject anomaly", "1000ms delivery 1 reject anomaly written")
}

// TestRunnerBroken: a line whose inspections fail ends by itself, with the last reject told.
func TestRunnerBroken(t *testing.T) {
	s := &station{ends: ErrBroken, inspect: func() (part.Finding, error) { return part.Finding{}, errors.New("the device is gone") }}
	diary := running(t, s, func(r *Runner) {
		for n := range uint32(mostFailures) {
			bring(r, 7+n)
			time.Sleep(10 * time.Millisecond)
			r.Withdrawn()
			time.Sleep(10 * time.Millisecond)
		}
	})
	if told := fmt.Sprint(diary); strings.Count(told, "reject inspection-fault written") != mostFailures {
		t.Errorf("%s", told)
	}
}

func TestRunnerDeadline(t *testing.T) {
	s := &station{inspect: func() (part.Finding, error) {
		time.Sleep(300 * time.Millisecond)
		return part.Finding{Recipe: testRecipe, Score: 1, Threshold: 2, Reason: part.None}, nil
	}}
	diary := running(t, s, func(r *Runner) {
		bring(r, 7)
		time.Sleep(120 * time.Millisecond)
		r.Withdrawn()
		bring(r, 8) // the inspection of 7 cannot be cancelled and still runs
		time.Sleep(300 * time.Millisecond)
	})
	wantDiary(t, diary,
		"92ms row 7 reject deadline", "93ms answer 7 reject deadline", "93ms delivery 1 reject deadline written",
		"120ms clear",
		"122ms row 8 reject busy", "123ms answer 8 reject busy", "123ms delivery 2 reject busy written",
		"300ms late 1 1.0")
	if !slices.Equal(s.kept, []int64{1}) {
		t.Errorf("pictures of rows %v are kept, want that of the late part", s.kept)
	}
}

func TestRunnerStop(t *testing.T) {
	diary := running(t, &station{}, func(r *Runner) { bring(r, 7); time.Sleep(5 * time.Millisecond) })
	wantDiary(t, diary, "7ms row 7 reject interrupted", "8ms answer 7 reject interrupted", "8ms delivery 1 reject interrupted written", "20ms late 1 1.0")
}

// TestRunnerStopInALongCycle: neither a picture that is still waited for nor an inspection that takes its time hangs.
func TestRunnerStopInALongCycle(t *testing.T) {
	s := &station{cycle: 10 * time.Second, grab: 8 * time.Second}
	wantDiary(t, running(t, s, func(r *Runner) { bring(r, 7); time.Sleep(5 * time.Millisecond) }),
		"7ms row 7 reject interrupted", "8ms answer 7 reject interrupted", "8ms delivery 1 reject interrupted written")
	if took := s.ended.Sub(s.begun); took > 2*stopGrace {
		t.Errorf("it ended %s after the part came", took)
	}
	s = &station{cycle: 10 * time.Second, inspect: func() (part.Finding, error) {
		time.Sleep(6 * time.Second)
		return part.Finding{Recipe: testRecipe, Score: 1, Threshold: 2, Reason: part.None}, nil
	}}
	wantDiary(t, running(t, s, func(r *Runner) { bring(r, 7); time.Sleep(5 * time.Millisecond) }),
		"7ms row 7 reject interrupted", "8ms answer 7 reject interrupted", "8ms delivery 1 reject interrupted written", "5008ms clear", "6000ms late 1 1.0")
}

func TestRunnerPanic(t *testing.T) {
	s := &station{inspect: func() (part.Finding, error) { panic("division by zero") }}
	diary := running(t, s, func(r *Runner) { bring(r, 7); time.Sleep(20 * time.Millisecond) })
	wantDiary(t, diary, "2ms row 7 reject inspection-fault", "3ms answer 7 reject inspection-fault", "3ms delivery 1 reject inspection-fault written")
}

// hanging is a station whose PLC answers no write until hang is false, or the session ends.
func hanging() (s *station, hang *atomic.Bool) {
	hang = new(atomic.Bool)
	hang.Store(true)
	return &station{answer: func(ctx context.Context) error {
		if hang.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}, hang
}

// TestRunnerSessionEnds: what was decided for a session is not written in the next one, even though it
// waited in the queue behind a write that hung.
func TestRunnerSessionEnds(t *testing.T) {
	s, hang := hanging()
	diary := running(t, s, func(r *Runner) {
		bring(r, 7)
		time.Sleep(30 * time.Millisecond) // the answer to 7 hangs
		bring(r, 8)                       // its reject waits behind it
		time.Sleep(5 * time.Millisecond)
		hang.Store(false)
		r.Disconnected(errors.New("reset by peer"))
		r.Connected(part.Snapshot{Trigger: part.Trigger{Sequence: part.Sequence{Value: 8, Bits: 16}}})
		time.Sleep(5 * time.Millisecond)
	})
	wantDiary(t, diary, "22ms row 7 pass ", "32ms row 8 reject busy",
		"35ms answer 7 failed: context canceled",
		"35ms delivery 1 pass  failed", "35ms delivery 2 reject busy skipped")
}

// TestRunnerFullDisk: rows wait for the disk and none is lost; parts are rejected meanwhile.
func TestRunnerFullDisk(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	s := &station{insert: func() error {
		if full.Load() {
			return errors.New("disk full")
		}
		return nil
	}}
	diary := running(t, s, func(r *Runner) {
		bring(r, 7)
		time.Sleep(40 * time.Millisecond)
		r.Withdrawn()
		bring(r, 8)
		time.Sleep(10 * time.Millisecond)
		full.Store(false)
		time.Sleep(200 * time.Millisecond)
	})
	wantDiary(t, diary, "23ms answer 7 reject not-stored", "40ms clear", "43ms answer 8 reject not-stored",
		"120ms row 7 pass ", "120ms delivery 1 reject not-stored written", "120ms row 8 reject not-stored",
		"120ms delivery 2 reject not-stored written")
}

// TestRunnerDiskOutage: a disk that refuses rows and says that it is well again leaves the station not ready until the
// rows that wait are durable, which is soon; a part that comes before is told why.
func TestRunnerDiskOutage(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	s := &station{insert: func() error {
		if full.Load() {
			return errors.New("disk full")
		}
		return nil
	}}
	diary := running(t, s, func(r *Runner) {
		for n := range uint32(3) {
			bring(r, 7+n)
			time.Sleep(time.Minute)
			r.Withdrawn()
			time.Sleep(time.Millisecond)
		}
		full.Store(false)
		time.Sleep(longestPause + healthEvery)
		bring(r, 10)
		time.Sleep(50 * time.Millisecond)
	})
	var told []string
	for _, line := range diary {
		if _, answer, ok := strings.Cut(line, "answer "); ok {
			told = append(told, answer)
		}
	}
	wantDiary(t, told, "7 reject not-stored", "8 reject not-stored", "9 reject not-stored", "10 pass ")
}

// TestRunnerTellsWhatIsOwed: a result that waited behind a write that hung until the session ended is told in the next
// one as lost with the link, if its part still waits.
func TestRunnerTellsWhatIsOwed(t *testing.T) {
	s, hang := hanging()
	diary := running(t, s, func(r *Runner) {
		bring(r, 7)
		time.Sleep(30 * time.Millisecond)
		bring(r, 8)
		time.Sleep(5 * time.Millisecond)
		hang.Store(false)
		r.Disconnected(errors.New("reset by peer"))
		time.Sleep(50 * time.Millisecond)
		r.Connected(part.Snapshot{Trigger: part.Trigger{Sequence: part.Sequence{Value: 8, Bits: 16}}, Present: true})
		time.Sleep(5 * time.Millisecond)
	})
	wantDiary(t, diary, "22ms row 7 pass ", "32ms row 8 reject busy",
		"35ms answer 7 failed: context canceled",
		"35ms delivery 1 pass  failed", "35ms delivery 2 reject busy skipped",
		"85ms answer 8 reject link-lost", "85ms delivery 2 reject link-lost written")
}

// TestLogbook: the level in the log is that of the matter, and neither log nor record waits for rows that the disk refuses.
func TestLogbook(t *testing.T) {
	for _, test := range []struct{ kind, level string }{
		{"fault", "ERROR"}, {"fault-over", "INFO"}, {"link-lost", "WARN"}, {"ack-timeout", "WARN"}, {"counter-restarted", "WARN"},
		{"late-failure", "WARN"}, {"plc-link", "INFO"},
	} {
		var log journal
		s := &station{insert: func() error { return errors.New("disk full") }, log: log.logger()}
		running(t, s, func(r *Runner) {
			bring(r, 7)
			time.Sleep(time.Minute)
			r.Note(test.kind, "what happened")
			time.Sleep(time.Millisecond)
			if want := fmt.Sprintf(" level=%s msg=\"what happened\" event=%s\n", test.level, test.kind); !strings.HasSuffix(log.String(), want) {
				t.Errorf("the log says\n%s\nwant last%s", log.String(), want)
			}
		})
		if want := fmt.Sprintf("1m0s %s what happened", test.kind); !slices.Contains(s.events, want) {
			t.Errorf("the record is told %q, want %q among it", s.events, want)
		}
	}
}

// TestRecorderSaysItSeldom: a row that the disk refuses is tried every second, and the log says so twice a minute.
func TestRecorderSaysItSeldom(t *testing.T) {
	var tries int
	var log journal
	s := &station{insert: func() error { tries++; return errors.New("disk full") }, log: log.logger()}
	running(t, s, func(r *Runner) { bring(r, 7); time.Sleep(time.Minute) })
	if said := strings.Count(log.String(), "row not stored"); tries < 60 || said < 2 || said > 3 {
		t.Errorf("%d tries, %d lines in the log", tries, said)
	}
}

// TestRunnerSlowDisk: rejects wait for no row, and so their frames pile up where the disk is slow. Those for which there
// is no memory are lost by name, no row is.
func TestRunnerSlowDisk(t *testing.T) {
	s := &station{
		inspect: func() (part.Finding, error) {
			return part.Finding{Recipe: testRecipe, Score: 3, Threshold: 2, Reason: part.Anomaly}, nil
		},
		insert: func() error { time.Sleep(time.Second); return nil },
	}
	running(t, s, func(r *Runner) {
		for n := range uint32(frameBacklog + 3) {
			bring(r, 7+n)
			time.Sleep(10 * time.Millisecond)
			r.Withdrawn()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
	})
	if s.rows != frameBacklog+3 || len(s.kept) != frameBacklog || !slices.Equal(s.lost, []int64{frameBacklog + 1, frameBacklog + 2, frameBacklog + 3}) {
		t.Errorf("%d rows, pictures kept %v, lost %v", s.rows, s.kept, s.lost)
	}
}

// TestRecorderTellsWhatAStopLeaves counts the row that the disk refused, those taken with it, and those behind.
func TestRecorderTellsWhatAStopLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := &station{insert: func() error { return errors.New("disk full") }}
		r := newRecorder(s, "test", slog.New(slog.NewTextHandler(&log, nil)), func(Event) {})
		for cycle := range 3 {
			r.put(Insert{Cycle: cycle})
			r.put(Deliver{Cycle: cycle})
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { r.run(ctx); close(ended) }()
		time.Sleep(time.Second)
		r.put(Insert{Cycle: 3})
		stop()
		<-ended
		if !strings.Contains(log.String(), `"rows lost"=4 "other entries lost"=3`) {
			t.Errorf("the log says\n%s", log.String())
		}
	})
}
