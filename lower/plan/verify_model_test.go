package plan

import (
	"testing"

	"foundry/ir/sym"

	"github.com/stretchr/testify/require"
)

// What drivers act upon without looking at a dispatch is what entries and buffers have.
func TestVerifyModel(t *testing.T) {
	for want, change := range map[string]func(p *Plan){
		"decode: chains of -1 runs":                          func(p *Plan) { p.Entries[1].Chain = -1 },
		"decode: chains of 65 runs":                          func(p *Plan) { p.Entries[1].Chain = 65 },
		"prefill: chains of 2 runs":                          func(p *Plan) { p.Entries[0].Chain = 2 },
		"a weight-expansion reads nothing that a run writes": func(p *Plan) { p.Kernels[p.Entries[1].Steps[0].Dispatch.Kernel].Main = WeightExpansion },
		"prefill: T from 2 to 8":                             func(p *Plan) { p.Entries[0].TMin = 2 },
		"T up to 8, the chunk is 7":                          func(p *Plan) { p.Model.Chunk = 7 },
		"the vocabulary has 33 tokens":                       func(p *Plan) { p.Model.Vocab = 33 },
		"needs 4 bytes at most":                              func(p *Plan) { p.Buffers[8].Bytes = 8 },
		"cut an element of i32":                              func(p *Plan) { p.Entries[1].Steps[0].Dispatch.Bind[1].Bytes-- },
	} {
		p := sample(t)
		require.NoError(t, p.Verify())
		change(p)
		require.ErrorContains(t, p.Verify(), want)
	}
	p := sample(t)
	p.Buffers[0].Shape = []sym.Dim{sym.Const(31)}
	require.ErrorContains(t, p.Verify(), "needs 124 bytes at most")
}
