package cuda

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/ir/sym"
	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/child"
	"foundry/runtime/devicetest"
)

func TestDescribe(t *testing.T) {
	d, m := emulatedDevice(t, Options{})
	require.Equal(t, fruntime.Info{Kind: "cuda", Name: "NVIDIA H200", MemoryBytes: 141 << 30, Target: "h200",
		Note: "sm_90, 132 multiprocessors, driver API 12.8, NVRTC 12.8"}, d.Info())
	require.Equal(t, []any{"sm_90", 132, 227 << 10}, []any{d.arch, d.cores, d.sharedMax})
	m.gpu.name, m.gpu.version, m.gpu.attributes[attrMajor], m.gpu.attributes[attrMinor] = "A", 11040, 8, 6
	require.NoError(t, d.describe())
	require.Equal(t, fruntime.Info{Kind: "cuda", Name: "A", MemoryBytes: 141 << 30, Note: "sm_86, 132 multiprocessors, driver API 11.4"}, d.Info())
	for _, name := range []string{"cuDeviceGetName", "cuDeviceTotalMem_v2", "cuDeviceGetAttribute", "cuDriverGetVersion"} {
		m.faults(t, name, d.describe, func() {})
	}
	require.EqualError(t, d.drv.call("cuStreamSynchronize", 1), "cuStreamSynchronize: error 1 (1)")
	m.gpu.errorUnknown = true
	require.EqualError(t, d.drv.call("cuStreamSynchronize", 1), "cuStreamSynchronize: unknown error (1)")
}

// Memory is zero, written and read where it is said, and no byte beyond.
func TestMemory(t *testing.T) {
	d, m := emulatedDevice(t, Options{})
	x, err := d.Alloc(40, fruntime.Shared)
	require.NoError(t, err)
	require.EqualValues(t, 40, x.Bytes())
	b := make([]byte, 40)
	require.NoError(t, x.Read(0, b))
	require.Equal(t, make([]byte, 40), b)
	require.NoError(t, x.Write(30, []byte("0123456789")))
	for _, read := range []func(int64, []byte) error{x.Read, x.(fruntime.Peeker).Peek} {
		got := make([]byte, 8)
		require.NoError(t, read(32, got))
		require.Equal(t, "23456789", string(got))
		require.EqualError(t, read(33, got), "cuda: bytes 33..41 of an allocation of 40")
		require.EqualError(t, read(-1, got), "cuda: bytes -1..7 of an allocation of 40")
		m.events()
		require.NoError(t, read(40, nil))
		require.Empty(t, m.events(), "nothing to copy")
	}
	require.Error(t, x.Write(31, make([]byte, 10)))
	require.NoError(t, x.Write(40, nil))
	require.Empty(t, m.events())
	got := make([]byte, 1)
	require.NoError(t, x.(fruntime.Peeker).Peek(0, got))
	require.Equal(t, []string{"cuMemcpyDtoHAsync_v2", "cuStreamSynchronize"}, m.events())
	for name, f := range map[string]func() error{
		"cuMemcpyHtoD_v2": func() error { return x.Write(0, got) }, "cuMemcpyDtoH_v2": func() error { return x.Read(0, got) },
		"cuMemcpyDtoHAsync_v2": func() error { return x.(fruntime.Peeker).Peek(0, got) }, "cuStreamSynchronize": func() error { return x.(fruntime.Peeker).Peek(0, got) },
		"cuCtxSetCurrent": func() error { return x.Write(0, got) },
	} {
		m.faults(t, name, f, func() {})
	}
	require.NoError(t, x.Free())
	require.NoError(t, x.Free(), "once is enough")
	require.Empty(t, m.memory)

	none, err := d.Alloc(0, fruntime.Shared)
	require.NoError(t, err)
	require.Len(t, m.bytes(none.(*memory).ptr), 16, "an address of its own")
	large, err := d.Alloc(17, fruntime.Shared)
	require.NoError(t, err)
	require.Len(t, m.bytes(large.(*memory).ptr), 17)
	require.NoError(t, errors.Join(none.Free(), large.Free()))
	_, err = d.Alloc(-1, fruntime.Shared)
	require.EqualError(t, err, "cuda: an allocation of -1 bytes")
	_, err = d.Alloc(200<<30, fruntime.Shared)
	require.EqualError(t, err, "cuda: out of memory: 215 GB wanted, 75.7 GB of 151 GB free; take a smaller --context or quantised --weights")
	for _, name := range []string{"cuMemAlloc_v2", "cuMemsetD8_v2"} {
		m.faults(t, name, func() error {
			x, err := d.Alloc(8, fruntime.Shared)
			if err == nil {
				err = x.Free()
			}
			return err
		}, func() { require.Empty(t, m.memory, "what %s fails for is freed", name) })
	}
	require.NoError(t, d.Close())
	require.NoError(t, d.Close())
	require.Empty(t, m.kinds())
	require.Equal(t, 1, m.calls["cuDevicePrimaryCtxRelease_v2"])
}

