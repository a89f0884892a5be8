// Package mtl turns a plan into Metal pipelines, buffers and concurrent compute
// encoders on an Apple GPU, through purego and the Objective-C runtime, no cgo.
//
// Every message it sends stands in one table (messages.go). Names are looked up
// once; the calls of the dispatch loop go through purego.SyscallN on a reused
// argument slice and allocate nothing.
//
// Read next: encoder.go for the dispatch loop, record.go for the replay of a
// decode step from an indirect command buffer.
package mtl

import (
	"fmt"
	"runtime"
	"sync"

	"foundry/ir/target"
	fruntime "foundry/runtime"
	"foundry/runtime/child"
)

// Options choose a GPU and places.
type Options struct {
	Ordinal   int       // the number in MTLCopyAllDevices; 0 is the system's default
	Libraries Libraries // the system's libraries; zero: SystemLibraries
	CacheDir  string    // the folder of compiled pipelines (a binary archive a plan); empty: none are kept
	// Indirect records a decode step into an indirect command buffer, which has a
	// barrier where the plan has one, instead of encoding it anew for each run.
	Indirect bool
	// TrustKernels compiles kernels whatever their text; all others must pass the gate.
	TrustKernels bool
}

// Device is one Apple GPU.
type Device struct {
	b       *bridge
	dev     id
	opts    Options
	info    fruntime.Info
	limits  limits
	staging staging

	clockMu   sync.Mutex
	clockRead bool
	times     clock
}

// Open takes a GPU. The error says what is missing.
func Open(o Options) (*Device, error) {
	if o.Libraries == (Libraries{}) {
		if runtime.GOOS != "darwin" {
			return nil, child.Absent("metal: this is no Mac; take --device cpu or cuda, or carry the bundle to a Mac")
		}
		o.Libraries = SystemLibraries()
	}
	b, err := load(o.Libraries)
	if err != nil {
		return nil, err
	}
	d := &Device{b: b, opts: o}
	d.staging.d = d
	if err := b.pool(d.open); err != nil {
		return nil, err
	}
	return d, nil
}

// Target names the entry of ir/target for a GPU, "" where it has none or no GPU is
// found.
func Target(ordinal int) string {
	d, err := Open(Options{Ordinal: ordinal})
	if err != nil {
		return ""
	}
	_ = d.Close() // never fails
	return d.info.Target
}

func (d *Device) open() error {
	d.dev = d.b.gpu(d.opts.Ordinal)
	if d.dev == 0 {
		return child.Absent(fmt.Sprintf("metal: there is no GPU %d that supports Metal", d.opts.Ordinal))
	}
	d.limits = d.readLimits()
	if err := d.usable(); err != nil {
		d.b.release(d.dev)
		return err
	}
	name := target.Apple(d.limits.name)
	d.info = fruntime.Info{
		Kind: "metal", Name: d.limits.name, Target: name, MemoryBytes: d.limits.workingSet, Note: d.limits.note(),
	}
	if name == "" {
		d.info.Note += "; nothing is known of its costs: plans are for " + target.Default
	}
	return nil
}

// gpu returns a GPU, retained: 0 is the system's default. There may be GPUs and no
// default, in a program of the command line.
func (b *bridge) gpu(ordinal int) id {
	if ordinal == 0 {
		if dev := b.systemDefaultDevice(); dev != 0 {
			return dev
		}
	}
	all := b.copyAllDevices()
	if all == 0 {
		return 0
	}
	defer b.release(all)
	if n := b.arrayCount.Call(all, b.arrayCount.Sel); uint64(ordinal) >= n {
		return 0
	}
	return b.retain(b.arrayObject.Call(all, b.arrayObject.Sel, uint64(ordinal)))
}

// usable is an error where no plan can run, or not as the options want it.
func (d *Device) usable() error {
	if err := d.limits.checkUsable(); err != nil || !d.opts.Indirect {
		return err
	}
	b := d.b
	desc := b.allocInit(b.MTLIndirectCommandBufferDescriptor)
	defer b.release(desc)
	if !b.responds.Call(desc, b.responds.Sel, b.setMaxGroups.Sel) {
		return fmt.Errorf("metal: replay from indirect command buffers needs macOS 14, this is %s; run without --indirect", b.system())
	}
	return nil
}

// system names the version of macOS.
func (b *bridge) system() string {
	info := b.processInfo.Call(b.NSProcessInfo, b.processInfo.Sel)
	return b.goString(b.systemVersion.Call(info, b.systemVersion.Sel))
}

// Info describes the GPU.
func (d *Device) Info() fruntime.Info { return d.info }

// Close gives the GPU back. Memory and programs must be closed before.
func (d *Device) Close() error {
	if d.dev == 0 {
		return nil
	}
	return d.b.pool(func() error {
		d.staging.close()
		d.b.release(d.times.set)
		d.b.release(d.dev)
		d.dev = 0
		return nil
	})
}
