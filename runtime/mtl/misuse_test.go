package mtl

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/mtl/emulator"
)

// copyPlan is one kernel that copies x to y, with threadgroup memory it uses.
func copyPlan() *plan.Plan {
	return &plan.Plan{Schema: plan.Schema, MSL: "3.0", Kernels: []plan.Kernel{{
		Name: "copy", File: "kernels/copy.metal", Threads: [3]int{32, 1, 1},
		Slots:       []plan.Slot{{Name: "x", Type: "float", Space: "device", Access: plan.Read}, {Name: "y", Type: "float", Space: "device", Access: plan.Write}},
		Threadgroup: []plan.ThreadgroupArg{{Name: "t", Type: "float", Bytes: 128}},
		Builtins:    []plan.Builtin{plan.ThreadIndex},
		Source: `#include <metal_stdlib>
using namespace metal;
kernel void copy(device const float *x [[buffer(0)]], device float *y [[buffer(1)]], threadgroup float *t [[threadgroup(0)]],
    uint i [[thread_index_in_threadgroup]])
{
    t[i] = x[i];
    y[i] = t[i];
}
`,
	}}}
}

// bench is an open encoder with the copy kernel's state, for sending wrong
// messages by hand, in a pool of the test's.
type bench struct {
	t    *testing.T
	e    *emulator.Framework
	dev  *Device
	g    *program
	enc  *encoder
	x, y *memory
}

func newBench(t *testing.T) *bench {
	e := emulate(t)
	d, err := openOn(e, Options{Indirect: true})
	require.NoError(t, err)
	runtime.LockOSThread()
	pool, _, _ := purego.SyscallN(d.b.poolPush)
	e.Prepare(context.Background(), copyPlan())
	p, err := d.Load(context.Background(), copyPlan(), nil)
	require.NoError(t, err)
	b := &bench{t: t, e: e, dev: d, g: p.(*program)}
	for _, m := range []**memory{&b.x, &b.y} {
		a, err := d.Alloc(128, fruntime.Shared)
		require.NoError(t, err)
		*m = a.(*memory)
	}
	enc, err := p.Begin()
	require.NoError(t, err)
	b.enc = enc.(*encoder)
	require.Empty(t, e.Noted())
	t.Cleanup(func() {
		b.finish()
		_, _ = b.x.Free(), b.y.Free()
		_ = b.dev.Close()
		purego.SyscallN(d.b.poolPop, pool)
		runtime.UnlockOSThread()
		e.Noted()
		require.Zero(t, e.Live())
	})
	return b
}

// finish commits what is encoded, waits for it and closes the program.
func (b *bench) finish() {
	if !b.enc.committed {
		require.NoError(b.t, b.enc.Commit())
	}
	require.NoError(b.t, b.enc.Wait())
	require.NoError(b.t, b.g.Close())
}

// outside runs f on another OS thread, which has no pool.
func (b *bench) outside(f func()) {
	done := make(chan bool)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		f()
	}()
	<-done
}

// ended is for a test that ends and commits by hand.
func (b *bench) ended() {
	b.enc.committed = true
	b.enc.leave()
}

func (b *bench) launch() *fruntime.Launch {
	return &fruntime.Launch{Label: "copy", Grid: [3]int64{1, 1, 1}, Bind: []fruntime.Operand{
		{Memory: b.x, Bytes: 128, Access: plan.Read}, {Memory: b.y, Bytes: 128, Access: plan.Write}}}
}

// dispatch sends the dispatch message with the given sizes.
func (b *bench) dispatch(grid [3]int64, threads size) {
	b.enc.dispatch(b.enc.encoder, b.dev.b.dispatch.Sel, grid, threads)
}

