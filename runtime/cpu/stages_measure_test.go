package cpu

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// The largest element of a weight and the longest of its rows, as they are and times
// factors: what caches of halves are scaled by. Rows are shared among threadgroups, a
// length beyond floats is bounded by the largest element, and NaN counts as nothing.
func TestMeasuresOfRows(t *testing.T) {
	const k, simds = 36, 2
	one := func(name, gamma string) sketch {
		return sketch{name: name, slots: []plan.Slot{slot(plan.Read, "uchar", "w"), slot(plan.Read, "float", "gamma"), slot(plan.Read, "uint", "rows"), slot(plan.Write, "float", "y")},
			arrays: []plan.ThreadgroupArg{array("float", "shared", 16)}, threads: 32 * simds,
			prelude: stages(t, "common/phases.metal", "prologue/dequant_f32.metal", "main/measure.metal"),
			body: fmt.Sprintf(`const float2 v = measure_rows<weight_f32_4, %du, %du>(w, %du, rows[0], %s, group.x, 2u, shared, sg, lane);
				y[2u * (group.x * 64u + tid)] = v.x; y[2u * (group.x * 64u + tid) + 1u] = v.y;`, k, simds, 4*k, gamma)}
	}
	r := load(t, Options{}, one("plain", "measure_plain{}"), one("times", "measure_times{gamma}"))
	for _, c := range []struct {
		rows  int
		scale float32
	}{{1, 1}, {2, 1}, {3, 1}, {7, 1}, {7, 1e20}, {7, 1e-20}} {
		w, gamma := make([]float32, c.rows*k), make([]float32, k)
		for i := range w {
			w[i] = float32((i*7)%11-5) * c.scale
		}
		w[k-1] = float32(math.NaN())
		for i := range gamma {
			gamma[i] = 0.25 + float32(i%3)
		}
		for kernel := range 2 {
			y := r.alloc(4 * 2 * 2 * 32 * simds)
			l := launch(kernel, 2, bind(plan.Read, r.put(w)), bind(plan.Read, r.put(gamma)), bind(plan.Read, r.put([]uint32{uint32(c.rows)})), bind(plan.Write, y))
			require.NoError(t, r.run(l))
			have := get[float32](t, y, 4*32*simds)
			for group := range 2 {
				var largest, longest float64
				for row := range c.rows {
					if row/simds%2 != group {
						continue
					}
					var squares, most float64
					broken := false
					for i := range k {
						v := float64(w[row*k+i])
						if math.IsNaN(v) {
							broken = true
							continue
						}
						largest = max(largest, math.Abs(v))
						if kernel == 1 {
							v *= float64(gamma[i])
						}
						squares, most = squares+v*v, max(most, math.Abs(v))
					}
					if length := math.Sqrt(squares); !broken && c.scale == 1 {
						longest = max(longest, length)
					} else {
						longest = max(longest, most*math.Sqrt(k))
					}
				}
				for thread := range 32 * simds {
					at := 2 * (group*32*simds + thread)
					require.InEpsilon(t, 1+largest, 1+have[at], 0x1p-23, "largest, %+v, kernel %d", c, kernel)
					// a sum of 36 squares, and its root
					require.InEpsilon(t, float64(c.scale)+longest, float64(c.scale)+float64(have[at+1]), 40*0x1p-24, "longest, %+v, kernel %d, group %d", c, kernel, group)
				}
			}
		}
	}
}
