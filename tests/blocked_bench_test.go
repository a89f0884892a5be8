package tests

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"foundry"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"

	"github.com/stretchr/testify/require"

	"foundry/runtime/devicetest"
)

// blockedKernel multiplies a vector by f16 weights in blocks of 32 along K: block b of
// row n lies at b * N + n, so that adjacent rows are adjacent in memory, four lanes
// read one row's block, and a simdgroup has eight rows. What the compiler's own kernel
// does it does too: weights on their way before the ready point, the vector staged,
// simdgroups that share rows where these are few.
const blockedKernel = `#include <metal_stdlib>
using namespace metal;
#pragma METAL fp contract(off)
#ifndef FOUNDRY_READY
#define FOUNDRY_READY()
#endif
#ifndef FOUNDRY_UNROLL
#define FOUNDRY_UNROLL
#endif
constant uint N = %du, K = %du, SIMDS = 8u, SHARE = %du, PRE = %du;
inline float dot8(uint4 raw, threadgroup const float *x, float sum)
{
    const float2 a = float2(as_type<half2>(raw.x)), b = float2(as_type<half2>(raw.y));
    const float2 c = float2(as_type<half2>(raw.z)), d = float2(as_type<half2>(raw.w));
    const float4 p = *(threadgroup const float4 *)x, q = *(threadgroup const float4 *)(x + 4u);
    sum = fma(a.x, p.x, sum); sum = fma(a.y, p.y, sum); sum = fma(b.x, p.z, sum); sum = fma(b.y, p.w, sum);
    sum = fma(c.x, q.x, sum); sum = fma(c.y, q.y, sum); sum = fma(d.x, q.z, sum); sum = fma(d.y, q.w, sum);
    return sum;
}
kernel void blocked(
    device const uint4 *w [[buffer(0)]],
    device const float *x [[buffer(1)]],
    device float *y [[buffer(2)]],
    threadgroup float *staged [[threadgroup(0)]],
    threadgroup float *shares [[threadgroup(1)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]])
{
    const uint share = simd %% SHARE, quarter = lane %% 4u;
    const uint row = (group.x * (SIMDS / SHARE) + simd / SHARE) * 8u + lane / 4u;
    device const uint4 *mine = w + min(row, N - 1u) * 4u + quarter;
    uint4 raw[PRE];
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PRE; i++) raw[i] = mine[min(share + i * SHARE, K / 32u - 1u) * ulong(N * 4u)];
    FOUNDRY_READY();
    for (uint k = thread_index * 4u; k < K; k += SIMDS * 128u) *(threadgroup float4 *)(staged + k) = *(device const float4 *)(x + k);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float sum = 0.0f;
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PRE; i++) {
        const uint b = share + i * SHARE;
        if (b < K / 32u) sum = dot8(raw[i], staged + b * 32u + quarter * 8u, sum);
    }
    for (uint first = share + PRE * SHARE; first < K / 32u; first += PRE * SHARE) {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < PRE; i++) raw[i] = mine[min(first + i * SHARE, K / 32u - 1u) * ulong(N * 4u)];
        FOUNDRY_UNROLL
        for (uint i = 0u; i < PRE; i++) {
            const uint b = first + i * SHARE;
            if (b < K / 32u) sum = dot8(raw[i], staged + b * 32u + quarter * 8u, sum);
        }
    }
    sum += simd_shuffle_xor(sum, ushort(1));
    sum += simd_shuffle_xor(sum, ushort(2));
    if (SHARE > 1u) {
        if (quarter == 0u) shares[simd * 8u + lane / 4u] = sum;
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint s = 1u; s < SHARE && share == 0u; s++) sum += shares[(simd + s) * 8u + lane / 4u];
    }
    if (share == 0u && quarter == 0u && row < N) y[row] = sum;
}
`

