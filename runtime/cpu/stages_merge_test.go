package cpu

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// Simdgroups' shares of attention are weighed from the largest of their maxima, however
// low: what stands behind the maxima, their sums, is none of them. A value that is
// infinite stays in its own column. Maxima are whole numbers, so weights are whole powers
// of two, and nothing is rounded.
func TestGatherOfLowScores(t *testing.T) {
	const simds, d = 4, 32
	s := sketch{name: "gather", slots: []plan.Slot{slot(plan.Read, "float", "tops"), slot(plan.Read, "float", "sums"), slot(plan.Read, "float", "values"), slot(plan.Write, "float", "y")},
		arrays: []plan.ThreadgroupArg{array("float", "shared", 4*(2*simds+simds*d))}, threads: 32 * simds,
		prelude: stages(t, "common/phases.metal", "common/load.metal", "common/reduce.metal", "main/attention.metal"),
		body: `float acc[1] = {values[tid]}, peak, total;
			const float v = attention_gather<32u, 32u, 1u, 4u>(tops[sg], sums[sg], acc, shared, sg, lane, peak, total);
			y[3u * tid] = v; y[3u * tid + 1u] = peak; y[3u * tid + 2u] = total;`}
	r := load(t, Options{}, s)
	for _, base := range []float64{-200, 0, 90} {
		for _, infinite := range []bool{false, true} {
			tops, sums, values := make([]float32, simds), make([]float32, simds), make([]float32, simds*d)
			var total float64
			want := make([]float64, d)
			peak := base + 3
			for i := range simds {
				top, sum := base+float64(i*3%4), 150+float64(i)
				tops[i], sums[i] = float32(top), float32(sum)
				total += math.Exp2(top-peak) * sum
				for j := range d {
					v := float64(j%5 - 2)
					if infinite && j == 0 {
						v = math.Inf(1)
					}
					values[i*d+j] = float32(v)
					want[j] += math.Exp2(top-peak) * v
				}
			}
			y := r.alloc(4 * 3 * 32 * simds)
			require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(tops)), bind(plan.Read, r.put(sums)), bind(plan.Read, r.put(values)), bind(plan.Write, y))))
			have := get[float32](t, y, 3*32*simds)
			for thread := range 32 * simds {
				require.EqualValues(t, peak, have[3*thread+1])
				require.EqualValues(t, total, have[3*thread+2], "thread %d from %g", thread, base)
				if thread < d {
					require.EqualValues(t, want[thread], have[3*thread], "column %d from %g", thread, base)
				}
			}
		}
	}
}

// A vector is refused for each of its elements that rounds to no finite half, and not
// for one that just rounds to the largest, nor for infinities.
func TestRefusalOfEachElement(t *testing.T) {
	s := sketch{name: "refusing", slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.ReadWrite, "atomic_uint", "refused")}, threads: 1,
		prelude: stages(t, "epilogue/refuse.metal"), body: "refuse_large(float4(x[0], x[1], x[2], x[3]), refused, 9u); if (x[4] != 0.0f) refuse_large(x[4], refused, 7u);"}
	r := load(t, Options{}, s)
	below, nan := math.Nextafter32(65520, 0), float32(math.NaN())
	for _, c := range []struct {
		x    [5]float32
		want uint32
	}{
		{[5]float32{}, 0}, {[5]float32{65520}, 9}, {[5]float32{0, -65520}, 9}, {[5]float32{0, 0, 1e6}, 9}, {[5]float32{0, 0, 0, -math.MaxFloat32}, 9},
		{[5]float32{below, -below, below, -below, below}, 0}, {[5]float32{float32(math.Inf(1)), float32(math.Inf(-1)), nan, 0, float32(math.Inf(1))}, 0},
		{[5]float32{0, 0, 0, 0, -65520}, 7},
	} {
		refused := r.put([]uint32{0, 55})
		require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(c.x[:])), bind(plan.ReadWrite, refused))))
		have := get[uint32](t, refused, 2)
		require.Equal(t, c.want, have[0], c.x)
		require.Equal(t, c.want == 0, have[1] == 55, c.x)
	}
}

