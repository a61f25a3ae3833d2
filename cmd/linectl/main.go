// Command linectl inspects parts on a production line. See the README for what it does and
// 'linectl help' for its commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, giveWay: giveWay}
	os.Exit(p.run(ctx, os.Args[1:]))
}