// over asks for a no-copy buffer, off bytes into a mapping and short bytes less
// than two pages.
func (b *bench) over(off, short uint64) {
	page := uint64(os.Getpagesize())
	pages, err := unix.Mmap(-1, 0, int(3*page), unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(b.t, err)
	defer unix.Munmap(pages)
	br := b.dev.b
	buf := br.newBufferOver.Call(b.dev.dev, br.newBufferOver.Sel, uintptr(unsafe.Pointer(&pages[off])), 2*page-short, MTLResourceStorageModeShared, 0)
	require.Zero(b.t, buf)
}

// blit encodes with a blit encoder, commits, does what comes in between, and waits.
func (b *bench) blit(encode func(e id), between ...func()) {
	br := b.dev.b
	require.NoError(b.t, br.pool(func() error {
		buffer := br.commandBuffer.Call(b.g.queue, br.commandBuffer.Sel)
		e := br.blitEncoder.Call(buffer, br.blitEncoder.Sel)
		encode(e)
		br.endEncoding.Call(e, br.endEncoding.Sel)
		br.commit.Call(buffer, br.commit.Sel)
		for _, f := range between {
			f()
		}
		br.waitCompleted.Call(buffer, br.waitCompleted.Sel)
		return nil
	}))
}

func (b *bench) copy(e, from id, fromAt uint64, to id, toAt, n uint64) {
	b.dev.b.copyBuffer.Call(e, b.dev.b.copyBuffer.Sel, from, fromAt, to, toAt, n)
}

// set binds one buffer.
func (b *bench) set(buf id, offset uint64, index uintptr) {
	e := b.enc
	e.buffers[0], e.offsets[0] = buf, offset
	e.send(b.dev.b.setBuffers.Sel, uintptr(unsafe.Pointer(&e.buffers)), uintptr(unsafe.Pointer(&e.offsets)), index, 1)
}

// replay records a dispatch and executes it behind what use sends.
func (b *bench) replay(use func(resources []id)) {
	rec, err := b.g.Record(func(enc fruntime.Encoder) error { return enc.Dispatch(b.launch()) })
	require.NoError(b.t, err)
	r := rec.(*recording)
	if use != nil {
		use(r.resources)
	}
	b.enc.send(b.dev.b.executeIndirect.Sel, r.indirect, 0, uintptr(r.commands))
	require.NoError(b.t, r.Close())
}

func (b *bench) bound() {
	br := b.dev.b
	b.enc.send(br.setPipeline.Sel, b.g.kernels[0].pipeline)
	b.enc.send(br.setThreadgroup.Sel, 128, 0)
	b.set(b.x.buf, 0, 0)
	b.set(b.y.buf, 0, 1)
}

var one, warp = [3]int64{1, 1, 1}, size{32, 1, 1}

// misuses are what Metal's validation layer, or the Objective-C runtime, would
// stop at; each sends one wrong message and names what must be noted.
var misuses = []struct {
	name, want string
	run        func(b *bench)
}{
	{"unknown selector", "unknown selector -[MTLComputeCommandEncoder frobnicate:]", func(b *bench) {
		b.enc.send(b.dev.b.registerName("frobnicate:"), 1)
	}},
	{"message to nil", "to nil", func(b *bench) {
		purego.SyscallN(b.dev.b.msgSend, 0, b.dev.b.dispatch.Sel)
	}},
	{"nil buffer", "setBuffers:offsets:withRange: is nil", func(b *bench) {
		b.set(0, 0, 0)
	}},
	{"slot beyond 31", "at index 31", func(b *bench) {
		b.set(b.x.buf, 0, 31)
	}},
	{"offset beyond the buffer", "offset 128 of a buffer of 128 bytes", func(b *bench) {
		b.set(b.x.buf, 128, 0)
	}},
	{"missing binding", "missing buffer binding at index 1", func(b *bench) {
		br := b.dev.b
		b.enc.send(br.setPipeline.Sel, b.g.kernels[0].pipeline)
		b.enc.send(br.setThreadgroup.Sel, 128, 0)
		b.set(b.x.buf, 0, 0)
		b.dispatch(one, warp)
	}},
	{"no pipeline", "without a pipeline", func(b *bench) { b.dispatch(one, warp) }},
	{"threadgroup too large", "a threadgroup of 2048 threads", func(b *bench) {
		b.bound()
		b.dispatch(one, size{2048, 1, 1})
	}},
	{"empty grid", "an empty grid", func(b *bench) {
		b.bound()
		b.dispatch([3]int64{0, 1, 1}, warp)
	}},
	{"threadgroup memory beyond 32 KiB", "the limit is 32768", func(b *bench) {
		b.bound()
		b.enc.send(b.dev.b.setThreadgroup.Sel, 32768+16, 0)
		b.dispatch(one, warp)
	}},
	{"threadgroup memory not a multiple of 16", "not a multiple of 16", func(b *bench) {
		b.enc.send(b.dev.b.setThreadgroup.Sel, 100, 0)
	}},
	{"threadgroup memory not set", "threadgroup memory at index 0 is 0 bytes", func(b *bench) {
		br := b.dev.b
		b.enc.send(br.setPipeline.Sel, b.g.kernels[0].pipeline)
		b.set(b.x.buf, 0, 0)
		b.set(b.y.buf, 0, 1)
		b.dispatch(one, warp)
	}},
	{"dispatch after endEncoding", "after endEncoding", func(b *bench) {
		b.bound()
		br := b.dev.b
		br.endEncoding.Call(b.enc.encoder, br.endEncoding.Sel)
		b.dispatch(one, warp)
		br.commit.Call(b.enc.buffer, br.commit.Sel)
		b.ended()
	}},
	{"commit before endEncoding", "commit before endEncoding", func(b *bench) {
		br := b.dev.b
		br.commit.Call(b.enc.buffer, br.commit.Sel)
		br.endEncoding.Call(b.enc.encoder, br.endEncoding.Sel)
		b.ended()
	}},
	{"commit twice", "commit of a command buffer that is committed", func(b *bench) {
		require.NoError(b.t, b.enc.Commit())
		b.dev.b.commit.Call(b.enc.buffer, b.dev.b.commit.Sel)
	}},
	{"use after release", "use after release: -[MTLBuffer contents]", func(b *bench) {
		gone := b.x.buf
		require.NoError(b.t, b.x.Free())
		b.dev.b.bufferContents.Call(gone, b.dev.b.bufferContents.Sel)
	}},
	{"release twice", "release of a released MTLBuffer", func(b *bench) {
		gone := b.x.buf
		require.NoError(b.t, b.x.Free())
		b.dev.b.release(gone)
	}},
	{"buffer released while held unretained", "held it unretained", func(b *bench) {
		br := b.dev.b
		s := br.registerName("commandBufferWithUnretainedReferences")
		var buffer id
		require.NoError(b.t, br.pool(func() error {
			buffer, _, _ = purego.SyscallN(br.msgSend, b.g.queue, s)
			br.retain(buffer)
			enc := br.computeEncoder.Call(buffer, br.computeEncoder.Sel, MTLDispatchTypeConcurrent)
			br.setPipeline.Call(enc, br.setPipeline.Sel, b.g.kernels[0].pipeline)
			buf, offset := b.x.buf, uint64(0)
			br.setBuffers.Call(enc, br.setBuffers.Sel, uintptr(unsafe.Pointer(&buf)), uintptr(unsafe.Pointer(&offset)), rng{0, 1})
			br.endEncoding.Call(enc, br.endEncoding.Sel)
			return nil
		}))
		require.NoError(b.t, b.x.Free())
		br.commit.Call(buffer, br.commit.Sel)
		br.waitCompleted.Call(buffer, br.waitCompleted.Sel)
		br.release(buffer)
	}},
	{"message outside a pool", "+[NSString stringWithCString:encoding:] outside an autorelease pool", func(b *bench) {
		b.outside(func() { b.dev.b.release(b.dev.b.str("nobody drains this")) })
	}},
	{"last release outside a pool", "the last release of a MTLFence outside an autorelease pool", func(b *bench) {
		fence := b.dev.b.newFence.Call(b.dev.dev, b.dev.b.newFence.Sel)
		b.outside(func() { b.dev.b.release(fence) })
	}},
	{"fast math", "with fast math", func(b *bench) {
		br := b.dev.b
		require.NoError(b.t, br.pool(func() error {
			options := br.allocInit(br.MTLCompileOptions)
			defer br.release(options)
			br.setLanguage.Call(options, br.setLanguage.Sel, MTLLanguageVersion3_0)
			var failure id
			if l := br.newLibrary.Call(b.dev.dev, br.newLibrary.Sel, br.str(copyPlan().Kernels[0].Source), options, &failure); l != 0 {
				br.release(l)
			}
			return nil
		}))
	}},
	{"contents of private memory", "contents of a private buffer", func(b *bench) {
		m, err := b.dev.Alloc(64, fruntime.Private)
		require.NoError(b.t, err)
		b.dev.b.bufferContents.Call(m.(*memory).buf, b.dev.b.bufferContents.Sel)
		require.NoError(b.t, m.Free())
	}},
	{"no-copy pointer off its page", "not page-aligned", func(b *bench) { b.over(1, 0) }},
	{"no-copy length of no whole pages", "not whole pages", func(b *bench) { b.over(0, 100) }},
	{"copy after endEncoding", "copyFromBuffer: after endEncoding", func(b *bench) {
		b.blit(func(e id) {
			b.dev.b.endEncoding.Call(e, b.dev.b.endEncoding.Sel)
			b.copy(e, b.x.buf, 0, b.y.buf, 0, 64)
		})
	}},
	{"copy beyond a buffer", "beyond the end", func(b *bench) { b.blit(func(e id) { b.copy(e, b.x.buf, 64, b.y.buf, 0, 128) }) }},
	{"copy of half words", "not whole words", func(b *bench) { b.blit(func(e id) { b.copy(e, b.x.buf, 2, b.y.buf, 0, 64) }) }},
	{"copy over its source", "source and destination overlap", func(b *bench) { b.blit(func(e id) { b.copy(e, b.x.buf, 0, b.x.buf, 32, 64) }) }},
	{"staging rewritten before its copy has run", "the host wrote to the source of a copy", func(b *bench) {
		release := b.e.Hold()
		b.blit(func(e id) { b.copy(e, b.x.buf, 0, b.y.buf, 0, 64) }, func() { b.x.bytes[0]++ }, release)
	}},
	{"indirect command without useResources", "copy: an indirect command has usage 1 of x, useResources: gave it 0", func(b *bench) {
		b.replay(nil)
	}},
	{"resources used for nothing", "useResources: with usage 0", func(b *bench) {
		b.replay(func(resources []id) {
			b.enc.send(b.dev.b.useResources.Sel, uintptr(unsafe.Pointer(&resources[0])), uintptr(len(resources)), 0)
		})
	}},
	{"indirect command writes what is used for reading", "copy: an indirect command has usage 2 of y, useResources: gave it 1", func(b *bench) {
		b.replay(func(resources []id) {
			b.enc.send(b.dev.b.useResources.Sel, uintptr(unsafe.Pointer(&resources[0])), uintptr(len(resources)), MTLResourceUsageRead)
		})
	}},
	{"second encoder while one is open", "a second encoder while one is open", func(b *bench) {
		br := b.dev.b
		require.NoError(b.t, br.pool(func() error {
			e := br.blitEncoder.Call(b.enc.buffer, br.blitEncoder.Sel)
			br.endEncoding.Call(e, br.endEncoding.Sel)
			return nil
		}))
	}},
	{"read after write without a barrier", "no barrier between copy and copy", func(b *bench) {
		l := b.launch()
		require.NoError(b.t, b.enc.Dispatch(l))
		back := b.launch()
		back.Bind[0].Memory, back.Bind[1].Memory = b.y, b.x
		require.NoError(b.t, b.enc.Dispatch(back))
	}},
	{"write after write without a barrier", "no barrier between copy and copy", func(b *bench) {
		require.NoError(b.t, b.enc.Dispatch(b.launch()))
		require.NoError(b.t, b.enc.Dispatch(b.launch()))
	}},
}

func TestMisuseIsNoted(t *testing.T) {
	for _, m := range misuses {
		t.Run(m.name, func(t *testing.T) {
			b := newBench(t)
			m.run(b)
			b.finish()
			notes := b.e.Noted()
			require.NotEmpty(t, notes)
			require.Contains(t, notes[0], m.want)
		})
	}
}

func TestBarrierSatisfiesTheFramework(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.enc.Dispatch(b.launch()))
	require.NoError(t, b.enc.Barrier())
	back := b.launch()
	back.Bind[0].Memory, back.Bind[1].Memory = b.y, b.x
	require.NoError(t, b.enc.Dispatch(back))
	require.NoError(t, b.enc.Commit())
	require.NoError(t, b.enc.Wait())
	require.Empty(t, b.e.Noted())
}

