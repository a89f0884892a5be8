package cpu

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
)

// mistakes are kernels that are wrong in one way each. They run over x and y of
// 64 floats, two threadgroups of 64 threads; the error says kernel, threadgroup,
// thread and what.
var mistakes = []struct {
	name    string
	body    string
	arrays  []plan.ThreadgroupArg
	checked bool // only the checked mode finds it
	amd64   bool // only there it traps
	want    []string
	fast    []string // what the fast mode says, where it says less
}{
	{
		name: "barrier_in_divergent_flow",
		body: "if (tid < 40u) threadgroup_barrier(mem_flags::mem_threadgroup);\n y[tid] = x[tid];",
		want: []string{"thread 0 ", "threadgroup_barrier at kernels/barrier_in_divergent_flow.metal:3", "thread 40 returned without"},
	},
	{
		name: "different_barriers",
		body: "if (tid < 32u) {\n threadgroup_barrier(mem_flags::mem_threadgroup);\n } else {\n threadgroup_barrier(mem_flags::mem_threadgroup);\n }",
		want: []string{"thread 32 ", "different_barriers.metal:6", "thread 0 waits at another at kernels/different_barriers.metal:4"},
	},
	{
		name: "read_one_past",
		body: "y[tid] = x[tid + 1u];",
		want: []string{"thread 63 (simdgroup 1, lane 31)", "reads 4 bytes out of bounds", `byte 256 of slot 0 "x", which has 256 bytes`},
		fast: []string{"thread 63 (simdgroup 1, lane 31)", `byte 256 of slot 0 "x", which has 256 bytes`},
	},
	{
		name: "write_one_past",
		body: "y[tid + 1u] = x[tid];",
		want: []string{"thread 63 ", "writes 4 bytes out of bounds", `byte 256 of slot 1 "y"`},
		fast: []string{"thread 63 ", `byte 256 of slot 1 "y"`},
	},
	{
		name: "read_before", body: "y[tid] = (x + 63)[int(tid) - 64];", checked: true,
		want: []string{"thread 0 ", "reads 4 bytes", `4 bytes before slot 0 "x"`},
	},
	{
		name: "read_of_a_written_slot", body: "y[tid] += x[tid];", checked: true,
		want: []string{"thread 0 ", `reads byte 0 of slot 1 "y", which has 256 bytes and is bound for writing only`},
	},
	{
		name: "write_of_a_read_slot", body: "((device float*)x)[tid] = 1.0f;", checked: true,
		want: []string{"thread 0 ", `writes byte 0 of slot 0 "x", which has 256 bytes and is bound for reading only`},
	},
	{
		name: "misaligned", body: "if (tid == 4u) *(device float2*)(y + 2) = *(device const float2*)(x + 1);", checked: true,
		want: []string{"thread 4 ", `reads a vector aligned to 8 bytes at byte 4 of slot 0 "x"`},
	},
	{
		name: "uninitialised", arrays: []plan.ThreadgroupArg{array("float", "scratch", 256)}, checked: true,
		body: "if (tid != 7u) scratch[tid] = x[tid];\n threadgroup_barrier(mem_flags::mem_threadgroup);\n y[tid] = scratch[tid];",
		want: []string{"thread 7 ", `reads byte 28 of threadgroup array "scratch"`, "no thread has written yet"},
	},
	{
		name: "uninitialised_in_body", checked: true,
		body: "threadgroup float scratch[64];\n if (tid != 7u) scratch[tid] = x[tid];\n threadgroup_barrier(mem_flags::mem_threadgroup);\n y[tid] = scratch[tid];",
		want: []string{"thread 7 ", `byte 28 of threadgroup array "scratch"`, "no thread has written yet"},
	},
	{
		name: "two_writers", checked: true, body: "if (tid == 5u || tid == 50u) y[9] = float(tid);",
		want: []string{"thread 50 ", `race: writes byte 36 of slot 1 "y"`, "thread 5 wrote with no barrier"},
	},
	{
		name: "missing_barrier", arrays: []plan.ThreadgroupArg{array("float", "scratch", 256)}, checked: true,
		body: "scratch[tid] = x[tid];\n y[tid] = scratch[tid == 0u ? 0u : tid - 1u];",
		want: []string{"race: ", `of threadgroup array "scratch"`, "no barrier between"},
	},
	{
		name: "wrong_flag", arrays: []plan.ThreadgroupArg{array("float", "scratch", 256)}, checked: true,
		body: "scratch[tid] = x[tid];\n threadgroup_barrier(mem_flags::mem_device);\n y[tid] = scratch[63u - tid];",
		want: []string{"race: reads", `threadgroup array "scratch"`, "wrote with no barrier between"},
	},
	{
		name: "wrong_flag_of_buffers", checked: true,
		body: "if (tid == 0u) y[5] = 1.0f;\n threadgroup_barrier(mem_flags::mem_threadgroup);\n if (tid == 1u) y[5] = 2.0f;",
		want: []string{"thread 1 ", `race: writes byte 20 of slot 1 "y"`, "thread 0 wrote with no barrier between"},
	},
	{
		name: "wrong_flag_of_simdgroup", arrays: []plan.ThreadgroupArg{array("float", "scratch", 256)}, checked: true,
		body: "scratch[tid] = x[tid];\n simdgroup_barrier(mem_flags::mem_device);\n y[tid] = scratch[tid ^ 1u];",
		want: []string{"race: reads", `threadgroup array "scratch"`, "wrote with no barrier between"},
	},
	{
		name: "wrong_flag_of_simdgroup_and_buffers", checked: true,
		body: "if (tid == 0u) y[5] = 1.0f;\n simdgroup_barrier(mem_flags::mem_threadgroup);\n if (tid == 1u) y[5] = 2.0f;",
		want: []string{"thread 1 ", `race: writes byte 20 of slot 1 "y"`, "thread 0 wrote with no barrier between"},
	},
	{
		name: "read_then_write", arrays: []plan.ThreadgroupArg{array("float", "scratch", 256)}, checked: true,
		body: "scratch[tid] = x[tid];\n threadgroup_barrier(mem_flags::mem_threadgroup);\n float v = scratch[63u - tid];\n scratch[tid] = v; y[tid] = v;",
		want: []string{"race: ", `threadgroup array "scratch"`},
	},
	{
		name: "between_threadgroups", checked: true, body: "if (tid == 3u) y[0] = float(group.x);",
		want: []string{"threadgroup (1, 0, 0), thread 3 ", `writes byte 0 of slot 1 "y"`, "thread 3 of threadgroup (0, 0, 0) wrote with no order between"},
	},
	{
		name: "plain_and_atomic", checked: true,
		body: "device atomic_uint* a = (device atomic_uint*)y; if (tid == 0u) y[0] = 1.0f; else if (tid == 1u) atomic_store_explicit(a, 1u, memory_order_relaxed);",
		want: []string{"race", "thread 0 wrote with no barrier between"},
	},
	{
		name: "diverging_simd_sum", body: "float v = x[tid];\n if (lane < 16u) v = simd_sum(v);\n y[tid] = v;",
		want: []string{"thread 0 ", "waits in simd_sum at kernels/diverging_simd_sum.metal:4", "lane 16 of its simdgroup (thread 16) returned"},
	},
	{
		name: "different_simd_operations",
		body: "float v = x[tid];\n if (lane < 9u)\n v = simd_sum(v);\n else\n v = simd_max(v);\n y[tid] = v;",
		want: []string{"thread 9 ", "reaches simd_max at kernels/different_simd_operations.metal:7", "lane 0", "waits in simd_sum at kernels/different_simd_operations.metal:5"},
	},
	{
		name: "simd_sum_and_barrier", body: "float v = x[tid];\n if (tid != 20u) v = simd_sum(v);\n else threadgroup_barrier(mem_flags::mem_none);\n y[tid] = v;",
		want: []string{"thread 0 ", "waits in simd_sum", "thread 20) does not reach: it waits at the threadgroup_barrier"},
	},
	{
		name: "no_such_lane", body: "y[tid] = simd_shuffle(x[tid], ushort(40));",
		want: []string{"simd_shuffle at kernels/no_such_lane.metal:3 takes from lane 40"},
	},
	{
		name: "diverging_matrix", checked: true,
		body: "simdgroup_float8x8 m;\n if (tid < 5u) simdgroup_load(m, x, 8);",
		want: []string{"thread 0 ", "waits in a simdgroup_matrix operation"},
	},
	{
		name: "overrun", arrays: []plan.ThreadgroupArg{array("float", "first", 256), array("float", "second", 64)},
		body: "first[tid] = 0.0f; threadgroup_barrier(mem_flags::mem_threadgroup); if (tid == 2u) first[64] = 1.0f;",
		want: []string{"thread 2 ", `writes 4 bytes out of bounds, at byte 256 of threadgroup array "first"`},
		fast: []string{"threadgroup (", `writes beyond threadgroup array "first" of 256 bytes`},
	},
	{
		name: "too_much_in_body", body: "threadgroup float a[4096]; threadgroup float b[54017]; a[tid] = 1.0f; b[tid] = 2.0f;",
		want: []string{`232464 bytes of threadgroup memory with array "b"; 232448 are possible`},
	},
	{
		name: "endless", checked: true, body: "if (tid == 11u) while (x[0] == 0.0f) y[11] = 1.0f;",
		want: []string{"thread 11 ", "endless loop?"},
	}, {
		name: "endless_to_compilers", checked: true,
		body: "float s = 0.0f; for (uint i = 0u; i < 4294967295u; i += 2u) s += 1.0f; y[tid] = s;",
		want: []string{"thread 0 ", "endless loop?"},
	},
	{
		name: "endless_while", checked: true, body: "if (tid == 3u) while (true) {}\n y[tid] = x[tid];",
		want: []string{"thread 3 ", "endless loop?"},
	}, {
		name: "endless_do", checked: true, body: "uint i = 0u; do { i = i * 5u + 1u; } while (i < 4294967295u || true);\n y[tid] = x[tid];",
		want: []string{"thread 0 ", "endless loop?"},
	}, {
		name: "endless_for", checked: true, body: "for (;;) {}\n y[tid] = x[tid];",
		want: []string{"thread 0 ", "endless loop?"},
	}, {
		name: "endless_choice", checked: true, body: "if (tid == 5u) for (;;) if (tid == 6u) y[0] = 1.0f; else; else y[tid] = x[tid];",
		want: []string{"thread 5 ", "endless loop?"},
	}, {
		name: "endless_call", checked: true, body: "forever();\n y[tid] = x[tid];",
		want: []string{"thread 0 ", "endless loop?"},
	},
	{
		name: "division_by_zero", amd64: true, body: "if (tid == 13u) y[tid] = float(int(tid) / int(x[tid]));",
		want: []string{"thread 13 ", "division by zero"},
	},
	{
		name: "stack", body: "float big[40000]; for (uint i = 0; i < 40000u; i++) big[i] = x[i % 64u];\n y[tid] = big[uint(y[0])];",
		want: []string{"thread 0 ", "private memory exceeds 64 KiB"},
	},
	{
		name: "beyond_private", checked: true, body: "float v[4]; for (uint i = 0u; i < 4u + tid / 63u; i++) v[i] = x[i];\n y[tid] = v[uint(x[0])];",
		want: []string{"thread 63 ", "an index beyond a private array"},
	},
	{
		name: "wild", body: "if (tid == 33u) y[1u << 28] = 1.0f;",
		want: []string{"thread 33 ", "address"},
		fast: []string{"thread 33 ", "address"},
	},
}

