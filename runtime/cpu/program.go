package cpu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ebitengine/purego"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/msl"
	"foundry/runtime/msl/gate"
)

// threadgroupLimit is that of the GPUs with the most threadgroup memory, in bytes.
const threadgroupLimit = plan.MaxThreadgroupBytes

// moduleSymbol is the function of an object that returns its table of kernels.
const moduleSymbol = "foundry_module"

// program is a plan's kernels in a loaded module.
type program struct {
	d       *Device
	kernels []plan.Kernel
	path    string // the path of the shared object
	handle  uintptr
	module  uintptr // the handle that foundry_module returned
	startup fruntime.Startup

	mu     sync.Mutex
	closed bool
}

// Load compiles the plan's kernels that the cache does not have and links all to one
// shared object, or finds that in the cache. The error of a kernel that the gate
// refuses, or that does not compile, names it and the line.
func (d *Device) Load(ctx context.Context, p *plan.Plan, progress fruntime.Progress) (fruntime.Program, error) {
	for i := range p.Kernels {
		if err := checkSignature(&p.Kernels[i]); err != nil {
			return nil, err
		}
	}
	if !d.opts.TrustKernels {
		if err := gate.Check(p.Kernels); err != nil {
			return nil, fmt.Errorf("cpu: %w", err)
		}
	}
	start := time.Now()
	keys, err := d.keys(p.Kernels)
	if err != nil {
		return nil, err
	}
	out := &program{d: d, kernels: p.Kernels}
	fresh := 0
	o := object{
		name: "kernels", of: append(d.linkFlags(), keys...), symbol: moduleSymbol,
		build: func(ctx context.Context, work string) (string, error) {
			objects, compiled, err := d.objectsOf(ctx, work, p.Kernels, keys, progress)
			if err != nil {
				return "", err
			}
			fresh = compiled
			return d.cc.link(ctx, work, msl.CPUTable(keys), objects, d.linkFlags())
		},
	}
	lib, err := d.objects.open(ctx, d.cc, o, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	table, err := purego.Dlsym(lib.handle, moduleSymbol)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cpu: %w", err), purego.Dlclose(lib.handle))
	}
	out.path, out.handle = lib.path, lib.handle
	out.module, _, _ = purego.SyscallN(table)
	compiled := fruntime.Phase{Name: "compile kernels (C++)", Kernels: len(p.Kernels), Fresh: fresh}
	compiled.Seconds = lib.ready.Sub(start).Seconds()
	out.startup.Note(compiled)
	out.startup.Add(fruntime.Phase{Name: "load kernels", Kernels: len(p.Kernels)}, lib.ready)
	return out, nil
}

// Startup says what compiling and loading the kernels took.
func (p *program) Startup() []fruntime.Phase { return p.startup.Phases() }

// checkSignature checks what the language's limits say of a kernel's signature.
func checkSignature(k *plan.Kernel) error {
	threads := 1
	for _, n := range k.Threads {
		if n < 1 || n > 1024 {
			return fmt.Errorf("cpu: kernel %s: %v threads a threadgroup; each is 1 to 1024", k.Name, k.Threads)
		}
		threads *= n
	}
	if threads > 1024 {
		return fmt.Errorf("cpu: kernel %s: %d threads a threadgroup; 1024 are possible", k.Name, threads)
	}
	if len(k.Slots) > 31 || len(k.Threadgroup) > 31 {
		return fmt.Errorf("cpu: kernel %s: %d buffers and %d threadgroup arguments; 31 of each are possible", k.Name, len(k.Slots), len(k.Threadgroup))
	}
	bytes := 0
	for _, a := range k.Threadgroup {
		if a.Bytes <= 0 || a.Bytes%16 != 0 {
			return fmt.Errorf("cpu: kernel %s: threadgroup argument %s has %d bytes; a multiple of 16 is needed", k.Name, a.Name, a.Bytes)
		}
		bytes += a.Bytes
	}
	if bytes > threadgroupLimit {
		return fmt.Errorf("cpu: kernel %s: %d bytes of threadgroup memory; %d are possible", k.Name, bytes, threadgroupLimit)
	}
	return nil
}

// Close unloads the kernels.
func (p *program) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	if err := purego.Dlclose(p.handle); err != nil {
		return fmt.Errorf("cpu: %w", err)
	}
	return nil
}