// TestLabelsInACapture: while somebody captures, each dispatch stands in a group of
// its label; otherwise nothing is sent.
func TestLabelsInACapture(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.enc.Dispatch(b.launch()))
	require.NoError(t, b.enc.Commit())
	require.NoError(t, b.enc.Wait())
	require.Empty(t, b.e.Noted())
	defer b.e.Limit("capturing", 1)()
	enc, err := b.g.Begin()
	require.NoError(t, err)
	for _, label := range []string{"layers.0.qkv", "layers.0.attn"} {
		l := b.launch()
		l.Label = label
		require.NoError(t, enc.Dispatch(l))
		require.NoError(t, enc.Barrier())
	}
	require.NoError(t, enc.Commit())
	require.NoError(t, enc.Wait())
	require.Equal(t, []string{"capture shows layers.0.qkv", "capture shows layers.0.attn"}, b.e.Noted())
}

// TestCompileErrorNamesItsStage: of two kernels the broken one is named, with the
// stage file and the line in it, in one line.
func TestCompileErrorNamesItsStage(t *testing.T) {
	b := newBench(t)
	p := copyPlan()
	bad := p.Kernels[0]
	bad.Name = "broken"
	bad.Source = strings.ReplaceAll(bad.Source, "copy", "broken")
	bad.Source = strings.Replace(bad.Source, "    y[i] = t[i];", "#line 7 \"epilogue/relu.metal\"\n    // max(x, 0)\n    y[i] = relu(t[i]);", 1)
	p.Kernels = append(p.Kernels, bad)
	b.e.Prepare(context.Background(), p)
	compiled := int64(0)
	_, err := b.dev.Load(context.Background(), p, func(_ string, done, _ int64) { compiled = done })
	require.ErrorContains(t, err, "metal: kernel broken does not compile: epilogue/relu.metal:8:")
	require.ErrorContains(t, err, "relu")
	require.NotContains(t, err.Error(), "\n")
	require.EqualValues(t, 1, compiled, "the kernel before it compiles")
}

