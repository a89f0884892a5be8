package cuda

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	"foundry/runtime/msl"
)

// matrixKernel multiplies blocks of rows by columns by depth, which simdgroups do together;
// between starts a turn's products and waits for them.
func matrixKernel(rows, columns, depth, simdgroups int, between string) plan.Kernel {
	text := `#include <metal_stdlib>
using namespace metal;
kernel void blocks(device const half *x [[buffer(0)]], device float *y [[buffer(1)]], constant uint &turns [[buffer(2)]],
    threadgroup half *stage [[threadgroup(0)]], uint thread_index [[thread_index_in_threadgroup]])
{
    typedef tensor<threadgroup half, extents<int, DEPTH, ROWS>, tensor_inline> Left;
    typedef tensor<threadgroup half, extents<int, DEPTH, COLUMNS>, tensor_inline> Right;
    mpp::tensor_ops::matmul2d<mpp::tensor_ops::matmul2d_descriptor(ROWS, COLUMNS, DEPTH, false, true, false,
        mpp::tensor_ops::matmul2d_descriptor::mode::multiply_accumulate), execution_simdgroups<SIMDGROUPS>> product;
    auto sum = product.get_destination_cooperative_tensor<Left, Right, float>();
    _Pragma("unroll")
    for (ushort i = 0; i < sum.get_capacity(); i++) sum[i] = 0.0f;
    for (uint turn = 0u; turn < turns; turn++) {
        for (uint i = thread_index; i < (ROWS + COLUMNS) * DEPTH; i += SIMDGROUPS * 32)
            stage[matrix_at<DEPTH>(i / DEPTH, i % DEPTH)] = x[turn * (ROWS + COLUMNS) * DEPTH + i];
        matrix_staged();
        threadgroup_barrier(mem_flags::mem_threadgroup);
        Left left(stage, extents<int, DEPTH, ROWS>());
        Right right(stage + ROWS * DEPTH, extents<int, DEPTH, COLUMNS>());
        product.run(left, right, sum);
        BETWEEN
        matrix_done(sum);
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    _Pragma("unroll")
    for (ushort i = 0; i < sum.get_capacity(); i++) {
        const auto at = sum.get_multidimensional_index(i);
        y[at[1] * COLUMNS + at[0]] = sum[i];
    }
}
`
	threads := 32 * simdgroups
	return plan.Kernel{
		Name: "blocks", File: "kernels/blocks.metal", Threads: [3]int{threads, 1, 1},
		Slots: []plan.Slot{{Name: "x", Type: "half", Space: "device", Access: plan.Read}, {Name: "y", Type: "float", Space: "device", Access: plan.Write},
			{Name: "turns", Type: "uint", Space: "constant", Access: plan.Read}},
		Threadgroup: []plan.ThreadgroupArg{{Name: "stage", Type: "half", Bytes: 4 * 2 * (rows + columns) * depth}}, // four stages,
		Builtins:    []plan.Builtin{plan.ThreadIndex}, Matrices: simdgroups,
		Source: strings.NewReplacer("ROWS", fmt.Sprint(rows), "COLUMNS", fmt.Sprint(columns), "DEPTH", fmt.Sprint(depth),
			"SIMDGROUPS", fmt.Sprint(simdgroups), "BETWEEN", between).Replace(text),
	}
}

// blockShapes are blocks of rows, columns, depth and simdgroups: one instruction a step
// down and across, several of each, warpgroups that share rows, or columns.
var blockShapes = [][4]int{{64, 32, 16, 4}, {64, 64, 32, 4}, {128, 96, 64, 4}, {128, 256, 64, 8}, {64, 256, 32, 8}, {256, 128, 64, 8}}

