package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/heatmap"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
	"linectl/internal/part"
)

func (p *program) inspectCommand() *cobra.Command {
	var d desk
	var heatmaps string
	c := &cobra.Command{
		Use:   "inspect NAME[@VERSION] PICTURE...",
		Short: "judge picture files exactly as the line would",
		Long: `Inspect judges picture files by the active version of the recipe NAME, or by the version that is named.
A PICTURE may be a folder. It ends with code 1 where a picture could not be inspected; the others still are.`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return p.inspect(c.Context(), d, args[0], args[1:], heatmaps)
		},
	}
	d.flags(c)
	c.Flags().StringVar(&heatmaps, "heatmaps", "", "folder to write a heatmap of each picture to")
	return c
}

// inspected is one line of what inspect prints.
type inspected struct {
	File  string   `json:"file"`
	Score *float64 `json:"score"` // nil where there is none
	// Appearance is the part of the score that the picture adds as a whole.
	Appearance float64 `json:"appearance,omitempty"`
	Threshold  float64 `json:"threshold"`
	Zone       string  `json:"zone,omitempty"` // that decided
	Verdict    string  `json:"verdict"`
	Review     bool    `json:"review,omitempty"` // passed, but a person should look
	Reason     string  `json:"reason,omitempty"`
	Detail     string  `json:"detail,omitempty"`
	Millis     float64 `json:"ms"`
	Heatmap    string  `json:"heatmap,omitempty"`
}

func (p *program) inspect(ctx context.Context, d desk, name string, pictures []string, heatmaps string) error {
	cfg, folders, err := p.settings(d)
	if err != nil {
		return err
	}
	r, err := loadRecipe(recipe.Folder(folders.Recipes), name)
	if err != nil {
		return err
	}
	var files []string
	for _, path := range pictures {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			found, err := picture.List(path)
			if err != nil {
				return err
			}
			files = append(files, found...)
			continue
		}
		files = append(files, path)
	}
	if heatmaps != "" {
		if err := os.MkdirAll(heatmaps, 0o755); err != nil {
			return fmt.Errorf("heatmaps: %w", err)
		}
	}
	inspector, err := inspect.OpenRecipe(cfg, folders, r, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer inspector.Close()

	var results []inspected
	var rows [][]string
	failed := 0
	bar := newProgress(p.err)
	defer bar.end()
	for i, file := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if bar.bars { // elsewhere what was found says enough
			bar.step("inspect", i, len(files))
		}
		overlay := ""
		if heatmaps != "" {
			overlay = filepath.Join(heatmaps, fmt.Sprintf("%03d-%s.png", i+1, strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))))
		}
		result, err := inspectFile(ctx, inspector, file, overlay)
		if err != nil {
			failed++
			result.Detail = err.Error()
		}
		results = append(results, result)
		rows = append(rows, result.row())
	}
	bar.end()
	if err := p.print(results, []string{"file", "score", "threshold", "verdict", "reason", "ms", "detail"}, rows); err != nil {
		return err
	}
	if failed > 0 {
		return hint.New(hint.Failure, fmt.Errorf("%d of %d pictures could not be inspected", failed, len(files)), "the detail of each says why")
	}
	return nil
}

// inspectFile judges one file and draws its heatmap where one is asked for. What cannot be inspected is
// a reject, as on the line.
func inspectFile(ctx context.Context, inspector *inspect.Inspector, file, overlay string) (inspected, error) {
	result := inspected{File: file, Verdict: part.Reject.String()}
	frame, err := picture.Read(file)
	if err != nil {
		result.Reason = part.ReasonOf(err, part.BadFrame).String()
		return result, err
	}
	begun := time.Now()
	found, err := inspector.Inspect(ctx, frame)
	result.Millis = math.Round(time.Since(begun).Seconds()*1e5) / 100
	result.Threshold, result.Reason, result.Detail = found.Threshold, found.Reason.String(), found.Detail
	result.Zone, result.Review, result.Appearance = found.Zone, found.Review, found.Appearance
	if !math.IsNaN(found.Score) {
		result.Score = &found.Score
	}
	if err != nil {
		return result, err
	}
	if found.Reason == part.None {
		result.Verdict = part.Pass.String()
	}
	if overlay != "" && len(found.Map.Cells) > 0 {
		drawn, err := heatmap.Draw(frame, found.Map, found.Score, found.Threshold)
		if err == nil {
			err = writePNG(overlay, drawn)
		}
		if err != nil {
			return result, err
		}
		result.Heatmap = overlay
	}
	return result, nil
}

func (r inspected) row() []string {
	score, threshold, millis := "-", "-", "-"
	if r.Score != nil {
		score = fmt.Sprintf("%.4f", *r.Score)
	}
	if r.Threshold > 0 {
		threshold, millis = fmt.Sprintf("%.4f", r.Threshold), fmt.Sprintf("%.1f", r.Millis)
	}
	detail := r.Detail
	if r.Score != nil && r.Reason == part.Anomaly.String() {
		detail = "" // score and threshold stand in their columns
		if r.Zone != "" {
			detail = "zone " + r.Zone
		}
		if r.Appearance != 0 {
			detail = fmt.Sprintf("of it appearance %.4g", r.Appearance)
		}
	}
	return []string{picture.Name(r.File), score, threshold, r.Verdict, r.Reason, millis, detail}
}

// parseRecipe reads NAME or NAME@VERSION; version 0 is the active one.
func parseRecipe(text string) (name string, version int, err error) {
	name, number, versioned := strings.Cut(text, "@")
	if versioned {
		if version, err = strconv.Atoi(number); err != nil || version < 1 {
			return "", 0, hint.New(hint.Usage, fmt.Errorf("%q is not NAME or NAME@VERSION", text), "'linectl recipe list' shows names and versions")
		}
	}
	return name, version, nil
}

// loadRecipe loads NAME or NAME@VERSION.
func loadRecipe(f recipe.Folder, text string) (*recipe.Recipe, error) {
	name, version, err := parseRecipe(text)
	if err != nil {
		return nil, err
	}
	return f.Load(name, version)
}
