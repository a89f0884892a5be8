package runtime

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"foundry/ir/dtype"
	"foundry/ir/names"
	"foundry/lower/plan"
	"foundry/runtime/files"
)

// Executable is a plan loaded on a device: compiled kernels, and weights and
// constants in memory. Any number of Instances share it, from any goroutine.
type Executable struct {
	Plan    *plan.Plan
	device  Device
	program Program
	shared  []Memory // memory by buffer; nil for those that each Instance owns
	weights *Weights // the owner of those of shared which are weights; nil: the executable
	mapped  Mapped   // the source whose files the device may read in place; nil for none
	users   atomic.Int64
	prepare sync.Once // the plan's preparation, which the first Instance does for all
	ready   error     // the preparation's error
	startup Startup
}

// New checks p, compiles its kernels on dev and fills its weights from w, several
// at a time. progress, which may be nil, is told of both. On an error everything
// is given back. p must not change afterwards.
func New(ctx context.Context, dev Device, p *plan.Plan, w WeightSource, progress Progress) (*Executable, error) {
	return newExecutable(ctx, dev, p, w, nil, progress)
}

// NewSharing is New with the weights that others of the same GPU and source hold
// already; those that it makes are left to them.
func NewSharing(ctx context.Context, dev Device, p *plan.Plan, w WeightSource, with *Weights, progress Progress) (*Executable, error) {
	return newExecutable(ctx, dev, p, w, with, progress)
}

func newExecutable(ctx context.Context, dev Device, p *plan.Plan, w WeightSource, with *Weights, progress Progress) (*Executable, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	fixed := p.ClassBytes(plan.Weight) + p.ClassBytes(plan.Constant) + p.ClassBytes(plan.Prepared)
	own := p.ArenaBytes + p.ClassBytes(plan.State) + p.ClassBytes(plan.Input) + p.ClassBytes(plan.Output)
	if have := dev.Info().MemoryBytes; have > 0 && fixed+own > have {
		return nil, fmt.Errorf("%s has %s of memory, the plan needs %s: %s of weights and %s a session; quantise the weights or compile with a smaller --context",
			dev.Info().Name, names.Bytes(have), names.Bytes(fixed+own), names.Bytes(fixed), names.Bytes(own))
	}
	program, err := dev.Load(ctx, p, progress)
	if err != nil {
		return nil, err
	}
	x := &Executable{Plan: p, device: dev, program: program, shared: make([]Memory, len(p.Buffers)), weights: with}
	if _, can := dev.(Adopter); can {
		x.mapped, _ = w.(Mapped)
	}
	if err := x.fill(ctx, w, progress); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

// filling is the work of making the shared buffers, several at a time.
type filling struct {
	source         WeightSource
	making, upload stopwatch // time of both, which overlap
	moved          atomic.Int64
}

// fill allocates and writes the shared buffers.
func (x *Executable) fill(ctx context.Context, w WeightSource, progress Progress) error {
	total := x.Plan.ClassBytes(plan.Weight) + x.Plan.ClassBytes(plan.Constant)
	work := filling{source: w}
	var mu sync.Mutex
	var done int64
	report := func(n int64) {
		if progress == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		done += n
		progress("weights", done, total)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range x.Plan.Buffers {
		b := &x.Plan.Buffers[i]
		if b.Class == plan.Prepared {
			var err error
			if x.shared[i], err = x.device.Alloc(b.Bytes, Shared); err != nil {
				return fmt.Errorf("buffer %s: %w", b.Name, err)
			}
		}
		if b.Class != plan.Weight && b.Class != plan.Constant {
			continue
		}
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if x.weights != nil && b.Class == plan.Weight {
				x.shared[i], err = x.weights.get(b, func() (Memory, error) { return x.make(b, &work) })
			} else {
				x.shared[i], err = x.make(b, &work)
			}
			if err != nil {
				return fmt.Errorf("buffer %s: %w", b.Name, err)
			}
			report(b.Bytes)
			return nil
		})
	}
	err := group.Wait()
	x.startup.Note(Phase{Name: "weights: read and convert", Seconds: work.making.elapsed().Seconds(), Bytes: work.moved.Load()})
	x.startup.Note(Phase{Name: "weights: upload", Seconds: work.upload.elapsed().Seconds(), Bytes: work.moved.Load()})
	return err
}

