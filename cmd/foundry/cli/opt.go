package cli

import (
	"fmt"
	"os"

	"foundry"
	"foundry/ir"

	"github.com/spf13/cobra"
)

func optCommand(s IO) *cobra.Command {
	var compile compileFlags
	var explain bool
	var printAfter string
	cmd := &cobra.Command{
		Use:   "opt FILE.fir",
		Short: "Run passes over a graph and print it",
		Example: `  foundry opt graph.fir --passes canonicalize,cse,fuse-attention --explain
  foundry opt graph.fir --variant default --print-after all
  foundry opt graph.fir --passes canonicalize,fuse-rmsnorm-qkv --fuel 1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); err != nil {
				return fmt.Errorf("%s: no such graph file", args[0])
			}
			m, err := foundry.OpenGraph(args[0])
			if err != nil {
				return err
			}
			o, err := compile.options(cmd, s, "")
			if err != nil {
				return err
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
				fmt.Fprint(s.Out, g.Entries[0].String())
			}
			return nil
		},
	}
	compile.add(cmd)
	cmd.Flags().BoolVar(&explain, "explain", false, "print every fusion decision with its reason, before the graph")
	cmd.Flags().StringVar(&printAfter, "print-after", "", "print the graph after this pass, or after all, instead of at the end")
	return cmd
}
