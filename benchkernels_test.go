package foundry

import (
	"context"
	"path/filepath"
	"testing"

	"foundry/lower/metal"
	"foundry/runtime/cpu"

	"github.com/stretchr/testify/require"
)

// A kernel alone in two texts: each has a row with its constants, for a step of one
// token and of several; kernels without the constants have one row.
func TestBenchKernels(t *testing.T) {
	dev, err := OpenDevice(CPU, cpu.Options{})
	if err != nil {
		t.Skip(err)
	}
	require.NoError(t, dev.Close())
	m, err := Open(filepath.Join("tests", "testdata", "rand-hd64"), Hub{})
	require.NoError(t, err)
	defer m.Close()
	o := KernelsOptions{
		Bench: BenchOptions{Compile: CompileOptions{Device: CPU, Context: 32}, Variants: []Pipeline{{Name: "mine", Passes: "canonicalize,cse,drop-repeat-kv,fuse-rmsnorm-qkv,fuse-rope-kv,fuse-attention,fuse-residual,fuse-gate-up-swiglu,legalize"}}, Prompt: 4},
		Rows:  []int{1, 8}, Name: "argmax",
		settings: []setting{settings[0], {"load 1", metal.Tuning{Width: 1}}},
	}
	rows, err := BenchKernels(context.Background(), m, o)
	require.NoError(t, err)
	require.NotEmpty(t, rows)
	for _, r := range rows { // a maximum has no constants
		require.Equal(t, []string{"chosen", "load 1"}, r.Constants)
	}
	o.Name = "resid_mlp"
	rows, err = BenchKernels(context.Background(), m, o)
	require.NoError(t, err)
	require.Len(t, rows, 4)
	for _, r := range rows {
		require.Len(t, r.Constants, 1)
		require.Positive(t, r.Us)
		require.Positive(t, r.TFlops)
		require.GreaterOrEqual(t, r.Rotated, int64(1<<18))
		require.Nil(t, r.Share)
	}
	o.Name = "nothing"
	_, err = BenchKernels(context.Background(), m, o)
	require.ErrorContains(t, err, `no kernel's name has "nothing" in it; there are `)
}
