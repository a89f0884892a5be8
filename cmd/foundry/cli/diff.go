package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"foundry"
	"foundry/ir/names"
	"foundry/lower/plan"
	"foundry/passes"

	"github.com/spf13/cobra"
)

func diffCommand(s IO) *cobra.Command {
	var model modelFlags
	var compile compileFlags
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two plans, or two pipelines of one model",
		Long: `Each of A and B is the folder of a plan, the name of a variant, or a list of
passes. Numbers of both are printed with their difference, then the dispatches and
the fusion decisions that only one of them has.`,
		Example: `  foundry diff unfused default
  foundry diff --model synth:qwen2.5-1.5b per-layer-6 fewest
  foundry diff plan-old/ plan-new/`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, flag := range []string{"variant", "passes", "prefill-passes"} {
				if cmd.Flags().Changed(flag) {
					return usagef("diff: variants and passes are the arguments A and B, not flags; leave out --%s", flag)
				}
			}
			var plans [2]*plan.Plan
			for i, arg := range args {
				var err error
				if plans[i], err = diffPlan(cmd, s, &model, compile, arg); err != nil {
					return err
				}
			}
			d, err := plan.Diff(args[0], plans[0], args[1], plans[1])
			if err != nil {
				return err
			}
			printDifference(s.Out, d)
			return nil
		},
	}
	model.add(cmd)
	compile.add(cmd)
	return cmd
}

// diffPlan reads a plan from a folder or compiles one.
func diffPlan(cmd *cobra.Command, s IO, model *modelFlags, compile compileFlags, arg string) (*plan.Plan, error) {
	if _, err := os.Stat(filepath.Join(arg, "plan.json")); err == nil {
		return plan.Load(arg)
	}
	m, err := model.open(s)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	o, err := compile.options(cmd, s)
	if err != nil {
		return nil, err
	}
	o.Variant = arg
	if _, err := passes.Variant(arg); err != nil {
		if _, notPasses := passes.Parse(arg); notPasses != nil {
			return nil, usagef("%s is no folder of a plan, no variant (%w) and no list of passes", arg, err)
		}
		o.Variant, o.Passes = "", arg
	}
	c, err := foundry.Compile(m, o)
	if err != nil {
		return nil, err
	}
	return c.Plan, nil
}

func printDifference(w io.Writer, d *plan.Difference) {
	t := newTable("entry", "what", d.A, d.B, "change").alignRight(d.A, d.B, "change")
	for _, n := range d.Numbers {
		entry := n.Entry
		if entry == "" {
			entry = "plan"
		}
		t.row(entry, n.What, n.A, n.B, fmt.Sprintf("%+d", n.B-n.A))
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
