package cli

import (
	"path/filepath"

	"foundry/ir/names"
	"foundry/lower/plan"
	"foundry/runtime/mtl/emulator"

	"github.com/spf13/cobra"
)

func emulateCommand(s IO) *cobra.Command {
	var out string
	var trust trustFlag
	cmd := &cobra.Command{
		Use:   "emulate PLAN-DIR -o DIR",
		Short: "Write an emulated Metal framework for a plan, to try drivers in other languages",
		Long: `Compiles a plan's kernels for this machine's processors and writes them with an
emulated Metal framework: a shared library with the part of the Objective-C runtime and of
Metal that a driver calls. A program linked to it runs the plan without Go and without a
Mac: c++ drive.cc -LDIR -lmetal -Wl,-rpath,DIR. It is strict: what Metal's validation layer
would stop at is told when the program ends, which then fails. Times mean nothing. It is
built for Linux.`,
		Example: `  foundry compile --no-log -o plan/
  foundry emulate plan/ -o emulated/`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usagef("emulate: -o DIR names the folder for the framework")
			}
			p, err := plan.Load(args[0])
			if err != nil {
				return err
			}
			o := trust.options(s, cpuFlags{})
			o.FewRuns = true // a driver is tried, not timed
			if err := emulator.Write(cmd.Context(), out, p, o); err != nil {
				return err
			}
			names.Line(s.Out, "written to %s: link a driver to %s\n", out, filepath.Join(out, emulator.Library))
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "folder for the framework; one of an earlier time is replaced")
	trust.add(cmd)
	return cmd
}
