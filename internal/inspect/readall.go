package inspect

import (
	"context"

	"golang.org/x/sync/errgroup"

	"linectl/internal/inspect/picture"
	"linectl/internal/part"
)

// readAll hands pictures to use one after the other, with the error of reading where there was one, and
// reads ahead while use computes. It ends with the first error of use.
func readAll(ctx context.Context, files []string, use func(i int, frame part.Frame, err error) error) error {
	type loaded struct {
		frame part.Frame
		err   error
	}
	const ahead = 2
	ready := make(chan loaded, ahead)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(ready)
		for _, file := range files {
			frame, err := picture.Read(file)
			select {
			case ready <- loaded{frame, err}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	group.Go(func() error {
		i := 0
		for l := range ready {
			if err := use(i, l.frame, l.err); err != nil {
				return err
			}
			i++
		}
		return nil
	})
	return group.Wait()
}
