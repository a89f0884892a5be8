package cpu

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	"foundry/shaders"
)

// stages is the text of stage files, for a sketch to call.
func stages(t *testing.T, files ...string) string {
	t.Helper()
	text := "\n"
	for _, f := range files {
		b, err := shaders.FS.ReadFile(f)
		require.NoError(t, err)
		text += string(b)
	}
	return text
}

// Ids of a run take their places in the history, none at or behind the limit, and all
// of those before it, where there are more than threads.
func TestHistoryEndsAtItsLimit(t *testing.T) {
	const limit = 45
	s := sketch{name: "remember", slots: []plan.Slot{slot(plan.Read, "Step", "step"), slot(plan.Read, "int", "ids"), slot(plan.ReadWrite, "int", "history")},
		threads: 32, prelude: stages(t, "common/step.metal", "epilogue/advance.metal"),
		body: fmt.Sprintf("remember_ids(step, ids, history, %du, tid, 32u);", limit)}
	r := load(t, Options{}, s)
	ids := make([]int32, 40)
	for i := range ids {
		ids[i] = int32(100 + i)
	}
	step := make([]uint32, 32)
	step[0], step[1], step[2] = 40, 7, 47
	history := r.put(make([]int32, 64))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(step)), bind(plan.Read, r.put(ids)), bind(plan.ReadWrite, history))))
	want := make([]int32, 64)
	copy(want[7:limit], ids)
	require.Equal(t, want, get[int32](t, history, 64))
}

// A token becomes the input of the next run: the run's tokens are cached, the next run
// has one, whose random number is drawn for its position. What would stand at the limit
// of the history is not written.
func TestStepAdvances(t *testing.T) {
	const limit = 12
	s := sketch{name: "advance", slots: []plan.Slot{slot(plan.ReadWrite, "Step", "step"), slot(plan.ReadWrite, "int", "ids"), slot(plan.ReadWrite, "int", "history")},
		threads: 1, prelude: stages(t, "common/step.metal", "epilogue/advance.metal"),
		body: fmt.Sprintf("advance_step(step, ids, history, %du, 77);", limit)}
	r := load(t, Options{}, s)
	for _, c := range []struct{ T, P uint32 }{{1, 0}, {3, 5}, {3, 8}, {3, 9}, {4, 9}} {
		step := make([]uint32, 32)
		for i := range step {
			step[i] = uint32(900 + i)
		}
		step[0], step[1], step[2] = c.T, c.P, c.T+c.P
		want := append([]uint32(nil), step...)
		at := c.T + c.P
		want[0], want[1], want[2], want[3], want[13] = 1, at, at+1, 77, at
		history := make([]int32, 16)
		wantHistory := make([]int32, 16)
		if at < limit {
			wantHistory[at] = 77
		}
		a, b, h := r.put(step), r.put([]int32{5, 6}), r.put(history)
		require.NoError(t, r.run(launch(0, 1, bind(plan.ReadWrite, a), bind(plan.ReadWrite, b), bind(plan.ReadWrite, h))))
		require.Equal(t, want, get[uint32](t, a, 32), c)
		require.Equal(t, []int32{77, 6}, get[int32](t, b, 2), c)
		require.Equal(t, wantHistory, get[int32](t, h, 16), c)
	}
}

// The largest of very small values is the largest of them: what stands for the
// simdgroups that a threadgroup has not is below every float.
func TestMaximumOfLowValues(t *testing.T) {
	s := sketch{name: "largest", slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")},
		arrays: []plan.ThreadgroupArg{array("float", "part", 16)}, threads: 96, prelude: stages(t, "common/reduce.metal"),
		body: "y[tid] = threadgroup_max<3u>(x[tid], part, sg, lane);"}
	r := load(t, Options{}, s)
	for _, at := range []int{0, 37, 95} {
		for _, top := range []float32{-math.MaxFloat32, -3.2e38, float32(math.Inf(-1))} {
			x := make([]float32, 96)
			for i := range x {
				x[i] = float32(math.Inf(-1))
			}
			x[at] = top
			y := r.alloc(4 * 96)
			require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(x)), bind(plan.Write, y))))
			for i, v := range get[float32](t, y, 96) {
				require.Equal(t, top, v, "thread %d, %g at %d", i, top, at)
			}
		}
	}
}

