package cli

import (
	"fmt"

	"foundry"
	"foundry/runtime/cpu"

	"github.com/spf13/cobra"
)

// deviceFlags choose where something runs, and a plan from disk to run there.
type deviceFlags struct {
	device, plan string
	checked      bool
}

func (f *deviceFlags) add(cmd *cobra.Command, fallback string) {
	cmd.Flags().StringVar(&f.device, "device", fallback, "where to run: ref, cpu, cuda, metal or auto")
	cmd.Flags().StringVar(&f.plan, "plan", "", "run the plan in this folder; --model then supplies weights only")
	cmd.Flags().BoolVar(&f.checked, "checked", false, "cpu looks at every memory access, at about 30 times the time")
}

// load makes an engine of the model and says on a terminal what auto took. want
// asks for what the command needs of the plan.
func (f *deviceFlags) load(cmd *cobra.Command, s IO, m *foundry.Model, c *compileFlags, want func(*foundry.CompileOptions)) (*foundry.Engine, error) {
	if err := f.alone(cmd); err != nil {
		return nil, err
	}
	o, err := c.options(cmd, s, f.device)
	if err != nil {
		return nil, err
	}
	want(&o)
	e, err := foundry.Start(cmd.Context(), m, foundry.StartOptions{
		Compile: o, PlanDir: f.plan, CPU: cpu.Options{CXX: s.Env("CXX"), Checked: f.checked}, Progress: progress(s.Err),
		Say: func(line string) { fmt.Fprintln(s.Err, line) },
	})
	return e, err
}

// alone is an error where flags of compilation stand beside --plan: the plan has
// decided them.
func (f *deviceFlags) alone(cmd *cobra.Command) error {
	if f.plan == "" {
		return nil
	}
	for _, name := range compileFlagNames {
		if name == "chunk" {
			continue // a plan can be run in smaller chunks than it was compiled for
		}
		if cmd.Flags().Changed(name) {
			return usagef("%s: --%s has no effect on a plan that is compiled already; leave out --%s or --plan", cmd.Name(), name, name)
		}
	}
	return nil
}