// TestFaults injects what a GPU does to its users; each becomes one Go error and
// the device works on.
func TestFaults(t *testing.T) {
	for fault, want := range map[string]string{
		"device-lost":          "Device Removed Error",
		"command-buffer-error": "Internal Error",
		"gpu-out-of-memory":    "Insufficient Memory",
	} {
		t.Run(fault, func(t *testing.T) {
			b := newBench(t)
			require.NoError(t, b.enc.Dispatch(b.launch()))
			b.e.Fault(fault)
			require.NoError(t, b.enc.Commit())
			require.ErrorContains(t, b.enc.Wait(), want)
			again, err := b.g.Begin()
			require.NoError(t, err)
			require.NoError(t, again.Dispatch(b.launch()))
			require.NoError(t, again.Commit())
			require.NoError(t, again.Wait())
			require.Empty(t, b.e.Noted())
		})
	}
	t.Run("out-of-memory", func(t *testing.T) {
		b := newBench(t)
		b.e.Fault("out-of-memory")
		_, err := b.dev.Alloc(1<<20, fruntime.Shared)
		require.ErrorContains(t, err, "out of memory: 1.05 MB wanted")
		m, err := b.dev.Alloc(1<<20, fruntime.Shared)
		require.NoError(t, err)
		require.NoError(t, m.Free())
	})
	t.Run("compile-error", func(t *testing.T) {
		b := newBench(t)
		b.e.Fault("compile-error")
		_, err := b.dev.Load(context.Background(), copyPlan(), nil)
		require.EqualError(t, err, "metal: kernel copy does not compile: program_source:12:5: error: use of undeclared identifier 'injected' (code 3)")
		units := copyPlan()
		units.MSL, units.Needs, units.Kernels[0].Matrices = plan.MatrixMSL, []plan.Need{plan.Matmul2D}, 1
		units.Options.Target = "apple-m5"
		b.e.Fault("compile-error")
		_, err = b.dev.Load(context.Background(), units, nil)
		require.ErrorContains(t, err, "'injected' (code 3); the kernel needs matmul2d: Metal language 4.0 and MetalPerformancePrimitives of macOS 26.2 or later")
		require.ErrorContains(t, err, "compile the plan for a target before apple-m5")
		p, err := b.dev.Load(context.Background(), copyPlan(), nil)
		require.NoError(t, err)
		require.NoError(t, p.Close())
	})
}
