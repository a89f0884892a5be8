package cli

import (
	"fmt"
	"slices"

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

// load makes an engine of the model. want asks for what the command needs of the
// plan, and says what shall run.
func (f *deviceFlags) load(cmd *cobra.Command, s IO, m *foundry.Model, c *compileFlags, want func(*foundry.StartOptions)) (*foundry.Engine, error) {
	if err := f.check(cmd); err != nil {
		return nil, err
	}
	o, err := c.options(cmd, s)
	if err != nil {
		return nil, err
	}
	start := foundry.StartOptions{
		Device: f.device, Compile: o, PlanDir: f.plan, CPU: cpu.Options{CXX: s.Env("CXX"), Checked: f.checked}, Progress: progress(s.Err),
		Say: func(line string) { fmt.Fprintln(s.Err, line) },
	}
	want(&start)
	return foundry.Start(cmd.Context(), m, start)
}

// check is an error where flags of compilation stand beside --plan, which has
// decided them, and where a device cannot look at every access.
func (f *deviceFlags) check(cmd *cobra.Command) error {
	if f.checked && f.device != foundry.CPU {
		return idle(cmd, "on --device "+f.device+", only on cpu", "checked")
	}
	if f.plan == "" {
		return nil
	}
	// A plan can be run in smaller chunks than it was compiled for.
	names := slices.DeleteFunc(slices.Clone(compileFlagNames), func(name string) bool { return name == "chunk" })
	return idle(cmd, "beside --plan, which is compiled already", append(names, ropeScalingFlag)...)
}

// idle is an error where one of the flags is given, which have no effect here.
func idle(cmd *cobra.Command, here string, flags ...string) error {
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			return usagef("%s: --%s has no effect %s; leave it out", cmd.Name(), name, here)
		}
	}
	return nil
}