// TestMatricesCompile: products of matrix units wait where they are asked to, nowhere
// else, and their sums have registers.
func TestMatricesCompile(t *testing.T) {
	d := compilingDevice(t)
	for _, s := range blockShapes {
		k := matrixKernel(s[0], s[1], s[2], s[3], "")
		code, err := d.unit(msl.Free, []*plan.Kernel{&k})
		require.NoError(t, err, s)
		registers, frame := usage(t, code)
		t.Logf("%v: %d registers", s, registers)
		require.Zero(t, frame, "%v: bytes of a thread's stack", s)
		require.LessOrEqual(t, registers*k.Threads[0], 65536, s)
	}
	for between, says := range map[string]string{
		"sum[0] += 1.0f;":          "kernel blocks does not compile: the compiler puts waits between products of matrix units",
		"sum[turn % 16u] += 1.0f;": "kernel blocks does not compile: the compiler puts waits between products of matrix units",
	} {
		k := matrixKernel(64, 64, 32, 4, between)
		_, err := d.unit(msl.Free, []*plan.Kernel{&k})
		require.ErrorContains(t, err, says)
	}
	for s, says := range map[[4]int]string{
		{32, 64, 32, 4}: "a warpgroup has 64 rows", {64, 48, 32, 4}: "a warpgroup has 32 columns", {256, 256, 64, 8}: "128 sums",
		{64, 64, 24, 4}: "16, 32 or 64 deep", {64, 64, 32, 2}: "four simdgroups",
	} {
		k := matrixKernel(s[0], s[1], s[2], s[3], "")
		_, err := d.unit(msl.Free, []*plan.Kernel{&k})
		require.ErrorContains(t, err, says, s)
	}
}

// TestMatricesNeedHopper: other GPUs have no wgmma, and kernels without it are compiled for
// the GPU as it is.
func TestMatricesNeedHopper(t *testing.T) {
	k := matrixKernel(64, 64, 32, 4, "")
	for _, arch := range []string{"sm_80", "sm_100"} {
		d := &Device{arch: arch}
		_, err := d.compile(context.Background(), []plan.Kernel{k}, make([]int, 1), nil)
		require.ErrorContains(t, err, "kernel blocks multiplies by matrix units (mpp::tensor_ops::matmul2d), here wgmma, which this GPU ("+arch+") lacks")
	}
	d := &Device{arch: "sm_90"}
	require.Contains(t, d.options(true), "--gpu-architecture=sm_90a")
	require.Contains(t, d.options(false), "--gpu-architecture=sm_90")
}

// swizzles are the places of chunks of 16 bytes in rows of 128 bytes, from the figures of
// the PTX ISA, "Shared Memory Matrix Layout": swizzles of 128, 64 and 32 bytes.
var swizzles = map[int]string{
	64: "01234567 10325476 23016745 32107654 45670123 54761032 67452301 76543210",
	32: "01234567 10325476 23016745 32107654",
	16: "01234567 10325476",
}

// TestSwizzle: chunks of a stage stand where wgmma looks for them.
func TestSwizzle(t *testing.T) {
	d := compilingDevice(t)
	k := matrixKernel(64, 64, 32, 4, "")
	var asserts strings.Builder
	for depth, pattern := range swizzles {
		lines := strings.Fields(pattern)
		for line := range 16 {
			for chunk := range 8 {
				in := line*8 + chunk // the chunk's number in the stage
				at := line*64 + 8*int(lines[line%len(lines)][chunk]-'0')
				row, k := in*8/depth, in*8%depth
				fmt.Fprintf(&asserts, "static_assert(matrix_at<%d>(%d, %d) == %d, \"swizzle\");\n", depth, row, k+3, at+3)
			}
		}
	}
	k.Source = strings.Replace(k.Source, "kernel void", asserts.String()+"kernel void", 1)
	text, err := msl.CUDA(msl.Free, &k)
	require.NoError(t, err)
	require.Equal(t, 3*128, strings.Count(text, "static_assert(matrix_at"))
	_, err = d.rtc.compile(k.File, text, d.options(true))
	require.NoError(t, err)
	_, err = d.rtc.compile(k.File, strings.Replace(text, "matrix_at<64>(1, 3) == 75", "matrix_at<64>(1, 3) == 67", 1), d.options(true))
	require.ErrorContains(t, err, "swizzle")
}