// launching is a program with kernels of each place in the order of a run, with memory for both
// slots of each.
func launching(t *testing.T, dependent bool) (*program, *emulated, func(kernel int) *fruntime.Launch) {
	d, m := emulatedDevice(t, Options{Dependent: dependent})
	p := &program{d: d, kernels: []kernel{
		{name: "plain", fn: 11, slots: 2, threads: [3]uint32{64, 2, 1}, shared: 96},
		{name: "unordered", fn: 12, slots: 2, threads: [3]uint32{32, 1, 1}, unordered: true},
		{name: "last", fn: 13, slots: 2, threads: [3]uint32{32, 1, 1}, startsLast: true},
	}}
	for _, k := range p.kernels {
		m.kernels[k.fn] = k.name
	}
	stream := p.d.peeks
	p.stream = stream
	x, err := d.Alloc(64, fruntime.Shared)
	require.NoError(t, err)
	m.events()
	return p, m, func(kernel int) *fruntime.Launch {
		return &fruntime.Launch{Kernel: kernel, Label: "a label", Grid: [3]int64{5, 6, 7}, Bind: []fruntime.Operand{{Memory: x, Bytes: 64}, {Memory: x, Offset: 16, Bytes: 48}}}
	}
}

func TestLaunch(t *testing.T) {
	p, m, of := launching(t, true)
	enc, err := p.Begin()
	require.NoError(t, err)
	require.NoError(t, enc.Dispatch(of(0)))
	base := of(0).Bind[0].Memory.(*memory).ptr
	require.Equal(t, []emulatedLaunch{{kernel: "plain", grid: [3]uint32{5, 6, 7}, block: [3]uint32{64, 2, 1}, shared: 96, values: []uintptr{base, base + 16}, stream: p.stream}}, m.launched)
	for axis := range 3 { // an empty grid does nothing
		l := of(0)
		l.Grid[axis] = 0
		require.NoError(t, enc.Dispatch(l))
	}
	require.Len(t, m.launched, 1)
	other, _ := emulatedDevice(t, Options{})
	machine = m
	for want, change := range map[string]func(*fruntime.Launch){
		"cuda: kernel -1 of 3": func(l *fruntime.Launch) { l.Kernel = -1 },
		"cuda: kernel 3 of 3":  func(l *fruntime.Launch) { l.Kernel = 3 },
		"cuda: plain: 1 operands bound, the kernel has 2 slots":         func(l *fruntime.Launch) { l.Bind = l.Bind[:1] },
		"cuda: plain: operand 1 lies on another device":                 func(l *fruntime.Launch) { l.Bind[1].Memory = &memory{d: other, bytes: 64} },
		"cuda: plain: operand 0 lies on another device":                 func(l *fruntime.Launch) { l.Bind[0].Memory = nil },
		"cuda: plain: operand 1 is bytes 17..65 of an allocation of 64": func(l *fruntime.Launch) { l.Bind[1].Offset++ },
		"cuda: plain: operand 0 is bytes -1..63 of an allocation of 64": func(l *fruntime.Launch) { l.Bind[0].Offset-- },
	} {
		l := of(0)
		change(l)
		require.EqualError(t, enc.Dispatch(l), want)
	}
	require.Len(t, m.launched, 1)
	m.failAt["cuLaunchKernelEx"] = m.calls["cuLaunchKernelEx"] + 1
	require.EqualError(t, enc.Dispatch(of(0)), "cuda: a label (plain): cuLaunchKernelEx: error 999 (999)")
	require.NoError(t, enc.Commit())
	m.events()
	require.NoError(t, enc.Wait())
	require.Equal(t, []string{"cuStreamSynchronize"}, m.events())
}

