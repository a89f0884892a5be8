package tests

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// inspected returns the kernels of a plan's decode step behind 256 tokens, by name,
// as inspect gives them.
func inspected(t *testing.T, variant string) (plan.EntryStats, map[string]plan.KernelStats) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plan")
	ok(t, "compile", "--model", "synth:qwen2.5-0.5b", "--variant", variant, "-o", dir)
	var out struct{ Entries []plan.EntryStats }
	require.NoError(t, json.Unmarshal([]byte(ok(t, "inspect", dir, "--json")), &out))
	require.Equal(t, "decode", out.Entries[1].Entry)
	kernels := map[string]plan.KernelStats{}
	text := ok(t, "inspect", dir)
	for _, e := range out.Entries {
		for _, k := range e.Kernels {
			require.Contains(t, text, k.Kernel)
			if e.Entry == "decode" {
				kernels[k.Kernel] = k
			}
		}
	}
	p, err := plan.Load(dir)
	require.NoError(t, err)
	for _, k := range p.Kernels {
		require.Contains(t, text, k.Name, "every kernel of the plan is listed")
	}
	return out.Entries[1], kernels
}

// The numbers of inspect are those that one computes by hand for Qwen2.5-0.5B: 24
// layers, hidden 896, 14 query heads and 2 of keys and values of 64 elements; decode
// at P = 256, so 257 keys; f16 weights and cache, f32 between dispatches.
func TestInspectNumbers(t *testing.T) {
	const layers, hidden, keys = 24, 896, 257
	entry, unfused := inspected(t, "unfused")
	require.Equal(t, plan.KernelStats{
		Kernel: "matmul_nt_896x896_f16", Dispatches: 2 * layers, Threads: 128, Threadgroups: 2 * layers * 112, // q and o; 8 rows a threadgroup
		MovedBytes: 2 * layers * (hidden*hidden*2 + 2*hidden*4), Flops: 2 * layers * 2 * hidden * hidden,
	}, unfused["matmul_nt_896x896_f16"])
	require.Equal(t, plan.KernelStats{
		Kernel: "rms_norm_896_2", Dispatches: 2*layers + 1, Threads: hidden / 4, ThreadgroupBytes: 32, Threadgroups: 2*layers + 1, // 7 simdgroups' sums
		MovedBytes: (2*layers + 1) * 3 * hidden * 4, Flops: (2*layers + 1) * 4 * hidden,
	}, unfused["rms_norm_896_2"])
	require.Equal(t, plan.KernelStats{
		Kernel: "repeat_kv_14_64_2", Dispatches: 2 * layers, Threads: 256, Threadgroups: 2 * layers * ((14*64*keys/4 + 255) / 256),
		MovedBytes: 2 * layers * (2 + 14) * 64 * keys * 2,
	}, unfused["repeat_kv_14_64_2"])
	require.InDelta(t, 1.0, unfused["matmul_nt_896x896_f16"].Intensity(), 0.01) // 2 operations for 2 bytes of weight
	require.Equal(t, 677, entry.Dispatches)

	_, perLayer6 := inspected(t, "per-layer-6")
	require.Equal(t, int64(layers*(2*14*64*4+2*2*keys*64*2)), perLayer6["attention_14x64"].MovedBytes)                    // q, the result, keys and values
	require.Equal(t, int64(layers*(2*2*14*64*keys+8*14*keys)), perLayer6["attention_14x64"].Flops)                        // two products and a softmax
	require.Equal(t, int64(layers*(1152*hidden*2+(2*hidden+2*1152)*4)), perLayer6["rmsnorm_qkv_896x1152_f16"].MovedBytes) // weights; x, norm, biases, results

	// Of several kernels of one node each has what it moves itself.
	_, chosen := inspected(t, "default")
	const parts = 14 * 3 * (64 + 2) * 4 // of each head: values, a maximum, a sum
	require.Equal(t, int64(layers*(14*64*4+2*2*keys*64*2+parts)), chosen["attention_parts_14x64"].MovedBytes)
	require.Equal(t, int64(layers*(parts+hidden*hidden*2+2*hidden*4+hidden/4*4)), chosen["attention_split_o_896x896_f16"].MovedBytes) // residual, result, sums of 4 squares
	require.Equal(t, int64(layers*(2*hidden*hidden+hidden+2*hidden)), chosen["attention_split_o_896x896_f16"].Flops)
	require.Equal(t, int64(2*4*4748+4), chosen["argmax_merge_4748_advance_2"].MovedBytes)
}
