// Package emulator turns a machine with a C++ compiler into one on which
// runtime/mtl runs: a shared library with the part of the Objective-C runtime and
// of Metal that it calls, over the CPU executor. It is for tests: of Foundry in this
// process (Build), and of drivers in other languages (Write).
//
// It is strict where Metal's validation layer is: what a real framework would
// abort on, or quietly do wrong, is noted (Noted). The dispatches of a wave run
// in random order, command buffers on a thread of their own. It takes kernel text
// that Prepare made known; other text is a compile error.
//
// Read next: framework/objc.cc for the runtime, framework/encoder.cc for what is
// checked.
package emulator

import (
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/ebitengine/purego"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/child"
	"foundry/runtime/cpu"
	"foundry/runtime/files"
	"foundry/runtime/msl"
)

//go:embed framework
var sources embed.FS

// ErrUnavailable is what Build returns, wrapped, where the framework cannot be had;
// the error says why, and tests skip with it.
var ErrUnavailable = child.Absent("no emulated Metal framework here")

// Framework is the loaded library. There is one in a process.
type Framework struct {
	Path string // the shared library: objc, Foundation and Metal in one
	cpu  *cpu.Device

	start      func(open, run uintptr, threads uint32) int32
	kernel     func(text, function string, module uintptr, index uint32)
	slot       func(text, name string, reads, writes int32, bytes int64)
	array      func(text string, bytes int64)
	reject     func(text, message string)
	fault      func(name string)
	limit      func(name string, value int64)
	skip       func(on int32)
	hold       func(on int32)
	live       func() int64
	pools      func() int64
	hits       func() int64
	violations func(out *byte, bytes int64) int64
}

// Build compiles the framework, or finds it in dir, and starts it on an executor of
// the CPU device's, which it opens.
func Build(dir string) (*Framework, error) {
	dev, err := open(context.Background(), cpu.Options{TrustKernels: true, FewRuns: true}) // the device in front of it has asked the gate
	if err != nil {
		return nil, err
	}
	path, err := compile(context.Background(), dir)
	if err != nil {
		return nil, err
	}
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, err
	}
	f := &Framework{Path: path, cpu: dev}
	for name, fn := range map[string]any{
		"emulator_start": &f.start, "emulator_kernel": &f.kernel, "emulator_slot": &f.slot, "emulator_array": &f.array,
		"emulator_reject": &f.reject, "emulator_fault": &f.fault, "emulator_limit": &f.limit, "emulator_skip": &f.skip, "emulator_hold": &f.hold, "emulator_live": &f.live,
		"emulator_pools": &f.pools, "emulator_hits": &f.hits,
		"emulator_violations": &f.violations,
	} {
		p, err := purego.Dlsym(h, name)
		if err != nil {
			return nil, err
		}
		purego.RegisterFunc(fn, p)
	}
	host := dev.Host()
	if f.start(host.Open, host.Run, 2) == 0 {
		return nil, errors.New("the executor does not start")
	}
	return f, nil
}

// open opens the executor.
func open(ctx context.Context, o cpu.Options) (*cpu.Device, error) {
	if err := supported(runtime.GOOS, runtime.GOARCH); err != nil {
		return nil, err
	}
	dev, err := cpu.Open(ctx, o)
	if errors.Is(err, cpu.ErrNoCompiler) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return dev, err
}

// supported is an error where the framework's objc_msgSend, which is assembly for
// Linux, does not build.
func supported(goos, goarch string) error {
	if goos != "linux" || goarch != "amd64" && goarch != "arm64" {
		return fmt.Errorf("%w: it is built for Linux on amd64 and arm64, this is %s on %s", ErrUnavailable, goos, goarch)
	}
	return nil
}

// maxLibraryBytes is beyond what the sources compile to.
const maxLibraryBytes = 1 << 26

