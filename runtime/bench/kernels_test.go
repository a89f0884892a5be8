package bench

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/runtime/cpu"
	"foundry/runtime/engine"

	"foundry/runtime/devicetest"
	"github.com/stretchr/testify/require"
)

// A kernel alone as it is chosen and as it could be: each has a row with its words, for a
// step of one token and of several.
func TestKernels(t *testing.T) {
	dev, err := engine.OpenDevice(t.Context(), engine.CPU, cpu.Options{FewRuns: true})
	devicetest.Need(t, err)
	require.NoError(t, dev.Close())
	m, err := model.Open(filepath.Join("..", "..", "tests", "testdata", "rand-hd64"), checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	o := KernelsOptions{
		Bench: Options{Device: engine.CPU, CPU: cpu.Options{OneRun: true}, Compile: compile.Options{Context: 32}, Variants: []Variant{{Name: "mine", Passes: "canonicalize,cse,drop-repeat-kv,fuse-rmsnorm-qkv,fuse-rope-kv,fuse-attention,fuse-residual,fuse-gate-up-swiglu,legalize"}}, Prompt: 4},
		Rows:  []int{1, 8}, Name: "argmax",
		tried: 2,
	}
	rows, err := Kernels(context.Background(), m, o)
	require.NoError(t, err)
	require.Len(t, rows, 6)
	for i, r := range rows { // in one kernel, as is chosen, or in parts that a second one merges
		require.Equal(t, [][]string{{"argmax-row threads=96"}, {"argmax-parts parts=1"}, {"argmax-parts parts=1"}}[i%3], r.Choices)
		require.Equal(t, i%3 == 0, r.Chosen)
		if i%3 == 0 {
			require.Equal(t, 96, r.Threads, "as its words say")
		}
	}
	far := o
	far.Behind = []int{4, 1 << 20}
	_, err = Kernels(context.Background(), m, far)
	require.ErrorContains(t, err, "a context of 1048576 tokens is longer than the ")
	o.Name = "resid_mlp"
	rows, err = Kernels(context.Background(), m, o)
	require.NoError(t, err)
	require.Len(t, rows, 4)
	for i, r := range rows {
		require.NotEmpty(t, r.Choices)
		require.Equal(t, i%2 == 0, r.Chosen)
		require.Positive(t, r.Us)
		require.Positive(t, r.TFlops)
		require.GreaterOrEqual(t, r.Rotated, int64(1<<18))
		require.Nil(t, r.Share)
	}
	o.Name, o.Behind = "attention", []int{2, 16} // and of what the pipeline leaves the node
	o.Bench.Compile.Context = 0
	o.Bench.Variants[0].Passes = strings.Replace(o.Bench.Variants[0].Passes, "fuse-attention", "fuse-attention{kernel=attention-rows width=4}", 1)
	rows, err = Kernels(context.Background(), m, o)
	require.NoError(t, err)
	require.Len(t, rows, 8)
	for i, r := range rows {
		require.Equal(t, []int{2, 16}[i/2%2], r.P)
		require.Contains(t, r.Choices[0], "width=4")
	}
	o.Name = "atention"
	_, err = Kernels(context.Background(), m, o)
	require.EqualError(t, err, `no kernel's name has "atention" in it; there are argmax_merge, argmax_parts, argmax_row, attention, embedding, gate_up_swiglu, matmul_nt, residual, rms_norm, rmsnorm_qkv, rope_kv`)
}