// bf16 rounds to nearest, ties to even, up to infinity; a NaN stays one, whose payload
// stands in the lower half, and does not become infinity or, by a carry, zero. What was
// rounded is loaded as it stands, alone and by fours. A bound's power of two takes it to
// [2^14, 2^15), as far as 2^100 reaches, and the other takes it back.
func TestFloatsOfEveryKind(t *testing.T) {
	rows := []struct {
		from uint32
		want uint16
	}{
		{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81}, {0x3f807fff, 0x3f80},
		{0x3f818000, 0x3f82}, {0x3f817fff, 0x3f81}, {0xbf818000, 0xbf82}, {0x00008000, 0}, {0x00018000, 2},
		{0x7f7fffff, 0x7f80}, {0x7f7f7fff, 0x7f7f}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80},
		{0x477fffff, 0x4780}, {0x46ffffff, 0x4700}, {0x7f800001, 0x7fc0}, {0xff800001, 0xffc0}, {0x7fffffff, 0x7fff}, {0xffffffff, 0xffff}, {0x7fc00000, 0x7fc0}, {0x7fa12345, 0x7fe1},
	}
	from, wide := make([]uint32, len(rows)), make([]uint16, (len(rows)+3)/4*4)
	for i, r := range rows {
		from[i], wide[i] = r.from, r.want
	}
	s := sketch{name: "narrow", slots: []plan.Slot{slot(plan.Read, "uint", "x"), slot(plan.Read, "ushort", "b"), slot(plan.Write, "ushort", "y"), slot(plan.Write, "uint", "z"), slot(plan.Write, "float", "r")},
		threads: len(rows), prelude: stages(t, "common/load.metal", "common/range.metal"),
		body: `y[tid] = bf16_bits(as_type<float>(x[tid]));
    z[2u * tid] = as_type<uint>(load1(b + tid));
    z[2u * tid + 1u] = as_type<uint>(load4(b + tid / 4u * 4u)[tid % 4u]);
    r[3u * tid] = range_down(as_type<float>(x[tid]));
    r[3u * tid + 1u] = range_up(r[3u * tid]);
    r[3u * tid + 2u] = range_size(as_type<float>(x[tid]));`}
	r := load(t, Options{}, s)
	y, z, ranges := r.alloc(2*len(rows)), r.alloc(8*len(rows)), r.alloc(12*len(rows))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(from)), bind(plan.Read, r.put(wide)), bind(plan.Write, y), bind(plan.Write, z), bind(plan.Write, ranges))))
	for i, have := range get[uint16](t, y, len(rows)) {
		require.Equal(t, rows[i].want, have, "%#x", rows[i].from)
	}
	for i, have := range get[uint32](t, z, 2*len(rows)) {
		require.Equal(t, uint32(rows[i/2].want)<<16, have, "loaded again, %#x", rows[i/2].want)
	}
	have := get[float32](t, ranges, 3*len(rows))
	for i, r := range rows {
		v := float64(math.Float32frombits(r.from))
		down, size := 1.0, math.Abs(v)
		if v > 0 {
			_, e := math.Frexp(v)
			down = math.Ldexp(1, max(-100, min(100, 15-e)))
		}
		if math.IsInf(v, 1) {
			down = 0x1p-100
		}
		if math.IsInf(v, 0) || math.IsNaN(v) {
			size = 0
		}
		require.Equal(t, []float32{float32(down), float32(1 / down), float32(size)}, have[3*i:3*i+3], "%#x", r.from)
	}
}

// The merge of attention's parts reads those that have keys and no more: what nobody
// wrote is NaN here. Each part is rescaled from its own maximum. Maxima are whole numbers,
// so weights are whole powers of two, and only the quotient is rounded.
func TestMergeReadsPartsThatHaveKeys(t *testing.T) {
	const parts, d = 4, 4
	s := sketch{name: "merge", slots: []plan.Slot{slot(plan.Read, "float", "values"), slot(plan.Read, "float", "states"), slot(plan.Read, "uint", "used"), slot(plan.Write, "float", "y")},
		threads: 1, prelude: stages(t, "prologue/attention_parts.metal"),
		body: `float4 v = merged4<4u, 4u>(values, states, used[0]);
			for (uint i = 0u; i < 4u; i++) { y[i] = v[i]; y[4u + i] = merged1<4u, 4u>(values + i, states, used[0]); }`}
	r := load(t, Options{}, s)
	for used := 1; used <= parts; used++ {
		values, states := make([]float32, parts*d), make([]float32, 2*parts)
		for i := range values {
			values[i] = float32(math.NaN())
		}
		for i := range states {
			states[i] = float32(math.NaN())
		}
		var total float64
		var want [d]float64
		for p := range used {
			top, sum := float64([]float32{1, 3, -2, 2}[p]), 1+float64(p)/4
			states[2*p], states[2*p+1] = float32(top), float32(sum)
			total += math.Exp2(top) * sum
			for i := range d {
				values[p*d+i] = float32(p+1) * float32(i-1)
				want[i] += math.Exp2(top) * float64(values[p*d+i])
			}
		}
		y := r.alloc(4 * 2 * d)
		require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(values)), bind(plan.Read, r.put(states)), bind(plan.Read, r.put([]uint32{uint32(used)})), bind(plan.Write, y))))
		for i, have := range get[float32](t, y, 2*d) {
			require.Equal(t, float32(want[i%d]/total), have, "%d of %d parts used, element %d", used, parts, i)
		}
	}
}

