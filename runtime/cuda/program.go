package cuda

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/msl"
)

// program is a plan's kernels in modules on the GPU, and the stream they run on.
type program struct {
	d       *Device
	stream  uintptr
	kernels []kernel
	startup fruntime.Startup
	mu      sync.Mutex // one recording at a time
}

// kernel is one entry point and what its launches need.
type kernel struct {
	name    string
	module  uintptr
	fn      uintptr
	slots   int
	threads [3]uint32
	shared  uint32
}

// Load compiles the plan's kernels, several at a time; those that the cache
// holds are read from there.
func (d *Device) Load(ctx context.Context, p *plan.Plan, progress fruntime.Progress) (fruntime.Program, error) {
	start := time.Now()
	cubins := make([][]byte, len(p.Kernels))
	var done, cold atomic.Int64
	var report sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range p.Kernels {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var fresh bool
			var err error
			if cubins[i], fresh, err = d.cubin(&p.Kernels[i]); err != nil {
				return err
			}
			if fresh {
				cold.Add(1)
			}
			if progress != nil {
				report.Lock()
				defer report.Unlock()
				progress("compile kernels", done.Add(1), int64(len(p.Kernels)))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	g := &program{d: d}
	g.startup.Add(fruntime.Phase{Name: "compile kernels (NVRTC)", Kernels: len(p.Kernels), Fresh: int(cold.Load())}, start)
	start = time.Now()
	err := d.do(func() error {
		if err := d.drv.call("cuStreamCreate", uintptr(unsafe.Pointer(&g.stream)), 0); err != nil {
			return err
		}
		for i := range p.Kernels {
			k, err := d.module(&p.Kernels[i], cubins[i])
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

// module loads a cubin and prepares its entry.
func (d *Device) module(k *plan.Kernel, cubin []byte) (kernel, error) {
	shared := msl.SharedBytes(k)
	out := kernel{name: k.Name, slots: len(k.Slots), shared: uint32(shared),
		threads: [3]uint32{uint32(k.Threads[0]), uint32(k.Threads[1]), uint32(k.Threads[2])}}
	if shared > d.sharedMax {
		return out, fmt.Errorf("wants %d bytes of threadgroup memory, the GPU has %d", shared, d.sharedMax)
	}
	if out.slots > maxSlots {
		return out, fmt.Errorf("has %d buffer slots, %d are the most", out.slots, maxSlots)
	}
	if err := d.drv.call("cuModuleLoadData", uintptr(unsafe.Pointer(&out.module)), uintptr(unsafe.Pointer(&cubin[0]))); err != nil {
		return out, err
	}
	name := append([]byte(k.Name), 0)
	if err := d.drv.call("cuModuleGetFunction", uintptr(unsafe.Pointer(&out.fn)), out.module, uintptr(unsafe.Pointer(&name[0]))); err != nil {
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
		for _, k := range g.kernels {
			errs = append(errs, g.d.drv.call("cuModuleUnload", k.module))
		}
		g.kernels = nil
		return errors.Join(errs...)
	})
}