// compile compiles the sources, once, to a library in the private folder dir. A file named by
// their hash holds that of the library, so that a damaged one is made anew.
func compile(ctx context.Context, dir string) (string, error) {
	entries, err := sources.ReadDir("framework")
	if err != nil {
		return "", err
	}
	text := map[string]string{"abi.h": msl.ABI()}
	sum := sha256.New()
	sum.Write([]byte(runtime.GOARCH + text["abi.h"]))
	for _, e := range entries {
		b, err := sources.ReadFile("framework/" + e.Name())
		if err != nil {
			return "", err
		}
		text[e.Name()] = string(b)
		sum.Write(b)
	}
	path := func(sum []byte, kind string) string {
		return filepath.Join(dir, "emulator-"+hex.EncodeToString(sum)[:32]+kind)
	}
	entry := path(sum.Sum(nil), ".entry")
	if of, err := files.ReadPrivate(entry, sha256.Size); err == nil && len(of) == sha256.Size {
		lib := path(of, ".so")
		if content, err := files.ReadPrivate(lib, maxLibraryBytes); err == nil && sha256.Sum256(content) == [sha256.Size]byte(of) {
			return lib, nil
		}
	}
	if err := files.Private(dir); err != nil {
		return "", err
	}
	work, err := files.Folder(dir, "emulator")
	if err != nil {
		return "", err
	}
	defer work.Remove()
	made := filepath.Join(work.Path, "emulator.so")
	// Most of its compile time would be the standard headers, in each file again: they are
	// one unit. A driver is tried with it, not timed.
	args := []string{"-std=c++17", "-O1", "-fPIC", "-shared", "-o", made, "-I", work.Path, "-x", "c++", "-", "-lpthread", "-ldl"}
	var unit strings.Builder
	for _, name := range slices.Sorted(maps.Keys(text)) {
		if err := os.WriteFile(filepath.Join(work.Path, name), []byte(text[name]), 0o600); err != nil {
			return "", err
		}
		if strings.HasSuffix(name, ".cc") {
			fmt.Fprintf(&unit, "#include %q\n", name)
		}
	}
	cxx, err := child.Find("c++", "g++", "clang++")
	if err != nil {
		return "", fmt.Errorf("%w: no C++ compiler: install g++ or clang++", ErrUnavailable)
	}
	_, _, err = child.Run(ctx, child.Command{Path: cxx, Args: args, Stdin: unit.String(), Env: []string{"TMPDIR=" + work.Path}, Limits: child.ForCompilers})
	var failed *child.ExitError
	if errors.As(err, &failed) {
		return "", fmt.Errorf("the emulated framework does not build: %s: %s", failed.Status(), failed.Stderr)
	}
	if err != nil {
		return "", err
	}
	content, err := files.Read(made, maxLibraryBytes)
	if err != nil {
		return "", err
	}
	of := sha256.Sum256(content)
	lib := path(of[:], ".so")
	if err := files.WritePrivate(lib, content); err != nil {
		return "", err
	}
	return lib, files.WritePrivate(entry, of[:])
}

// Noted returns the violations since the last call, the first hundred at most.
func (f *Framework) Noted() []string {
	buf := make([]byte, 64<<10)
	n := f.violations(&buf[0], int64(len(buf)))
	return strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == '\n' })
}

// Live returns how many objects exist, when what was committed has run.
func (f *Framework) Live() int64 { return f.live() }

// Hits returns how many pipelines came from a binary archive so far.
func (f *Framework) Hits() int64 { return f.hits() }

// Pools returns how many autorelease pools are open on the OS thread, which the
// goroutine must be locked to.
func (f *Framework) Pools() int64 { return f.pools() }

// Fault makes the next call that it concerns fail: "device-lost",
// "command-buffer-error", "gpu-out-of-memory", "out-of-memory", "compile-error",
// "no-command-buffer", "no-samples", "no-indirect", "no-archive", "archive-full".
func (f *Framework) Fault(name string) { f.fault(name) }

// Hold keeps command buffers from starting until the function that it returns is
// called.
func (f *Framework) Hold() (release func()) {
	f.hold(1)
	return func() { f.hold(0) }
}