// A thread that merges more than one segment rescales what it has by the new maximum:
// rows of more segments than the threadgroup has threads.
func TestMergeOfMoreSegmentsThanThreads(t *testing.T) {
	const threads = 64
	s := sketch{name: "merge", slots: []plan.Slot{slot(plan.Read, "float", "tops"), slot(plan.Read, "float", "sums"), slot(plan.Read, "uint", "count"), slot(plan.Write, "float", "y")},
		arrays: []plan.ThreadgroupArg{array("float", "shared", 16)}, threads: threads,
		prelude: stages(t, "common/load.metal", "common/reduce.metal", "main/softmax.metal"),
		body:    "const float2 f = softmax_merge<2u>(tops, sums, count[0], shared, sg, lane); y[2u * tid] = f.x; y[2u * tid + 1u] = f.y;"}
	r := load(t, Options{}, s)
	for _, count := range []int{1, 63, 64, 65, 200} {
		for _, rising := range []bool{false, true} {
			tops, sums := make([]float32, count), make([]float32, count)
			peak := math.Inf(-1)
			for i := range tops {
				tops[i], sums[i] = float32(count-i)/16, 1+float32(i%3)
				if rising {
					tops[i] = float32(i) / 16
				}
				peak = max(peak, float64(tops[i]))
			}
			var sum float64
			for i := range tops {
				sum += math.Exp(float64(tops[i])-peak) * float64(sums[i])
			}
			y := r.alloc(8 * threads)
			require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(tops)), bind(plan.Read, r.put(sums)), bind(plan.Read, r.put([]uint32{uint32(count)})), bind(plan.Write, y))))
			have := get[float32](t, y, 2*threads)
			for i := range threads {
				require.EqualValues(t, peak, have[2*i], "%d segments", count)
				// each term meets four exponentials and some ten sums on its way
				require.InEpsilon(t, sum, have[2*i+1], 32*0x1p-24, "%d segments, rising %v", count, rising)
			}
		}
	}
}

// Rows of a product end with their last chunk, wherever in a round of lanes that is:
// behind it x is NaN.
func TestRowsOfAProductEnd(t *testing.T) {
	prelude := stages(t, "prologue/dequant_f32.metal", "main/gemv.metal") + `
struct Probe {
    device const float *x;
    template <typename W>
    float4 quad(uint, uint c, uint q) const { const uint k = W::position(c, q); return float4(x[k], x[k + 1u], x[k + 2u], x[k + 3u]); }
    template <typename W>
    float sum(uint, uint, uint) const { return 0.0f; }
    float at1(uint, uint k) const { return x[k]; }
};
`
	slots := []plan.Slot{slot(plan.Read, "uchar", "w"), slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")}
	const body = `device const uchar *row[1] = {w};
		float acc[1] = {0.0f};
		Probe operand; operand.x = x;
		%s
		acc[0] = simd_sum(acc[0]);
		if (lane == 0u) y[0] = acc[0];`
	for _, c := range []struct {
		chunks int
		call   string
	}{
		{5, "float4 raw[1]; gemv_preload<weight_f32_4, 1u, 32u, 5u, 1u>(row, lane, raw); gemv_preloaded<weight_f32_4, Probe, 1u, 1u, 32u, 5u, 1u>(lane, raw, operand, acc);"},
		{37, "float4 raw[2]; gemv_preload<weight_f32_4, 1u, 32u, 37u, 2u>(row, lane, raw); gemv_preloaded<weight_f32_4, Probe, 1u, 1u, 32u, 37u, 2u>(lane, raw, operand, acc);"},
		{5, "gemv_accumulate<weight_f32_4, Probe, 1u, 1u, 32u, 0u, 5u, 0u, 1u>(row, lane, operand, acc);"},
		{37, "gemv_accumulate<weight_f32_4, Probe, 1u, 1u, 32u, 0u, 37u, 0u, 2u>(row, lane, operand, acc);"},
		{64, "gemv_accumulate<weight_f32_4, Probe, 1u, 1u, 32u, 0u, 64u, 0u, 1u>(row, lane, operand, acc);"},
	} {
		r := load(t, Options{}, sketch{name: "rows", slots: slots, threads: 32, prelude: prelude, body: strings.Replace(body, "%s", c.call, 1)})
		w, x := make([]float32, 4*c.chunks), make([]float32, 4*(c.chunks+64))
		var want float32 // whole numbers, exact
		for i := range x {
			x[i] = float32(math.NaN())
			if i < len(w) {
				w[i], x[i] = float32(i%7-3), float32(i%5)
				want += w[i] * x[i]
			}
		}
		y := r.alloc(4)
		require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(w)), bind(plan.Read, r.put(x)), bind(plan.Write, y))))
		require.Equal(t, want, get[float32](t, y, 1)[0], c.call)
	}
}
