// Package cli turns command lines into calls of the compiler's packages and their
// results into text, JSON and exit codes. It holds flags and printing only.
//
// Exit codes: 0 done; 1 the work failed, or its result could not be written; 2 the
// command line is wrong; 3 a comparison found a row slower; 128 and the number of a signal that ended it, so 130 for an
// interrupt and, without a word, 141 for a pipe that nobody reads. Every error is one
// line on the error stream.
//
// Read next: process.go for what an interrupt and a full disk do to a command; the map
// in package foundry.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"foundry"
	"foundry/ir/names"
)

// IO is where a command reads and writes. Env looks up environment variables;
// nothing else in Foundry reads them. Signals, which may be nil, end it.
type IO struct {
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	Env     func(name string) string
	Signals <-chan os.Signal
	// Confine takes from the process what kernels of a plan from disk do not need;
	// nil where it cannot.
	Confine func() error

	process *process
}

// exact is Out for what shall arrive byte for byte.
func (s IO) exact() io.Writer {
	if out, ok := s.Out.(*output); ok {
		return out.exact()
	}
	return s.Out
}

// Main runs one command line, without the program's name, and returns the exit
// code.
func Main(ctx context.Context, args []string, s IO) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &process{cancel: cancel, again: make(chan struct{})}
	p.out = &output{to: s.Out, failed: func(err error) { cancel(err) }}
	s.Out, s.Err, s.process = p.out, messages{s.Err}, p
	root := newRoot(s)
	root.SetArgs(args)
	return p.run(ctx, root, s)
}

// usageError is a wrong command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// longest is how many bytes an error has at most: what it repeats may come from a file.
const longest = 4 << 10

// oneLine joins the lines of joined errors; of one that is too long the middle goes.
func oneLine(err error) string {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	for i, l := range lines {
		lines[i] = names.Plain(strings.TrimSpace(l))
	}
	line := strings.Join(lines, "; ")
	if len(line) > longest {
		line = strings.ToValidUTF8(line[:longest/2], "") + " ... " + strings.ToValidUTF8(line[len(line)-longest/2:], "")
	}
	return line
}

func newRoot(s IO) *cobra.Command {
	root := &cobra.Command{
		Use:   "foundry",
		Short: "Compile Qwen2.5 and Qwen3 checkpoints into Metal plans",
		Long: `Foundry compiles a Qwen2.5 or Qwen3 checkpoint into a Metal plan: the model becomes a
tensor-op graph, passes fuse it, lowering emits compound kernels and schedules
their dispatches. The plan runs from its own Metal text on any machine with a
C++ compiler, and its graph runs as a reference with nothing installed.`,
		Example: `  foundry compile -o plan/                       # the embedded model, to a bundle
  foundry dot --collapse -o fused.dot            # its fused graph
  foundry run --prompt "And the LORD" -n 40      # text from it
  foundry bench --variants ladder --reps 0       # what each fusion saves`,
		Version:       strings.TrimPrefix(foundry.Version, "foundry "),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          runGroup,
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageFunc(printUsage)
	root.AddCommand(commands(s)...)
	root.SetHelpCommand(helpCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil {
		c.Args, c.RunE = cobra.ArbitraryArgs, runGroup
		c.Example = "  foundry completion bash   # foundry completion bash --help says where it goes"
	}
	checkArgs(root)
	completeNames(root)
	return root
}

// helpCommand is cobra's, but a name that is no command's is an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show what a command does and takes",
		Example: `  foundry help bench`,
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return noCommand(about, rest[0])
			}
			return about.Help()
		},
	}
}

// runGroup stands for a command that only holds others.
func runGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return noCommand(cmd, args[0])
}

// noCommand is the error of a name that is none of parent's commands.
func noCommand(parent *cobra.Command, name string) error {
	var commands []string
	for _, c := range parent.Commands() {
		commands = append(commands, c.Name())
	}
	return usagef("there is no command %q%s; %s --help lists them", name, names.DidYouMean(name, commands), parent.CommandPath())
}

// checkArgs makes wrong arguments, and names that flags give and that are none, usage
// errors of the commands below parent.
func checkArgs(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		checkArgs(c)
		c.PreRunE = func(cmd *cobra.Command, _ []string) error { return checkNames(cmd) }
		if check := c.Args; check != nil {
			c.Args = func(cmd *cobra.Command, args []string) error {
				if err := check(cmd, args); err != nil {
					return usagef("%s: %w; see %s --help", cmd.Name(), err, cmd.CommandPath())
				}
				return nil
			}
		}
	}
}

// flagError makes pflag's complaint one line in our words and names the nearest flag.
func flagError(cmd *cobra.Command, err error) error {
	hint := ""
	if name, ok := strings.CutPrefix(err.Error(), "unknown flag: "); ok {
		var flags []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, "--"+f.Name) })
		hint = names.DidYouMean(name, flags)
	}
	var invalid *pflag.InvalidValueError
	var number *strconv.NumError
	if errors.As(err, &invalid) && errors.As(err, &number) {
		err = fmt.Errorf("invalid argument %q for \"--%s\": %w", invalid.GetValue(), invalid.GetFlag().Name, number.Err)
	}
	name, path := cmd.Name(), cmd.CommandPath()
	if !cmd.HasParent() {
		return usagef("%w%s; see %s --help", err, hint, path)
	}
	return usagef("%s: %w%s; see %s --help", name, err, hint, path)
}
