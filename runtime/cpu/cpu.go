// Package cpu turns a plan's MSL into a shared object, with the C++ compiler
// found here, and runs it with the semantics of a GPU: threads of a threadgroup
// meet at barriers, lanes of a simdgroup exchange values, threadgroup memory is
// theirs. It is the conformance device: what a GPU leaves undefined is an error
// that names the kernel and the thread.
//
// Threads are fibers, so a mistake in their order is a fact and no accident.
// Always found: barriers and simdgroup operations that not all threads reach,
// accesses behind the end of a buffer's memory, threadgroup arrays overrun, on
// x86 integer division by zero. With Options.Checked every access is looked at:
// bounds of the bound range and of private arrays, direction, alignment of whole vectors,
// uninitialised threadgroup memory, races within a threadgroup, between
// threadgroups and between the dispatches of a wave in one command buffer,
// endless loops. Orders of threads, threadgroups and dispatches can be turned
// round or shuffled.
//
// executor/ is the C++ that does it; its C interface is runtime/msl's abi.h and
// serves hosts in any language.
//
// Read next: program.go for compilation, executor/schedule.cc for the fibers.
package cpu

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/ebitengine/purego"

	fruntime "foundry/runtime"
)

// Order is the order in which things run that a GPU may run in any.
type Order uint32

// The orders.
const (
	Forward Order = iota
	Reversed
	Random // by Options.Seed
)

// Options of a device; the zero value is the fast mode on all processors.
type Options struct {
	CXX      string // C++ compiler; empty: the first of c++, g++, clang++
	CacheDir string // the folder of compiled objects; empty: foundry in the user's cache or, without one, a temporary folder
	Threads  int    // host threads; 0: one a processor, at most 64

	// TrustKernels compiles and runs kernels whatever their text: those that were
	// written by hand. All others must pass the gate.
	TrustKernels bool
	// Confine is called once, before the first kernel runs, and takes away from the
	// process what kernels do not need. Nothing can be loaded from then on. nil: as
	// they are, kernels have all rights of the process.
	Confine func() error

	Checked  bool   // a look at every access, at about 30 times the time, on one host thread
	FewRuns  bool   // short use: kernels compile in half the time and run at two thirds of the speed
	OneRun   bool   // shorter use: kernels compile in a third of the time and run at two fifths of the speed
	MaxSteps uint64 // basic blocks that a thread of a checked run may execute; 0: 2^28

	ThreadOrder Order // order of the threads of a threadgroup
	GroupOrder  Order // order of the threadgroups of a dispatch
	WaveOrder   Order // order of the dispatches of a wave
	Seed        uint64
}

// Device is the CPU.
type Device struct {
	opts    Options
	cc      *compiler
	objects objectCache // the folder of compiled objects
	exec    *executor

	startup fruntime.Startup

	confine func() error // the process's loss of its rights, at the first call

	mu     sync.Mutex
	pool   uintptr
	closed bool
}

// filled is o with what it leaves open.
func (o Options) filled() Options {
	if o.Threads <= 0 {
		o.Threads = min(runtime.NumCPU(), 64)
	}
	if o.MaxSteps == 0 {
		o.MaxSteps = 1 << 28
	}
	return o
}

// Open finds a compiler, builds the executor once (cached), and starts the host
// threads. The error says what is missing and how to get it.
func Open(ctx context.Context, o Options) (*Device, error) {
	o = o.filled()
	cc, err := findCompiler(ctx, o.CXX)
	if err != nil {
		return nil, err
	}
	kept, err := cacheFolder(o.CacheDir)
	if err != nil {
		return nil, err
	}
	d := &Device{opts: o, cc: cc, objects: kept}
	d.confine = sync.OnceValue(d.giveUp)
	start := time.Now()
	if d.exec, err = openExecutor(ctx, cc, kept); err != nil {
		return nil, errors.Join(err, kept.close())
	}
	threads := o.Threads
	if o.Checked {
		threads = 1
	}
	if d.pool, _, _ = purego.SyscallN(d.exec.open, uintptr(threads)); d.pool == 0 {
		return nil, errors.Join(fmt.Errorf("cpu: %d host threads could not be started; ask for fewer", threads), kept.close())
	}
	d.startup.Add(fruntime.Phase{Name: "build or load the executor"}, start)
	return d, nil
}

// Startup says what opening the device took.
func (d *Device) Startup() []fruntime.Phase { return d.startup.Phases() }

// Info describes the machine. Times measured here say nothing of a GPU.
func (d *Device) Info() fruntime.Info {
	mode := ""
	if d.opts.Checked {
		mode = ", checked"
	}
	note := fmt.Sprintf("%s (%s)", d.cc.version, d.cc.path)
	if d.objects.why != "" {
		note += "; " + d.objects.why
	}
	return fruntime.Info{
		Kind: "cpu", Name: fmt.Sprintf("%s, %d threads%s", runtime.GOARCH, d.opts.Threads, mode), Target: "cpu",
		MemoryBytes: totalMemory(), Emulation: true,
		Note: note,
	}
}

// giveUp takes the process's rights away, where the options say how. A cache that does
// not stay goes first: what it held is loaded.
func (d *Device) giveUp() error {
	if d.opts.Confine == nil {
		return nil
	}
	if err := d.objects.close(); err != nil {
		return err
	}
	d.objects.passing = nil
	if err := d.opts.Confine(); err != nil {
		return fmt.Errorf("cpu: kernels that are not trusted: %w", err)
	}
	return nil
}

// Close stops the host threads. Programs and memory must be closed before.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	purego.SyscallN(d.exec.close, d.pool)
	return d.objects.close()
}