// A launch may overlap its predecessor unless it is the first of a run, or waits for
// nothing itself (unordered): that runs beside kernels which start last or are unordered
// too, where no barrier stands between.
func TestOverlap(t *testing.T) {
	for seq, want := range map[string]string{
		"p": ".", "pp": ".o", "ppp": ".oo", "u": ".", "pu": "..", "puu": "..o", "uu": ".o", "uuu": ".oo", "lu": ".o", "lup": ".oo", "pul": "..o", "lp": ".o", "ll": ".o",
		"u|u": "..", "l|u": "..", "u|p": ".o", "p|p": ".o", "lpu": ".o.", "p/p": "..", "u/u": "..", "p/pp": "..o", "l/uu": "..o", "l0u": ".o", "0p": ".", "0pp": ".o",
	} {
		for _, dependent := range []bool{true, false} {
			p, m, of := launching(t, dependent)
			enc, err := p.Begin()
			require.NoError(t, err)
			for _, c := range seq {
				switch c {
				case '|':
					require.NoError(t, enc.Barrier())
				case '/':
					enc.(fruntime.Separator).Separate()
				case '0':
					l := of(0)
					l.Grid[1] = 0
					require.NoError(t, enc.Dispatch(l))
				default:
					require.NoError(t, enc.Dispatch(of(strings.IndexRune("pul", c))))
				}
			}
			got := ""
			for _, l := range m.launched {
				got += map[bool]string{true: "o", false: "."}[l.overlaps]
			}
			if !dependent {
				want = strings.ReplaceAll(want, "o", ".")
			}
			require.Equal(t, want, got, "%s, dependent: %v", seq, dependent)
		}
	}
}

// A recording is a graph of the launches, captured on a stream of its own; each run
// launches it on the program's.
func TestRecording(t *testing.T) {
	p, m, of := launching(t, true)
	had := m.kinds()
	encode := func(enc fruntime.Encoder) error {
		return errors.Join(enc.Dispatch(of(0)), enc.Barrier(), enc.Commit(), enc.Dispatch(of(2)))
	}
	r, err := p.Record(encode)
	require.NoError(t, err)
	require.Equal(t, []string{"cuStreamCreate 1", "cuStreamBeginCapture_v2", "cuLaunchKernelEx", "cuLaunchKernelEx", "cuStreamEndCapture",
		"cuEventCreate 2", "cuGraphInstantiateWithFlags", "cuGraphDestroy", "cuStreamDestroy_v2"}, m.events())
	require.Empty(t, m.launched)
	for n := 1; n <= 2; n++ {
		require.NoError(t, r.Run())
		require.Len(t, m.launched, 2*n)
	}
	require.Equal(t, []string{"plain", "last"}, []string{m.launched[2].kernel, m.launched[3].kernel})
	require.Equal(t, []bool{false, true}, []bool{m.launched[2].overlaps, m.launched[3].overlaps})
	require.NoError(t, r.Wait())
	require.Equal(t, []string{"cuGraphLaunch", "cuEventRecord", "cuGraphLaunch", "cuEventRecord", "cuEventSynchronize"}, m.events())
	took, err := r.(fruntime.Stopwatch).Timed()
	require.NoError(t, err)
	require.Equal(t, 1500*time.Microsecond, took)
	require.Equal(t, []string{"cuEventCreate 0", "cuEventCreate 0", "cuEventRecord", "cuGraphLaunch", "cuEventRecord", "cuEventSynchronize", "cuEventElapsedTime_v2",
		"cuEventDestroy_v2", "cuEventDestroy_v2"}, m.events())
	open := m.kinds()
	for _, name := range []string{"cuCtxSetCurrent", "cuEventCreate", "cuEventRecord", "cuGraphLaunch", "cuEventSynchronize", "cuEventElapsedTime_v2"} {
		m.faults(t, name, func() error { _, err := r.(fruntime.Stopwatch).Timed(); return err }, func() {
			require.Equal(t, open, m.kinds(), name)
			require.NotContains(t, strings.Join(m.events(), ", "), "no event", "what was not made is not destroyed")
		})
	}
	m.faults(t, "cuGraphLaunch", r.Run, func() {})
	m.faults(t, "cuEventRecord", r.Run, func() {})
	m.faults(t, "cuEventSynchronize", r.Wait, func() {})
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	require.Equal(t, had, m.kinds())

	failed := errors.New("encode")
	_, err = p.Record(func(fruntime.Encoder) error { return failed })
	require.ErrorIs(t, err, failed)
	require.Equal(t, had, m.kinds())
	m.failAt["cuStreamEndCapture"] = m.calls["cuStreamEndCapture"] + 1
	_, err = p.Record(func(fruntime.Encoder) error { return failed })
	require.ErrorIs(t, err, failed, "the cause, not what follows from it")
	for _, name := range []string{"cuStreamCreate", "cuStreamBeginCapture_v2", "cuLaunchKernelEx", "cuStreamEndCapture", "cuEventCreate", "cuGraphInstantiateWithFlags"} {
		m.faults(t, name, func() error {
			r, err := p.Record(encode)
			if err == nil {
				err = r.Close()
			}
			return err
		}, func() { require.Equal(t, had, m.kinds(), name) })
	}
	for _, name := range []string{"cuEventDestroy_v2", "cuGraphExecDestroy"} {
		m.faults(t, name, func() error {
			r, err := p.Record(encode)
			return errors.Join(err, r.Close())
		}, func() {})
	}
}