// A weight is scaled without loss up to the last bit, and says where one was lost.
func TestScaleOfWeights(t *testing.T) {
	rows := []struct {
		a       uint64
		b, bits uint32
	}{
		{1, 1, 1}, {2, 1, 1}, {3, 1, 1}, {1 << 40, 5, 24}, {1<<40 + 1, 5, 24}, {1 << 23, 2, 24}, {1<<23 + 1, 2, 24}, {1<<51 - 1, 1<<24 - 1, 24},
		{0xffffffff, 1 << 23, 24}, {1 << 33, 1 << 31, 32}, {12345678901234, 0xffffffff, 32}, {0, 7, 24}, {1 << 45, 0, 24},
	}
	var words []uint32
	for _, c := range rows {
		words = append(words, uint32(c.a), uint32(c.a>>32), c.b, c.bits)
	}
	s := sketch{name: "scale", slots: []plan.Slot{slot(plan.Read, "uint", "x"), slot(plan.Write, "uint", "y")}, threads: len(rows), prelude: stages(t, "main/sample.metal"),
		body: `bool exact; const ulong v = sample_scale(sample_load(x + 4u * tid), x[4u * tid + 2u], x[4u * tid + 3u], exact);
			y[3u * tid + 2u] = exact ? 1u : 0u; sample_store(y + 3u * tid, v);`}
	r := load(t, Options{}, s)
	y := r.alloc(12 * len(rows))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(words)), bind(plan.Write, y))))
	have := get[uint32](t, y, 3*len(rows))
	for i, c := range rows {
		product := new(big.Int).Mul(new(big.Int).SetUint64(c.a), big.NewInt(int64(c.b)))
		lost := new(big.Int).And(product, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(c.bits)), big.NewInt(1)))
		require.Equal(t, new(big.Int).Rsh(product, uint(c.bits)).Uint64(), uint64(have[3*i+1])<<32|uint64(have[3*i]), "%+v", c)
		require.Equal(t, lost.Sign() == 0, have[3*i+2] == 1, "%+v", c)
	}
}

// A histogram counts the scores that begin as its prefix says, and sums their weights to
// the last of 39 bits; scores of no weight are counted where tokens count.
func TestHistogramOfWeights(t *testing.T) {
	const part, bins = 4096, 2048
	one := func(name, above, below, prefix string, counts, weighs bool) sketch {
		return sketch{name: name, slots: []plan.Slot{slot(plan.Read, "float", "scores"), slot(plan.Read, "float", "settings"), slot(plan.ReadWrite, "atomic_uint", "histogram"), slot(plan.Write, "uint", "weights")},
			arrays: []plan.ThreadgroupArg{array("atomic_uint", "gathered", 4*3*bins)}, threads: 256, prelude: stages(t, "main/sample.metal", "main/sample_cut.metal"),
			body: fmt.Sprintf(`sample_histogram<%s, %s>(scores, %s, 2.0f, settings, %v, %v, gathered, histogram, tid);
				for (uint i = tid; i < 4096u; i += 256u) {
					sample_store(weights + 3u * i, sample_fixed(sample_ratio(scores[i], 2.0f, settings)));
					weights[3u * i + 2u] = sample_key(scores[i]);
				}`, above, below, prefix, counts, weighs)}
	}
	scores := make([]float32, part)
	for i := range scores {
		scores[i] = 2 - float32(i*i%977)/37
	}
	scores[17], scores[3001] = float32(math.Inf(-1)), -300
	for _, c := range []struct {
		k              sketch
		above, below   uint
		counts, weighs bool
	}{
		{one("all", "32u", "21u", "0u", true, true), 32, 21, true, true}, {one("next", "21u", "10u", "1536u", true, true), 21, 10, true, true},
		{one("last", "10u", "0u", "3145728u", false, true), 10, 0, false, true}, {one("counts", "32u", "21u", "0u", true, false), 32, 21, true, false},
	} {
		r := load(t, Options{}, c.k)
		histogram, weights := r.alloc(4*3*bins), r.alloc(12*part)
		require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(scores)), bind(plan.Read, r.put([]float32{0.7, 0, 0, 0, 1})), bind(plan.ReadWrite, histogram), bind(plan.Write, weights))))
		have, of := get[uint32](t, histogram, 3*bins), get[uint32](t, weights, 3*part)
		prefix := map[uint]uint32{21: 1536, 10: 3145728}[c.above]
		count, weight := make([]uint32, bins), make([]uint64, bins)
		met := 0
		for i := range part {
			key := of[3*i+2]
			if c.above != 32 && key>>c.above != prefix {
				continue
			}
			met++
			bin := key >> c.below % bins
			if c.above == 10 {
				bin = key % 1024
			}
			if c.counts {
				count[bin]++
			}
			if c.weighs {
				weight[bin] += uint64(of[3*i+1])<<32 | uint64(of[3*i])
			}
		}
		require.Positive(t, met, c.k.name)
		for b := range bins {
			require.Equal(t, count[b], have[b], "%s, tokens of bin %d", c.k.name, b)
			require.Equal(t, weight[b], uint64(have[2*bins+b])<<26+uint64(have[bins+b]), "%s, weight of bin %d", c.k.name, b)
		}
	}
}
