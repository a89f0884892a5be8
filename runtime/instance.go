package runtime

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"foundry/ir/sym"
	"foundry/lower/plan"
)

// Instance is the memory of one session on an Executable: state, inputs, outputs
// and the arena. Instances are independent; one is used by one goroutine at a
// time.
type Instance struct {
	exec    *Executable
	own     []Memory
	arena   Memory    // memory of transient buffers; nil for none
	whole   []Operand // whole buffers as operands
	walks   []*walk   // walks by entry
	model   *specials // nil when the plan is not a language model's
	content content
	written []int // tokens that a cache holds, by buffer
	// sampling is what the step says of it; nil until the host has written that.
	sampling *Sampling
	closed   bool
	chains   map[chainOf]*chain // chains of steps, once they were asked for
	flying   *flight            // the chain that runs; nil for none
}

var errClosed = errors.New("the session is closed")

// NewInstance allocates; everything is zero.
func (x *Executable) NewInstance() (*Instance, error) {
	in := &Instance{exec: x, whole: make([]Operand, len(x.Plan.Buffers)), written: make([]int, len(x.Plan.Buffers)), chains: map[chainOf]*chain{}}
	x.users.Add(1)
	if err := in.allocate(); err != nil {
		return nil, errors.Join(fmt.Errorf("no memory for a session: %w", err), in.Close())
	}
	x.prepare.Do(func() { x.ready = in.prepare() })
	if x.ready != nil {
		return nil, errors.Join(fmt.Errorf("preparation: %w", x.ready), in.Close())
	}
	for i := range x.Plan.Entries {
		in.walks = append(in.walks, newWalk(x, &x.Plan.Entries[i], in.whole, in.arena))
	}
	in.model = findSpecials(x.Plan)
	if in.model != nil {
		if err := in.resetStep(); err != nil {
			return nil, errors.Join(err, in.Close())
		}
	}
	return in, nil
}

func (in *Instance) allocate() error {
	alloc := func(bytes int64, use Use) (Memory, error) {
		m, err := in.exec.device.Alloc(bytes, use)
		if err == nil {
			in.own = append(in.own, m)
		}
		return m, err
	}
	if n := in.exec.Plan.ArenaBytes; n > 0 {
		var err error
		if in.arena, err = alloc(n, Private); err != nil {
			return err
		}
	}
	for i := range in.exec.Plan.Buffers {
		b := &in.exec.Plan.Buffers[i]
		o := Operand{Bytes: b.Bytes}
		switch b.Class {
		case plan.Weight, plan.Constant, plan.Prepared:
			o.Memory = in.exec.shared[i]
		case plan.Transient:
			o.Memory, o.Offset = in.arena, b.Offset
		default:
			use := Shared
			if b.Class == plan.State && b.Role == plan.NoRole {
				use = Private // a cache
			}
			m, err := alloc(b.Bytes, use)
			if err != nil {
				return fmt.Errorf("buffer %s: %w", b.Name, err)
			}
			o.Memory = m
		}
		in.whole[i] = o
	}
	return nil
}

// Close waits for what is in flight and frees the memory.
func (in *Instance) Close() error {
	if in.closed {
		return nil
	}
	in.closed = true
	errs := []error{in.land()}
	for _, c := range in.chains {
		errs = append(errs, c.close())
	}
	for _, w := range in.walks {
		errs = append(errs, w.close())
	}
	errs = append(errs, freeAll(in.own))
	in.exec.users.Add(-1)
	in.own = nil
	return errors.Join(errs...)
}

