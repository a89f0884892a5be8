// Package runtime turns a plan and weight bytes into an Executable on a Device,
// and an Executable into Sessions that prefill and decode.
//
// One executor walks the plan for every device, so devices cannot disagree on
// order, bindings or barriers; a Device only compiles kernels, owns memory and
// runs single dispatches.
//
// Read next: foundry/runtime/cpu, the conformance device.
package runtime

import (
	"context"
	"time"

	"foundry/lower/plan"
)

// Device is a place where kernels run. It and its memory may be used by several
// goroutines, a range of one memory by one at a time.
type Device interface {
	Info() Info
	// Alloc returns zeroed memory of at least bytes bytes. The host can write and
	// read all of it; use says where that should be fast.
	Alloc(bytes int64, use Use) (Memory, error)
	// Load compiles the plan's kernels. progress may be nil.
	Load(ctx context.Context, p *plan.Plan, progress Progress) (Program, error)
	Close() error
}

// Use says who touches memory, so that a device with several kinds can choose.
type Use int

const (
	Shared  Use = iota // the host and kernels, every run
	Private            // kernels
	Filled             // kernels, after the host has written all of it once
)

// Adopter is implemented by devices whose kernels can read memory of the host's
// where it lies.
type Adopter interface {
	// Adopt returns memory that is bytes [offset, offset+bytes) of whole pages of
	// the host's, which kernels only read and which must stay as they are until it
	// is freed; nil on a GPU that cannot.
	Adopt(pages []byte, offset, bytes int64) (Memory, error)
}

// Progress is told how much of a long piece of work is done.
type Progress func(what string, done, total int64)

// Info describes a device to people and to the plan's checks.
type Info struct {
	Kind        string // the kind: cpu | cuda | metal
	Name        string // "Apple M3 Pro", "NVIDIA H100 80GB HBM3", "x86-64, 2 threads"
	Target      string // ir/target name whose constants fit, or ""
	MemoryBytes int64
	Emulation   bool   // times measured here that say nothing of a GPU
	Note        string // the finding, and how it was made, for `foundry devices`
}

// Memory is one allocation on a device.
type Memory interface {
	Bytes() int64
	Write(offset int64, b []byte) error
	Read(offset int64, b []byte) error
	Free() error
}

// Program is a plan's kernels, compiled for one device. Several goroutines may
// use one program, each with encoders and recordings of its own.
type Program interface {
	// Begin opens a command buffer.
	Begin() (Encoder, error)
	Close() error
}

// Encoder fills one command buffer.
type Encoder interface {
	Dispatch(l *Launch) error
	// Barrier orders everything before it, committed earlier or encoded in this
	// command buffer, against everything after it. The executor begins each run
	// with one, so a boundary between command buffers alone need not order.
	Barrier() error
	// Commit submits; command buffers of one program start in commit order. The
	// encoder must not be used afterwards except to Wait. Every encoder is
	// committed and waited for, also after an error of Dispatch or Barrier.
	Commit() error
	// Wait returns when the commands have run; its error names the kernel and
	// the thread where the device knows them. It may be called once.
	Wait() error
}

// Launch is one dispatch with its symbols evaluated.
type Launch struct {
	Kernel int // index into the plan's kernels
	Label  string
	Grid   [3]int64  // threadgroups
	Bind   []Operand // operands, one a slot, in slot order
}

// Operand is bytes [Offset, Offset+Bytes) of a memory. Bytes is what the device
// may check accesses against.
type Operand struct {
	Memory        Memory
	Offset, Bytes int64
	Access        plan.Access
}

// Recorder is implemented by programs that can encode once and run many times.
// The recorded commands may depend on nothing but the content of memory.
type Recorder interface {
	// Record keeps what encode encodes; nothing runs. encode calls Commit where a
	// command buffer of the plan ends and goes on with the same encoder; it does
	// not Wait.
	Record(encode func(Encoder) error) (Recording, error)
}

// Recording is an encoded command buffer that can be run again; its runs follow
// one another when what is recorded begins with a barrier.
type Recording interface {
	Run() error  // submits
	Wait() error // until every submitted run has finished
	Close() error
}

// Stopwatch is implemented by recordings that time their runs by the device's own
// clock.
type Stopwatch interface {
	// Timed runs once, waits, and returns how long the device was at it.
	Timed() (time.Duration, error)
}

// Capturer is implemented by devices that can write down, for their maker's tools,
// what the GPU is given.
type Capturer interface {
	// Capture runs f and writes a trace to path, which must not exist.
	Capture(path string, f func() error) error
}

// Timer is implemented by programs that time single dispatches by the device's own
// clock, without what the host adds.
type Timer interface {
	// Time runs what encode encodes, each dispatch behind the one before, and
	// returns how long each took, in order.
	Time(encode func(Encoder) error) ([]time.Duration, error)
}

// WeightSource yields the bytes of a weight buffer of the plan: the named
// checkpoint tensor in the buffer's dtype, shape checked, row-major. It is
// called from several goroutines; the bytes are only read, and not kept.
type WeightSource interface {
	Weight(b *plan.Buffer) ([]byte, error)
}

// Lender is implemented by weight sources whose files are mapped into memory.
type Lender interface {
	// Lend returns the whole pages that hold what Weight would return, at offset;
	// nil where those bytes do not stand in a file. They are read until the
	// executable is closed.
	Lend(b *plan.Buffer) (pages []byte, offset int64)
}

// Mapped is implemented by weight sources whose files are mapped into memory.
type Mapped interface {
	// Whole is an error that names a file that was cut since it was mapped: what
	// reads it faults.
	Whole() error
}
