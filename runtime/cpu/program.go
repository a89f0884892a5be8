package cpu

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/ebitengine/purego"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/files"
	"foundry/runtime/msl"
	"foundry/runtime/msl/gate"
)

// threadgroupLimit is Metal's, in bytes.
const threadgroupLimit = 32 << 10

// moduleSymbol is the function of an object that returns its table of kernels.
const moduleSymbol = "foundry_module"

// program is a plan's kernels in a loaded module.
type program struct {
	d       *Device
	kernels []plan.Kernel
	path    string // of the shared object
	handle  uintptr
	module  uintptr // what foundry_module returned
	startup fruntime.Startup

	mu     sync.Mutex
	closed bool
}

// Load compiles the plan's kernels into one shared object, or finds it in the
// cache. The error of a kernel that the gate refuses, or that does not compile, names
// it and the line.
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
	units, err := d.units(p.Kernels)
	if err != nil {
		return nil, err
	}
	out := &program{d: d, kernels: p.Kernels}
	start := time.Now()
	o := object{name: "kernels", units: units, link: d.linkFlags(), symbol: moduleSymbol}
	lib, err := d.objects.open(ctx, d.cc, o, purego.RTLD_NOW|purego.RTLD_LOCAL, func(done, total int) {
		if progress != nil {
			progress("compile kernels", int64(done), int64(total))
		}
	})
	var compile *compileError
	if errors.As(err, &compile) {
		return nil, d.blame(ctx, p.Kernels, compile)
	}
	if err != nil {
		return nil, err
	}
	table, err := purego.Dlsym(lib.handle, moduleSymbol)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cpu: %w", err), purego.Dlclose(lib.handle))
	}
	out.path, out.handle = lib.path, lib.handle
	out.module, _, _ = purego.SyscallN(table)
	compiled := fruntime.Phase{Name: "compile kernels (C++)", Kernels: len(p.Kernels)}
	if lib.built {
		compiled.Fresh = len(p.Kernels)
	}
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

func (d *Device) kernelFlags() []string {
	flags := []string{"-nostdinc"}
	if d.opts.FewRuns || d.opts.Checked { // what looks at accesses takes most of a checked run
		flags = append(flags, "-O1")
	}
	if d.opts.Checked {
		flags = append(flags, "-fsanitize=thread", "-fsanitize-coverage=trace-pc")
		if d.cc.isClang() { // else a read before a write of one address goes unseen
			flags = append(flags, "-mllvm", "-tsan-instrument-read-before-write=1")
		}
	}
	return flags
}

func (d *Device) linkFlags() []string {
	if runtime.GOOS == "darwin" {
		return []string{"-lm", "-Wl,-undefined,dynamic_lookup"}
	}
	return []string{"-lm"}
}

// units cuts the kernels into texts of about one size, to be compiled side by
// side; the header is worth a few kernels, so there are not many.
func (d *Device) units(kernels []plan.Kernel) ([]unit, error) {
	total := 0
	for i := range kernels {
		total += len(kernels[i].Source)
	}
	n := max(1, min(runtime.NumCPU(), 8, len(kernels)/3))
	var units []unit
	for first, bytes := 0, 0; first < len(kernels) || len(units) == 0; {
		last := first
		for last < len(kernels) && (last == first || bytes*n < total*(len(units)+1)) {
			bytes += len(kernels[last].Source)
			last++
		}
		text, err := msl.CPU(kernels, first, last, len(units) == 0, d.opts.Checked)
		if err != nil {
			return nil, fmt.Errorf("cpu: %w", err)
		}
		units = append(units, unit{text, d.kernelFlags()})
		first = last
	}
	return units, nil
}

// blame finds the kernel that does not compile by compiling each alone.
func (d *Device) blame(ctx context.Context, kernels []plan.Kernel, all *compileError) error {
	work, err := files.Folder(d.objects.dir, "kernels")
	if err != nil {
		return errors.Join(all, err)
	}
	defer work.Remove()
	for i := range kernels {
		text, err := msl.CPU(kernels, i, i+1, false, d.opts.Checked)
		if err != nil {
			return fmt.Errorf("cpu: %w", err)
		}
		err = d.cc.run(ctx, work.Path, text, append(append([]string{"-x", "c++", "-fsyntax-only"}, d.kernelFlags()...), "-"))
		var own *compileError
		if errors.As(err, &own) {
			return fmt.Errorf("cpu: kernel %s does not compile: %s", kernels[i].Name, own.first())
		}
		if err != nil {
			return err
		}
	}
	return all
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
