package cli

import (
	"errors"
	"fmt"
	"slices"

	"foundry"
	"foundry/runtime"
	"foundry/runtime/cpu"

	"github.com/spf13/cobra"
)

// deviceFlags choose where something runs, and a plan from disk to run there.
type deviceFlags struct {
	device, plan string
	checked      bool
	trust        trustFlag
}

// trustFlag lets kernels run whatever their text is.
type trustFlag struct{ on bool }

func (f *trustFlag) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.on, "trust-kernels", false, "compile and run kernels whatever their text, with all rights of this process: of --shaders, and of plans that were edited or that you made")
}

// options are those of the device cpu, and of others what they share with it.
func (f *trustFlag) options(s IO, checked bool) cpu.Options {
	if f.on {
		fmt.Fprintln(s.Err, "--trust-kernels: kernels are compiled and run whatever their text is")
	}
	return cpu.Options{CXX: s.Env("CXX"), Checked: checked, TrustKernels: f.on}
}

// options are those of the device. What --plan names may be a stranger's: the process
// that runs it gives up its rights, but for one that has a file to put in its place
// in the end.
func (f *deviceFlags) options(cmd *cobra.Command, s IO) cpu.Options {
	o := f.trust.options(s, f.checked)
	places := slices.ContainsFunc([]string{"logits-out", "csv", "plot", "capture"}, func(flag string) bool {
		return cmd.Flags().Lookup(flag) != nil && cmd.Flags().Changed(flag)
	})
	if f.plan != "" && !places {
		o.Confine = s.Confine
	}
	return o
}

func (f *deviceFlags) add(cmd *cobra.Command, fallback string) {
	cmd.Flags().StringVar(&f.device, "device", fallback, "where to run: ref, cpu, cuda, metal or auto")
	cmd.Flags().StringVar(&f.plan, "plan", "", "run the plan in this folder; --model then supplies weights only")
	f.trust.add(cmd)
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
		Device: f.device, Compile: o, PlanDir: f.plan, CPU: f.options(cmd, s), Progress: progress(s.Err),
		Say: func(line string) { fmt.Fprintln(s.Err, line) },
	}
	want(&start)
	return foundry.Start(cmd.Context(), m, start)
}

// session starts an engine whose plan draws tokens by sampling's settings, where they
// draw at all, and opens a session in it. check is asked whether what shall run fits,
// before a device is opened; nil is not.
func (f *deviceFlags) session(cmd *cobra.Command, s IO, m *foundry.Model, c *compileFlags, sampling runtime.Sampling, check func(runtime.Limits) error) (*foundry.Engine, *foundry.Session, error) {
	if _, err := m.EndTokens(); err != nil {
		return nil, nil, err
	}
	e, err := f.load(cmd, s, m, c, func(start *foundry.StartOptions) {
		start.Compile.Sampler, start.CheckLimits = !sampling.Greedy(), check
	})
	if err != nil {
		return nil, nil, err
	}
	session, err := e.NewSession()
	if err != nil {
		return nil, nil, errors.Join(err, e.Close())
	}
	return e, session, nil
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
