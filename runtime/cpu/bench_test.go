package cpu

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"foundry/lower/plan"
)

// gemv is y = w x with rows of k halves, four rows a simdgroup, eight simdgroups.
func gemv(k int) sketch {
	return sketch{
		name: "gemv", threads: 256,
		slots:   []plan.Slot{slot(plan.Read, "half", "w"), slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")},
		prelude: fmt.Sprintf("constant constexpr uint K = %d;", k),
		body: `    uint row = (group.x * 8 + sg) * 4;
    float acc[4] = {0};
    for (uint k = lane * 4; k < K; k += 128) {
        float4 v = *(device const float4*)(x + k);
        for (uint r = 0; r < 4; r++) acc[r] += dot(float4(*(device const half4*)(w + (row + r) * K + k)), v);
    }
    for (uint r = 0; r < 4; r++) {
        float s = simd_sum(acc[r]);
        if (lane == 0) y[row + r] = s;
    }`,
	}
}

// cpuTime is what this process has used: on a busy machine it says more than the
// clock on the wall.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Operations of a threadgroup, in ns per use by all threads; of a thread, in ns.
func BenchmarkOperations(b *testing.B) {
	const times = 1000
	for _, c := range []struct {
		name    string
		threads int
		body    string
	}{
		{"thread", 256, "if (tid > 1000u) y[0] = 1;"},
		{"thread-of-two-phases", 1024, "threadgroup_barrier(mem_flags::mem_none); if (tid > 2000u) y[0] = 1;"},
		{"simd_sum", 32, "float v = tid; for (int i = 0; i < 1000; i++) v = simd_sum(v) * 0.03f; if (tid == 0) y[0] = v;"},
		{"simd_sum", 256, "float v = tid; for (int i = 0; i < 1000; i++) v = simd_sum(v) * 0.03f; if (tid == 0) y[0] = v;"},
		{"simd_shuffle_xor", 32, "float v = tid; for (int i = 0; i < 1000; i++) v = simd_shuffle_xor(v, ushort(1)) + 1; if (tid == 0) y[0] = v;"},
		{"threadgroup_barrier", 256, "for (int i = 0; i < 1000; i++) threadgroup_barrier(mem_flags::mem_threadgroup); if (tid == 0) y[0] = 1;"},
		{"threadgroup_barrier", 1024, "for (int i = 0; i < 1000; i++) threadgroup_barrier(mem_flags::mem_threadgroup); if (tid == 0) y[0] = 1;"},
		{"multiply_accumulate", 32, `simdgroup_float8x8 c = make_filled_simdgroup_matrix<float, 8, 8>(0.0f); simdgroup_half8x8 a = make_filled_simdgroup_matrix<half, 8, 8>(half(0.5f));
			for (int i = 0; i < 1000; i++) simdgroup_multiply_accumulate(c, a, a, c); simdgroup_store(c, y, 8);`},
	} {
		b.Run(fmt.Sprintf("%s/threads=%d", c.name, c.threads), func(b *testing.B) {
			r := load(b, Options{Threads: 1}, sketch{name: "op", threads: c.threads,
				slots: []plan.Slot{slot(plan.Write, "float", "y")}, body: c.body})
			y := r.alloc(256)
			l := launch(0, 10, bind(plan.Write, y))
			before := cpuTime(b)
			for b.Loop() {
				require.NoError(b, r.run(l))
			}
			per := float64(10 * times * b.N)
			if strings.HasPrefix(c.name, "thread-") || c.name == "thread" {
				per = float64(10 * c.threads * b.N)
			}
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/per, "cpu-ns/use")
		})
	}
}

func BenchmarkGEMV(b *testing.B) {
	for _, c := range []struct {
		rows, k, threads int
		checked          bool
	}{{9728, 896, 1, true}, {9728, 896, 1, false}, {9728, 896, 2, false}, {896, 4864, 2, false}, {151936, 896, 2, false}} {
		b.Run(fmt.Sprintf("%dx%d/threads=%d/checked=%t", c.rows, c.k, c.threads, c.checked), func(b *testing.B) {
			r := load(b, Options{Threads: c.threads, Checked: c.checked}, gemv(c.k))
			w, x, y := r.alloc(2*c.rows*c.k), r.alloc(4*c.k), r.alloc(4*c.rows)
			l := launch(0, int64(c.rows/32), bind(plan.Read, w), bind(plan.Read, x), bind(plan.Write, y))
			b.SetBytes(w.Bytes())
			before := cpuTime(b)
			for b.Loop() {
				require.NoError(b, r.run(l))
			}
			b.ReportMetric((cpuTime(b)-before).Seconds()*1e6/float64(b.N), "cpu-us/op")
		})
	}
}
