package models

import (
	"slices"
	"testing"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
	"foundry/tests/goldens"

	"github.com/stretchr/testify/require"
)

// llama32 is a third family as a row: Llama 3.2, without biases and head norms, with its
// own way of stretching RoPE. It shows what a row takes; the program does not open it,
// since its GGUF files store q and k with their rows in another order.
var llama32 = decoder.Family{
	Arch:   decoder.Arch{ModelType: "llama", Class: "LlamaForCausalLM"},
	Name:   "Llama3.2",
	Shared: decoder.Config{MaxPositions: 131072, NormEps: 1e-5, RopeTheta: 5e5, Rope: decoder.Scaling{Kind: decoder.Llama3, Factor: 32, Original: 8192, BetaFast: 4, BetaSlow: 1, Attention: 1}},
	Sizes: []decoder.Preset{
		{Size: "1b", Layers: 16, Hidden: 2048, Intermediate: 8192, Heads: 32, KVHeads: 8, HeadDim: 64, Vocab: 128256, Tied: true},
		{Size: "3b", Layers: 28, Hidden: 3072, Intermediate: 8192, Heads: 24, KVHeads: 8, HeadDim: 128, Vocab: 128256, Tied: true},
	},
}

// Its logits, and the ids it goes on with, are those of transformers in float32.
func TestLlamaAsARow(t *testing.T) {
	g := familyGoldens(t)["llama"]
	c, err := llama32.Parse(g.Config)
	require.NoError(t, err)
	dir := g.folder(t, &llama32)
	source, err := checkpoint.Open(dir)
	require.NoError(t, err)
	defer source.Close()
	require.NoError(t, decoder.Check(c, source))
	graph, err := decoder.Build(c, decoder.BuildOptions{Context: 64, Chunk: 64, Weights: dtype.F32, Cache: dtype.F32, AllLogits: true})
	require.NoError(t, err)
	program, err := interp.New(graph, func(name string, x ir.Type) (interp.Tensor, error) {
		b, err := checkpoint.ReadAs(source, name, x.DType, nil)
		return interp.Stored(x.DType, b, x.Shape.Eval(sym.Env{})...), err
	}, interp.Float32)
	require.NoError(t, err)
	for n := range g.Greedy {
		ids := append(slices.Clone(g.IDs), g.Greedy[:n]...)
		out, err := program.Run(t.Context(), interp.Run{Env: sym.Env{T: int64(len(ids))}, State: program.NewState(),
			Inputs: map[string]interp.Tensor{"ids": interp.Ints(ids, len(ids))}})
		require.NoError(t, err)
		if n == 0 {
			logits := out["logits"].F32
			require.LessOrEqual(t, goldens.NMSE(logits[len(logits)-len(g.logits):], g.logits), goldens.OnRef)
		}
		require.Equal(t, g.Greedy[n], out["token"].I32[0])
	}
	_, err = foundry.Open(dir, foundry.Hub{})
	require.ErrorContains(t, err, "this is a llama model; foundry compiles qwen2 and qwen3")
}
