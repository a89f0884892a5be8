package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"foundry/ir/sym"
	"foundry/lower/plan"
)

// AloneTime is what one dispatch costs when it runs over and over.
type AloneTime struct {
	Each    time.Duration // the least of several submissions, over the dispatches in it
	Bytes   int64         // bytes that one dispatch moves
	Flops   int64         // operations of one dispatch
	Rotated int64         // bytes of weights and caches that the dispatches went through before any came again
}

const (
	aloneSets    = 512 // most copies of weights and caches
	aloneAdvance = 8   // of one that advances the step, at most
)

// TimeAlone times the dispatch of that label. Each time it is bound to other copies of
// its weights and caches, until at least rotate bytes have been gone through, so
// that a last-level cache of less than that holds none of them; activations stay
// where they are, as in a step. A submission runs it the given number of times or,
// if that is more, once with every copy. Results are meaningless afterwards.
func (in *Instance) TimeAlone(ctx context.Context, entry string, env sym.Env, label string, rotate int64, times int) (_ AloneTime, err error) {
	if err := in.Run(ctx, entry, env); err != nil { // checks env, fills what the dispatch reads
		return AloneTime{}, err
	}
	e, err := in.exec.Plan.Entry(entry)
	if err != nil {
		return AloneTime{}, err
	}
	step := -1
	for s := range e.Steps {
		if d := e.Steps[s].Dispatch; d != nil && d.Label == label {
			step = s
		}
	}
	if step < 0 {
		return AloneTime{}, fmt.Errorf("entry %s has no dispatch %q", entry, label)
	}
	d := e.Steps[step].Dispatch
	out := AloneTime{Bytes: d.Moved.Eval(env), Flops: d.Flops.Eval(env)}
	sets, err := in.copies(d, rotate)
	defer func() { err = errors.Join(err, freeAll(sets.own)) }()
	if err != nil {
		return AloneTime{}, err
	}
	out.Rotated = int64(len(sets.launches)) * sets.bytes
	n := (times + len(sets.launches) - 1) / len(sets.launches) * len(sets.launches)
	if sets.advances {
		n = min(n, aloneAdvance)
	}
	best, err := fastest(ctx, in.exec.program, 5, func() error { return in.setStep(env) }, func(enc Encoder) error {
		for i := range n {
			l := &sets.launches[i%len(sets.launches)]
			for axis, g := range d.Grid {
				l.Grid[axis] = g.Eval(env)
			}
			if err := errors.Join(enc.Dispatch(l), enc.Barrier()); err != nil {
				return err
			}
		}
		return nil
	})
	out.Each = best / time.Duration(n)
	return out, err
}

// copied is a dispatch bound to several copies of its weights and caches.
type copied struct {
	launches []Launch
	own      []Memory
	bytes    int64 // bytes of one copy
	advances bool  // the dispatch writes the step
}

func (in *Instance) copies(d *plan.Dispatch, rotate int64) (out copied, err error) {
	first := Launch{Kernel: d.Kernel, Label: d.Label, Bind: make([]Operand, len(d.Bind))}
	turning := map[int][]byte{} // content of the buffers that there are several of
	for j, b := range d.Bind {
		at := in.whole[b.Buffer]
		first.Bind[j] = Operand{Memory: at.Memory, Offset: at.Offset + b.Offset, Bytes: b.Bytes, Access: b.Access}
		buffer := &in.exec.Plan.Buffers[b.Buffer]
		out.advances = out.advances || buffer.Role == plan.StepBuffer && b.Access != plan.Read
		if _, seen := turning[b.Buffer]; seen || buffer.Role != plan.NoRole || buffer.Class != plan.Weight && buffer.Class != plan.State {
			continue
		}
		content := make([]byte, at.Bytes)
		for i := range content {
			content[i] = byte(i*7919>>3) & 0x3b // small and finite in every format
		}
		turning[b.Buffer] = content
		out.bytes += at.Bytes
	}
	out.launches = []Launch{first}
	if out.bytes == 0 {
		return out, nil
	}
	for n := min((rotate+out.bytes-1)/out.bytes+1, aloneSets); int64(len(out.launches)) < n; {
		l := first
		l.Bind = append([]Operand(nil), first.Bind...)
		for buffer, content := range turning {
			m, err := in.exec.device.Alloc(int64(len(content)), Filled)
			if err != nil {
				return out, err
			}
			out.own = append(out.own, m)
			if err := m.Write(0, content); err != nil {
				return out, err
			}
			for j, b := range d.Bind {
				if b.Buffer == buffer {
					l.Bind[j].Memory, l.Bind[j].Offset = m, b.Offset
				}
			}
		}
		out.launches = append(out.launches, l)
	}
	return out, nil
}
