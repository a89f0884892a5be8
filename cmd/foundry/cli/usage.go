package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagGroups are the headings of a command's help, in their order; flags of none of
// them come first, as the command's own.
var flagGroups = []struct {
	title string
	flags []string
}{
	{"Model", []string{"model", ropeScalingFlag, "weights", "cache", "context"}},
	{"Compiler", []string{"variant", "variants", "passes", "prefill-passes", "target", "attention", "chunk", "chain", "short-contexts", "command-buffers", "shaders", "fuel", "no-log"}},
	{"Device", []string{"device", "plan", "checked", "trust-kernels", "indirect", "capture"}},
	{"Measurement", []string{"phase", "prompt", "tokens", "reps", "within", "limit", "per-kernel", "contexts", "kernels"}},
	{"Output", []string{"format", "json", "csv", "trace", "score", "plot", "plot-as", "out", "verbose", "explain", "help"}},
}

// leastGrouped is how many flags a command has at least whose help is grouped.
const leastGrouped = 12

// helpWidth is the width of help where there is no terminal.
const helpWidth = 100

// printUsage is a command's help but for its description.
func printUsage(c *cobra.Command) error {
	w := c.OutOrStderr()
	width := terminalWidth(w)
	if width <= 0 {
		width = helpWidth
	}
	fmt.Fprint(w, "Usage:")
	if c.Runnable() {
		fmt.Fprintf(w, "\n  %s", c.UseLine())
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n  %s [command]", c.CommandPath())
	}
	fmt.Fprintln(w)
	if c.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", c.Example)
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintln(w, "\nAvailable Commands:")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				fmt.Fprintf(w, "  %-*s %s\n", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	printFlags(w, c.LocalFlags(), width)
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\nUse \"%s [command] --help\" for more information about a command.\n", c.CommandPath())
	}
	return nil
}

// printFlags prints flags below the headings of their groups.
func printFlags(w io.Writer, all *pflag.FlagSet, width int) {
	count := 0
	all.VisitAll(func(*pflag.Flag) { count++ })
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	groups := make([]*pflag.FlagSet, len(flagGroups))
	for i := range groups {
		groups[i] = pflag.NewFlagSet("", pflag.ContinueOnError)
	}
	all.VisitAll(func(f *pflag.Flag) {
		to := own
		for i, g := range flagGroups {
			if count >= leastGrouped && slices.Contains(g.flags, f.Name) {
				to = groups[i]
			}
		}
		to.AddFlag(f)
	})
	print := func(title string, flags *pflag.FlagSet) {
		if text := flags.FlagUsagesWrapped(width); strings.TrimSpace(text) != "" {
			fmt.Fprintf(w, "\n%s:\n%s", title, text)
		}
	}
	print("Flags", own)
	for i, g := range flagGroups {
		print(g.title+" flags", groups[i])
	}
}
