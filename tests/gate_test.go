package tests

import (
	"testing"

	"foundry"
	"foundry/ir/dtype"
	"foundry/passes"
	"foundry/runtime/msl/gate"

	"github.com/stretchr/testify/require"
)

// TestGateAcceptsEveryKernel gives every kernel that the compiler emits to the gate:
// the models with goldens in every variant, every weight format that a file may have
// in every variant, and those that can be made, for a GPU with matrix units too. What
// lowering writes meets the gate's grammar here; the plans of every published size
// do so where they are counted.
func TestGateAcceptsEveryKernel(t *testing.T) {
	all := strictKernels{}
	for _, name := range goldenModels {
		m, _ := goldenModel(t, name)
		for _, v := range passes.Variants() {
			all.add(t, m, foundry.CompileOptions{Variant: v, Sampler: true})
		}
	}
	kjv, _ := goldenModel(t, goldenModels[0])
	for _, target := range []string{"", "h100"} {
		for _, w := range dtype.Named() {
			if w.CanQuantise() {
				all.add(t, kjv, foundry.CompileOptions{Weights: w, Target: target})
			}
		}
		all.add(t, kjv, foundry.CompileOptions{AllLogits: true, Target: target})
		for _, v := range passes.Variants() {
			all.add(t, newBlocks(t, twoLayers, blockFormats).open(t), foundry.CompileOptions{Variant: v, Target: target})
		}
	}
	g := gate.New()
	for _, k := range all {
		require.NoError(t, g.Kernel(&k))
	}
	t.Logf("%d kernels", len(all))
}
