package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"linectl/internal/inspect"
	"linectl/internal/inspect/calibrate"
	"linectl/internal/inspect/recipe"
	"linectl/internal/sim/parts"
)

// TestTrainWithinNothing: a budget that nothing keeps is refused with what came nearest and all that was measured, in the
// precision and with the score that were asked for.
func TestTrainWithinNothing(t *testing.T) {
	folder := t.TempDir()
	good, recipes := filepath.Join(folder, "good"), filepath.Join(folder, "recipes")
	drawPlates(t, good, "", 1, 1)
	out, errs := ask(t, 1, "train", "plate", "--good", good, "--recipes", recipes, "--budget", "1ns", "--precision", "fp32", "--score", "mean_top_k", "-o", "json")
	var page struct {
		Budget recipe.Budget `json:"budget"`
	}
	if err := json.Unmarshal([]byte(out), &page); err != nil {
		t.Fatal(err)
	}
	if b := page.Budget; b.Limit != "1ns" || b.Device != "cpu" || len(b.Trials) < 5 {
		t.Errorf("%+v", b)
	}
	nearest := page.Budget.Trials[0]
	for _, tried := range page.Budget.Trials {
		if tried.Fits || tried.Measured < 1 || !(tried.P50 > 0) || tried.Why != "p50 exceeds the budget" ||
			tried.Precision != "fp32" || tried.Score != "mean_top_k" || tried.Network != "fp32" {
			t.Errorf("%+v", tried)
		}
		if tried.P50 < nearest.P50 {
			nearest = tried
		}
	}
	if !strings.Contains(errs, "nothing keeps within 1ns on cpu: the fastest was "+nearest.Backbone+" at "+nearest.Input+" with ") || !strings.Contains(errs, "linectl: hint: ") {
		t.Errorf("it says %s", errs)
	}
	if found, _ := filepath.Glob(filepath.Join(recipes, "*", "1")); len(found) > 0 {
		t.Errorf("%q was made", found)
	}
	ask(t, 2, "train", "plate", "--good", good, "--recipes", recipes, "--budget", "0s")
}

// TestBudgetIsATable: of all that was measured, and of why each setting was taken or given up.
func TestBudgetIsATable(t *testing.T) {
	var out strings.Builder
	p := &program{out: &out, output: "table"}
	err := p.printBudget(recipe.Budget{Limit: "30ms", Trials: []recipe.Trial{
		{Backbone: "large", Input: "256x256", Bank: 4096, Precision: "int8", Score: "max", Network: "fp32", Measured: 10, P50: 41.26, P99: 50, Why: "p50 exceeds the budget"},
		{Backbone: "small", Input: "128x128", Bank: 512, Precision: "int8", Score: "max", Network: "fp32", Measured: 200, P50: 7, P99: 12.5, Fits: true, Why: "p99 is within the budget"},
	}})
	want := `BACKBONE  NETWORK  INPUT    BANK  PRECISION  SCORE  INSPECTIONS  P50 MS  P99 MS  FITS  WHY
large     fp32     256x256  4096  int8       max    10           41.3    50.0    no    p50 exceeds the budget
small     fp32     128x128  512   int8       max    200          7.0     12.5    yes   p99 is within the budget
`
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, &out)
	}
}

// BenchmarkTrain trains on so many rendered pictures at 256x256, with a memory bank of 4,096, as a process of its own:
// how long the features of all pictures take and how long all the rest, how much time of cores that was, and the most
// memory that it held.
//
//	go test -run '^$' -bench Train -benchtime 1x -timeout 1h ./cmd/linectl
func BenchmarkTrain(b *testing.B) {
	program, err := exec.LookPath("linectl")
	if err != nil {
		b.Fatal(err)
	}
	for _, pictures := range []int{50, 200, 1000, 5000} {
		b.Run(strconv.Itoa(pictures), func(b *testing.B) {
			folder := b.TempDir()
			if err := parts.Write(filepath.Join(folder, "parts"), parts.Cap, pictures, 0, 7); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				command := exec.CommandContext(b.Context(), program, "train", "cap", "--good", filepath.Join(folder, "parts/good"), "--recipes", filepath.Join(folder, "recipes"),
					"--size", "256x256", "--bank", "4096")
				said, err := command.StderrPipe()
				if err != nil {
					b.Fatal(err)
				}
				if err := command.Start(); err != nil {
					b.Fatal(err)
				}
				begun := time.Now()
				var features time.Duration // until the first pictures are held out
				var all strings.Builder
				for lines := bufio.NewScanner(said); lines.Scan(); {
					fmt.Fprintln(&all, lines.Text())
					if features == 0 && strings.HasPrefix(lines.Text(), "first look") {
						features = time.Since(begun)
					}
				}
				if err := command.Wait(); err != nil {
					b.Fatalf("%v\n%s", err, &all)
				}
				used, ok := command.ProcessState.SysUsage().(*syscall.Rusage)
				if !ok {
					b.Fatal("this system does not say how much memory a process held")
				}
				b.ReportMetric((command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds(), "s-of-cores")
				b.ReportMetric(features.Seconds(), "s-features")
				b.ReportMetric((time.Since(begun) - features).Seconds(), "s-rest")
				b.ReportMetric(float64(used.Maxrss)*1024/1e6, "MB-peak")
			}
		})
	}
}

// A good picture stands for the zone in which it is nearest to the threshold.
func TestScoresInThresholds(t *testing.T) {
	limits := []inspect.Limit{
		{Threshold: recipe.Threshold{Threshold: calibrate.Threshold{Value: 2}}, Scores: []float64{1, 3, 1}},
		{Threshold: recipe.Threshold{Threshold: calibrate.Threshold{Value: 8}}, Scores: []float64{6, 6, 2}},
	}
	if got := inThresholds(limits); !slices.Equal(got, []float64{0.75, 1.5, 0.5}) {
		t.Errorf("%v", got)
	}
}
