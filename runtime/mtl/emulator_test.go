package mtl

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ebitengine/purego"
	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
)

// emulated is the emulated framework: Metal's classes over the CPU executor, in
// one shared library that the C++ compiler makes once a test process.
type emulated struct {
	path string
	cpu  *cpu.Device

	start      func(open, run uintptr, threads uint32) int32
	kernel     func(text, function string, module uintptr, index uint32)
	slot       func(text, name string, reads, writes int32, bytes int64)
	array      func(text string, bytes int64)
	reject     func(text, message string)
	fault      func(name string)
	seed       func(s uint64)
	skip       func(on int32)
	live       func() int64
	violations func(out *byte, bytes int64) int64
}

var (
	emulatorOnce sync.Once
	emulator     *emulated
	emulatorSkip string
	emulatorErr  error
)

// emulate returns the framework; the test skips where there is no C++ compiler.
func emulate(t testing.TB) *emulated {
	t.Helper()
	emulatorOnce.Do(func() {
		dev, err := cpu.Open(cpu.Options{})
		if err != nil {
			emulatorSkip = err.Error()
			return
		}
		emulator, emulatorErr = buildEmulator(dev)
	})
	if emulatorSkip != "" {
		t.Skip(emulatorSkip)
	}
	require.NoError(t, emulatorErr)
	return emulator
}

func buildEmulator(dev *cpu.Device) (*emulated, error) {
	dir, err := filepath.Abs(filepath.Join("testdata", "build"))
	if err != nil {
		return nil, err
	}
	sources, err := filepath.Glob("emulator/*.cc")
	if err != nil {
		return nil, err
	}
	e := &emulated{path: filepath.Join(dir, "emulator.so"), cpu: dev}
	cxx, err := exec.LookPath("c++")
	if err != nil {
		if cxx, err = exec.LookPath("g++"); err != nil {
			return nil, err
		}
	}
	if out, err := exec.Command("mkdir", "-p", dir).CombinedOutput(); err != nil {
		return nil, &buildError{string(out)}
	}
	args := append([]string{"-std=c++17", "-O2", "-g", "-fPIC", "-shared", "-o", e.path}, append(sources, "-lpthread")...)
	if out, err := exec.Command(cxx, args...).CombinedOutput(); err != nil {
		return nil, &buildError{string(out)}
	}
	h, err := purego.Dlopen(e.path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, err
	}
	for name, fn := range map[string]any{
		"emulator_start": &e.start, "emulator_kernel": &e.kernel, "emulator_slot": &e.slot, "emulator_array": &e.array,
		"emulator_reject": &e.reject, "emulator_fault": &e.fault, "emulator_seed": &e.seed, "emulator_skip": &e.skip, "emulator_live": &e.live,
		"emulator_violations": &e.violations,
	} {
		p, err := purego.Dlsym(h, name)
		if err != nil {
			return nil, err
		}
		purego.RegisterFunc(fn, p)
	}
	host := dev.Host()
	if e.start(host.Open, host.Run, 2) == 0 {
		return nil, &buildError{"the executor does not start"}
	}
	return e, nil
}

type buildError struct{ text string }

func (b *buildError) Error() string { return "the emulated framework does not build: " + b.text }

// noted returns the violations since the last call.
func (e *emulated) noted() []string {
	buf := make([]byte, 64<<10)
	n := e.violations(&buf[0], int64(len(buf)))
	return strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == '\n' })
}

// open returns a device on the framework whose Load prepares the kernels first.
func (e *emulated) open(o Options) (fruntime.Device, error) {
	o.Libraries = Libraries{e.path, e.path, e.path}
	d, err := Open(o)
	if err != nil {
		return nil, err
	}
	return &prepared{d, e}, nil
}

// prepared is a Device that compiles a plan's kernels for the executor and tells
// the framework of them before Metal is asked.
type prepared struct {
	*Device
	e *emulated
}

func (p *prepared) Load(ctx context.Context, pl *plan.Plan, progress fruntime.Progress) (fruntime.Program, error) {
	module, err := p.e.cpu.Module(ctx, pl)
	if err == nil {
		p.e.prepare(pl, module)
	} else {
		for i := range pl.Kernels {
			p.e.reject(pl.Kernels[i].Source, err.Error())
		}
	}
	return p.Device.Load(ctx, pl, progress)
}

// prepare registers the kernels with the bytes that each slot touches at most.
func (e *emulated) prepare(p *plan.Plan, module uintptr) {
	bytes := make([]map[int]int64, len(p.Kernels))
	for i := range p.Entries {
		for _, s := range p.Entries[i].Steps {
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
	flag := func(b bool) int32 {
		if b {
			return 1
		}
		return 0
	}
	for i := range p.Kernels {
		k := &p.Kernels[i]
		e.kernel(k.Source, k.Name, module, uint32(i))
		for j, s := range k.Slots {
			n, ok := bytes[i][j]
			if !ok {
				n = 1 << 40 // to the end of what is bound
			}
			e.slot(k.Source, s.Name, flag(s.Access.Reads()), flag(s.Access.Writes()), n)
		}
		for _, a := range k.Threadgroup {
			e.array(k.Source, int64(a.Bytes))
		}
	}
}

func TestConformanceOnTheEmulatedFramework(t *testing.T) {
	e := emulate(t)
	for _, o := range []struct {
		name    string
		options Options
	}{{"encoded", Options{}}, {"indirect", Options{Indirect: true}}} {
		t.Run(o.name, func(t *testing.T) {
			devicetest.Run(t, func() (fruntime.Device, error) { return e.open(o.options) })
			require.Empty(t, e.noted())
			require.Zero(t, e.live())
		})
	}
}