// Limit makes the GPU say another value of itself: "generation" (of its name),
// "family", "threadgroup-memory", "buffer", "working-set", "pipeline-threads", "lanes",
// "counter-sampling", "ticks" (of its clock from one reading to the next), "default-device" (0: the system names none), "macos" (the
// version), "capturing" (somebody does), "capture" (it is allowed). It returns a function
// that undoes it.
func (f *Framework) Limit(name string, value int64) func() {
	f.limit(name, value)
	return func() { f.limit(name, -1) }
}

// Skip leaves the GPU's work out, so that encoding alone takes time.
func (f *Framework) Skip(on bool) { f.skip(flag(on)) }

func flag(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// Wrap returns dev, a device on the framework, with a Load that makes the plan's
// kernels known first.
func (f *Framework) Wrap(dev fruntime.Device) fruntime.Device { return &prepared{dev, f} }

type prepared struct {
	fruntime.Device
	f *Framework
}

// Adopt implements runtime.Adopter where the device does.
func (p *prepared) Adopt(pages []byte, offset, bytes int64) (fruntime.Memory, error) {
	if a, ok := p.Device.(fruntime.Adopter); ok {
		return a.Adopt(pages, offset, bytes)
	}
	return nil, nil
}

// Capture implements runtime.Capturer where the device does.
func (p *prepared) Capture(path string, f func() error) error {
	if c, ok := p.Device.(fruntime.Capturer); ok {
		return c.Capture(path, f)
	}
	return errors.New("the device writes no traces")
}

func (p *prepared) Load(ctx context.Context, pl *plan.Plan, progress fruntime.Progress) (fruntime.Program, error) {
	p.f.Prepare(ctx, pl)
	return p.Device.Load(ctx, pl, progress)
}

// Prepare compiles the plan's kernels for the executor and registers them with
// the bytes that each slot touches at most. Text that does not compile is
// registered with the compiler's message.
func (f *Framework) Prepare(ctx context.Context, p *plan.Plan) {
	bytes := touched(p)
	if module, err := f.cpu.Module(ctx, p); err == nil {
		for i := range p.Kernels {
			f.register(&p.Kernels[i], bytes[i], module, i)
		}
		return
	}
	for i := range p.Kernels { // one at a time, to reject none but those that do not compile
		alone := *p
		alone.Kernels = p.Kernels[i:][:1]
		module, err := f.cpu.Module(ctx, &alone)
		if err == nil {
			f.register(&p.Kernels[i], bytes[i], module, 0)
			continue
		}
		_, text, _ := strings.Cut(err.Error(), "does not compile: ")
		f.reject(p.Kernels[i].Source, cmp.Or(text, err.Error())+"\n")
	}
}

// touched lists, by kernel and slot, the bytes that dispatches bind at most.
func touched(p *plan.Plan) []map[int]int64 {
	bytes := make([]map[int]int64, len(p.Kernels))
	for _, e := range p.Runs() {
		for _, s := range e.Steps {
			if s.Dispatch == nil {
				continue
			}
			k := s.Dispatch.Kernel
			if bytes[k] == nil {
				bytes[k] = make(map[int]int64)
			}
			for j, b := range s.Dispatch.Bind {
				bytes[k][j] = max(bytes[k][j], b.Bytes)
			}
		}
	}
	return bytes
}

// slotBytes is what a slot touches at most; of a kernel that nothing dispatches, all that
// is bound.
func slotBytes(bytes map[int]int64, slot int) int64 {
	if n, ok := bytes[slot]; ok {
		return n
	}
	return 1 << 40
}

// register makes the text of a kernel known, as number index of a module.
func (f *Framework) register(k *plan.Kernel, bytes map[int]int64, module uintptr, index int) {
	f.kernel(k.Source, k.Name, module, uint32(index))
	for j, s := range k.Slots {
		f.slot(k.Source, s.Name, flag(s.Access.Reads()), flag(s.Access.Writes()), slotBytes(bytes, j))
	}
	for _, a := range k.Threadgroup {
		f.array(k.Source, int64(a.Bytes))
	}
}
