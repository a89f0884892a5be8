package irgen_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/interp"
	"foundry/ir/irgen"
)

// Wide graphs are the same again, run, and have what Graph leaves out: long contexts,
// runs for tiles, windows, samples of computed logits, rows of blocks of 256.
func TestWide(t *testing.T) {
	met := map[string]int{}
	for seed := range uint64(400) {
		g := irgen.Wide(seed)
		require.Equal(t, g.String(), irgen.Wide(seed).String())
		if g.Bounds.SMax > 500 {
			met["context"]++
		}
		if g.Bounds.TMax > 32 {
			met["tokens"]++
		}
		for _, p := range g.Params {
			if n, _ := p.Type.DType.Block(); n == 256 {
				met["blocks of 256"]++
			}
		}
		for _, n := range g.Nodes() {
			switch {
			case n.Op == ir.OpSample && n.Args[0].Def != nil:
				met["sample"]++
			case n.Op == ir.OpSoftmax && n.Attr.Window > 7:
				met["window"]++
			}
		}
		if seed < 40 {
			_, err := run(t, g, seed, interp.Float32)
			require.NoError(t, err, "%s", g)
		}
	}
	t.Log(met)
	for _, what := range []string{"context", "tokens", "blocks of 256", "sample", "window"} {
		require.Greater(t, met[what], 10, what)
	}
}
