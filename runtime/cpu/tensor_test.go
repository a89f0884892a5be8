package cpu

import (
	"fmt"
	"strings"
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

// misuses of matrix units are named, and what looks like one is none: a second product of
// the same stages, and one of stages that all have filled again.
var misuses = []struct{ name, body, want string }{
	{"none", "matrix_run<16u, 32u, 32u, 2u>(left, right, sum); matrix_done(sum); FILL matrix_run<16u, 32u, 32u, 2u>(left, right, sum); matrix_run<16u, 32u, 32u, 2u>(left, right, sum); matrix_done(sum); y[tid] = sum[0];", ""},
	{"last_element", "y[tid] = sum[sum.get_capacity() - 1];", ""},
	{"other_left", "matrix_run<16u, 32u, 32u, 2u>(tid == 5u ? right : left, right, sum);", "operands that are not the same for all threads"},
	{"other_right", "matrix_run<16u, 32u, 32u, 2u>(left, tid == 5u ? left : right, sum);", "operands that are not the same for all threads"},
	{"not_waited_for", "matrix_run<16u, 32u, 32u, 2u>(left, right, sum); y[tid] = sum[0];", "an element of sums whose product nobody has waited for"},
	{"beyond", "y[tid] = sum[sum.get_capacity()];", "an element of sums beyond their capacity"},
	{"half_staged", "matrix_run<16u, 32u, 32u, 2u>(left, right, sum); threadgroup_barrier(mem_flags::mem_threadgroup); if (tid != 9u) matrix_staged(); threadgroup_barrier(mem_flags::mem_threadgroup); matrix_run<16u, 32u, 32u, 2u>(left, right, sum);",
		"a stage whose stores not every thread has ended"},
	{"not_staged", "matrix_run<16u, 32u, 32u, 2u>(left, right, sum); threadgroup_barrier(mem_flags::mem_threadgroup); matrix_run<16u, 32u, 32u, 2u>(left, right, sum);", "a stage whose stores not every thread has ended"},
	{"more_simdgroups", "auto other = matrix_begin<16u, 32u, 32u, 4u>(); matrix_run<16u, 32u, 32u, 4u>(left, right, other);", "other simdgroups than the threadgroup has"},
	{"some_return", "if (tid < 50u) matrix_run<16u, 32u, 32u, 2u>(left, right, sum);", "thread 50 returned without"},
	{"some_at_a_barrier", "if (tid < 50u) matrix_run<16u, 32u, 32u, 2u>(left, right, sum); else threadgroup_barrier(mem_flags::mem_threadgroup);", "reaches matmul2d at kernels/some_at_a_barrier"},
}

func TestMatrixUnitsMisused(t *testing.T) {
	const fill = "for (uint i = tid; i < 512u; i += 64u) left[i] = half(0.5f);\nfor (uint i = tid; i < 1024u; i += 64u) right[i] = half(2.0f);\nmatrix_staged(); threadgroup_barrier(mem_flags::mem_threadgroup);\n"
	var all []sketch
	for _, m := range misuses {
		all = append(all, sketch{name: m.name, threads: 64, prelude: stages(t, "common/phases.metal", "common/matrix.metal"),
			slots:  []plan.Slot{slot(plan.Write, "float", "y")},
			arrays: []plan.ThreadgroupArg{array("half", "left", 1024), array("half", "right", 2048)},
			body:   fill + "auto sum = matrix_begin<16u, 32u, 32u, 2u>(); matrix_clear(sum);\n" + strings.ReplaceAll(m.body, "FILL", "threadgroup_barrier(mem_flags::mem_threadgroup);"+fill)})
	}
	r := load(t, Options{OneRun: true}, all...)
	y := r.alloc(256)
	for i, m := range misuses {
		err := r.run(launch(i, 1, bind(plan.Write, y)))
		if m.want == "" {
			require.NoError(t, err, m.name)
		} else {
			require.ErrorContains(t, err, m.want, m.name)
			require.ErrorContains(t, err, "kernel "+m.name+", threadgroup (0, 0, 0), thread ")
		}
		if m.name == "none" {
			require.EqualValues(t, 96, get[float32](t, y, 1)[0])
		}
	}
}
