package cli

import (
	"foundry/ir/names"
	"foundry/lower/plan"

	"github.com/spf13/cobra"
)

func sealCommand(s IO) *cobra.Command {
	return &cobra.Command{
		Use:   "seal PLAN-DIR",
		Short: "Accept a plan whose kernels were edited by hand",
		Long: `A plan whose files changed since it was written is refused. seal checks its
structure and hazards again, marks it edited and rewrites its hashes. No kernel runs:
foundry verify PLAN-DIR does that, with every access looked at. A kernel that was
edited runs with --trust-kernels.`,
		Example: `  foundry seal plan/`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := plan.Seal(args[0])
			if err != nil {
				return err
			}
			state := "as it was written"
			if p.Edited {
				state = "edited"
			}
			names.Line(s.Out, "%s: verified and sealed, %s, plan hash %.12s\n", args[0], state, p.Hash)
			if p.Edited {
				names.Line(s.Out, "no kernel has run: foundry verify %s runs each, with every access looked at\n", args[0])
			}
			return nil
		},
	}
}
