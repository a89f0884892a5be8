package tests

import (
	"context"
	"maps"
	"slices"
	"testing"

	"foundry"
	"foundry/ir/dtype"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime/msl/strict"
	"foundry/tests/blocks"
	"foundry/tests/goldens"

	"github.com/stretchr/testify/require"

	"foundry/runtime/devicetest"
)

// madeFormats are the weight formats that weights can be made of; of the affine ones
// three, of which each has other bits, groups and scales.
func madeFormats(t *testing.T) (out []dtype.Type) {
	t.Helper()
	for _, w := range dtype.AllButAffine() {
		if w.CanQuantise() {
			out = append(out, w)
		}
	}
	for _, name := range []string{"affine4", "affine3_g32_f16", "affine8_g64_f32"} {
		w, err := dtype.ParseWeights(name)
		require.NoError(t, err)
		out = append(out, w)
	}
	return out
}

// strictKernels gathers kernels by their text, whatever their names are.
type strictKernels map[string]plan.Kernel

func (s strictKernels) add(t *testing.T, m *foundry.Model, o foundry.CompileOptions) {
	t.Helper()
	c, err := foundry.Compile(m, o)
	require.NoError(t, err)
	for _, k := range c.Plan.Kernels {
		s[k.Source] = k
	}
}

// TestEveryKernelIsMSL gives every kernel that the compiler emits to the strict
// check: the three models with goldens in every variant, one of them in every
// weight format that can be made, and a model of mixed blocks with the others.
func TestEveryKernelIsMSL(t *testing.T) {
	t.Parallel()
	clang, err := strict.Find()
	devicetest.Need(t, err)
	all := strictKernels{}
	for _, name := range goldens.Models {
		m, _ := goldens.Open(t, name)
		variants := passes.Variants()
		if name != goldens.Models[0] && !isComplete() {
			variants = []string{"unfused", "default", "fewest"}
		}
		for _, v := range variants {
			all.add(t, m, foundry.CompileOptions{Variant: v, Sampler: true})
		}
	}
	kjv, _ := goldens.Open(t, goldens.Models[0])
	for _, w := range madeFormats(t) {
		all.add(t, kjv, foundry.CompileOptions{Weights: w})
	}
	for _, v := range []string{"unfused", "default", "fewest", "per-layer-6"} {
		all.add(t, blocks.New(t, blocks.TwoLayers, blocks.Mixed).Open(t), foundry.CompileOptions{Variant: v})
	}
	t.Logf("%d kernels", len(all))
	require.NoError(t, strict.CheckAll(context.Background(), clang, slices.Collect(maps.Values(all))))
}
