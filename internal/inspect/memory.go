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

// freeMemory is how much memory programs can still have without one of them being ended, in bytes.
func freeMemory() (int64, error) {
	const file = "/proc/meminfo"
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("free memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		var kB int64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kB); n == 1 {
			return kB << 10, nil
		}
	}
	return 0, fmt.Errorf("free memory: %s does not say what is available", file)
}
