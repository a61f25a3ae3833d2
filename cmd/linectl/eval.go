package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/inspect"
	"linectl/internal/inspect/evaluate/exam"
	"linectl/internal/inspect/picture"
	"linectl/internal/inspect/recipe"
)

// evalOptions are the flags of eval.
type evalOptions struct {
	good, bad, masks string
	html, training   string
}

func (p *program) evalCommand() *cobra.Command {
	var d desk
	var o evalOptions
	c := &cobra.Command{
		Use:   "eval NAME[@VERSION] --good DIR [--bad DIR]",
		Short: "how well a recipe tells good parts from bad ones",
		Long: `Eval judges pictures of known good and bad parts exactly as the line would, by the active version of the
recipe NAME or by the version that is named, and prints what came of it: AUROC, false rejects and escapes at
the recipe's threshold with 95 % intervals (Wilson), and times. Use pictures that the recipe was not trained on.

With --masks it also says how well the maps find the defects: pixel AUROC, and PRO up to 0.3 false pixels. A
mask is a PNG with the name of its bad picture, not zero where the defect is.

It ends with code 1 where a picture could not be read; the others still count.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return p.eval(c.Context(), d, args[0], o) },
	}
	d.flags(c)
	c.Flags().StringVar(&o.good, "good", "", "folder of pictures of good parts")
	c.Flags().StringVar(&o.bad, "bad", "", "folder of pictures of bad parts")
	c.Flags().StringVar(&o.masks, "masks", "", "folder of masks of the bad pictures")
	c.Flags().StringVar(&o.html, "html", "", "file for a page with histogram, heatmaps and the nearest good patches")
	c.Flags().StringVar(&o.training, "training", "", "folder of the pictures that the recipe was trained on, to show them on the page")
	if err := c.MarkFlagRequired("good"); err != nil {
		panic(err) // the flag stands above
	}
	return c
}

func (p *program) eval(ctx context.Context, d desk, name string, o evalOptions) error {
	if o.masks != "" && o.bad == "" {
		return hint.New(hint.Usage, errors.New("--masks without --bad: good parts have no defects"), "name the folder of bad pictures with --bad")
	}
	cfg, folders, err := p.settings(d)
	if err != nil {
		return err
	}
	r, err := loadRecipe(recipe.Folder(folders.Recipes), name)
	if err != nil {
		return err
	}
	if err := writable("--html", o.html); err != nil {
		return err
	}
	set := exam.Set{BadFolder: o.bad, Masks: o.masks}
	if set.Good, err = picture.List(o.good); err != nil {
		return err
	}
	if o.bad != "" {
		if set.Bad, err = picture.List(o.bad); err != nil {
			return err
		}
	}
	inspector, err := inspect.OpenRecipe(cfg, folders, r, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer inspector.Close()
	progress := newProgress(p.err)
	report, err := exam.Run(ctx, inspector, r, set, progress.step)
	progress.end()
	if err != nil {
		return err
	}
	report.Software = version
	if o.html != "" {
		if err := writePage(ctx, inspector, r, report, o); err != nil {
			return err
		}
	}
	if err := p.printReport(report); err != nil {
		return err
	}
	if report.Unread > 0 {
		return hint.New(hint.Failure, fmt.Errorf("%d of %d pictures could not be read and count for nothing", report.Unread, len(report.Pictures)), "the notes say why")
	}
	return nil
}

// writePage writes the page beside its place and moves it there whole.
func writePage(ctx context.Context, i *inspect.Inspector, r *recipe.Recipe, report *exam.Report, o evalOptions) error {
	worst, err := exam.Evidences(ctx, i, r, report, o.training, false)
	if err != nil {
		return err
	}
	weakest, err := exam.Evidences(ctx, i, r, report, o.training, true)
	if err != nil {
		return err
	}
	return writeWhole("page", o.html, 0o644, func(w io.Writer) error {
		if err := exam.WritePage(w, report, worst, weakest); err != nil {
			return fmt.Errorf("page: %w", err)
		}
		return nil
	})
}

func (p *program) printReport(rep *exam.Report) error {
	if p.output == "csv" {
		var rows [][]string
		for _, x := range rep.Pictures {
			rows = append(rows, []string{x.File, strconv.FormatBool(x.Bad), orDash(x.Score, "%g"), fmt.Sprintf("%g", x.Threshold), x.Verdict, x.Reason, x.Zone, fmt.Sprintf("%g", x.Millis)})
		}
		return p.print(nil, []string{"file", "bad", "score", "threshold", "verdict", "reason", "zone", "ms"}, rows)
	}
	rate := func(r exam.Rate) string {
		if r.Value == nil {
			return "-"
		}
		return fmt.Sprintf("%.2f %%, %d of %d, 95 %% interval %.2f to %.2f %%", 100**r.Value, r.Count, r.Of, 100*r.Low, 100*r.High)
	}
	rows := [][]string{
		{"recipe", fmt.Sprintf("%s@%d", rep.Recipe, rep.Version)},
		{"pictures", fmt.Sprintf("%d good, %d bad", rep.Good, rep.Bad)},
		{"image AUROC", orDash(rep.ImageAUROC, "%.4f")},
	}
	if rep.Masks > 0 {
		rows = append(rows, []string{"pixel AUROC", orDash(rep.PixelAUROC, "%.4f")},
			[]string{"PRO", orDash(rep.PRO, "%.4f") + fmt.Sprintf(", %d defects in %d masks", rep.Regions, rep.Masks)})
	}
	rows = append(rows, []string{"threshold", fmt.Sprintf("%.4f", rep.Threshold)},
		[]string{"false rejects", rate(rep.FalseRejects)}, []string{"escapes", rate(rep.Escapes)})
	for _, k := range rep.Kinds {
		rows = append(rows, []string{"escapes, " + picture.Name(k.Name), rate(k.Escapes)})
	}
	for _, t := range rep.Timing {
		rows = append(rows, []string{"time, " + t.Stage, fmt.Sprintf("p50 %.1f, p95 %.1f, p99 %.1f, max %.1f ms", t.P50, t.P95, t.P99, t.Max)})
	}
	for _, note := range rep.Notes {
		rows = append(rows, []string{"note", note})
	}
	return p.print(rep, nil, rows)
}

// orDash writes a figure that there may not be.
func orDash(v *float64, form string) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf(form, *v)
}
