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
	Dispatches int           // in one run of the entry
	Each       time.Duration // of one dispatch, on average
	Bytes      int64         // moved by one dispatch, on average
	Flops      int64         // of one dispatch, on average
}

// KernelTimes times each kernel of an entry alone: all dispatches of the kernel
// in the entry's order (so that the weights of one layer follow those of another,
// as in a run), rounds times over, in one submission; the least of three
// submissions counts. Results are meaningless afterwards: the session must be
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
	submit := func() error {
		enc, err := in.exec.program.Begin()
		if err != nil {
			return err
		}
		err = encode(enc)
		if committed := enc.Commit(); committed == nil {
			return errors.Join(err, enc.Wait())
		} else {
			return errors.Join(err, committed)
		}
	}
	if recorder, ok := in.exec.program.(Recorder); ok {
		rec, err := recorder.Record(encode)
		if err != nil {
			return 0, err
		}
		defer rec.Close()
		submit = func() error { return errors.Join(rec.Run(), rec.Wait()) }
	}
	var best time.Duration
	for rep := range 4 { // the first warms up
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := in.setStep(env); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := submit(); err != nil {
			return 0, err
		}
		if took := time.Since(start); rep == 1 || rep > 1 && took < best {
			best = took
		}
	}
	return best, nil
}
