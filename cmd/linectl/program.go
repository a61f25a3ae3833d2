package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"linectl/internal/config"
	"linectl/internal/hint"
)

// program is what every command works with: the streams and the flags that all commands share.
type program struct {
	in         io.Reader
	out        io.Writer // what the user asked for
	err        io.Writer // progress, warnings, errors
	configPath string
	output     string         // table, json or csv
	zone       *time.Location // the plant's, once the config is read
	giveWay    func()         // puts the process behind a line on this machine; nil in tests
}

// run runs one command line and returns the exit code: 0 ok, 1 failed, 2 bad config or usage,
// 3 no match, 4 damaged data, 130 interrupted.
func (p *program) run(ctx context.Context, args []string) int {
	p.zone = time.Local
	root := p.command()
	root.SetArgs(args)
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(p.err, "linectl: interrupted")
		return int(hint.Canceled)
	}
	fmt.Fprintf(p.err, "linectl: %s\n", lines(err.Error()))
	if next := hint.Of(err); next != "" {
		fmt.Fprintf(p.err, "linectl: hint: %s\n", next)
	}
	return int(hint.KindOf(err))
}

// command is the command tree; every command has a file of its own.
func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "linectl",
		Short:         "line controller: looks at every part and tells the PLC pass or reject in time",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if c.Annotations[reads] != "" && p.giveWay != nil {
				p.giveWay()
			}
			switch p.output {
			case "table", "json", "csv":
				return nil
			}
			return hint.New(hint.Usage, fmt.Errorf("--output %q: unknown form", p.output), "choose table, json or csv")
		},
	}
	root.PersistentFlags().StringVarP(&p.configPath, "config", "c", config.DefaultPath, "config file")
	root.PersistentFlags().StringVarP(&p.output, "output", "o", "table", "form of the output: table, json or csv")
	root.AddCommand(
		p.runCommand(), p.checkCommand(), p.demoCommand(),
		p.trainCommand(), p.inspectCommand(), p.evalCommand(), p.featuresCommand(), p.recipeCommand(), p.thresholdCommand(), p.backboneCommand(), p.benchCommand(),
		p.reviewCommand(), p.pruneCommand(),
		p.cameraCommand(), p.plcCommand(),
		p.versionCommand(),
	)
	for _, c := range []*cobra.Command{
		p.queryCommand(), p.showCommand(), p.statsCommand(), p.sinceCommand(),
		p.verifyCommand(), p.exportCommand(), p.backupCommand(), p.restoreCommand(), p.salvageCommand(),
	} {
		c.Annotations = map[string]string{reads: "yes"}
		root.AddCommand(c)
	}
	strict(root)
	return root
}

// reads marks the commands that only read a record while a line may run beside them. Who writes to it must not give way: the
// line would wait for the lock of a process that waits for the line.
const reads = "reads the record"

// strict makes every mistake on a command line an error of the kind Usage, those included that cobra
// answers with the help text and success: an unknown subcommand in a script must not look like work done.
func strict(c *cobra.Command) {
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return hint.New(hint.Usage, err, fmt.Sprintf("'%s --help' lists the flags", c.CommandPath()))
	})
	c.SuggestionsMinimumDistance = 2
	if c.HasSubCommands() {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			next := fmt.Sprintf("'%s --help' lists the commands", c.CommandPath())
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				next = fmt.Sprintf("did you mean %q?", near[0])
			}
			return hint.New(hint.Usage, fmt.Errorf("%s has no command %q", c.CommandPath(), args[0]), next)
		}
	} else if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if err == nil {
				err = c.ValidateRequiredFlags()
			}
			if err == nil {
				err = c.ValidateFlagGroups()
			}
			return hint.New(hint.Usage, err, "usage: "+c.UseLine())
		}
	}
	for _, sub := range c.Commands() {
		strict(sub)
	}
}

// load reads the config that -c names.
func (p *program) load() (*config.Config, error) {
	r, err := p.read()
	if err != nil {
		return nil, err
	}
	return r.Config, nil
}

// rfc3339 is how an instant is written for other programs, in the plant's time.
func (p *program) rfc3339(t time.Time) string {
	return t.In(p.zone).Format(time.RFC3339Nano)
}

// terminal tells whether w is a terminal: only then are colours and progress bars drawn.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
}
