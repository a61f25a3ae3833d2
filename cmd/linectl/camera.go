package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"gocv.io/x/gocv"

	"linectl/internal/camera"
	"linectl/internal/hint"
	"linectl/internal/part"
)

func (p *program) cameraCommand() *cobra.Command {
	c := &cobra.Command{Use: "camera", Short: "what is attached; one picture"}
	c.AddCommand(p.cameraListCommand(), p.cameraSnapCommand())
	return c
}

func (p *program) cameraListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "the configured cameras and whether they give pictures; the V4L2 devices of this machine",
		Long: `List opens each configured camera and waits for a frame of a live one; the pictures of a folder are left
untouched. A V4L2 camera that the daemon uses cannot be opened a second time.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.cameraList(c.Context()) },
	}
}

// listedCamera is a camera in the JSON form; its keys are a contract.
type listedCamera struct {
	Name   string `json:"name"` // "" for a device that no camera of the config uses
	Source string `json:"source"`
	State  string `json:"state"`
}

func (p *program) cameraList(ctx context.Context) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	cameras := []listedCamera{}
	failed := 0
	for _, c := range cfg.Cameras {
		state := "ready"
		if err := tryCamera(ctx, c); err != nil {
			state = err.Error()
			failed++
		}
		cameras = append(cameras, listedCamera{c.Name, c.Shown(), state})
	}
	for _, device := range camera.Devices() {
		source := "v4l2:" + device
		used := false
		for _, c := range cfg.Cameras {
			used = used || c.Source == source
		}
		if !used {
			cameras = append(cameras, listedCamera{Source: source, State: "not used by the config"})
		}
	}
	var rows [][]string
	for _, c := range cameras {
		rows = append(rows, []string{c.Name, c.Source, c.State})
	}
	if err := p.print(cameras, []string{"name", "source", "state"}, rows); err != nil {
		return err
	}
	if failed > 0 {
		return hint.New(hint.Failure, fmt.Errorf("%d of %d cameras give no picture", failed, len(cfg.Cameras)), part.NoFrame.Hint())
	}
	return nil
}

// tryCamera opens a camera and waits until it is healthy: a live one has given a frame then.
func tryCamera(ctx context.Context, c camera.Config) error {
	cam, err := camera.Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return errors.Unwrap(err) // the name stands in its own column
	}
	defer cam.Close()
	deadline := time.Now().Add(max(c.Timeout.Std(), patience))
	for {
		err := cam.Healthy()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// patience is how long a live camera may take to give its first frame.
const patience = 5 * time.Second

func (p *program) cameraSnapCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "snap NAME",
		Short: "take one picture now",
		Long: `Snap takes one picture that is exposed after this moment, as the line would for a part. Of a folder it
takes the first picture; of a drop folder it waits for the next one.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return p.cameraSnap(c.Context(), args[0], file) },
	}
	c.Flags().StringVarP(&file, "write", "w", "", "file to write, PNG or JPEG by its ending; by default NAME.png")
	return c
}

// snapped is a picture taken, in the JSON form; its keys are a contract.
type snapped struct {
	Camera    string  `json:"camera"`
	File      string  `json:"file"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	ExposedAt string  `json:"exposed_at"`
	WaitedMS  float64 `json:"waited_ms"`
	SHA256    string  `json:"sha256"`
	Source    string  `json:"source,omitempty"`
}

func (p *program) cameraSnap(ctx context.Context, name, file string) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	var names []string
	for _, c := range cfg.Cameras {
		if c.Name == name {
			return p.snap(ctx, c, file)
		}
		names = append(names, c.Name)
	}
	return hint.New(hint.Usage, fmt.Errorf("no camera is called %q", name), "the config has: "+strings.Join(names, ", "))
}

func (p *program) snap(ctx context.Context, c camera.Config, file string) error {
	if file == "" {
		file = c.Name + ".png"
	}
	if f := strings.ToLower(file); !strings.HasSuffix(f, ".png") && !strings.HasSuffix(f, ".jpg") && !strings.HasSuffix(f, ".jpeg") {
		return hint.New(hint.Usage, fmt.Errorf("--write %q: the ending says the form of the picture", file), "end the name in .png or .jpg")
	}
	cam, err := camera.Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer cam.Close()
	for deadline := time.Now().Add(patience); cam.Healthy() != nil && time.Now().Before(deadline) && ctx.Err() == nil; {
		time.Sleep(20 * time.Millisecond) // a live camera starts
	}
	begun := time.Now()
	frame, err := cam.Grab(ctx, begun)
	if err != nil {
		return err
	}
	s := snapped{c.Name, file, frame.Width, frame.Height, p.rfc3339(frame.ExposedAt), milliseconds(time.Since(begun)), frame.SHA256, frame.Source}
	mat, err := gocv.NewMatFromBytes(frame.Height, frame.Width, gocv.MatTypeCV8UC3, frame.Pixels)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer mat.Close()
	if !gocv.IMWrite(file, mat) {
		return hint.New(hint.Failure, fmt.Errorf("%s cannot be written", file), "does its folder exist, and may you write there?")
	}
	return p.print(s, []string{"camera", "file", "size", "waited ms", "sha256"},
		[][]string{{s.Camera, s.File, fmt.Sprintf("%d x %d", s.Width, s.Height), fmt.Sprintf("%.1f", s.WaitedMS), s.SHA256}})
}