func TestMistakesAreNamed(t *testing.T) {
	for mode, o := range map[string]Options{"fast": {}, "checked": {Checked: true, MaxSteps: 1 << 16}} {
		t.Run(mode, func(t *testing.T) {
			var sketches []sketch
			for _, m := range mistakes {
				sketches = append(sketches, sketch{name: m.name, threads: 64, arrays: m.arrays, body: m.body, prelude: "inline void forever() { while (true) {} }",
					slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")}})
			}
			good := sketches[0]
			good.name, good.body = "good", "y[group.x * 64 + tid] = x[tid];"
			r := load(t, o, append(sketches, good)...)
			x, y := r.alloc(256), r.alloc(256)
			z := r.alloc(512)
			for i, m := range mistakes {
				if m.checked && !o.Checked || m.amd64 && runtime.GOARCH != "amd64" {
					continue
				}
				err := r.run(launch(i, 2, bind(plan.Read, x), bind(plan.Write, y)))
				want := m.want
				if !o.Checked && m.fast != nil {
					want = m.fast
				}
				require.Error(t, err, m.name)
				require.ErrorContains(t, err, "kernel "+m.name+", threadgroup (")
				for _, w := range want {
					require.ErrorContains(t, err, w)
				}
				// The device goes on.
				require.NoError(t, r.run(launch(len(mistakes), 2, bind(plan.Read, x), bind(plan.Write, z))), m.name)
			}
		})
	}
}

// What a barrier's flags name is ordered, between a simdgroup's lanes and a threadgroup's
// threads.
func TestBarriersOrder(t *testing.T) {
	r := load(t, Options{Checked: true, OneRun: true}, sketch{name: "ordered", threads: 64, arrays: []plan.ThreadgroupArg{array("float", "scratch", 256)},
		slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")},
		body: `scratch[tid] = x[tid]; simdgroup_barrier(mem_flags::mem_threadgroup); y[tid] = scratch[tid ^ 1u];
			simdgroup_barrier(mem_flags::mem_device); y[tid ^ 2u] = 1.0f;
			threadgroup_barrier(mem_flags::mem_device); y[63u - tid] = float(tid);
			simdgroup_barrier(mem_flags::mem_threadgroup | mem_flags::mem_device); scratch[tid ^ 1u] = 2.0f;
			threadgroup_barrier(mem_flags::mem_threadgroup); scratch[63u - tid] = 3.0f;`})
	y := r.alloc(256)
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.alloc(256)), bind(plan.Write, y))))
	require.EqualValues(t, []float32{63, 62}, get[float32](t, y, 64)[:2])
}

