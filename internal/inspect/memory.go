package inspect

import (
	"fmt"
	"os"
	"strings"

	"linectl/internal/hint"
	"linectl/internal/setting"
)

// checkMemory refuses what takes more memory than is free. The kernel would end the program for it in the middle of the
// work, without a word.
func checkMemory(need, free int64, next string) error {
	if need <= free {
		return nil
	}
	return hint.New(hint.Failure, fmt.Errorf("training would take about %v of memory; %v are free", setting.Bytes(need), setting.Bytes(free)), next)
}

// room refuses a training that takes more memory than is free.
func (t *trainer) room(need int64, next string) error {
	free, err := freeMemory()
	if err != nil {
		return err
	}
	if t.options.Budget != nil {
		next = "leave --budget out and " + next
	}
	return checkMemory(need, free, next)
}

// freeMemory is how much memory programs can still have without one of them being ended, in bytes, swap included.
func freeMemory() (free int64, err error) {
	const file = "/proc/meminfo"
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("free memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		var kB int64
		for _, form := range []string{"MemAvailable: %d kB", "SwapFree: %d kB"} {
			if n, _ := fmt.Sscanf(line, form, &kB); n == 1 {
				free += kB << 10
			}
		}
	}
	if free == 0 {
		return 0, fmt.Errorf("free memory: %s does not say what is available", file)
	}
	return free, nil
}
