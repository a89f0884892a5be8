package cpu

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
)

// commands is an encoded list of launches in the executor's own form.
type commands struct {
	p        *program
	launches []cLaunch
	labels   []string
	memories []*memory // memories of all operands: a freed one must not be run on
	barrier  bool      // the next launch begins a wave
	err      error     // the first mistake of encoding
	timing   bool      // a measurement of each launch's seconds
}

// Dispatch encodes one launch, or says what is wrong with it.
func (c *commands) Dispatch(l *fruntime.Launch) error {
	if err := c.dispatch(l); err != nil {
		err = fmt.Errorf("cpu: dispatch %s: %w", l.Label, err)
		c.err = errors.Join(c.err, err)
		return err
	}
	return nil
}

func (c *commands) dispatch(l *fruntime.Launch) error {
	if l.Kernel < 0 || l.Kernel >= len(c.p.kernels) {
		return fmt.Errorf("kernel %d of %d", l.Kernel, len(c.p.kernels))
	}
	k := &c.p.kernels[l.Kernel]
	if len(l.Bind) != len(k.Slots) {
		return fmt.Errorf("kernel %s has %d slots, %d operands are bound", k.Name, len(k.Slots), len(l.Bind))
	}
	out := cLaunch{module: c.p.module, kernel: uint32(l.Kernel)}
	for i, n := range l.Grid {
		if n < 1 || n > math.MaxUint32 {
			return fmt.Errorf("kernel %s: a grid of %v threadgroups", k.Name, l.Grid)
		}
		out.grid[i] = uint32(n)
	}
	operands := make([]cOperand, len(l.Bind))
	for i, o := range l.Bind {
		m, ok := o.Memory.(*memory)
		if !ok {
			return fmt.Errorf("kernel %s, slot %q: memory of another device", k.Name, k.Slots[i].Name)
		}
		if _, err := m.at(o.Offset, o.Bytes); err != nil {
			return fmt.Errorf("kernel %s, slot %q: %w", k.Name, k.Slots[i].Name, err)
		}
		if o.Bytes == 0 {
			return fmt.Errorf("kernel %s, slot %q: an empty operand", k.Name, k.Slots[i].Name)
		}
		operands[i] = cOperand{data: m.address(o.Offset), bytes: uint64(o.Bytes), access: accessBits(o.Access)}
		c.memories = append(c.memories, m)
	}
	if len(operands) > 0 {
		out.operands = &operands[0]
	}
	if c.barrier {
		out.barrier, c.barrier = 1, false
	}
	c.launches = append(c.launches, out)
	c.labels = append(c.labels, l.Label)
	return nil
}

func accessBits(a plan.Access) uint32 {
	var bits uint32
	if a.Reads() {
		bits |= 1
	}
	if a.Writes() {
		bits |= 2
	}
	return bits
}

// Barrier begins a new wave.
func (c *commands) Barrier() error {
	c.barrier = true
	return nil
}

// run executes the commands. A mistake names the dispatch's label too.
func (c *commands) run() error {
	if c.err != nil {
		return c.err
	}
	for _, m := range c.memories {
		if m.data == nil {
			return errors.New("cpu: a buffer was freed between encoding and running")
		}
	}
	c.arrange()
	err := c.p.d.call(c.launches, c.timing)
	var launch *launchError
	if errors.As(err, &launch) && c.labels[launch.launch] != "" {
		return fmt.Errorf("cpu: dispatch %s: %w", c.labels[launch.launch], launch.err)
	}
	return err
}

// arrange orders the dispatches within each wave as the options say.
func (c *commands) arrange() {
	o := &c.p.d.opts
	if o.WaveOrder == Forward {
		return
	}
	random := rand.New(rand.NewPCG(o.Seed, uint64(len(c.launches))))
	for first := 0; first < len(c.launches); {
		last := first + 1
		for last < len(c.launches) && c.launches[last].barrier == 0 {
			last++
		}
		begins := c.launches[first].barrier
		c.launches[first].barrier = 0
		swap := func(i, j int) {
			i, j = i+first, j+first
			c.launches[i], c.launches[j] = c.launches[j], c.launches[i]
			c.labels[i], c.labels[j] = c.labels[j], c.labels[i]
		}
		n := last - first
		switch o.WaveOrder {
		case Random:
			random.Shuffle(n, swap)
		case Reversed:
			for i := range n / 2 {
				swap(i, n-1-i)
			}
		}
		c.launches[first].barrier = begins
		first = last
	}
}

// Time implements runtime.Timer.
func (p *program) Time(encode func(fruntime.Encoder) error) ([]time.Duration, error) {
	if p.closed {
		return nil, errors.New("cpu: the program is closed")
	}
	t := &tape{encoder{commands: commands{p: p, timing: true}}}
	if err := errors.Join(encode(t), t.err); err != nil {
		return nil, err
	}
	for i := range t.launches {
		t.launches[i].barrier = 1
	}
	if err := t.run(); err != nil {
		return nil, err
	}
	out := make([]time.Duration, len(t.launches))
	for i := range t.launches {
		out[i] = time.Duration(t.launches[i].seconds * 1e9)
	}
	return out, nil
}

// encoder is a command buffer; it runs when committed.
type encoder struct {
	commands
	done bool
	ran  error
}

// Begin opens a command buffer.
func (p *program) Begin() (fruntime.Encoder, error) {
	if p.closed {
		return nil, errors.New("cpu: the program is closed")
	}
	return &encoder{commands: commands{p: p}}, nil
}

// Commit runs the commands; Wait tells how it went.
func (e *encoder) Commit() error {
	if e.done {
		return errors.New("cpu: a command buffer is committed once")
	}
	e.done = true
	e.ran = e.run()
	return nil
}

// Wait returns the error of the run.
func (e *encoder) Wait() error {
	if !e.done {
		return errors.New("cpu: Wait before Commit")
	}
	return e.ran
}

// recording is a command buffer to be run again.
type recording struct {
	commands
	ran error // the first error since the last Wait
}

// Record encodes once.
func (p *program) Record(encode func(fruntime.Encoder) error) (fruntime.Recording, error) {
	if p.closed {
		return nil, errors.New("cpu: the program is closed")
	}
	t := &tape{encoder{commands: commands{p: p}}}
	if err := errors.Join(encode(t), t.err); err != nil {
		return nil, err
	}
	return &recording{commands: t.commands}, nil
}

// tape is an encoder that records: nothing runs at the end of a command buffer.
type tape struct{ encoder }

// Commit ends nothing: the commands of all buffers run as one.
func (t *tape) Commit() error { return nil }

// Run runs the commands once more.
func (r *recording) Run() error {
	if err := r.run(); r.ran == nil {
		r.ran = err
	}
	return nil
}

// Wait returns the first error since the last.
func (r *recording) Wait() error {
	err := r.ran
	r.ran = nil
	return err
}

// Close forgets the commands.
func (r *recording) Close() error {
	r.launches, r.memories = nil, nil
	return nil
}
