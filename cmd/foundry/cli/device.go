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
	cpu          cpuFlags
	trust        trustFlag
}

// cpuFlags say how the device cpu runs kernels.
type cpuFlags struct {
	checked bool
	shuffle uint64
}

func (f *cpuFlags) add(cmd *cobra.Command) {
	p := cmd.Flags()
	p.BoolVar(&f.checked, "checked", false, "cpu looks at every memory access, at about 30 times the time")
	p.Uint64Var(&f.shuffle, "shuffle", 0, "cpu draws with this number all that a GPU may order: threads, threadgroups, dispatches without a barrier, and which elements of a product in matrix units a thread has (0: in order)")
}

// check is an error where the flags are given for another device.
func (f *cpuFlags) check(cmd *cobra.Command, device string) error {
	if device == foundry.CPU {
		return nil
	}
	return idle(cmd, "on --device "+device+", only on cpu", "checked", "shuffle")
}

// trustFlag lets kernels run whatever their text is.
type trustFlag struct{ on bool }

func (f *trustFlag) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.on, "trust-kernels", false, "compile and run kernels whatever their text, with all rights of this process: of --shaders, and of plans that were edited or that you made")
}

// options are those of the device cpu, and of others what they share with it.
func (f *trustFlag) options(s IO, how cpuFlags) cpu.Options {
	if f.on {
		fmt.Fprintln(s.Err, "--trust-kernels: kernels are compiled and run whatever their text is")
	}
	o := cpu.Options{CXX: s.Env("CXX"), Checked: how.checked, TrustKernels: f.on, Seed: how.shuffle}
	if how.shuffle != 0 {
		o.ThreadOrder, o.GroupOrder, o.WaveOrder = cpu.Random, cpu.Random, cpu.Random
	}
	return o
}

// options are those of the device. What --plan names may be a stranger's: the process
// that runs it gives up its rights, but for one that has a file to put in its place
// in the end.
func (f *deviceFlags) options(cmd *cobra.Command, s IO) cpu.Options {
	o := f.trust.options(s, f.cpu)
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
	f.cpu.add(cmd)
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
// decided them, and where flags of cpu stand beside another device.
func (f *deviceFlags) check(cmd *cobra.Command) error {
	if err := f.cpu.check(cmd, f.device); err != nil {
		return err
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
