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
	"sync"

	fruntime "foundry/runtime"
)

// Options choose a GPU and places.
type Options struct {
	Ordinal   int       // which of MTLCopyAllDevices; 0 is the system's default
	Libraries Libraries // zero: SystemLibraries
	CacheDir  string    // compiled pipelines (a binary archive a plan); empty: none are kept
	// Indirect records a decode step into an indirect command buffer, which has a
	// barrier where the plan has one, instead of encoding it anew for each run.
	Indirect bool
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
		if !onMac {
			return nil, fmt.Errorf("metal: this is no Mac; take --device cpu or cuda, or carry the bundle to a Mac")
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

func (d *Device) open() error {
	b := d.b
	if d.opts.Ordinal == 0 {
		d.dev = b.systemDefaultDevice()
	} else {
		all := b.copyAllDevices()
		if all != 0 {
			defer b.release(all)
			if n := b.arrayCount.Call(all, b.arrayCount.Sel); uint64(d.opts.Ordinal) < n {
				d.dev = b.retain(b.arrayObject.Call(all, b.arrayObject.Sel, uint64(d.opts.Ordinal)))
			}
		}
	}
	if d.dev == 0 {
		return fmt.Errorf("metal: there is no GPU %d that supports Metal", d.opts.Ordinal)
	}
	d.limits = d.readLimits()
	d.info = fruntime.Info{
		Kind: "metal", Name: d.limits.name, Target: targetName(d.limits.name),
		MemoryBytes: d.limits.workingSet, Note: d.limits.note(),
	}
	return nil
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
