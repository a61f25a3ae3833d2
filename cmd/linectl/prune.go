package main

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"linectl/internal/hint"
	"linectl/internal/setting"
	"linectl/internal/store"
)

func (p *program) pruneCommand() *cobra.Command {
	var dry, held bool
	var hold, release, who, why string
	c := &cobra.Command{
		Use:   "prune",
		Short: "remove pictures as the config says, now, and tell how long the disk will do",
		Long: `Prune does at once what the daemon does every hour: it removes pictures by age and quota, as [store] in the
config says. Pictures of passes go first, then the samples of passes. Pictures of rejects go by age only.
Pictures of parts that somebody reviewed, of lots that are held, and of parts that were rebuilt after a crash
stay. Rows and heatmaps always stay, and each removal is a row. Files that no row names are moved to the folder
orphans within the pictures.

--hold LOT keeps the pictures of a lot from now on, --release LOT lets them go again, --held lists the lots that
are held; all three remove nothing.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case held:
				return p.held(c.Context())
			case c.Flags().Changed("hold") || c.Flags().Changed("release"):
				return p.hold(c.Context(), hold, release, who, why)
			}
			return p.prune(c.Context(), dry)
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "only tell what would be removed")
	c.Flags().StringVar(&hold, "hold", "", "lot whose pictures stay")
	c.Flags().StringVar(&release, "release", "", "lot whose pictures need no longer stay")
	c.Flags().BoolVar(&held, "held", false, "list the lots that are held, by whom and why")
	c.Flags().StringVar(&who, "by", store.UserName(), "who holds or releases")
	c.Flags().StringVar(&why, "why", "", "the reason of a hold")
	c.MarkFlagsMutuallyExclusive("dry-run", "hold", "release", "held")
	return c
}

// pruned is the JSON form; its keys are a contract.
type pruned struct {
	DryRun    bool   `json:"dry_run"`
	Passes    int64  `json:"passes"`
	Samples   int64  `json:"samples"`
	Rejects   int64  `json:"rejects"`
	Bytes     int64  `json:"bytes"`
	Orphans   int64  `json:"orphans"` // files without a row, moved to pictures/orphans
	OrphanAll int64  `json:"orphans_kept"`
	OrphanSum int64  `json:"orphan_bytes"`
	Kept      int64  `json:"kept"`
	KeptBytes int64  `json:"kept_bytes"`
	Protected int64  `json:"protected"`
	Over      int64  `json:"over_quota_bytes"`
	disk             // that is full first
	Disks     []disk `json:"disks"`
}

type disk struct {
	Folder   string   `json:"disk"`
	PerDay   int64    `json:"bytes_per_day"`
	Free     int64    `json:"free_bytes"`
	DaysLeft *float64 `json:"days_left"`
}

func diskOf(d store.Disk) disk { return disk{d.Folder, d.PerDay, int64(d.Free), numeric(d.DaysLeft)} }

// left is for a person.
func (d disk) left() string {
	switch {
	case d.DaysLeft == nil:
		return "no end in sight"
	case *d.DaysLeft > 100*365.25:
		return "more than 100 years"
	}
	return fmt.Sprintf("%.0f", math.Floor(*d.DaysLeft))
}

func (p *program) prune(ctx context.Context, dry bool) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	pen, err := store.OpenPen(ctx, cfg.Store)
	if err != nil {
		return err
	}
	defer pen.Close()
	done, err := pen.Prune(ctx, dry)
	if err != nil {
		return err
	}
	forecast, err := pen.Forecast(ctx, cfg.Store)
	if err != nil {
		return err
	}
	result := pruned{
		DryRun: dry, Passes: done.Passes, Samples: done.Samples, Rejects: done.Rejects, Bytes: done.Bytes, Orphans: done.Orphans, OrphanAll: done.OrphansKept, OrphanSum: done.OrphanBytes,
		Kept: done.Kept, KeptBytes: done.KeptBytes, Protected: done.Protected, Over: done.Over,
		disk: diskOf(forecast.First()),
	}
	for _, d := range forecast.Disks {
		result.Disks = append(result.Disks, diskOf(d))
	}
	removed, moved := "removed", "moved"
	if dry {
		removed, moved = "to be removed", "to be moved"
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	rows := [][]string{
		{removed, fmt.Sprintf("%d pictures, %s: %d of passes, %d sampled, %d of rejects", done.Removed(), setting.Bytes(done.Bytes), done.Passes, done.Samples, done.Rejects)},
		{"files without a row", fmt.Sprintf("%d %s to orphans; then %d are there, %s", done.Orphans, moved, done.OrphansKept, setting.Bytes(done.OrphanBytes))},
		{"kept", fmt.Sprintf("%d pictures, %s; %d of them reviewed, held or recovered", done.Kept, setting.Bytes(done.KeptBytes), done.Protected)},
	}
	for _, d := range result.Disks {
		if len(result.Disks) > 1 {
			rows = append(rows, []string{"disk", d.Folder})
		}
		rows = append(rows, []string{"written a day", setting.Bytes(d.PerDay).String()}, []string{"free", setting.Bytes(d.Free).String()}, []string{"days left", d.left()})
	}
	var header []string
	if p.output == "csv" {
		days := ""
		if result.DaysLeft != nil {
			days = strconv.FormatFloat(*result.DaysLeft, 'f', 1, 64)
		}
		header = []string{"field", "value"}
		rows = [][]string{{"passes", count(done.Passes)}, {"samples", count(done.Samples)}, {"rejects", count(done.Rejects)}, {"bytes", count(done.Bytes)},
			{"orphans", count(done.Orphans)}, {"orphans_kept", count(done.OrphansKept)}, {"orphan_bytes", count(done.OrphanBytes)}, {"kept", count(done.Kept)}, {"kept_bytes", count(done.KeptBytes)}, {"protected", count(done.Protected)},
			{"over_quota_bytes", count(done.Over)}, {"disk", result.Folder}, {"bytes_per_day", count(result.PerDay)}, {"free_bytes", count(result.Free)}, {"days_left", days}}
	}
	if err := p.print(result, header, rows); err != nil {
		return err
	}
	if done.Over > 0 {
		return hint.New(hint.Failure, fmt.Errorf("the pictures that must be kept are %s above store.quota", setting.Bytes(done.Over)), "raise store.quota, or set store.reject_days")
	}
	return nil
}