// make returns new memory with the content of b.
func (x *Executable) make(b *plan.Buffer, work *filling) (Memory, error) {
	if m, err := x.adopt(b, work.source); m != nil || err != nil {
		return m, err
	}
	var content []byte
	err := files.Guard(func() (err error) { // the source may read mapped files
		work.making.start()
		defer work.making.stop()
		if b.Class == plan.Constant {
			content = constantBytes(b)
			return nil
		}
		if content, err = work.source.Weight(b); err != nil {
			return err
		}
		if int64(len(content)) != b.StoredBytes() {
			return fmt.Errorf("%d bytes of weights, the plan wants %d", len(content), b.StoredBytes())
		}
		content = b.Arrange(content)
		return nil
	})
	if err = cutFileCause(work.source, err); err != nil { // a cut one would end the process in a device's driver
		return nil, err
	}
	work.upload.start()
	defer work.upload.stop()
	m, err := x.device.Alloc(b.Bytes, Filled)
	if err != nil {
		return nil, err
	}
	work.moved.Add(b.Bytes)
	if err := files.Guard(func() error { return m.Write(0, content) }); err != nil {
		return nil, errors.Join(cutFileCause(work.source, err), m.Free())
	}
	return m, nil
}

// lendAlign is what a lent weight's place in its pages is a multiple of, bytes:
// kernels read weights in pieces of at most 16 (float4, uint4), in device space.
const lendAlign = 16

// adopt takes a weight where its file is mapped, if source and device can do that,
// kernels read it as it lies there and its place is aligned as they want; else nil.
func (x *Executable) adopt(b *plan.Buffer, w WeightSource) (Memory, error) {
	adopter, can := x.device.(Adopter)
	lender, has := w.(Lender)
	if !can || !has || b.Class != plan.Weight || b.Weight.Kind == plan.Planes {
		return nil, nil
	}
	pages, offset := lender.Lend(b)
	if pages == nil || offset%lendAlign != 0 {
		return nil, nil
	}
	return adopter.Adopt(pages, offset, b.Bytes)
}

// cutFileCause is that a file of the source was cut, where that is so, otherwise err.
func cutFileCause(w WeightSource, err error) error {
	if mapped, ok := w.(Mapped); ok {
		if cut := mapped.Whole(); cut != nil {
			return cut
		}
	}
	return err
}

// constantBytes returns the values of b as the bytes of its dtype.
func constantBytes(b *plan.Buffer) []byte {
	var out []byte
	for _, v := range b.Values {
		switch b.DType {
		case dtype.F16:
			out = binary.LittleEndian.AppendUint16(out, dtype.F32ToF16(v))
		case dtype.BF16:
			out = binary.LittleEndian.AppendUint16(out, dtype.F32ToBF16(v))
		case dtype.I32:
			out = binary.LittleEndian.AppendUint32(out, uint32(int32(v)))
		default:
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
	}
	return out
}

// Close gives back kernels and weights, not the device. It is an error while an
// Instance is open.
func (x *Executable) Close() error {
	if n := x.users.Load(); n > 0 {
		return fmt.Errorf("cannot close the executable: %d sessions are open", n)
	}
	if x.weights != nil {
		for i := range x.shared {
			if x.Plan.Buffers[i].Class == plan.Weight {
				x.shared[i] = nil
			}
		}
	}
	errs := []error{freeAll(x.shared)}
	x.shared = nil
	if x.program != nil {
		errs = append(errs, x.program.Close())
		x.program = nil
	}
	return errors.Join(errs...)
}

func freeAll(ms []Memory) error {
	var errs []error
	for _, m := range ms {
		if m != nil {
			errs = append(errs, m.Free())
		}
	}
	return errors.Join(errs...)
}
