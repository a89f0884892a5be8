package runtime

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"foundry/ir/sym"
	"foundry/lower/plan"
)

// chainOf says which steps a chain has: of an entry decode, each followed by the entry
// sample where draw says so.
type chainOf struct {
	entry int
	draw  bool
}

// chain is several decode steps as one command buffer, recorded twice: while one
// recording runs, the other is submitted behind it.
type chain struct {
	decode     *walk
	steps      int
	recordings [2]Recording
	free       int // the recording that does not run
}

// flight is a chain that was submitted and that nobody has waited for.
type flight struct {
	of        *chain
	recording Recording
	p         int   // position of the token that its first step runs
	token     int32 // the token at p, which the step before chose
}

// Separator is implemented by encoders whose dispatches may begin before those ahead of
// them have ended, up to what the step that they belong to writes.
type Separator interface {
	// Separate has the next dispatch begin when all before it have ended: it is of
	// another run.
	Separate()
}

// Peeker is implemented by memory whose Read would wait for all that was submitted.
type Peeker interface {
	// Peek is Read of bytes that nothing in flight writes.
	Peek(offset int64, b []byte) error
}

// chainSteps is how many decode steps a command buffer shall hold, the same at every
// position; 0 where chains gain nothing: kernels run while they are submitted, or cannot be
// recorded.
func (in *Instance) chainSteps() int {
	if _, records := in.exec.program.(Recorder); !records || in.exec.device.Info().Emulation {
		return 0
	}
	for _, w := range in.walks {
		if w.entry.Role == plan.Decode && !w.fixed {
			return 0
		}
	}
	return max(1, in.walks[in.model.decode].entry.Chain)
}

// chainAt returns the chain of steps from position p, of the entry that all of them can
// run.
func (in *Instance) chainAt(p int, draw bool) (*chain, error) {
	at := chainOf{in.decodeUpTo(p + in.chainSteps() - 1), draw}
	walks := []*walk{in.walks[at.entry]}
	if draw {
		walks = append(walks, in.walks[in.model.sample])
	}
	if c := in.chains[at]; c != nil {
		return c, nil
	}
	c := &chain{decode: walks[0], steps: in.chainSteps()}
	for i := range c.recordings {
		var err error
		c.recordings[i], err = in.exec.program.(Recorder).Record(func(enc Encoder) error {
			for range c.steps {
				for _, w := range walks {
					if s, ok := enc.(Separator); ok {
						s.Separate()
					}
					for b := range w.entry.CommandBuffers {
						if err := w.encode(enc, b, sym.Env{}); err != nil {
							return err
						}
					}
				}
			}
			return nil
		})
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	in.chains[at] = c
	return c, nil
}

func (c *chain) close() error {
	var errs []error
	for _, r := range c.recordings {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}

// submit starts the chain at position p, whose token the step holds or will hold.
func (c *chain) submit(p int) (*flight, error) {
	f := &flight{of: c, recording: c.recordings[c.free], p: p}
	c.free = 1 - c.free
	if err := f.recording.Run(); err != nil {
		return nil, errors.Join(err, f.recording.Wait())
	}
	return f, nil
}

// land waits for what is in flight and forgets it: the step buffer is no longer where the
// sequence is.
func (in *Instance) land() error {
	f := in.flying
	if f == nil {
		return nil
	}
	in.flying, in.content = nil, content{}
	if err := f.recording.Wait(); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}

// idle is an error of a session that is closed; of another, nothing is in flight.
func (in *Instance) idle() error {
	if in.closed {
		return errClosed
	}
	return in.land()
}

// errBehind says that a kernel refused something, with more steps in flight: which step
// it was is not known.
var errBehind = errors.New("a kernel refused something in a chain of steps")

// chained runs a chain of steps from id at p, or waits for the one that is in flight
// there, and has another in flight behind it where more says so. It returns what the steps
// chose.
func (in *Instance) chained(ctx context.Context, p int, id int32, more, draw bool) ([]int32, error) {
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(err, in.land())
	}
	c, err := in.chainAt(p, draw)
	if err != nil {
		return nil, errors.Join(err, in.land())
	}
	f := in.flying
	if f == nil || f.of != c || f.p != p || f.token != id {
		if err := in.land(); err != nil {
			return nil, err
		}
		if f, err = in.takeOff(c, p, id); err != nil {
			return nil, err
		}
	}
	in.flying, in.content = nil, content{}
	last := p + c.steps
	var failed error
	if more && last+c.steps <= in.exec.Plan.Model.Context {
		var next *chain
		if next, failed = in.chainAt(last, draw); failed == nil {
			in.flying, failed = next.submit(last)
		}
	}
	// The error of the device is the cause of one of the host.
	if err := errors.Join(f.recording.Wait(), failed); err != nil {
		return nil, fmt.Errorf("decode: %w", errors.Join(err, in.land()))
	}
	ids, err := in.chose(p, c.steps)
	if err != nil {
		if landed := in.land(); landed != nil {
			err = landed
		}
		return nil, err
	}
	in.wrote(c.decode, last)
	if in.flying != nil {
		in.flying.token = ids[len(ids)-1]
	} else {
		in.content = content{valid: true, rows: 1, p: last, token: ids[len(ids)-1]}
	}
	return ids, nil
}

// takeOff submits a chain whose first step runs id at p, with nothing in flight before it.
func (in *Instance) takeOff(c *chain, p int, id int32) (*flight, error) {
	decode := c.decode
	if most := in.exec.Plan.Model.Context - c.steps; p < 0 || p > most {
		return nil, fmt.Errorf("entry %s: %d tokens at position %d, want them within a context of %d", decode.entry.Name, c.steps, p, in.exec.Plan.Model.Context)
	}
	if err := decode.checkFiles(); err != nil {
		return nil, err
	}
	if err := in.begin(decode, p); err != nil {
		return nil, err
	}
	before := in.content
	in.content = content{}
	if !(before.valid && before.p == p && before.token == id) {
		if err := in.writeStep(p, []int32{id}); err != nil {
			return nil, err
		}
	}
	f, err := c.submit(p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", decode.entry.Name, err)
	}
	return f, nil
}

// chose reads what n steps from p chose while more may be in flight.
func (in *Instance) chose(p, n int) ([]int32, error) {
	if in.flying == nil {
		if _, err := in.readStep(p + n); err != nil {
			return nil, fmt.Errorf("decode: %w", err)
		}
	}
	var refused [4]byte
	if err := in.peekAt(in.model.step, 4*plan.StepError, refused[:]); err != nil {
		return nil, err
	}
	if refused != [4]byte{} {
		return nil, errBehind
	}
	b := make([]byte, 4*n)
	if err := in.peekAt(in.model.history, int64(4*(p+1)), b); err != nil {
		return nil, err
	}
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
		if vocab := in.exec.Plan.Model.Vocab; ids[i] < 0 || int(ids[i]) >= vocab {
			return nil, fmt.Errorf("decode: position %d got token %d of a vocabulary of %d", p+i+1, ids[i], vocab)
		}
	}
	return ids, nil
}

// peekAt is readAt of bytes that nothing in flight writes.
func (in *Instance) peekAt(buffer int, offset int64, b []byte) error {
	o := in.whole[buffer]
	peeker, ok := o.Memory.(Peeker)
	if !ok {
		return in.readAt(buffer, offset, b)
	}
	if err := checkWithin(o, offset, len(b)); err != nil {
		return fmt.Errorf("buffer %s: %w", in.exec.Plan.Buffers[buffer].Name, err)
	}
	return peeker.Peek(o.Offset+offset, b)
}
