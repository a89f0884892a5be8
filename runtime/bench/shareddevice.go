package bench

import (
	"context"
	"errors"
	"fmt"

	"foundry/frontends/model"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/engine"
)

// sharedDevice is where the plans of a benchmark run: one device, on which they share
// weights, so that many variants of a large model fit side by side.
type sharedDevice struct {
	dev     runtime.Device
	weights *runtime.Weights
	machine *Machine // nil where times are emulation
}

// openShared opens the device and, where that is a GPU, measures it for the target that
// is compiled for.
func (o *Options) openShared(ctx context.Context) (*sharedDevice, error) {
	c := o.CPU
	if o.PlanDir != "" {
		c = engine.Guarded(o.Device, o.PlanDir, c, o.Say)
	}
	dev, err := engine.OpenDevice(ctx, o.Device, c)
	if err != nil {
		return nil, err
	}
	p := &sharedDevice{dev: dev, weights: runtime.NewWeights()}
	if dev.Info().Emulation {
		return p, nil
	}
	if p.machine, err = measureMachine(ctx, dev, o.Compile.Target, machineWork()); err != nil {
		return nil, errors.Join(fmt.Errorf("measure the device: %w", err), p.close())
	}
	return p, nil
}

// onAnother is the same on another device of the same GPU, with the same weights. It is
// closed first.
func (p *sharedDevice) onAnother(dev runtime.Device) *sharedDevice {
	return &sharedDevice{dev: dev, weights: p.weights, machine: p.machine}
}

func (p *sharedDevice) close() error { return errors.Join(p.weights.Close(), p.dev.Close()) }

// load makes a variant ready to run. The engine must be closed before the device.
func (p *sharedDevice) load(ctx context.Context, m *model.Model, s compiledVariant, progress runtime.Progress) (*engine.Engine, error) {
	return engine.LoadShared(ctx, p.dev, p.weights, m, s.plan, s.graphs, progress)
}

// openInstance opens a context of an engine that executes a plan.
func openInstance(e *engine.Engine) (*runtime.Instance, error) {
	m, err := e.Open()
	if err != nil {
		return nil, err
	}
	in, ok := m.(*runtime.Instance)
	if !ok {
		return nil, errors.Join(errors.New("ref runs no kernels: take --device cpu or a GPU"), m.Close())
	}
	return in, nil
}

// fit reports whether all variants may hold their memory at once: within half of a
// GPU's, within a quarter of a small machine's otherwise. On ref, where p is nil,
// each has weights of its own.
func (p *sharedDevice) fit(list []compiledVariant) bool {
	room := int64(2 << 30)
	if p != nil && !p.dev.Info().Emulation {
		room = p.dev.Info().MemoryBytes / 2
	}
	total, shared := int64(0), map[string]bool{}
	for _, s := range list {
		total += s.plan.ClassBytes(plan.State) + s.plan.ArenaBytes
		for i := range s.plan.Buffers {
			b := &s.plan.Buffers[i]
			if key := weightKey(b); b.Class == plan.Weight && (p == nil || !shared[key]) {
				shared[key] = true
				total += b.Bytes
			}
		}
	}
	return len(list) == 1 || total <= room
}

// weightKey names what a weight buffer holds, "" for other buffers.
func weightKey(b *plan.Buffer) string {
	if b.Weight == nil {
		return ""
	}
	return fmt.Sprint(*b.Weight, b.DType)
}