// scaled is a kernel of two slots that the gate is not asked about.
func scaled(name string) plan.Kernel {
	return plan.Kernel{
		Name: name, File: "kernels/" + name + ".metal", Threads: [3]int{64, 2, 1}, Threadgroup: []plan.ThreadgroupArg{{Name: "part", Type: "float", Bytes: 96}},
		Slots:    []plan.Slot{{Name: "x", Type: "float", Space: "device", Access: plan.Read}, {Name: "y", Type: "float", Space: "device", Access: plan.Write}},
		Builtins: []plan.Builtin{plan.ThreadIndex},
		Source: `#include <metal_stdlib>
using namespace metal;
kernel void ` + name + `(device const float *x [[buffer(0)]], device float *y [[buffer(1)]], threadgroup float *part [[threadgroup(0)]], uint tid [[thread_index_in_threadgroup]])
{
    y[tid] = x[tid];
}
`,
	}
}

// loadable is a plan of kernels that are scaled, each dispatched once with a grid.
func loadable(groups int64, names ...string) *plan.Plan {
	p := &plan.Plan{Entries: []plan.Entry{{Name: "e", TMin: 1, TMax: 1}}}
	for i, name := range names {
		p.Kernels = append(p.Kernels, scaled(name))
		one := plan.GridDim{N: sym.Const(1), Div: 1}
		p.Entries[0].Steps = append(p.Entries[0].Steps, plan.Step{Dispatch: &plan.Dispatch{Kernel: i, Grid: [3]plan.GridDim{{N: sym.Const(groups), Div: 1}, one, one}}})
	}
	return p
}