// BenchmarkBlockedWeights compares products of one vector over f16 weights row by row,
// as the compiler makes them, with weights in blocks of 32, on a GPU or else on cpu:
// microseconds a product, weights in turn over more than a cache holds.
func BenchmarkBlockedWeights(b *testing.B) {
	dev, err := foundry.OpenDevice(b.Context(), foundry.CUDA, cpu.Options{TrustKernels: true})
	rotate := int64(240 << 20)
	if err != nil {
		rotate = 1
		if dev, err = foundry.OpenDevice(b.Context(), foundry.CPU, cpu.Options{TrustKernels: true}); err != nil {
			devicetest.Need(b, err)
		}
	}
	defer dev.Close()
	for _, s := range []struct {
		name string
		n, k int
	}{{"0.5b/qkv", 1152, 896}, {"0.5b/o", 896, 896}, {"0.5b/gate-up", 9728, 896}, {"0.5b/down", 896, 4864}, {"7b/o", 3584, 3584}, {"7b/gate-up", 37888, 3584}, {"7b/down", 3584, 18944}} {
		b.Run(s.name, func(b *testing.B) {
			if rotate == 1 && s.n*s.k > 10<<20 {
				b.Skip("on cpu small shapes are enough")
			}
			t := twoForms(b, dev, s.n, s.k, rotate)
			best := [2]time.Duration{time.Hour, time.Hour}
			for b.Loop() {
				for i := range best {
					best[i] = min(best[i], t.time(b, i))
				}
			}
			b.ReportMetric(float64(best[0].Nanoseconds())/1e3, "us/rows")
			b.ReportMetric(float64(best[1].Nanoseconds())/1e3, "us/blocks")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// forms are a product's two kernels with their operands.
type forms struct {
	launches   [2][]runtime.Launch // for each form, one for each copy of the weights
	program    runtime.Program
	recordings [2]runtime.Recording
	count      int
}

// twoForms loads both forms and checks that they agree.
func twoForms(b *testing.B, dev runtime.Device, n, k int, rotate int64) *forms {
	b.Helper()
	ctx := context.Background()
	rows, groups := rowsKernel(b, n, k)
	share := 1
	for share < 8 && k/32/share >= 4 && n/8*share < 132*32 {
		share *= 2
	}
	blocked := plan.Kernel{
		Name: "blocked", File: "kernels/blocked.metal", Threads: [3]int{256, 1, 1}, Slots: rows.Slots,
		Source:      fmt.Sprintf(blockedKernel, n, k, share, min(8, (k/32+share-1)/share)),
		Threadgroup: []plan.ThreadgroupArg{{Name: "staged", Type: "float", Bytes: 4 * k}, {Name: "shares", Type: "float", Bytes: 256}},
		Builtins:    []plan.Builtin{plan.ThreadgroupPosition, plan.ThreadIndex, plan.SimdgroupIndex, plan.LaneIndex},
	}
	blocked.Slots = []plan.Slot{{Name: "w", Type: "uint4", Space: "device", Access: plan.Read}, rows.Slots[1], rows.Slots[2]}
	if 4*k+256 > 32<<10 { // long vectors do not fit beside the shares
		b.Skipf("a vector of %d floats is not staged whole", k)
	}
	program, err := dev.Load(ctx, &plan.Plan{Schema: plan.Schema, MSL: "3.0", Kernels: []plan.Kernel{rows, blocked}}, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, program.Close()) })
	f := &forms{program: program}

	weights, permuted := make([]byte, 2*n*k), make([]byte, 2*n*k)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n * k {
		binary.LittleEndian.PutUint16(weights[2*i:], dtype.F32ToF16(float32(random.Float64()-0.5)))
	}
	for r := range n {
		for block := range k / 32 {
			copy(permuted[(block*n+r)*64:][:64], weights[2*(r*k+32*block):][:64])
		}
	}
	x := make([]byte, 4*k)
	for i := range k {
		binary.LittleEndian.PutUint32(x[4*i:], math.Float32bits(float32(random.Float64()-0.5)))
	}
	put := func(content []byte) runtime.Operand {
		m, err := dev.Alloc(int64(len(content)), runtime.Filled)
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, m.Free()) })
		require.NoError(b, m.Write(0, content))
		return runtime.Operand{Memory: m, Bytes: int64(len(content)), Access: plan.Read}
	}
	vector, out := put(x), [2]runtime.Operand{put(make([]byte, 4*n)), put(make([]byte, 4*n))}
	copies := int(rotate/int64(len(weights))) + 1
	f.count = max(copies, 64)
	if rotate == 1 {
		f.count = 4
	}
	perGroup := 8 * 8 / share
	for i, content := range [][]byte{weights, permuted} {
		y := out[i]
		y.Access = plan.Write
		grid := [3]int64{groups, 1, 1}
		if i == 1 {
			grid[0] = int64((n + perGroup - 1) / perGroup)
		}
		for range copies {
			f.launches[i] = append(f.launches[i], runtime.Launch{Kernel: i, Label: "product", Grid: grid, Bind: []runtime.Operand{put(content), vector, y}})
		}
		f.run(b, i, 1)
	}
	var y [2][]float32
	for i := range y {
		raw := make([]byte, 4*n)
		require.NoError(b, out[i].Memory.Read(0, raw))
		y[i] = make([]float32, n)
		for j := range n {
			y[i][j] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*j:]))
		}
	}
	var wrong, size float64
	for j := range n {
		wrong += math.Pow(float64(y[0][j]-y[1][j]), 2)
		size += math.Pow(float64(y[0][j]), 2)
	}
	require.Less(b, wrong/size, 1e-10, "the forms disagree")
	return f
}

