package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"foundry/ir/sym"
	"foundry/lower/plan"
)

// KernelTime is what one kernel of an entry costs when its dispatches run one
// after the other, with nothing between them.
type KernelTime struct {
	Kernel     string
	Dispatches int           // dispatches in one run of the entry
	Each       time.Duration // time of one dispatch, on average
	Bytes      int64         // bytes that one dispatch moves, on average
	Flops      int64         // operations of one dispatch, on average
}

// KernelTimes times each kernel of an entry alone: all dispatches of the kernel
// in the entry's order (so that the weights of one layer follow those of another,
// as in a run), rounds times over; the least of three repetitions counts. The
// device's own clock tells where it can (Timer), else the host's, of one
// submission. Results are meaningless afterwards: the session must be
// rewound to its start.
func (in *Instance) KernelTimes(ctx context.Context, entry string, env sym.Env, rounds int) ([]KernelTime, error) {
	if err := in.Run(ctx, entry, env); err != nil { // fills the step, checks env, warms up
		return nil, err
	}
	for i := range in.exec.Plan.Entries {
		e := &in.exec.Plan.Entries[i]
		if e.Name != entry {
			continue
		}
		var out []KernelTime
		for k := range in.exec.Plan.Kernels {
			t := KernelTime{Kernel: in.exec.Plan.Kernels[k].Name}
			for _, s := range e.Steps {
				if s.Dispatch != nil && s.Dispatch.Kernel == k {
					t.Dispatches++
					t.Bytes += s.Dispatch.Moved.Eval(env)
					t.Flops += s.Dispatch.Flops.Eval(env)
				}
			}
			if t.Dispatches == 0 {
				continue
			}
			t.Bytes /= int64(t.Dispatches)
			t.Flops /= int64(t.Dispatches)
			took, err := in.timeKernel(ctx, e, in.walks[i], k, env, rounds)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.Kernel, err)
			}
			t.Each = took / time.Duration(rounds*t.Dispatches)
			out = append(out, t)
		}
		return out, nil
	}
	return nil, nil
}

func (in *Instance) timeKernel(ctx context.Context, e *plan.Entry, w *walk, kernel int, env sym.Env, rounds int) (time.Duration, error) {
	encode := func(enc Encoder) error {
		for range rounds {
			for s := range e.Steps {
				d := e.Steps[s].Dispatch
				if d == nil || d.Kernel != kernel {
					continue
				}
				l := w.launches[s]
				for axis, g := range d.Grid {
					l.Grid[axis] = g.Eval(env)
				}
				if err := errors.Join(enc.Dispatch(&l), enc.Barrier()); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if timer, ok := in.exec.program.(Timer); ok {
		return leastTime(ctx, timer, 3, func() error { return in.setStep(env) }, encode)
	}
	return fastest(ctx, in.exec.program, 3, func() error { return in.setStep(env) }, encode)
}

// leastTime is fastest by the device's clock: the sum of the dispatches' times.
func leastTime(ctx context.Context, timer Timer, reps int, before func() error, encode func(Encoder) error) (time.Duration, error) {
	var best time.Duration
	for rep := range reps + 1 { // the first warms up
		if err := errors.Join(ctx.Err(), before()); err != nil {
			return 0, err
		}
		times, err := timer.Time(encode)
		if err != nil {
			return 0, err
		}
		var sum time.Duration
		for _, t := range times {
			sum += t
		}
		if rep == 1 || rep > 1 && sum < best {
			best = sum
		}
	}
	return best, nil
}
