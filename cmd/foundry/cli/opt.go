package cli

import (
	"fmt"
	"os"

	"foundry"
	"foundry/frontends/model"
	"foundry/ir"

	"github.com/spf13/cobra"
)

func optCommand(s IO) *cobra.Command {
	var model modelFlags
	var compile compileFlags
	var explain bool
	var printAfter, bisect string
	cmd := &cobra.Command{
		Use:   "opt [FILE.fir]",
		Short: "Run passes over a graph and print it, or find the rewrite that breaks it",
		Long: `Passes are run over the graph of FILE.fir, or over prefill and decode of a model, and
the result is printed.

With --bisect the graph is rewritten in part, and the command is run by the shell with
{} as a file with the graph as it is then and {fuel} as the number of rewrites applied;
the first rewrite with which the command fails is found by halving and named.`,
		Example: `  foundry opt graph.fir --passes canonicalize,cse,fuse-attention --explain
  foundry opt graph.fir --variant default --print-after all
  foundry opt graph.fir --passes canonicalize,fuse-rmsnorm-qkv --fuel 1
  foundry opt graph.fir --variant fewest --bisect "foundry verify {} --device cpu"
  foundry opt --model DIR --bisect "./check.sh {fuel}"  # whose eval or run has --fuel $1`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := optModel(cmd, s, model, args)
			if err != nil {
				return err
			}
			defer m.Close()
			o, err := compile.options(cmd, s)
			if err != nil {
				return err
			}
			if bisect != "" {
				return bisectRewrites(cmd.Context(), s, m, o, bisect)
			}
			printed := printAfter == ""
			o.AfterPass = func(pass string, g *ir.Graph) {
				if printAfter == "all" || printAfter == pass {
					printed = true
					fmt.Fprintf(s.Out, "// after %s\n%s", pass, g)
				}
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
			if !printed {
				return fmt.Errorf("--print-after %s: the pipeline %s has no such pass", printAfter, g.Options.Passes)
			}
			if printAfter == "" {
				for _, e := range g.Entries {
					fmt.Fprint(s.Out, e.String())
				}
			}
			return nil
		},
	}
	model.add(cmd)
	compile.add(cmd)
	cmd.Flags().StringVar(&bisect, "bisect", "", "shell command that fails on a broken graph: find the first rewrite with which it does")
	cmd.Flags().BoolVar(&explain, "explain", false, "print every fusion decision with its reason, before the graph")
	cmd.Flags().StringVar(&printAfter, "print-after", "", "print the graph after this pass, or after all, instead of at the end")
	return cmd
}

// optModel opens the graph of the argument, or the model of the flag.
func optModel(cmd *cobra.Command, s IO, flags modelFlags, args []string) (*foundry.Model, error) {
	switch {
	case len(args) == 0 && !cmd.Flags().Changed("model"):
		return nil, usagef("opt: give FILE.fir, or a model with --model")
	case len(args) == 0:
		return flags.open(s)
	case cmd.Flags().Changed("model"):
		return nil, usagef("opt: give FILE.fir or --model, not both")
	}
	if _, err := os.Stat(args[0]); err != nil {
		return nil, fmt.Errorf("%s: no such graph file", args[0])
	}
	return model.OpenGraph(args[0])
}
