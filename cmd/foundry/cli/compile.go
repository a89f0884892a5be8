package cli

import (
	"fmt"
	"runtime/debug"

	"foundry"
	"foundry/lower/plan"

	"github.com/spf13/cobra"
)

func compileCommand(s IO) *cobra.Command {
	var model modelFlags
	var compile compileFlags
	var out string
	var explain, allLogits, noLog bool
	cmd := &cobra.Command{
		Use:   "compile",
		Short: "Compile a model to a Metal plan: a folder of plan.json and kernels",
		Example: `  foundry compile -o plan/
  foundry compile --model synth:qwen2.5-0.5b                  # what it would be
  foundry compile --model synth:qwen2.5-7b --target apple-m4-max --context 8192 -o plan/
  foundry compile --model Qwen2.5-0.5B-Instruct/ --no-log -o plan/   # for a driver
  foundry compile --passes search --explain -o plan/          # the fastest set of fusions
  foundry compile --model DIR --passes canonicalize,cse,fuse-rmsnorm-qkv --explain -o plan/`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer collectSeldom()()
			m, err := model.open(s)
			if err != nil {
				return err
			}
			defer m.Close()
			o, err := compile.options(cmd, s)
			if err != nil {
				return err
			}
			o.AllLogits, o.Sampler = allLogits, true
			found, err := compile.search(cmd, s, m, &o)
			if err != nil {
				return err
			}
			if explain && found != nil {
				printFound(s.Out, found)
			}
			g, err := foundry.Fuse(m, o)
			if explain && g != nil {
				if err := explainDecisions(s, g.Decisions); err != nil {
					return err
				}
			}
			if err != nil {
				return err
			}
			c, err := g.Lower()
			if err != nil {
				return err
			}
			for _, note := range c.Notes {
				fmt.Fprintf(s.Err, "%s: %s\n", m.Name, note)
			}
			if noLog {
				c.Plan.Decisions = nil
				if err := c.Plan.Rehash(); err != nil {
					return err
				}
			}
			if out != "" {
				if err := c.Plan.Save(out); err != nil {
					return err
				}
			}
			printPlan(s, c.Plan, 0)
			if out != "" {
				fmt.Fprintf(s.Out, "written to %s\n", out)
			}
			return nil
		},
	}
	model.add(cmd)
	compile.add(cmd)
	compile.trust.add(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "folder for the plan; one that holds a plan is replaced (none: the plan's numbers are printed and nothing is written)")
	cmd.Flags().BoolVar(&explain, "explain", false, "print every fusion decision with its reason")
	cmd.Flags().BoolVar(&noLog, "no-log", false, "leave out of the plan what fusions did where: a third of its bytes, which nothing that runs it reads")
	cmd.Flags().BoolVar(&allLogits, "all-logits", false, "compute the logits of every row of a run, for eval --plan --logits-out")
	return cmd
}

// collectSeldom lets the garbage collector run less often until the function that it returns
// is called. Compiling makes much garbage and keeps little: a fifth of the processor time of
// one compilation, and a third of that of many, for 20 MB more of memory at 7b.
func collectSeldom() func() {
	before := debug.SetGCPercent(400)
	return func() { debug.SetGCPercent(before) }
}

// explainDecisions prints the decisions of each entry, decode first.
func explainDecisions(s IO, ds []plan.Decision) error {
	s.Out = s.folded()
	for len(ds) > 0 {
		entry := ds[0].Entry
		n := 0
		for n < len(ds) && ds[n].Entry == entry {
			n++
		}
		fmt.Fprintf(s.Out, "== %s\n", entry)
		if err := plan.Explain(s.Out, ds[:n]); err != nil {
			return err
		}
		ds = ds[n:]
	}
	return nil
}
