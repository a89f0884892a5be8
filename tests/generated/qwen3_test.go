package generated

import (
	"math/rand/v2"
	"testing"

	"foundry"
	"foundry/tests/oncpu"
	"foundry/tests/oracle"

	"github.com/stretchr/testify/require"
)

// Generated Qwen3 checkpoints of all forms, safetensors, MLX's and GGUF, as drawn and
// rescaled, q and k before their norms and behind them: on ref 20, with FOUNDRY_COMPLETE 300.
func TestGeneratedQwen3OnRef(t *testing.T) {
	t.Parallel()
	count := uint64(20)
	if isComplete() {
		count = 300
	}
	worst, gguf := 0.0, 0
	for seed := range count {
		c := oracle.Random(seed)
		c.HeadNorms = true
		if c.GGUF {
			gguf++
		}
		r := rand.New(rand.NewPCG(seed, 12))
		o := foundry.CompileOptions{Context: 64, Chunk: 1 + r.IntN(64), Variant: []string{"unfused", "default", "fewest"}[r.IntN(3)]}
		x := newQwen3Trial(t, c, seed, 64)
		nmse, _ := x.require(t, foundry.Ref, o, x.onRef())
		worst = max(worst, nmse)
	}
	require.Positive(t, gguf)
	t.Logf("the worst row of all has NMSE %.2g; %d of %d are GGUF files", worst, gguf, count)
}

// newQwen3Trial draws weights and ids for a Config, and rescales q and k, the norms of
// their heads, or a branch that every model has.
func newQwen3Trial(t *testing.T, c oracle.Config, seed uint64, most int) *trial {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 13))
	branch := []oracle.Branch{oracle.QueryKey, oracle.NormedHeads, oracle.ValueOutput, oracle.UpDown}[seed%4]
	x := &trial{seed: seed, branch: branch, k: []int{3, 13, 17, 20}[r.IntN(4)] * (1 - 2*r.IntN(2))}
	drawn := oracle.Generate(c, seed)
	x.ids = c.IDs(8+r.IntN(most-8), seed)
	x.forms[0].c, x.forms[0].want = drawn, drawn.Logits(x.ids)
	x.forms[1].c, x.k, x.forms[1].want = rescaled(t, drawn, x.branch, x.k, x.ids, x.forms[0].want)
	return x
}

// Generated Qwen3 checkpoints on cpu, within what halves make of them.
func TestGeneratedQwen3OnCPU(t *testing.T) {
	t.Parallel()
	oncpu.Need(t)
	configs, each := uint64(1), uint64(3)
	if isComplete() {
		configs, each = 12, 8
	}
	for shape := range configs {
		c := oracle.Random(shape + 3)
		c.HeadNorms = true
		r := rand.New(rand.NewPCG(shape, 14))
		o := foundry.CompileOptions{
			Target: []string{"apple-m3-pro", "apple-m4-max", "h100"}[r.IntN(3)], Variant: []string{"default", "fewest"}[r.IntN(2)],
			Context: 160, Chunk: []int{33, 128, 160}[r.IntN(3)], Floats: exactFloats(c),
		}
		for i := range each {
			x := newQwen3Trial(t, c, shape+i*1000, 160)
			x.require(t, foundry.CPU, o, x.halves())
		}
	}
}
