package cuda

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	"foundry/runtime/devicetest"
	"foundry/runtime/msl"
)

// TestKernelsCompile needs NVRTC and no GPU.
func TestKernelsCompile(t *testing.T) {
	rtc, err := openNVRTC()
	devicetest.Need(t, err)
	k := &plan.Kernel{
		Name: "scale", File: "kernels/scale.metal", Threads: [3]int{64, 1, 1},
		Slots: []plan.Slot{{Name: "x", Type: "half", Space: "device", Access: plan.Read}, {Name: "y", Type: "float", Space: "device", Access: plan.Write},
			{Name: "n", Type: "uint", Space: "constant", Access: plan.Read}},
		Threadgroup: []plan.ThreadgroupArg{{Name: "part", Type: "float", Bytes: 16}},
		Builtins:    []plan.Builtin{plan.ThreadgroupPosition, plan.ThreadIndex, plan.SimdgroupIndex, plan.LaneIndex},
		Source: `#include <metal_stdlib>
using namespace metal;
kernel void scale(device const half *x [[buffer(0)]], device float *y [[buffer(1)]], constant uint &n [[buffer(2)]],
    threadgroup float *part [[threadgroup(0)]], uint3 group [[threadgroup_position_in_grid]],
    uint tid [[thread_index_in_threadgroup]], uint simd [[simdgroup_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]])
{
    const float4 v = float4(*(device const half4 *)(x + 4u * tid));
    float s = simd_sum(v.x + exp(v.y) + rsqrt(v.z) + cos(v.w));
    if (lane == 0u) part[simd] = s;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (group.x < n) y[tid] = part[0] + part[1] + float(as_type<half2>(tid).x) + max(s, 0.0f);
}
`,
	}
	text, err := msl.CUDA(msl.Free, k)
	require.NoError(t, err)
	code, err := rtc.compile(k.File, text, append([]string{"--gpu-architecture=sm_90"}, msl.CUDAOptions...))
	require.NoError(t, err)
	require.NotEmpty(t, code)
	k.Source = k.Source[:len(k.Source)-3] + "    y[0] = missing;\n}\n"
	text, err = msl.CUDA(msl.Free, k)
	require.NoError(t, err)
	_, err = rtc.compile(k.File, text, append([]string{"--gpu-architecture=sm_90"}, msl.CUDAOptions...))
	require.Error(t, err)
	require.Regexp(t, `^kernels/scale.metal:11: identifier "missing"`, firstError(err.Error()))
}
