package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// behind is the niceness of a question: a line that shares the machine keeps its cycle, and on a machine that is
// idle the answer takes no longer.
const behind = 10

// giveWay puts this process behind others. Linux counts niceness by thread; those that follow inherit it. Where it
// fails the answer comes all the same.
func giveWay() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			if now, err := unix.Getpriority(unix.PRIO_PROCESS, id); err == nil && 20-now < behind {
				_ = unix.Setpriority(unix.PRIO_PROCESS, id, behind) // as above
			}
		}
	}
}