// rowsKernel is the kernel that the compiler makes for target h100.
func rowsKernel(b *testing.B, n, k int) (plan.Kernel, int64) {
	b.Helper()
	g, err := ir.Parse("product.fir", fmt.Sprintf("graph @product (T=1..1, P=0..0, S<=1) {\n%%0 = input \"x\" : f32[1, %d]\n%%1 = weight \"w\" : f16[%d, %d]\n"+
		"%%2 = matmul_nt %%0, %%1 : f32[1, %d]\nreturn y=%%2\n}\n", k, n, k, n))
	require.NoError(b, err)
	h100, err := target.Find("h100")
	require.NoError(b, err)
	p, err := metal.Compile([]metal.Entry{{Name: "product", Graph: g}}, metal.Options{
		Target: h100, Model: plan.Model{Context: 1}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
	require.NoError(b, err)
	require.Len(b, p.Kernels, 1)
	require.Equal(b, []string{"weight", "x", "y"}, []string{p.Kernels[0].Slots[0].Name, p.Kernels[0].Slots[1].Name, p.Kernels[0].Slots[2].Name})
	p.Kernels[0].File = "kernels/" + p.Kernels[0].Name + ".metal"
	return p.Kernels[0], p.Entries[0].Steps[0].Dispatch.Grid[0].N.C
}

func (f *forms) encode(form, count int) func(runtime.Encoder) error {
	return func(enc runtime.Encoder) error {
		for i := range count {
			if err := errors.Join(enc.Dispatch(&f.launches[form][i%len(f.launches[form])]), enc.Barrier()); err != nil {
				return err
			}
		}
		return nil
	}
}

func (f *forms) run(b *testing.B, form, count int) time.Duration {
	b.Helper()
	start := time.Now()
	enc, err := f.program.Begin()
	require.NoError(b, err)
	require.NoError(b, f.encode(form, count)(enc))
	require.NoError(b, enc.Commit())
	require.NoError(b, enc.Wait())
	return time.Since(start)
}

// time is how long one product takes, by the GPU's clock where there is one.
func (f *forms) time(b *testing.B, form int) time.Duration {
	b.Helper()
	recorder, ok := f.program.(runtime.Recorder)
	if !ok {
		return f.run(b, form, f.count) / time.Duration(f.count)
	}
	if f.recordings[form] == nil {
		rec, err := recorder.Record(f.encode(form, f.count))
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, rec.Close()) })
		f.recordings[form] = rec
	}
	watch, ok := f.recordings[form].(runtime.Stopwatch)
	if !ok {
		return f.run(b, form, f.count) / time.Duration(f.count)
	}
	took, err := watch.Timed()
	require.NoError(b, err)
	return took / time.Duration(f.count)
}
