package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"foundry/ir/sym"
	"foundry/lower/plan"
)

// walk is one entry with an Instance's memory bound: everything that a run needs
// but the values of T and P.
type walk struct {
	program  Program
	startup  *Startup
	mapped   Mapped // weights that are read in place; nil for none
	entry    *plan.Entry
	launches []Launch // launches by step; barriers leave a gap
	caches   []cacheUse
	fixed    bool // a grid without T and P, so that the walk can be recorded
	recorded Recording
	open     []Encoder // encoders for the next walk
	arena    Memory    // memory of transient buffers; nil for none
	poisons  []stretch // parts of the arena where NaN goes before each run, in tests
}

func newWalk(x *Executable, e *plan.Entry, operands []Operand, arena Memory) *walk {
	w := &walk{program: x.program, startup: &x.startup, mapped: x.mapped, entry: e, launches: make([]Launch, len(e.Steps)), caches: cachesOf(x.Plan, e), fixed: true, arena: arena}
	for i := range e.Steps {
		d := e.Steps[i].Dispatch
		if d == nil {
			continue
		}
		l := Launch{Kernel: d.Kernel, Label: d.Label, Bind: make([]Operand, len(d.Bind))}
		for j, b := range d.Bind {
			at := operands[b.Buffer]
			l.Bind[j] = Operand{Memory: at.Memory, Offset: at.Offset + b.Offset, Bytes: b.Bytes, Access: b.Access}
		}
		for _, g := range d.Grid {
			w.fixed = w.fixed && g.N.IsConst()
		}
		w.launches[i] = l
	}
	if arena != nil && poisonsInTests(x.device) {
		w.poisons = w.poisoned()
	}
	return w
}

// runRepeatedly executes the walks one after the other, n times, at one more cached token
// each time, and returns when the device has finished. A walk whose grids are
// constant is recorded once, where the program can do so: then the host waits for
// the last run only.
func runRepeatedly(ctx context.Context, walks []*walk, env sym.Env, n int) error {
	err := walks[0].checkFiles()
	for i := 0; i < n && err == nil; i++ {
		for _, w := range walks {
			if err = ctx.Err(); err == nil {
				err = w.start(sym.Env{T: env.T, P: env.P + int64(i)*env.T})
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", w.entry.Name, err)
				break
			}
		}
	}
	for _, w := range walks {
		if w.recorded == nil {
			continue
		}
		// The error of the device is the cause of one of the host.
		if waited := w.recorded.Wait(); waited != nil {
			err = fmt.Errorf("%s: %w", w.entry.Name, errors.Join(waited, err))
		}
	}
	if err == nil {
		return nil
	}
	return cmp.Or(walks[0].checkFiles(), err)
}

// checkFiles is an error where a file of weights that kernels read in place was cut.
func (w *walk) checkFiles() error {
	if w.mapped == nil {
		return nil
	}
	return w.mapped.Whole()
}

// start submits a run of a recorded walk, or makes a run of another.
func (w *walk) start(env sym.Env) error {
	recorder, ok := w.program.(Recorder)
	if !ok || !w.fixed {
		return w.submit(env)
	}
	if w.recorded == nil {
		start := time.Now()
		rec, err := recorder.Record(func(enc Encoder) error {
			for i := range w.entry.CommandBuffers {
				if err := w.encode(enc, i, sym.Env{}); err != nil {
					return err
				}
				if i < len(w.entry.CommandBuffers)-1 {
					if err := enc.Commit(); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		w.recorded = rec
		w.startup.Add(Phase{Name: "record " + w.entry.Name}, start)
	}
	return w.recorded.Run()
}

// submit commits each command buffer before it encodes the next, so that
// encoding overlaps execution.
func (w *walk) submit(env sym.Env) error {
	if err := poison(w.arena, w.poisons); err != nil {
		return err
	}
	var err error
	w.open = w.open[:0]
	for i := range w.entry.CommandBuffers {
		var enc Encoder
		if enc, err = w.program.Begin(); err != nil {
			break
		}
		err = w.encode(enc, i, env)
		committed := enc.Commit()
		if committed == nil {
			w.open = append(w.open, enc)
		}
		if err == nil {
			err = committed
		}
		if err != nil {
			break
		}
	}
	for _, enc := range w.open {
		// The first error is the cause; later buffers fail because of it.
		if waited := enc.Wait(); err == nil {
			err = waited
		}
	}
	return err
}

// encode encodes command buffer i of the entry. The first one begins with a
// barrier: the run before, of whichever entry, has touched the same memory.
func (w *walk) encode(enc Encoder, i int, env sym.Env) error {
	if i == 0 {
		if err := enc.Barrier(); err != nil {
			return err
		}
	}
	c := w.entry.CommandBuffers[i]
	for s := c.First; s < c.Last; s++ {
		d := w.entry.Steps[s].Dispatch
		if d == nil {
			if err := enc.Barrier(); err != nil {
				return fmt.Errorf("barrier at step %d: %w", s, err)
			}
			continue
		}
		l := &w.launches[s]
		for axis, g := range d.Grid {
			l.Grid[axis] = g.Eval(env)
		}
		if err := enc.Dispatch(l); err != nil {
			return fmt.Errorf("dispatch %s: %w", d.Label, err)
		}
	}
	return nil
}

func (w *walk) close() error {
	if w.recorded == nil {
		return nil
	}
	return w.recorded.Close()
}
