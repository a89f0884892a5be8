package cpu

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/lower/plan"
)

// Products of matrix units are right however their sums are dealt out: every seed of the
// first eight takes another step, the ninth the first step from another place. y is
// 2 + a b^T and, behind it, 2 + a b.
func TestMatrixUnitsOfEverySeed(t *testing.T) {
	const rows, columns, depth = 16, 32, 32
	s := sketch{name: "units", threads: 64,
		slots:   []plan.Slot{slot(plan.Read, "half", "a"), slot(plan.Read, "half", "b"), slot(plan.Write, "float", "y")},
		arrays:  []plan.ThreadgroupArg{array("half", "left", 2*rows*depth), array("half", "right", 2*columns*depth), array("float", "tile", 4*rows*columns)},
		prelude: stages(t, "common/phases.metal", "common/matrix.metal", "common/matrix_rows.metal"),
		body: `for (uint i = tid; i < 512u; i += 64u) left[matrix_at<32u>(i / 32u, i % 32u)] = a[i];
			for (uint i = tid; i < 1024u; i += 64u) right[matrix_at<32u>(i / 32u, i % 32u)] = b[i];
			matrix_staged();
			threadgroup_barrier(mem_flags::mem_threadgroup);
			auto sum = matrix_begin<16u, 32u, 32u, 2u>();
			auto other = matrix_rows_begin<16u, 32u, 32u, 2u>();
			for (ushort i = 0; i < sum.get_capacity(); i++) if (sum.is_valid_element(i)) { sum[i] = 2.0f; other[i] = 2.0f; }
			matrix_run<16u, 32u, 32u, 2u>(left, right, sum);
			matrix_done(sum);
			matrix_spread(sum, 0u, 16u, tile, 32u);
			threadgroup_barrier(mem_flags::mem_threadgroup);
			for (uint i = tid; i < 512u; i += 64u) y[i] = tile[i];
			matrix_staged();
			threadgroup_barrier(mem_flags::mem_threadgroup);
			matrix_rows_run<16u, 32u, 32u, 2u>(left, right, other);
			matrix_done(other);
			matrix_spread(other, 0u, 16u, tile, 32u);
			threadgroup_barrier(mem_flags::mem_threadgroup);
			for (uint i = tid; i < 512u; i += 64u) y[512u + i] = tile[i];`}
	a, b := make([]uint16, rows*depth), make([]uint16, columns*depth)
	left := func(i int) float32 { return float32(i%13) - 6 }
	right := func(i int) float32 { return float32(i%7) - float32(i%3) }
	for i := range a {
		a[i] = dtype.F32ToF16(left(i))
	}
	for i := range b {
		b[i] = dtype.F32ToF16(right(i))
	}
	want := make([]float32, 2*rows*columns)
	for i := range rows * columns {
		want[i], want[rows*columns+i] = 2, 2
		for k := range depth {
			of := left(i/columns*depth + k)
			want[i] += of * right(i%columns*depth+k)
			want[rows*columns+i] += of * right(k*columns+i%columns)
		}
	}
	for seed := range uint64(9) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := load(t, Options{Seed: seed}, s)
			y := r.alloc(4 * len(want))
			require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(a)), bind(plan.Read, r.put(b)), bind(plan.Write, y))))
			require.Equal(t, want, get[float32](t, y, len(want)))
		})
	}
}
