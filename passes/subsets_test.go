package passes_test

import (
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/passes"
	"foundry/tests/covering"
)

// tiny is a two-layer model, as decode or as prefill of up to three tokens.
func tiny(t testing.TB, tokens int) *ir.Graph {
	t.Helper()
	c, err := qwen25.Family.Preset("0.5b")
	require.NoError(t, err)
	c.Layers, c.Hidden, c.Intermediate, c.Heads, c.KVHeads, c.HeadDim, c.Vocab = 2, 32, 48, 4, 2, 8, 40
	g, err := decoder.Build(c, decoder.BuildOptions{Context: 16, Chunk: tokens, Weights: dtype.F16, Cache: dtype.F16})
	require.NoError(t, err)
	if tokens == 1 {
		g, err = g.Specialise(1)
		require.NoError(t, err)
	}
	return g
}

// itself is what Enumerate keeps of a graph that a test looks at.
func itself(g *ir.Graph) *ir.Graph { return g }

// Every legal subset of the fusions verifies and gives what the graph gives, and no two
// give the same graphs of decode and of prefill. FOUNDRY_COMPLETE=1 takes all of them;
// otherwise it is a covering array.
func TestSubsetsKeepResults(t *testing.T) {
	all, err := passes.BuiltIn().Subsets(&passes.Context{}, tiny(t, 1), tiny(t, 3))
	require.NoError(t, err)
	require.Equal(t, "unfused", all[0].String())
	subsets := all
	if !full {
		subsets = covering.Pairs(all, func(s passes.Subset) []string { return s.Names })
	}
	made := make([][2][sha256.Size]byte, len(subsets))
	for phase, tokens := range []int{1, 3} {
		g := tiny(t, tokens)
		e := sym.Env{T: int64(tokens), P: 5}
		want := values(t, g, g, 1, e)
		done, graphs := 0, map[[sha256.Size]byte]bool{}
		for batch := range slices.Chunk(subsets, 2048) {
			outcomes, err := passes.Enumerate(g, &passes.Context{}, batch, itself)
			require.NoError(t, err)
			for _, o := range outcomes {
				requireSame(t, want, values(t, o.Of, g, 1, e), o.String())
				hash := sha256.Sum256([]byte(o.Of.Canonical()))
				graphs[hash] = true
				for _, i := range o.Members {
					made[done+i][phase] = hash
				}
			}
			done += len(batch)
		}
		t.Logf("T=%d: %d legal subsets, %d of them taken, %d distinct graphs", tokens, len(all), len(subsets), len(graphs))
	}
	distinct := map[[2][sha256.Size]byte]bool{}
	for i, graphs := range made {
		require.NotContains(t, graphs, [sha256.Size]byte{}, subsets[i].String())
		require.False(t, distinct[graphs], "%s makes what another subset makes", subsets[i])
		distinct[graphs] = true
	}
}

// What Enumerate makes by sharing work is what each pipeline makes alone.
func TestEnumerateIsRun(t *testing.T) {
	all, err := passes.BuiltIn().Subsets(&passes.Context{}, tiny(t, 1), tiny(t, 3))
	require.NoError(t, err)
	some := covering.Pairs(all, func(s passes.Subset) []string { return s.Names })
	outcomes, err := passes.Enumerate(tiny(t, 1), &passes.Context{}, some, itself)
	require.NoError(t, err)
	for _, o := range outcomes {
		g := tiny(t, 1)
		require.NoError(t, o.Pipeline.Run(g, &passes.Context{}))
		require.Equal(t, g.Canonical(), o.Of.Canonical(), o.String())
	}
}

// A fusion that is weighed against the passes to come may be taken before some and not
// before others: pipelines share neither its graph nor what was found of its rivals.
func TestEnumerateWeighsWhatIsToCome(t *testing.T) {
	var some []passes.Subset
	for _, rest := range []string{"fuse-residual", "fuse-gate-up-swiglu", "fuse-head"} {
		some = append(some, passes.Subset{Names: []string{rest}, Pipeline: parse(t, "canonicalize,cse,dce,fuse-swiglu-down{when=cheaper},"+rest+",legalize")})
	}
	g := decode(t, "0.5b")
	outcomes, err := passes.Enumerate(g, &passes.Context{}, some, itself)
	require.NoError(t, err)
	require.Len(t, outcomes, len(some))
	for _, o := range outcomes {
		alone := g.Clone()
		require.NoError(t, o.Pipeline.Run(alone, &passes.Context{}))
		require.Equal(t, alone.Canonical(), o.Of.Canonical(), o.String())
	}
}