func TestLoad(t *testing.T) {
	d, m := emulatedDevice(t, Options{TrustKernels: true})
	had := m.kinds()
	p := loadable(1, "a", "b", "c")
	p.Kernels[1].Threadgroup[0].Bytes = 48 << 10
	p.Kernels[2].Threadgroup[0].Bytes = 48<<10 + 16
	p.Kernels[1].Main, p.Kernels[2].Main = plan.WeightExpansion, plan.AttentionTiles
	var told []string
	g, err := d.Load(context.Background(), p, func(what string, done, total int64) { told = append(told, fmt.Sprint(what, done, total)) })
	require.NoError(t, err)
	require.Equal(t, []string{"compile kernels3 3"}, told)
	require.Equal(t, []kernel{
		{name: "a", slots: 2, threads: [3]uint32{64, 2, 1}, shared: 96},
		{name: "b", slots: 2, threads: [3]uint32{64, 2, 1}, shared: 48 << 10, unordered: true},
		{name: "c", slots: 2, threads: [3]uint32{64, 2, 1}, shared: 48<<10 + 16, startsLast: true},
	}, withoutFunctions(g.(*program).kernels))
	for _, k := range g.(*program).kernels {
		require.Equal(t, k.name, m.kernels[k.fn])
	}
	log := m.events()
	require.Contains(t, log, "cuStreamCreate 0")
	require.Equal(t, []string{"cuFuncSetAttribute c 8 49168"}, slices.DeleteFunc(log, func(s string) bool { return !strings.HasPrefix(s, "cuFunc") }))
	var phases []fruntime.Phase
	for _, ph := range g.(fruntime.Starter).Startup() {
		ph.Seconds = 0
		phases = append(phases, ph)
	}
	require.Equal(t, []fruntime.Phase{{Name: "compile kernels (NVRTC)", Kernels: 3, Fresh: 3}, {Name: "load kernels", Kernels: 3}}, phases)
	require.NoError(t, g.Close())
	require.Equal(t, []string{"cuStreamSynchronize", "cuStreamDestroy_v2", "cuModuleUnload"}, m.events())
	require.NoError(t, g.Close())
	require.Empty(t, m.events())
	require.Equal(t, had, m.kinds())

	for want, change := range map[string]func(p *plan.Plan){
		"cuda: kernel b: wants 232449 bytes of threadgroup memory, the GPU has 232448": func(p *plan.Plan) { p.Kernels[1].Threadgroup[0].Bytes = 227<<10 + 1 },
		"cuda: kernel b: has 33 buffer slots, 32 are the most": func(p *plan.Plan) {
			k := &p.Kernels[1]
			for i := range 31 {
				k.Slots = append(k.Slots, plan.Slot{Name: fmt.Sprint("z", i), Type: "float", Space: "device"})
				k.Source = strings.Replace(k.Source, "threadgroup float *part", fmt.Sprintf("device float *z%d [[buffer(%d)]], threadgroup float *part", i, i+2), 1)
			}
		},
	} {
		p := loadable(1, "a", "b")
		change(p)
		_, err := d.Load(context.Background(), p, nil)
		require.EqualError(t, err, want)
		require.Equal(t, had, m.kinds())
	}
	most := loadable(1, "a")
	most.Kernels[0].Threadgroup[0].Bytes = 227 << 10
	g, err = d.Load(context.Background(), most, nil)
	require.NoError(t, err)
	require.NoError(t, g.Close())
	for _, name := range []string{"cuStreamCreate", "cuModuleLoadData", "cuModuleGetFunction", "cuFuncSetAttribute"} {
		m.faults(t, name, func() error {
			g, err := d.Load(context.Background(), p, nil)
			if err == nil {
				err = g.Close()
			}
			return err
		}, func() { require.Equal(t, had, m.kinds(), name) })
	}
	for _, name := range []string{"cuStreamSynchronize", "cuStreamDestroy_v2", "cuModuleUnload"} {
		m.faults(t, name, func() error {
			g, err := d.Load(context.Background(), p, nil)
			return errors.Join(err, g.Close())
		}, func() {})
	}
	d.opts.TrustKernels = false
	_, err = d.Load(context.Background(), p, nil)
	require.ErrorContains(t, err, `cuda: kernel "a" is refused`)
}

// What NVRTC refuses is told by its log, else by its error; its programs are given back.
func TestCompilerErrors(t *testing.T) {
	d, m := emulatedDevice(t, Options{})
	had := m.kinds()
	compile := func() error { _, err := d.rtc.compile("file.metal", "text", []string{"-a", "-b"}); return err }
	for _, name := range []string{"nvrtcCreateProgram", "nvrtcCompileProgram", "nvrtcGetCUBINSize", "nvrtcGetCUBIN"} {
		m.faults(t, name, compile, func() { require.Equal(t, had, m.kinds()) })
	}
	m.compiled = nil
	require.NoError(t, compile())
	require.Equal(t, []string{"-a -b"}, m.compiled)
	broken := func() error { _, err := d.rtc.compile("file.metal", "missing", nil); return err }
	require.EqualError(t, broken(), "a note\nfile.metal(7): error: identifier \"missing\" is undefined\nand more")
	for _, name := range []string{"nvrtcGetProgramLogSize", "nvrtcGetProgramLog"} {
		m.failAt[name] = m.calls[name] + 1
		require.EqualError(t, broken(), "nvrtcCompileProgram: NVRTC_ERROR (6)")
	}
	m.gpu.compileLog = "\n"
	require.EqualError(t, broken(), "nvrtcCompileProgram: NVRTC_ERROR (6)")
	m.gpu.compileLog = "x"
	require.EqualError(t, broken(), "x")
	require.Equal(t, had, m.kinds())
	require.Equal(t, "a(1): is no error", firstError("a(1): is no error\nb"))
	require.Equal(t, "b:2: c", firstError("a(1): warning: x\nb(2): catastrophic error: c\nd(3): error: e"))
}