// Run writes T, P and S to the step buffer, where the plan has one, and runs the
// entry to its end. P may not lie behind what its caches hold: what runs wrote, or all
// of a cache that Write filled. What a kernel refused, such as an id outside a table,
// is an error.
func (in *Instance) Run(ctx context.Context, entry string, env sym.Env) error {
	if err := in.idle(); err != nil {
		return err
	}
	e, err := in.exec.Plan.Entry(entry)
	if err != nil {
		return err
	}
	if env.T < e.TMin || env.T > e.TMax || env.P < 0 || env.P > in.exec.Plan.MaxP(e, env.T) {
		return fmt.Errorf("entry %s: T=%d P=%d, want T from %d to %d within a context of %d", entry, env.T, env.P, e.TMin, e.TMax, in.exec.Plan.Model.Context)
	}
	w := in.walks[slices.IndexFunc(in.walks, func(w *walk) bool { return w.entry == e })]
	if err := in.begin(w, int(env.P)); err != nil {
		return err
	}
	if err := in.setStep(env); err != nil {
		return err
	}
	in.content = content{}
	if err := runRepeatedly(ctx, []*walk{w}, env, 1); err != nil {
		return err
	}
	if err := in.stepError(); err != nil {
		return err
	}
	in.wrote(w, int(env.P+env.T))
	return nil
}

// stepError is what kernels reported in the step buffer, where the plan has one.
func (in *Instance) stepError() error {
	step := in.exec.Plan.BufferFor(plan.StepBuffer)
	if step < 0 {
		return nil
	}
	var b [8]byte
	if err := in.readAt(step, 4*plan.StepError, b[:]); err != nil {
		return err
	}
	return in.tell(refusal(binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint32(b[4:]), "table"))
}

// setStep writes T, P, S and that nothing is wrong to the step buffer, where the
// plan has one.
func (in *Instance) setStep(env sym.Env) error {
	step := in.exec.Plan.BufferFor(plan.StepBuffer)
	if step < 0 {
		return nil
	}
	if err := in.writeAt(step, 0, words(uint32(env.T), uint32(env.P), uint32(env.S()))); err != nil {
		return err
	}
	return in.writeAt(step, 4*plan.StepError, words(plan.ErrNone, 0))
}

// Write fills the start of the named buffer, which must not be shared with
// other sessions. A cache counts as written to its end then.
func (in *Instance) Write(buffer string, b []byte) error {
	i, err := in.find(buffer)
	if err != nil {
		return err
	}
	if c := in.exec.Plan.Buffers[i].Class; c == plan.Weight || c == plan.Constant || c == plan.Prepared {
		return fmt.Errorf("buffer %s is a %s, which all sessions share", buffer, c)
	}
	in.content, in.sampling, in.written[i] = content{}, nil, toItsEnd
	if b, err = in.inRange(i, b); err != nil {
		return fmt.Errorf("buffer %s: %w", buffer, err)
	}
	return in.writeAt(i, 0, b)
}

// Read returns len(b) bytes from the start of the named buffer.
func (in *Instance) Read(buffer string, b []byte) error {
	i, err := in.find(buffer)
	if err != nil {
		return err
	}
	if err := in.readAt(i, 0, b); err != nil {
		return err
	}
	return in.outOfRange(i, b)
}

func (in *Instance) find(buffer string) (int, error) {
	if err := in.idle(); err != nil {
		return 0, err
	}
	for i := range in.exec.Plan.Buffers {
		if in.exec.Plan.Buffers[i].Name == buffer {
			return i, nil
		}
	}
	return 0, fmt.Errorf("the plan has no buffer %q", buffer)
}

func (in *Instance) writeAt(buffer int, offset int64, b []byte) error {
	o := in.whole[buffer]
	if err := checkWithin(o, offset, len(b)); err != nil {
		return fmt.Errorf("buffer %s: %w", in.exec.Plan.Buffers[buffer].Name, err)
	}
	return o.Memory.Write(o.Offset+offset, b)
}

func (in *Instance) readAt(buffer int, offset int64, b []byte) error {
	o := in.whole[buffer]
	if err := checkWithin(o, offset, len(b)); err != nil {
		return fmt.Errorf("buffer %s: %w", in.exec.Plan.Buffers[buffer].Name, err)
	}
	return o.Memory.Read(o.Offset+offset, b)
}

func checkWithin(o Operand, offset int64, n int) error {
	if offset < 0 || int64(n) > o.Bytes-offset {
		return fmt.Errorf("bytes %d to %d, it has %d", offset, offset+int64(n), o.Bytes)
	}
	return nil
}
