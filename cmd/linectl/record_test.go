package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/png"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"

	"linectl/internal/config"
	"linectl/internal/hint"
	"linectl/internal/part"
	"linectl/internal/store"
)

// recordedDesk is a folder with a config and a record of three parts: 1 passed, 2 rejected for an anomaly with
// its picture kept, 3 rejected for the deadline and scored too late.
func recordedDesk(t *testing.T) (configPath string, picture string) {
	t.Helper()
	folder := t.TempDir()
	configPath = filepath.Join(folder, "linectl.toml")
	inbox := filepath.Join(folder, "inbox")
	if err := os.Mkdir(inbox, 0o750); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`state = %q
[line]
name = "press 4"
cycle = "200ms"
[plc]
endpoint = "opc.tcp://192.0.2.10:4840"
profile = "minimal"
[plc.tags]
part_present = "ns=3;s=PartPresent"
result_valid = "ns=3;s=ResultValid"
reject = "ns=3;s=Reject"
[[camera]]
name = "top"
source = %q
[inspect]
recipe = "bracket"
`, folder, "folder:"+inbox)
	if err := os.WriteFile(configPath, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(configPath)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Store.MinFree = 0
	s, err := store.Open(t.Context(), cfg.Store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	record := func(n uint32, id string) part.Record {
		return part.Record{
			Station: "press 4", Mode: "auto", Verdict: part.Pass, Reason: part.None, Software: "1.2.3", Digest: "d1",
			Trigger: part.Trigger{Sequence: part.Sequence{Value: n, Bits: 16}, PartID: id, Lot: "L1", SeenAt: time.Date(2026, 11, 23, 12, 0, int(n), 5e6, time.UTC)},
		}
	}
	finding := func(score float64, reason part.Reason) *part.Finding {
		return &part.Finding{
			Recipe: part.Recipe{Name: "bracket", Version: 3, Hash: "ab12", Backbone: "cd34"}, Score: score, Threshold: 2.5, Reason: reason,
			Quality: part.Quality{Brightness: 120, Spread: 30, Sharpness: 88},
			Map:     part.Map{Width: 4, Height: 3, Cells: []float32{0, 0, 0, 0, 0, 0, 0, float32(score), 0, 0, 0, 0}},
		}
	}
	told := func(verdict part.Verdict, reason part.Reason, total time.Duration) part.Delivery {
		return part.Delivery{Verdict: verdict, Reason: reason, Outcome: part.Written, Total: total,
			Stages: []part.Stage{{Name: "grab", Took: total / 4}, {Name: "network", Took: total / 2}, {Name: "write", Took: total / 4}}}
	}
	insert := func(r part.Record) int64 {
		id, err := s.Insert(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	passed := record(1, "A17")
	passed.Finding = finding(1.25, part.None)
	s.Deliver(insert(passed), told(part.Pass, part.None, 80*time.Millisecond))

	rejected := record(2, "B18\x1b[31m\xff")
	rejected.Verdict, rejected.Reason, rejected.Finding = part.Reject, part.Anomaly, finding(5, part.Anomaly)
	id := insert(rejected)
	s.Deliver(id, told(part.Reject, part.Anomaly, 88*time.Millisecond))
	s.KeepPicture(id, part.Frame{Camera: "top", Width: 40, Height: 30, Pixels: make([]byte, 40*30*3), ExposedAt: rejected.Trigger.SeenAt}, part.Reject)

	late := record(3, "2") // a part id that is the id of a record
	late.Verdict, late.Reason, late.Detail = part.Reject, part.Deadline, "stage network"
	id = insert(late)
	s.Deliver(id, told(part.Reject, part.Deadline, 180*time.Millisecond))
	s.Late(id, *finding(1.5, part.None))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Chdir(folder)
	return configPath, filepath.Join(cfg.Store.Pictures, time.Now().UTC().Format("2006/01/02"), "2-top.png")
}

// linectl runs one command line.
func linectl(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// inUTC makes local time the same wherever the test runs.
func inUTC(t *testing.T) {
	local := time.Local
	t.Cleanup(func() { time.Local = local })
	time.Local = time.UTC
}

func TestQueryForms(t *testing.T) {
	config, _ := recordedDesk(t)
	inUTC(t)
	code, out, errs := linectl(t, "-c", config, "query")
	want := `ID  TIME                     SEQUENCE  PART             LOT  VERDICT  REASON    SCORE        THRESHOLD  RECIPE     MS     PLC
3   2026-11-23 12:00:03.005  3         2                L1   reject   deadline  1.5000 late  2.5000     bracket@3  180.0  written
2   2026-11-23 12:00:02.005  2         B18\x1b[31m\xff  L1   reject   anomaly   5.0000       2.5000     bracket@3  88.0   written
1   2026-11-23 12:00:01.005  1         A17              L1   pass     -         1.2500       2.5000     bracket@3  80.0   written
`
	if code != 0 || out != want || errs != "" {
		t.Errorf("code %d\n%s%s\nwant\n%s", code, out, errs, want)
	}

	code, out, _ = linectl(t, "-c", config, "query", "-o", "json", "--verdict", "pass")
	var found []map[string]any
	if err := json.Unmarshal([]byte(out), &found); err != nil || code != 0 || len(found) != 1 {
		t.Fatalf("code %d, %v: %s", code, err, out)
	}
	for key, want := range map[string]any{
		"id": 1.0, "at": "2026-11-23T12:00:01.005Z", "sequence": 1.0, "part_id": "A17", "verdict": "pass", "reason": "", "score": 1.25,
		"threshold": 2.5, "recipe": "bracket", "version": 3.0, "outcome": "written", "total_ms": 80.0, "late": false, "recovered": false,
	} {
		if found[0][key] != want {
			t.Errorf("%s is %v, want %v", key, found[0][key], want)
		}
	}

	_, out, _ = linectl(t, "-c", config, "query", "-o", "csv")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 4 || strings.Join(rows[0], " ") != "id time sequence part lot verdict reason score threshold recipe ms plc late" || rows[2][3] != "B18\x1b[31m\xff" {
		t.Errorf("%v: %q", err, rows)
	}
}

func TestQueryAnswersAndRefusals(t *testing.T) {
	config, _ := recordedDesk(t)
	for _, c := range []struct {
		args      string
		code      int
		out, errs string
	}{
		{"--part nobody", 3, "", "linectl: no part in the record matches\nlinectl: hint: widen --since, or leave a condition out\n"},
		{"--part nobody -o json", 3, "[]\n", "linectl: no part in the record matches\nlinectl: hint: widen --since, or leave a condition out\n"},
		{"--since soon", 2, "", `linectl: --since: "soon" is not a time; write today, yesterday, 2h, 7d, 2026-11-23, "2026-11-23 14:05" or RFC 3339` + "\n" + helpHint},
		{"--until -2h", 2, "", `linectl: --until: "-2h" is not a time; write today, yesterday, 2h, 7d, 2026-11-23, "2026-11-23 14:05" or RFC 3339` + "\n" + helpHint},
		{"--verdict maybe", 2, "", "linectl: --verdict: verdict \"maybe\" is neither pass nor reject\n" + helpHint},
		{"--reason tired", 2, "", "linectl: --reason: there is no reason \"tired\"\n" + helpHint},
		{"--sequence -1", 2, "", "linectl: --sequence: \"-1\" is not a counter value from 0 to 4294967295\n" + helpHint},
		{"--min-score NaN", 2, "", "linectl: --min-score: \"NaN\" is not a number\n" + helpHint},
		{"--limit=-1", 2, "", "linectl: --limit: -1 is below 0\n" + helpHint},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, out, errs := linectl(t, append([]string{"-c", config, "query"}, strings.Fields(c.args)...)...)
			if code != c.code || out != c.out || errs != c.errs {
				t.Errorf("code %d, want %d\n%s%s\nwant\n%s%s", code, c.code, out, errs, c.out, c.errs)
			}
		})
	}
	code, out, errs := linectl(t, "-c", config, "query", "--limit", "2", "-o", "table")
	if code != 0 || strings.Count(out, "\n") != 3 || errs != "the newest 2; --limit shows more, --before 2 goes on from here\n" {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
}

const helpHint = "linectl: hint: 'linectl query --help' shows the forms\n"

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("plant", 3600)
	now := time.Date(2026, 11, 23, 14, 30, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"":                     {},
		"now":                  now,
		"today":                time.Date(2026, 11, 23, 0, 0, 0, 0, zone),
		"yesterday":            time.Date(2026, 11, 22, 0, 0, 0, 0, zone),
		"2h":                   now.Add(-2 * time.Hour),
		"1h30m":                now.Add(-90 * time.Minute),
		"7d":                   now.AddDate(0, 0, -7),
		"2026-11-01":           time.Date(2026, 11, 1, 0, 0, 0, 0, zone),
		"2026-11-01 06:00":     time.Date(2026, 11, 1, 6, 0, 0, 0, zone),
		"2026-11-01T06:00:00Z": time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC),
	} {
		if got, err := parseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestShownIsFitForATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"A17":             "A17",
		"ü\u00a0ñ":        `ü\u00a0ñ`,
		"\x1b]0;x\a":      `\x1b]0;x\a`,
		"a\x00b\nc":       `a\x00b\nc`,
		"\xff\xfe":        `\xff\xfe`,
		"\u202eabc":       `\u202eabc`,
		"0123456789abcde": "0123456789…",
	} {
		if got := shown(text, 10); got != want {
			t.Errorf("%q is shown as %s, want %s", text, got, want)
		}
	}
}

func TestShow(t *testing.T) {
	config, picture := recordedDesk(t)
	inUTC(t)
	code, out, errs := linectl(t, "-c", config, "show", "2")
	want := `REJECT  part B18\x1b[31m\xff
  the part does not look like the good parts of its recipe
  hint: ` + part.Anomaly.Hint() + `

  record      2
  seen at     2026-11-23T12:00:02.005Z
  station     press 4
  sequence    2 (16 bits)
  part        B18\x1b[31m\xff
  lot         L1
  mode        auto
  verdict     reject: anomaly
  score       5.0000 (2.00 of the threshold 2.5000)
  recipe      bracket version 3
  hash        ab12
  backbone    cd34
  quality     brightness 120.0, spread 30.0, sharpness 88.0
  picture     ` + picture + ` (camera top, 40 x 30)
  exposed at  2026-11-23T12:00:02.005Z
  software    1.2.3
  told plc    reject: anomaly, written at TIME
  heatmap     part-2.png

  stage             ms  of a cycle of 200 ms
  grab            22.0  ▇▇▇▇
  network         44.0      ▇▇▇▇▇▇▇▇▇
  write           22.0               ▇▇▇▇▇
  total           88.0  ━━━━━━━━━━━━━━━━━━
`
	if got := withoutTime(out); code != 0 || got != want || errs != "" {
		t.Errorf("code %d\n%s%s\nwant\n%s", code, got, errs, want)
	}
	file, err := os.Open("part-2.png")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if drawn, _, err := image.Decode(file); err != nil || drawn.Bounds().Dx() < 4 {
		t.Errorf("the heatmap: %v", err)
	}

	// A part's name, though it is a number.
	if _, out, _ := linectl(t, "-c", config, "show", "--part", "2", "--picture", "late.png"); !strings.Contains(out, "record      3\n") ||
		!strings.Contains(out, "score       1.5000 (0.60 of the threshold 2.5000), after the deadline: never sent\n") || !strings.Contains(out, "heatmap     late.png (on grey: the picture was not kept)\n") {
		t.Errorf("part 2 is\n%s", out)
	}
	if _, out, _ := linectl(t, "-c", config, "show", "A17", "-o", "json"); !strings.Contains(out, `"part_id": "A17"`) || !strings.Contains(out, `"cycle_ms": 200`) {
		t.Errorf("part A17 is\n%s", out)
	}
	for name, message := range map[string]string{
		"99":     `linectl: there is no record and no part "99"`,
		"nobody": `linectl: there is no record and no part "nobody"`,
		"A*":     `linectl: there is no record and no part "A*"`,
		"":       `linectl: there is no record and no part ""`,
	} {
		if code, out, errs := linectl(t, "-c", config, "show", name); code != 3 || out != "" || !strings.HasPrefix(errs, message+"\n") {
			t.Errorf("code %d: %s%s", code, out, errs)
		}
	}
}

func withoutTime(page string) string {
	lines := strings.Split(page, "\n")
	for i, line := range lines {
		if before, _, ok := strings.Cut(line, "written at "); ok {
			lines[i] = before + "written at TIME"
		}
	}
	return strings.Join(lines, "\n")
}

// Evidence that has been changed is not shown as if it were evidence.
func TestShowTellsWhenThePictureIsNotWhatWasKept(t *testing.T) {
	config, picture := recordedDesk(t)
	data, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(picture, data, 0o640); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := linectl(t, "-c", config, "show", "2"); code != 0 || !strings.Contains(out, "part-2.png (on grey: the picture "+picture+" has been changed since it was kept)\n") {
		t.Errorf("code %d:\n%s", code, out)
	}
	if err := os.Remove(picture); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := linectl(t, "-c", config, "show", "2"); code != 0 || !strings.Contains(out, "part-2.png (on grey: the picture "+picture+" is gone)\n") {
		t.Errorf("code %d:\n%s", code, out)
	}
}

// A picture that retention removed is not said to be gone.
func TestShowTellsWhatRetentionRemoved(t *testing.T) {
	path, picture := recordedDesk(t)
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	inUTC(t)
	db, err := sql.Open("sqlite3", cfg.Store.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`INSERT INTO removal (at, frame_id, why) VALUES (?, 1, 'age')`, time.Date(2026, 12, 24, 3, 0, 0, 0, time.UTC).UnixMicro()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(picture); err != nil {
		t.Fatal(err)
	}
	if out, _ := ask(t, 0, "-c", path, "show", "2"); !strings.Contains(out, "picture     removed by retention (age) at 2026-12-24T03:00:00Z (camera top, 40 x 30)\n") ||
		!strings.Contains(out, "(on grey: the picture was removed by retention (age) on 2026-12-24)\n") {
		t.Errorf("it says\n%s", out)
	}
	if out, _ := ask(t, 0, "-c", path, "show", "2", "-o", "json"); !strings.Contains(out, `"removed_at": "2026-12-24T03:00:00Z"`) || !strings.Contains(out, `"removed_why": "age"`) {
		t.Errorf("it says\n%s", out)
	}
	if _, errs := ask(t, 3, "-c", path, "show", "2", "--nearest", "why.png"); !strings.Contains(errs, "removed by retention (age) on 2026-12-24") {
		t.Errorf("it says %s", errs)
	}
	if _, errs := ask(t, 3, "-c", path, "query", "--pictures", "other"); !strings.Contains(errs, "1 were removed by retention, 0 are gone or changed") {
		t.Errorf("it says %s", errs)
	}
}

func TestCameraCommands(t *testing.T) {
	config, _ := recordedDesk(t)
	code, out, errs := linectl(t, "-c", config, "camera", "list")
	if code != 0 || !strings.HasPrefix(out, "NAME  SOURCE") || !strings.Contains(out, "top   folder:") || !strings.Contains(out, "  ready\n") {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	if code, _, errs := linectl(t, "-c", config, "camera", "snap", "left"); code != 2 || errs != "linectl: no camera is called \"left\"\nlinectl: hint: the config has: top\n" {
		t.Errorf("code %d: %s", code, errs)
	}
	if code, _, errs := linectl(t, "-c", config, "camera", "snap", "top", "-w", "x.gif"); code != 2 || !strings.HasPrefix(errs, "linectl: --write \"x.gif\": ") {
		t.Errorf("code %d: %s", code, errs)
	}
	if code, _, errs := linectl(t, "-c", config, "camera", "snap", "top"); code != 1 || !strings.HasPrefix(errs, "linectl: camera \"top\": no unused picture in ") {
		t.Errorf("code %d: %s", code, errs)
	}
	data, err := os.ReadFile(writePicture(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("inbox/1.png", data, 0o640); err != nil {
		t.Fatal(err)
	}
	code, out, errs = linectl(t, "-c", config, "camera", "snap", "top", "-o", "json")
	var s snapped
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 || s.Width != 40 || s.Height != 30 || s.File != "top.png" || math.IsNaN(s.WaitedMS) {
		t.Errorf("code %d, %v: %s%s", code, err, out, errs)
	}
	if _, err := os.Stat("top.png"); err != nil {
		t.Error(err)
	}
}

// writePicture is a picture file: the one that the record of the desk has kept.
func writePicture(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("pictures/*/*/*/2-top.png")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return files[0]
}

// FuzzQuestion: whatever is typed is an answer or an error of the kind Usage, and an instant that is read is
// the same when it is written and read again.
func FuzzQuestion(f *testing.F) {
	now := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	for _, text := range []string{"today", "yesterday", "7d", "99999d", "-1d", "1e9h", "2h", "2026-11-23", "2026-02-30", "2026-11-23 14:05", "9999-12-31", "0000-01-01", "2026-11-23T14:05:00+99:99", "NaN", "+Inf", "1e999", "4294967296", "d", " "} {
		f.Add(text, text, text, text)
	}
	f.Fuzz(func(t *testing.T, since, score, sequence, word string) {
		q := question{since: since, until: since, min: score, max: score, sequence: sequence, verdict: word, reason: word, review: word}
		filter, err := q.filter(now)
		if err != nil && hint.KindOf(err) != hint.Usage {
			t.Errorf("%+v: %v", q, err)
		}
		if err == nil && filter.MinScore != nil && math.IsNaN(*filter.MinScore) {
			t.Errorf("%q is a score", score)
		}
		at, err := parseTime(since, now)
		if err != nil || at.Year() < 1 || at.Year() > 9999 {
			return
		}
		if again, err := parseTime(at.Format(time.RFC3339), now); !at.IsZero() && (err != nil || again.Unix() != at.Unix()) {
			t.Errorf("%q is %s, then %s: %v", since, at, again, err)
		}
	})
}

// Times are read and written in the plant's time zone, wherever the machine thinks it is.
func TestTimesAreThePlants(t *testing.T) {
	config, _ := recordedDesk(t)
	inUTC(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, append(text, "[store]\ntime_zone = \"America/St_Johns\"\n"...), 0o600); err != nil { // 3.5 hours behind
		t.Fatal(err)
	}
	for since, want := range map[string]string{"2026-11-23 08:30:02": "3\n2\n", "2026-11-23 08:30:03": "3\n", "2026-11-23T12:00:02Z": "3\n2\n"} {
		out, _ := ask(t, 0, "-c", config, "query", "--since", since, "-o", "csv")
		var ids string
		for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
			id, rest, _ := strings.Cut(line, ",")
			ids += id + "\n"
			if !strings.HasPrefix(rest, "2026-11-23T08:30:0") || !strings.Contains(rest, "-03:30,") {
				t.Errorf("it says %s", line)
			}
		}
		if ids != want {
			t.Errorf("since %s: %q, want %q", since, ids, want)
		}
	}
	// In order there, if not in the machine's zone.
	ask(t, 0, "-c", config, "query", "--since", "2026-11-23T12:00:00Z", "--until", "2026-11-23 08:31")
	if out, _ := ask(t, 0, "-c", config, "show", "3"); !strings.Contains(out, "2026-11-23T08:30:03.005-03:30") {
		t.Errorf("it says\n%s", out)
	}
	for _, command := range []string{"query", "stats", "since"} {
		_, errs := ask(t, 2, "-c", config, command, "--since", "2026-11-23", "--until", "2026-11-23")
		if !strings.Contains(errs, "is not after --since") {
			t.Errorf("%s: %s", command, errs)
		}
	}
}

func TestQueryNear(t *testing.T) {
	config, picture := recordedDesk(t)
	out, _ := ask(t, 0, "-c", config, "query", "--near", "2", "-o", "json")
	var found []alikePart
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) != 2 || found[0].ID != 3 || found[0].Likeness < 0.99 {
		t.Errorf("%v: %s", err, out)
	}
	if out, _ := ask(t, 0, "-c", config, "query", "--near", "2", "--verdict", "pass"); !strings.HasPrefix(out, "LIKENESS  ID ") || strings.Count(out, "\n") != 2 {
		t.Errorf("it says\n%s", out)
	}
	ask(t, 3, "-c", config, "query", "--near", "99")
	ask(t, 2, "-c", config, "query", "--near", "2", "--parquet", "x")

	out, _ = ask(t, 0, "-c", config, "query", "--near", picture, "-o", "csv")
	if lines := strings.Split(out, "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], "likeness,id,") || !strings.HasPrefix(lines[1], "1.000,2,") {
		t.Errorf("it says\n%s", out)
	}
	ask(t, 3, "-c", config, "query", "--near", picture, "--verdict", "pass")
	for _, near := range []string{"", "none.png", "7.5"} {
		ask(t, 2, "-c", config, "query", "--near", near)
	}
	ask(t, 1, "-c", config, "query", "--near", config) // no picture
}

func TestQueryEvents(t *testing.T) {
	path, _ := recordedDesk(t)
	inUTC(t)
	ask(t, 3, "-c", path, "query", "--events")
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), cfg.Store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.Event("start", "linectl", "mode auto")
	s.Event("config-reloaded", "SIG\x1b[31mHUP", "x")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	out, _ := ask(t, 0, "-c", path, "query", "--events", "--since", "1h")
	if lines := strings.Split(out, "\n"); len(lines) != 4 || !strings.HasSuffix(lines[1], `  config-reloaded  SIG\x1b[31mHUP  x`) || !strings.Contains(lines[2], "start            linectl") {
		t.Errorf("it says\n%s", out)
	}
	out, _ = ask(t, 0, "-c", path, "query", "--events", "--limit", "1", "-o", "json")
	var found []loggedEvent
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) != 1 || found[0].Event != "config-reloaded" {
		t.Errorf("%v: %s", err, out)
	}
	ask(t, 3, "-c", path, "query", "--events", "--until", "2026-01-01")
	ask(t, 2, "-c", path, "query", "--events", "--lot", "L1")
	ask(t, 2, "-c", path, "query", "--events", "--near", "2")
}

// What people have reviewed goes into a folder that training takes.
func TestQueryPictures(t *testing.T) {
	config, kept := recordedDesk(t)
	ask(t, 0, "-c", config, "review", "2", "--verdict", "good", "--by", "eva")
	for _, want := range []string{"1 pictures of 1 parts copied to more; 0 were there", "0 pictures of 1 parts copied to more; 1 were there"} {
		if _, errs := ask(t, 0, "-c", config, "query", "--verdict", "reject", "--review", "good", "--pictures", "more"); !strings.HasPrefix(errs, want) {
			t.Errorf("it says %s", errs)
		}
	}
	was, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	if copied, err := os.ReadFile("more/2-top.png"); err != nil || !bytes.Equal(copied, was) {
		t.Errorf("the copy is not what was kept: %v", err)
	}
	if err := os.WriteFile(kept, was[:9], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs := ask(t, 4, "-c", config, "query", "--pictures", "other"); !strings.Contains(errs, "0 pictures of 3 parts copied to other; 0 were there already, 2 parts had none kept, 0 were removed by retention, 1 are gone or changed") {
		t.Errorf("it says %s", errs)
	}
	ask(t, 3, "-c", config, "query", "--lot", "none", "--pictures", "other")
	if err := errors.Join(os.Remove(kept), os.Mkdir(kept, 0o750)); err != nil { // can be opened, not read
		t.Fatal(err)
	}
	if _, errs := ask(t, 1, "-c", config, "query", "--pictures", "other"); !strings.Contains(errs, "a kept picture cannot be read: ") {
		t.Errorf("it says %s", errs)
	}
	ask(t, 1, "-c", config, "query", "--pictures", config+"/x")
}

// Programs read the score as a number; that it came too late is a column of its own there.
func TestLateScore(t *testing.T) {
	score := 3.4121
	late := foundPart{Score: &score, Late: true}
	for _, table := range []bool{true, false} {
		cells := map[string]string{}
		for i, name := range queryHeader(table) {
			cells[name] = late.row(table)[i]
		}
		if want := map[bool][2]string{true: {"3.4121 late", ""}, false: {"3.4121", "true"}}[table]; cells["score"] != want[0] || cells["late"] != want[1] {
			t.Errorf("table %v: %v", table, cells)
		}
	}
}