func withoutFunctions(ks []kernel) []kernel {
	out := slices.Clone(ks)
	for i := range out {
		out[i].fn = 0
	}
	return out
}

// Kernels are compiled eight a unit, those of matrix units apart and for another
// architecture; those whose registers would keep threadgroups from running at once again,
// with registers weighed and with room for all threadgroups, which b takes, and d not, which
// would have fewer. What the cache holds is compiled no more, for the same text,
// options, versions and share.
func TestUnitsOfAPlan(t *testing.T) {
	d, m := emulatedDevice(t, Options{CacheDir: t.TempDir(), TrustKernels: true})
	names := strings.Split("abcdefghij", "")
	p := loadable(8*132, names...)
	p.Kernels[4].Matrices = 1
	m.gpu.registers["b"], m.gpu.registers["c"] = [3]uint32{65, 40, 48}, [3]uint32{64, 64, 64}
	m.gpu.registers["d"], m.gpu.registers["e"] = [3]uint32{65, 60, 56}, [3]uint32{200, 200, 200}
	share := shares(p, d.cores)
	require.Equal(t, slices.Repeat([]int{8}, 10), share)
	ctx := context.Background()
	u, err := d.compile(ctx, p.Kernels, share, nil)
	require.NoError(t, err)
	options := " --std=c++17 --device-as-default-execution-space --fmad=false --disable-warnings "
	slices.Sort(m.compiled)
	require.Equal(t, []string{
		"--gpu-architecture=sm_90" + options + "a, 1 b, 1 c, 1 d, 1", "--gpu-architecture=sm_90" + options + "b d", "--gpu-architecture=sm_90" + options + "b, 8 d, 8",
		"--gpu-architecture=sm_90" + options + "f, 1 g, 1 h, 1 i, 1 j, 1", "--gpu-architecture=sm_90a" + options + "e, 2",
	}, m.compiled)
	require.Equal(t, 10, u.fresh)
	require.Len(t, u.code, 5)
	for i, want := range map[int]int{0: 0, 1: 48, 2: 64, 3: 60, 4: 200} {
		used, err := notesOf(u.code[u.of[i]])
		require.NoError(t, err)
		require.Equal(t, notes{want, 8}, used[names[i]])
	}
	m.compiled = nil
	warm, err := d.compile(ctx, p.Kernels, share, nil)
	require.NoError(t, err)
	require.Equal(t, &units{u.code, u.of, 0}, warm)
	require.Empty(t, m.compiled)
	for what, change := range map[string]func(*Device, *plan.Kernel, *int){
		"text": func(_ *Device, k *plan.Kernel, _ *int) {
			k.Source = strings.Replace(k.Source, "y[tid] = x", "y[tid] = 2.0f * x", 1)
		},
		"matrix units":        func(_ *Device, k *plan.Kernel, _ *int) { k.Matrices = 1 },
		"NVRTC":               func(d *Device, _ *plan.Kernel, _ *int) { d.rtc.version = "12.9" },
		"the GPU":             func(d *Device, _ *plan.Kernel, _ *int) { d.info.Note = "other" },
		"share":               func(_ *Device, _ *plan.Kernel, n *int) { *n = 3 },
		"no folder":           func(d *Device, _ *plan.Kernel, _ *int) { d.opts.CacheDir = "" },
		"a folder of its own": func(d *Device, _ *plan.Kernel, _ *int) { d.opts.CacheDir = t.TempDir() },
	} {
		other, rtc, k, n := Device{drv: d.drv, opts: d.opts, arch: d.arch, info: d.info}, *d.rtc, p.Kernels[0], 8
		other.rtc = &rtc
		change(&other, &k, &n)
		fresh, err := other.compile(ctx, []plan.Kernel{k}, []int{n}, nil)
		require.NoError(t, err)
		require.Equal(t, 1, fresh.fresh, what)
	}
	for i, want := range map[int]string{0: "a does not compile: kernels/a.metal:7: identifier \"missing\" is undefined", 4: "e does not compile: kernels/e.metal:7: identifier \"missing\" is undefined"} {
		broken := loadable(1, names...)
		broken.Kernels[4].Matrices = 1
		broken.Kernels[i].Source = strings.Replace(broken.Kernels[i].Source, "y[tid]", "missing", 1)
		_, err = d.compile(ctx, broken.Kernels, make([]int, 10), nil)
		require.EqualError(t, err, "kernel "+want)
	}
	m.gpu.compileLog = "ptxas info: (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized\n"
	_, err = (&Device{drv: d.drv, rtc: d.rtc, arch: d.arch}).compile(ctx, p.Kernels[4:5], []int{0}, nil)
	require.EqualError(t, err, "kernel e does not compile: the compiler puts waits between products of matrix units: Potential Performance Loss: wgmma.mma_async instructions are serialized")
	m.gpu.compileLog = ""
	d.arch = "sm_86"
	_, err = d.compile(ctx, p.Kernels, share, nil)
	require.ErrorContains(t, err, "kernel e multiplies by matrix units")
	require.ErrorContains(t, err, "this GPU (sm_86) lacks")
	require.Empty(t, slices.DeleteFunc(slices.Collect(maps.Values(m.live)), func(kind string) bool { return kind != "program" }), "NVRTC's programs are destroyed")
}

