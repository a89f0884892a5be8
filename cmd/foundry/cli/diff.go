package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"foundry"
	"foundry/ir/names"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/viz"

	"github.com/spf13/cobra"
)

func diffCommand(s IO) *cobra.Command {
	var model modelFlags
	var compile compileFlags
	var out, entry string
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two plans, or two pipelines of one model",
		Long: `Each of A and B is the folder of a plan, the name of a variant, or a list of
passes. Numbers of both are printed with their difference, then the dispatches and
the fusion decisions that only one of them has. With -o an entry of both is drawn side
by side, what only one of them has marked; .html has the numbers and lists too.`,
		Example: `  foundry diff unfused default
  foundry diff --model synth:qwen2.5-1.5b per-layer-6 fewest
  foundry diff per-layer-6 default -o diff.html
  foundry diff plan-old/ plan-new/`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, flag := range []string{"variant", "passes", "prefill-passes"} {
				if cmd.Flags().Changed(flag) {
					return usagef("diff: variants and passes are the arguments A and B, not flags; leave out --%s", flag)
				}
			}
			format := extension(out)
			if out != "" && !slices.Contains(diffFormats, format) {
				return usagef("diff: %s: cannot draw .%s, want .%s", out, format, strings.Join(diffFormats, ", ."))
			}
			var sides [2]viz.Side
			for i, arg := range args {
				var err error
				if sides[i], err = diffSide(cmd, s, &model, compile, arg, entry); err != nil {
					return err
				}
			}
			d, err := plan.Diff(args[0], sides[0].Plan, args[1], sides[1].Plan)
			if err != nil {
				return err
			}
			if out == "" {
				printDifference(s.folded(), d)
				return nil
			}
			var picture bytes.Buffer
			if format == "html" {
				err = viz.WriteDiff(cmd.Context(), &picture, sides[0], sides[1], entry, d)
			} else {
				var text string
				if text, err = viz.Diff(sides[0], sides[1], entry); err == nil {
					err = render(cmd.Context(), s.Err, &picture, text, format)
				}
			}
			if err != nil {
				return err
			}
			return writeOut(cmd.Context(), s.Out, out, picture.Bytes())
		},
	}
	model.add(cmd)
	compile.add(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "draw both side by side to this file: ."+strings.Join(diffFormats, ", ."))
	cmd.Flags().StringVar(&entry, "entry", "decode", "with -o: decode or prefill")
	return cmd
}

var diffFormats = []string{"html", "svg", "png", "pdf", "dot"}

// diffSide reads a plan from a folder or compiles one.
func diffSide(cmd *cobra.Command, s IO, model *modelFlags, compile compileFlags, arg, entry string) (viz.Side, error) {
	side := viz.Side{Name: arg}
	if _, err := os.Stat(filepath.Join(arg, "plan.json")); err == nil {
		side.Plan, err = plan.Load(arg)
		return side, err
	}
	m, err := model.open(s)
	if err != nil {
		return side, err
	}
	defer m.Close()
	o, err := compile.options(cmd, s)
	if err != nil {
		return side, err
	}
	o.Variant = arg
	if _, err := passes.Variant(arg); err != nil {
		if _, notPasses := passes.Parse(arg); notPasses != nil {
			return side, usagef("%s is no folder of a plan, no variant (%w) and no list of passes", arg, err)
		}
		o.Variant, o.Passes = "", arg
	}
	c, err := foundry.Compile(m, o)
	if err != nil {
		return side, err
	}
	side.Plan = c.Plan
	if m.Graph == nil {
		side.Graph, err = c.Entry(entry)
	}
	return side, err
}

func printDifference(w io.Writer, d *plan.Difference) {
	t := newTable("entry", "what", d.A, d.B, "change").alignRight(d.A, d.B, "change")
	for _, n := range d.Numbers {
		entry := n.Entry
		if entry == "" {
			entry = "plan"
		}
		count := func(v int64) string { return fmt.Sprint(v) }
		switch {
		case strings.Contains(n.What, "bytes"):
			count = names.Bytes
		case n.What == "flops":
			count = names.Count
		}
		change := count(n.B - n.A)
		if n.B > n.A {
			change = "+" + change
		}
		t.row(entry, n.What, count(n.A), count(n.B), change)
	}
	t.render(w)
	for _, side := range []struct {
		name string
		plan.DiffSide
	}{{d.A, d.OnlyA}, {d.B, d.OnlyB}} {
		names.Line(w, "\nonly %s:\n", side.name)
		if len(side.Dispatches)+len(side.Decisions) == 0 {
			fmt.Fprintln(w, "  nothing")
		}
		for _, x := range side.Dispatches {
			names.Line(w, "  %-8s %-12s %3d x %-24s %s\n", x.Entry, "dispatch", x.Count, x.Label, x.Ops)
		}
		for _, g := range side.Decisions {
			names.Line(w, "  %-8s %-12s %3d x %-16s %-24s %s\n", g.Entry, g.Outcome, g.Count, g.Pattern, g.Node, g.Reason)
		}
	}
}
