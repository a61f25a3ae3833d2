package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows how far something has come: a bar on a terminal, a line for each stage elsewhere.
type progress struct {
	w     io.Writer
	stage string
	bar   *progressbar.ProgressBar
	bars  bool
}

func newProgress(w io.Writer) *progress { return &progress{w: w, bars: terminal(w)} }

func (p *progress) step(stage string, done, total int) {
	if stage != p.stage {
		p.end()
		p.stage = stage
		if p.bars {
			p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(fmt.Sprintf("%-16s", stage)),
				progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(40))
		} else {
			fmt.Fprintln(p.w, stage)
		}
	}
	if p.bar != nil {
		_ = p.bar.Set(done) // a bar that cannot be drawn is no reason to end training
	}
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