// A range within a buffer is a bound of its own in the checked mode.
func TestBoundRange(t *testing.T) {
	r := load(t, Options{Checked: true}, sketch{name: "copy", threads: 64, body: "y[tid] = x[tid];",
		slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")}})
	x, y := r.alloc(1024), r.alloc(256)
	part := func(bytes int64) fruntime.Operand {
		return fruntime.Operand{Memory: x, Offset: 512, Bytes: bytes, Access: plan.Read}
	}
	require.NoError(t, r.run(launch(0, 1, part(256), bind(plan.Write, y))))
	err := r.run(launch(0, 1, part(252), bind(plan.Write, y)))
	require.ErrorContains(t, err, `kernel copy, threadgroup (0, 0, 0), thread 63 (simdgroup 1, lane 31): reads 4 bytes out of bounds, at byte 252 of slot 0 "x"`)
}

// Dispatches of a wave must not touch what another of them writes.
func TestRaceBetweenDispatches(t *testing.T) {
	copyOf := func(name string) sketch {
		return sketch{name: name, threads: 64, body: "y[tid] = x[tid];",
			slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")}}
	}
	r := load(t, Options{Checked: true}, copyOf("first"), copyOf("second"))
	x, y, z := r.alloc(256), r.alloc(256), r.alloc(256)
	a, b := launch(0, 1, bind(plan.Read, x), bind(plan.Write, y)), launch(1, 1, bind(plan.Read, y), bind(plan.Write, z))
	require.ErrorContains(t, r.run(a, b),
		`kernel second, threadgroup (0, 0, 0), thread 0 (simdgroup 0, lane 0): race: reads byte 0 of slot 0 "x", which has 256 bytes, `+
			`which thread 0 of threadgroup (0, 0, 0) of kernel first, an earlier dispatch of the wave, wrote with no order between`)
	enc, err := r.prog.Begin()
	require.NoError(t, err)
	require.NoError(t, enc.Dispatch(a))
	require.NoError(t, enc.Barrier())
	require.NoError(t, enc.Dispatch(b))
	require.NoError(t, enc.Commit())
	require.NoError(t, enc.Wait())
}

// A fault of Go's own stays Go's.
func TestFaultsOfGo(t *testing.T) {
	open(t, Options{})
	var p *int
	require.Panics(t, func() { *p = 1 })
}