// What the cache cannot have written is compiled again.
func TestCacheRefusesWhatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	c := cache{dir}
	code := []byte("machine code")
	require.NoError(t, c.keep(code, []string{"k1", "k2"}))
	read := map[string][]byte{}
	for _, key := range []string{"k1", "k2"} {
		name, got := c.find(key, read)
		require.Equal(t, []any{hashOf(code), code}, []any{name, got})
	}
	name, got := c.find("k1", map[string][]byte{hashOf(code): []byte("read before")})
	require.Equal(t, []any{hashOf(code), "read before"}, []any{name, string(got)})
	missing := func(key string) {
		name, got := c.find(key, read)
		require.Equal(t, []any{"", []byte(nil)}, []any{name, got})
	}
	missing("k3")
	require.NoError(t, os.WriteFile(c.entry("k1"), []byte(hashOf(code)[1:]), 0o600))
	missing("k1")
	require.NoError(t, os.WriteFile(c.entry("k1"), []byte("../"+hashOf(code)), 0o600))
	missing("k1")
	require.NoError(t, os.WriteFile(c.unit(hashOf(code)), []byte("machine node"), 0o600))
	missing("k2")
	name, got = cache{}.find("k2", read)
	require.Equal(t, []any{"", []byte(nil)}, []any{name, got})
	require.NoError(t, cache{}.keep(code, []string{"k1"}))
	file := dir + "/file"
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.ErrorContains(t, cache{file}.keep(code, nil), "the kernel cache: ")
}

// A multiprocessor gets the most threadgroups that any dispatch of a kernel gives it,
// rounded up, where these are as many in every run.
func TestShares(t *testing.T) {
	grid := func(x, y sym.Dim, div int64) [3]plan.GridDim {
		return [3]plan.GridDim{{N: x, Div: div}, {N: y, Div: 1}, {N: sym.Const(1), Div: 1}}
	}
	step := func(kernel int, g [3]plan.GridDim) plan.Step {
		return plan.Step{Dispatch: &plan.Dispatch{Kernel: kernel, Grid: g}}
	}
	p := &plan.Plan{Kernels: make([]plan.Kernel, 7), Model: plan.Model{Context: 64}, Entries: []plan.Entry{
		{Name: "prefill", TMin: 1, TMax: 8, Steps: []plan.Step{
			step(0, grid(sym.Const(10), sym.Const(2), 1)), {Barrier: true}, step(1, grid(sym.Const(21), sym.Const(1), 1)), step(2, grid(sym.T, sym.Const(4), 1)),
			step(3, grid(sym.P, sym.Const(1), 4)), step(4, grid(sym.T, sym.Const(1), 8)),
		}},
		{Name: "decode", TMin: 1, TMax: 1, Steps: []plan.Step{
			step(0, grid(sym.Const(100), sym.Const(1), 1)), step(5, grid(sym.T, sym.Const(40), 1)), step(2, grid(sym.Const(4), sym.Const(1), 1)),
		}},
	}}
	require.Equal(t, []int{5, 2, 0, 0, 1, 2, 0}, shares(p, 20))
	require.Equal(t, []int{100, 21, 0, 0, 1, 40, 0}, shares(p, 1))
}

