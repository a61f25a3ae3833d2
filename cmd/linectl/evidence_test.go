package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"linectl/internal/config"
	"linectl/internal/store"
)

// ask runs a command that must end with that code, and returns what it printed.
func ask(t *testing.T, code int, args ...string) (out, errs string) {
	t.Helper()
	got, out, errs := linectl(t, args...)
	if got != code {
		t.Fatalf("%s: code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errs)
	}
	return out, errs
}

func TestReviewAtTheCommandLine(t *testing.T) {
	config, _ := recordedDesk(t)
	out, _ := ask(t, 0, "-c", config, "query", "--review", "due", "-o", "csv")
	if strings.Count(out, "\n") != 2 || !strings.Contains(out, "B18") {
		t.Errorf("due are\n%s", out)
	}
	ask(t, 3, "-c", config, "stats", "--by", "review")
	if _, errs := ask(t, 0, "-c", config, "review", "2", "--verdict", "good", "--by", "eva", "--why", "water drop"); errs != "record 2, part B18\\x1b[31m\\xff: decided reject, reviewed as good by eva\n" {
		t.Errorf("it says %q", errs)
	}
	ask(t, 0, "-c", config, "review", "A17", "--verdict", "good", "--by", "eva")
	ask(t, 3, "-c", config, "query", "--review", "due")
	var rates []judged
	out, _ = ask(t, 0, "-c", config, "stats", "--by", "review", "-o", "json")
	if err := json.Unmarshal([]byte(out), &rates); err != nil || len(rates) != 1 || rates[0].FalseRejects != 1 || rates[0].RejectsReviewed != 1 || rates[0].PassesReviewed != 1 || rates[0].Escapes != 0 {
		t.Errorf("%v: %+v", err, rates)
	}
	ask(t, 2, "-c", config, "review", "2")
	ask(t, 2, "-c", config, "review", "2", "--verdict", "nice", "--by", "eva")
	ask(t, 3, "-c", config, "review", "99", "--verdict", "bad", "--by", "eva")
}

func TestStatsAtTheCommandLine(t *testing.T) {
	config, _ := recordedDesk(t)
	inUTC(t)
	out, _ := ask(t, 0, "-c", config, "stats", "--plot", "days.svg")
	want := `DAY         PARTS  REJECTS  RATE    LOW     HIGH    SCORE   DEVIATION  EWMA  DRIFT  BRIGHTNESS  SHARPNESS
2026-11-23  3      2        66.667  20.766  93.851  3.1250  1.8750     -     -      120.0000    88.0000
`
	if out != want {
		t.Errorf("it says\n%swant\n%s", out, want)
	}
	if data, err := os.ReadFile("days.svg"); err != nil || !strings.Contains(string(data), "reject rate by day") {
		t.Errorf("the chart: %v", err)
	}
	if out, _ := ask(t, 0, "-c", config, "stats", "--by", "shift", "-o", "csv"); !strings.Contains(out, "\n2026-11-23 06:00,3,2,") {
		t.Errorf("by shift\n%s", out)
	}
	if out, _ := ask(t, 0, "-c", config, "stats", "--by", "reason"); strings.Count(out, "50.0") != 3 || !strings.Contains(out, "100.0") {
		t.Errorf("by reason\n%s", out)
	}
	ask(t, 3, "-c", config, "stats", "--lot", "nothing")
	ask(t, 2, "-c", config, "stats", "--by", "mood")
	ask(t, 2, "-c", config, "stats", "--plot", "days.gif")
	ask(t, 2, "-c", config, "stats", "--since", "soon")
	ask(t, 3, "-c", config, "since", "light")
	ask(t, 2, "-c", config, "since", "mood")
}

func TestVerifyBackupRestorePruneAtTheCommandLine(t *testing.T) {
	config, picture := recordedDesk(t)
	out, _ := ask(t, 0, "-c", config, "verify", "--pictures", "-o", "json")
	var v verified
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Parts != 3 || v.Pictures != 1 || v.Problems != 0 || len(v.Head) != 64 {
		t.Errorf("%v: %s", err, out)
	}
	// The head of the chain is as good as a seal, for who keeps it elsewhere.
	head, err := json.Marshal(map[string]any{"record": v.Record, "n": v.Links, "hash": v.Head, "at": "2026-11-24T00:00:00Z"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("kept.jsonl", head, 0o600); err != nil {
		t.Fatal(err)
	}
	ask(t, 0, "-c", config, "verify", "--seals", "kept.jsonl")
	if err := os.WriteFile("wrong.jsonl", []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ask(t, 2, "-c", config, "verify", "--seals", "wrong.jsonl")

	ask(t, 0, "-c", config, "backup", "copies")
	if out, _ := ask(t, 0, "-c", config, "prune", "--dry-run"); !strings.Contains(out, "to be removed        0 pictures") {
		t.Errorf("prune says\n%s", out)
	}
	for _, empty := range [][]string{{"prune", "--held"}, {"query", "--events", "--until", "2000-01-01"}, {"stats", "--lot", "none"}, {"stats", "--by", "reason", "--lot", "none"},
		{"stats", "--by", "review", "--lot", "none"}, {"query", "--near", "2", "--lot", "none"}, {"query", "--lot", "none"}} {
		if out, errs := ask(t, 3, append([]string{"-c", config, "-o", "json"}, empty...)...); out != "[]\n" || errs == "" {
			t.Errorf("%v: %s%s", empty, out, errs)
		}
		if out, _ := ask(t, 3, append([]string{"-c", config, "-o", "csv"}, empty...)...); strings.Count(out, "\n") != 1 {
			t.Errorf("%v: %s", empty, out)
		}
	}
	ask(t, 2, "-c", config, "prune", "--hold", "")
	ask(t, 2, "-c", config, "prune", "--hold", "L1", "--release", "L1")
	if _, errs := ask(t, 0, "-c", config, "prune", "--hold", "L1", "--by", "eva", "--why", "complaint"); errs != "lot L1: 3 parts so far; their 1 pictures stay\n" {
		t.Error(errs)
	}
	if out, _ := ask(t, 0, "-c", config, "prune", "--held", "-o", "csv"); !strings.HasPrefix(out, "lot,held since,who,why\nL1,") || !strings.HasSuffix(out, ",eva,complaint\n") {
		t.Error(out)
	}
	if out, _ := ask(t, 0, "-c", config, "show", "1"); !strings.Contains(out, "\n  held        the lot, by eva at ") {
		t.Error(out)
	}
	if out, _ := ask(t, 0, "-c", config, "prune", "--release", "L1", "--by", "eva", "-o", "json"); out != `{
  "lot": "L1",
  "held": false,
  "parts": 3,
  "pictures": 1
}
` {
		t.Error(out)
	}
	if out, _ := ask(t, 0, "-c", config, "show", "1", "-o", "json"); !strings.Contains(out, `"hold": null`) {
		t.Error(out)
	}

	if err := os.Truncate(picture, 3); err != nil {
		t.Fatal(err)
	}
	out, errs := ask(t, 4, "-c", config, "verify")
	if !strings.HasPrefix(out, "frame 1: picture ") || !strings.Contains(errs, "the record is not what was written: 1 problems\n") {
		t.Errorf("%s%s", out, errs)
	}
	ask(t, 1, "-c", config, "restore", "copies")
	for _, file := range []string{"linectl.db", "linectl.db-wal", "linectl.db-shm", picture} {
		if err := os.Rename(file, filepath.Base(file)+".old"); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	ask(t, 0, "-c", config, "restore", "copies")
	ask(t, 0, "-c", config, "verify", "--pictures", "--seals", "kept.jsonl")
	ask(t, 3, "-c", config, "restore", t.TempDir())

	// A picture that is lost: both say so, and do what can be done.
	if err := os.Remove(picture); err != nil {
		t.Fatal(err)
	}
	if out, errs := ask(t, 4, "-c", config, "backup", "later", "-o", "json"); !strings.Contains(out, `"missing": 1`) || !strings.Contains(errs, "1 pictures are gone or changed that were not removed by retention") {
		t.Errorf("%s%s", out, errs)
	}
	for _, file := range []string{"linectl.db", "linectl.db-wal", "linectl.db-shm"} {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if out, errs := ask(t, 4, "-c", config, "restore", "later"); !strings.Contains(out, "uuid             "+v.Record+"\n") || !strings.Contains(errs, ": is gone\n") || !strings.Contains(errs, "the record is restored; 1 pictures of it") {
		t.Errorf("%s%s", out, errs)
	}
	ask(t, 0, "-c", config, "query")
}

// The line that asks to be kept elsewhere is what --seals takes, as the handlers write it and as journals print it.
func TestTheLoggedSealIsTaken(t *testing.T) {
	file, _ := recordedDesk(t)
	yesterday, err := sql.Open("sqlite3", "linectl.db")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := yesterday.Exec(`UPDATE meta SET value = '2026-11-22T00:00:00Z' WHERE key = 'created_at'`); err != nil {
		t.Fatal(err)
	}
	yesterday.Close()
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	var log, journal, coded bytes.Buffer
	handlers := []slog.Handler{newLogHandler(&log), slog.NewJSONHandler(&coded, nil)}
	t.Setenv("JOURNAL_STREAM", "8:1")
	handlers = append(handlers, newLogHandler(&journal))
	s, err := store.Open(t.Context(), cfg.Store, slog.New(slog.NewMultiHandler(handlers...)))
	if err != nil {
		t.Fatal(err)
	}
	s.Event("start", "linectl", "")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	printed := "Nov 23 00:00:01 press4 linectl[812]: " + strings.TrimPrefix(journal.String(), "<6>")
	entry, err := json.Marshal(map[string]string{"_PID": "812", "MESSAGE": strings.TrimPrefix(journal.String(), "<6>")})
	if err != nil {
		t.Fatal(err)
	}
	numbers := strings.Trim(strings.ReplaceAll(fmt.Sprint([]byte("\x1b[0m"+strings.TrimPrefix(journal.String(), "<6>"))), " ", ","), "\n") // as it prints bytes
	others := []string{
		`{"MESSAGE":[27,91,48,109]}`, `{"MESSAGE":null}`, `{"MESSAGE":["one","two"]}`, `{"hash":5}`, `{"seal":{"a":1}}`, `{"record":"a","hash":null}`,
		`{"msg":"recipe ready","hash":"0123456789ab"}`, `{ not JSON`, `{`, `{"MESSAGE":"` + strings.Repeat("long ", 1<<19) + `"}`, strings.Repeat("x", 1<<20),
	}
	for name, text := range map[string]string{
		"log": log.String(), "journal": journal.String(), "printed": printed, "coded": coded.String(), "entry": string(entry) + "\n",
		"numbers": `{"MESSAGE":` + numbers + "}\n", "others": strings.Join(others, "\n") + "\n" + string(entry), "windows": "one\r\n" + strings.TrimSpace(log.String()) + "\r\n",
		"behind": "Nov 23 00:00:01 press4 linectl[812]: " + coded.String(),
		"among":  "-- Boot 1 --\n\nlevel=INFO msg=\"a { brace\"\n{\"msg\":\"other\"}\n" + log.String(),
	} {
		if err := os.WriteFile("kept.log", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		seals, err := readSeals("kept.log")
		if err != nil || len(seals) != 1 || seals[0].N == 0 {
			t.Errorf("%s: %v, %v of\n%s", name, seals, err, text)
		}
	}
	ask(t, 0, "-c", file, "verify", "--seals", "kept.log")
	other := strings.Replace(log.String(), `\"hash\":\"`, `\"hash\":\"00`, 1)
	for text, want := range map[string]string{
		other:                               "kept.log:1: it is not a seal",
		log.String()[:len(log.String())-20]: "kept.log:1: the seal is cut off",
		"nothing\n":                         "kept.log: there is no seal in it",
		"{\"record\":":                      "kept.log:1: unexpected end of JSON input",
		"\n" + string(entry[:len(entry)-9]): "kept.log:2: unexpected end of JSON input",
		`{"record":"a","hash":"b"}`:         "kept.log:1: it is not a seal",
	} {
		if err := os.WriteFile("kept.log", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs := ask(t, 2, "-c", file, "verify", "--seals", "kept.log"); !strings.Contains(errs, want) {
			t.Errorf("it says %s, not %s", errs, want)
		}
	}
}

func TestExportAtTheCommandLine(t *testing.T) {
	config, kept := recordedDesk(t)
	out, _ := ask(t, 0, "-c", config, "export", "L1.zip", "--lot", "L1", "-o", "json")
	var made store.Exported
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Parts != 3 || made.Pictures != 1 || made.Heatmaps != 3 || made.Missing != 0 {
		t.Errorf("%v: %s", err, out)
	}
	if out, _ := ask(t, 0, "verify", "L1.zip"); !strings.Contains(out, "problems              0\n") || !strings.Contains(out, "parts                 3\n") {
		t.Errorf("verify says\n%s", out)
	}
	_, errs := ask(t, 2, "-c", config, "export", "L1.zip", "--lot", "L1")
	if !strings.Contains(errs, "the file is there already") {
		t.Error(errs)
	}
	ask(t, 2, "-c", config, "export", "all.zip")
	ask(t, 3, "-c", config, "export", "none.zip", "--lot", "L2")
	data, err := os.ReadFile("L1.zip")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("cut.zip", data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	ask(t, 4, "verify", "cut.zip")

	// A picture that was changed since is left out and counted, and whoever gets the export is told that it is gone.
	if err := os.WriteFile(kept, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs = ask(t, 4, "-c", config, "export", "changed.zip", "--lot", "L1", "-o", "json")
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Pictures != 0 || made.Missing != 1 || !strings.Contains(errs, "1 pictures are gone or changed") {
		t.Errorf("%v: %s%s", err, out, errs)
	}
	if out, errs := ask(t, 4, "verify", "changed.zip"); !strings.Contains(out, "problems              1\n") || !strings.Contains(out+errs, "-top.png: is gone") {
		t.Errorf("verify says\n%s%s", out, errs)
	}
}

func TestHeatmapOfALot(t *testing.T) {
	config, _ := recordedDesk(t)
	out, _ := ask(t, 0, "-c", config, "stats", "--by", "lot", "--lot", "L1", "--heatmap", "lot.png")
	if !strings.Contains(out, "L1") {
		t.Errorf("stats says\n%s", out)
	}
	file, err := os.Open("lot.png")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if drawn, err := png.Decode(file); err != nil || drawn.Bounds().Dx() < 2*4*24 { // two maps of 4 x 3 cells, side by side
		t.Errorf("%v", err)
	}
	ask(t, 2, "-c", config, "stats", "--lot", "L1", "--heatmap", "lot.gif")
	ask(t, 2, "-c", config, "stats", "--heatmap", "lot.png")
	ask(t, 3, "-c", config, "stats", "--lot", "L2", "--heatmap", "none.png")
}
