package cuda

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/msl"
	"foundry/runtime/msl/gate"
)

// program is a plan's kernels in modules on the GPU, and the stream they run on.
type program struct {
	d       *Device
	stream  uintptr
	modules map[string]uintptr // modules by unit
	kernels []kernel
	startup fruntime.Startup
	mu      sync.Mutex // the lock of recordings, one at a time
}

// kernel is one entry point and what its launches need.
type kernel struct {
	name    string
	fn      uintptr
	slots   int
	threads [3]uint32
	shared  uint32

	unordered, startsLast bool // places in the order of a run, as package msl has them
}

// Load compiles the plan's kernels, several at a time; those that the cache
// holds are read from there.
func (d *Device) Load(ctx context.Context, p *plan.Plan, progress fruntime.Progress) (fruntime.Program, error) {
	if !d.opts.TrustKernels {
		if err := gate.Check(p.Kernels); err != nil {
			return nil, fmt.Errorf("cuda: %w", err)
		}
	}
	start := time.Now()
	u, err := d.compile(ctx, p.Kernels, shares(p, d.cores), progress)
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	g := &program{d: d}
	g.startup.Add(fruntime.Phase{Name: "compile kernels (NVRTC)", Kernels: len(p.Kernels), Fresh: u.fresh}, start)
	start = time.Now()
	err = d.do(func() error {
		if err := d.drv.call("cuStreamCreate", uintptr(unsafe.Pointer(&g.stream)), 0); err != nil {
			return err
		}
		if err := g.load(u); err != nil {
			return err
		}
		for i := range p.Kernels {
			k, err := d.entry(&p.Kernels[i], g.modules[u.of[i]])
			if err != nil {
				return fmt.Errorf("kernel %s: %w", p.Kernels[i].Name, err)
			}
			g.kernels = append(g.kernels, k)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	g.startup.Add(fruntime.Phase{Name: "load kernels", Kernels: len(p.Kernels)}, start)
	return g, nil
}

// load loads every unit once.
func (g *program) load(u *units) error {
	g.modules = make(map[string]uintptr, len(u.code))
	for name, code := range u.code {
		var module uintptr
		if err := g.d.drv.call("cuModuleLoadData", uintptr(unsafe.Pointer(&module)), uintptr(unsafe.Pointer(&code[0]))); err != nil {
			return err
		}
		g.modules[name] = module
	}
	return nil
}

// entry finds k in its module and prepares it.
func (d *Device) entry(k *plan.Kernel, module uintptr) (kernel, error) {
	shared := msl.SharedBytes(k)
	out := kernel{name: k.Name, slots: len(k.Slots), shared: uint32(shared), unordered: msl.Unordered(k), startsLast: msl.StartsLast(k),
		threads: [3]uint32{uint32(k.Threads[0]), uint32(k.Threads[1]), uint32(k.Threads[2])}}
	if shared > d.sharedMax {
		return out, fmt.Errorf("wants %d bytes of threadgroup memory, the GPU has %d", shared, d.sharedMax)
	}
	if out.slots > maxSlots {
		return out, fmt.Errorf("has %d buffer slots, %d are the most", out.slots, maxSlots)
	}
	name := append([]byte(k.Name), 0)
	if err := d.drv.call("cuModuleGetFunction", uintptr(unsafe.Pointer(&out.fn)), module, uintptr(unsafe.Pointer(&name[0]))); err != nil {
		return out, err
	}
	if shared > 48<<10 {
		return out, d.drv.call("cuFuncSetAttribute", out.fn, funcMaxDynamicShared, uintptr(shared))
	}
	return out, nil
}

// Startup says what compiling and loading the kernels took.
func (g *program) Startup() []fruntime.Phase { return g.startup.Phases() }

// Begin opens an encoder on the program's stream.
func (g *program) Begin() (fruntime.Encoder, error) { return newEncoder(g, g.stream), nil }

// Close unloads the kernels when the stream is empty.
func (g *program) Close() error {
	return g.d.do(func() error {
		var errs []error
		if g.stream != 0 {
			errs = append(errs, g.d.drv.call("cuStreamSynchronize", g.stream), g.d.drv.call("cuStreamDestroy_v2", g.stream))
			g.stream = 0
		}
		for _, module := range g.modules {
			errs = append(errs, g.d.drv.call("cuModuleUnload", module))
		}
		g.modules, g.kernels = nil, nil
		return errors.Join(errs...)
	})
}