// Threadgroups wait for others where theirs are more threads than a multiprocessor has, or
// more registers, which are handed out eight at a time.
func TestCrowded(t *testing.T) {
	for _, c := range []struct {
		threads   [3]int
		registers int
		share     int
		want      bool
	}{
		{[3]int{128, 1, 1}, 32, 16, false}, {[3]int{128, 1, 1}, 32, 17, true}, {[3]int{128, 1, 1}, 64, 8, false}, {[3]int{128, 1, 1}, 65, 8, true},
		{[3]int{128, 1, 1}, 57, 8, false}, {[3]int{128, 1, 1}, 72, 8, true}, {[3]int{32, 2, 2}, 64, 8, false}, {[3]int{32, 2, 2}, 65, 8, true},
		{[3]int{32, 2, 2}, 255, 2, false}, {[3]int{1024, 1, 1}, 255, 1, true}, {[3]int{1024, 1, 1}, 255, 0, false},
	} {
		require.Equal(t, c.want, crowded(&plan.Kernel{Threads: c.threads}, c.registers, c.share), "%v", c)
		require.False(t, crowded(&plan.Kernel{Threads: c.threads, Matrices: 1}, c.registers, c.share))
	}
}

// Notes on registers and stacks are found by the kernels' symbols; machine code that is
// none is told.
func TestNotes(t *testing.T) {
	want := map[string]notes{"a": {64, 8}, "b": {255, 0}, "c": {0, 1024}}
	code := cubin(want)
	kept := slices.Clone(code)
	got, err := notesOf(code)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, kept, code, "is left as it was")
	got, err = notesOf(cubin(nil))
	require.NoError(t, err)
	require.Empty(t, got)
	for text, code := range map[string][]byte{
		"machine code that is no ELF file":                   nil,
		"bad magic number '[0 0 0 0]' in record at byte 0x0": make([]byte, 100),
		"machine code without notes on its registers":        elfOf([]string{"a"}, nil),
		"notes on registers that end early":                  elfOf([]string{"a"}, []byte{sizedNote, 0x2f, 9, 0, 1, 0, 0, 0, 1, 0, 0, 0}),
		"notes on registers name symbol 2 of 1":              elfOf([]string{"a"}, []byte{sizedNote, 0x2f, 8, 0, 2, 0, 0, 0, 1, 0, 0, 0}),
		"notes on registers name symbol 0 of 1":              elfOf([]string{"a"}, []byte{sizedNote, 0x11, 8, 0, 0, 0, 0, 0, 1, 0, 0, 0}),
	} {
		_, err := notesOf(code)
		require.EqualError(t, err, text)
	}
	_, err = notesOf(elfOf([]string{"a"}, []byte{sizedNote, 0x2f, 8, 0}))
	require.EqualError(t, err, "notes on registers that end early")
	got, err = notesOf(elfOf([]string{"a"}, []byte{1, 0x2f, 8, 0, 1, 2, 3})) // what is too short to be one
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = notesOf(make([]byte, 20))
	require.EqualError(t, err, "machine code that is no ELF file")
}

// The first library that loads is taken, with every function looked up; what is missing
// is named, with what to install.
func TestLibrary(t *testing.T) {
	l, err := open("C library", []string{"libnone.so", "libc.so.6", "libm.so.6"}, []string{"strlen", "abs"})
	devicetest.Need(t, err) // elsewhere it has another name
	require.Equal(t, "libc.so.6", l.path)
	require.Len(t, l.fn, 2)
	require.NotEqual(t, l.fn["strlen"], l.fn["abs"])
	_, err = open("C library", []string{"libc.so.6"}, []string{"strlen", "cuNone"})
	require.EqualError(t, err, "libc.so.6 has no function cuNone; install a newer C library")
	_, err = open("C library", []string{"libnone.so", "libno.so"}, []string{"strlen"})
	require.EqualError(t, err, "no C library found (looked for libnone.so, libno.so)")
	require.ErrorIs(t, err, child.ErrAbsent)
}
