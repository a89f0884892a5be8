package cpu

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"

	"foundry/runtime/msl"
)

//go:embed executor
var sources embed.FS

// The executor's unit, in order, behind the interface it shares with kernels.
var executorParts = []string{"executor.h", "region.cc", "schedule.cc", "report.cc", "check.cc", "fault.cc", "pool.cc"}

// executor is the C++ that runs kernels, loaded. It stays for the life of the
// process: its signal handlers must not go away.
type executor struct {
	path             string // the path of the shared object
	open, close, run uintptr
}

func openExecutor(ctx context.Context, cc *compiler, cache objectCache) (*executor, error) {
	var text bytes.Buffer
	// Its own functions are hidden; the interface and the hooks are not.
	text.WriteString("#pragma GCC visibility push(default)\n" + msl.ABI() + "#pragma GCC visibility pop\n")
	for _, name := range executorParts {
		b, err := sources.ReadFile("executor/" + name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&text, "#line 1 \"executor/%s\"\n%s", name, b)
	}
	link := []string{"-lm"}
	if runtime.GOOS == "linux" {
		link = append(link, "-ldl")
	}
	// Kernels find the executor's functions by name.
	o := object{
		name: "executor", of: append([]string{text.String()}, link...), symbol: "foundry_run",
		build: func(ctx context.Context, work string) (string, error) {
			return cc.link(ctx, work, text.String(), nil, link)
		},
	}
	lib, err := cache.open(ctx, cc, o, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("the executor does not build: %w", err)
	}
	e := &executor{path: lib.path}
	for name, to := range map[string]*uintptr{"foundry_open": &e.open, "foundry_close": &e.close, "foundry_run": &e.run} {
		if *to, err = purego.Dlsym(lib.handle, name); err != nil {
			return nil, fmt.Errorf("cpu: %w", err)
		}
	}
	return e, nil
}

// The C structures of abi.h.
type (
	cOperand struct {
		data   uintptr
		bytes  uint64
		access uint32
		_      uint32
	}
	cLaunch struct {
		module   uintptr
		operands *cOperand
		kernel   uint32
		barrier  uint32
		grid     [3]uint32
		_        uint32
		seconds  float64
	}
	cOptions struct {
		threads, checked        uint32
		groupOrder, threadOrder uint32
		seed, maxSteps          uint64
		timing                  uint32
		_                       uint32
	}
	cError struct {
		launch uint32
		group  [3]uint32
		thread uint32
		_      uint32
		text   [1000]byte
	}
)

// call runs launches; they and what they point to lie on the heap.
func (d *Device) call(launches []cLaunch, timing bool) error {
	if len(launches) == 0 {
		return nil
	}
	if err := d.confine(); err != nil {
		return err
	}
	flag := func(b bool) uint32 {
		if b {
			return 1
		}
		return 0
	}
	o := &cOptions{checked: flag(d.opts.Checked), groupOrder: uint32(d.opts.GroupOrder), threadOrder: uint32(d.opts.ThreadOrder),
		seed: d.opts.Seed, maxSteps: d.opts.MaxSteps, timing: flag(timing)}
	e := new(cError)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&launches[0])
	pin.Pin(o)
	pin.Pin(e)
	for i := range launches {
		if p := launches[i].operands; p != nil {
			pin.Pin(p)
		}
	}
	failed, _, _ := purego.SyscallN(d.exec.run, d.pool, uintptr(unsafe.Pointer(&launches[0])), uintptr(len(launches)),
		uintptr(unsafe.Pointer(o)), uintptr(unsafe.Pointer(e)))
	if int32(failed) == 0 {
		return nil
	}
	text, _, _ := bytes.Cut(e.text[:], []byte{0})
	return &launchError{int(e.launch), errors.New(string(text))}
}

// launchError is a mistake of launches[launch].
type launchError struct {
	launch int
	err    error
}

func (e *launchError) Error() string { return "cpu: " + e.err.Error() }
