package models

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/runtime/eval"
	"foundry/tests/blocks"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"
)

// requireSame holds a run on cpu against the reference on the same blocks.
func requireSame(t *testing.T, have, want *eval.Evaluation) {
	t.Helper()
	d := interp.Compare(have.Logits, want.Logits)
	t.Log(d)
	require.LessOrEqual(t, d.NMSE, quantisedBound)
	_, ok := interp.Agreement(have.GreedyIDs, want.GreedyIDs, want.GreedyMargins, goldens.Margin)
	require.True(t, ok, "greedy ids %v, want %v (margins %v)", have.GreedyIDs, want.GreedyIDs, want.GreedyMargins)
}

// TestModelsOfBlocks runs a two-layer model as its GGUF file stores it: in one
// format, and with Q, K, V, gate, up and all the others in different ones, which
// every kernel around a product must take.
func TestModelsOfBlocks(t *testing.T) {
	t.Parallel()
	mixed := []dtype.Type{dtype.Q4_K, dtype.Q6_K, dtype.Q8_0, dtype.Q5_1, dtype.Q5_K, dtype.Q4_0, dtype.F16, dtype.Q4_1, dtype.Q5_0, dtype.F32, dtype.BF16, dtype.Q2_K, dtype.IQ4_XS, dtype.Q3_K, dtype.IQ4_NL}
	for _, x := range []struct {
		name    string
		formats []dtype.Type
		tied    bool
		variant string
	}{
		{"q4_k", []dtype.Type{dtype.Q4_K}, false, "default"},
		{"q5_k", []dtype.Type{dtype.Q5_K}, true, "default"},
		{"q6_k", []dtype.Type{dtype.Q6_K}, false, "default"},
		{"mixed", mixed, false, "none"},
		{"mixed", mixed, true, "default"},
		{"mixed", mixed, false, "fewest"},
	} {
		t.Run(x.name+"/"+x.variant, func(t *testing.T) {
			c := blocks.TwoLayers
			c.Tied = x.tied
			m := blocks.New(t, c, x.formats).Open(t)
			ids := oncpu.IDs(9, c.Vocab)
			want := oncpu.Evaluate(t, m, foundry.Ref, foundry.CompileOptions{}, ids)
			requireSame(t, oncpu.Evaluate(t, m, foundry.CPU, foundry.CompileOptions{Variant: x.variant}, ids), want)
		})
	}
}

// A plan of a GGUF file loads quantised tensors as they are stored, and says so.
func TestRecipesOfBlocks(t *testing.T) {
	m := blocks.New(t, blocks.TwoLayers, []dtype.Type{dtype.Q4_K, dtype.Q8_0, dtype.BF16}).Open(t)
	c, err := foundry.Compile(m, foundry.CompileOptions{})
	require.NoError(t, err)
	kinds := map[dtype.Type]map[string]int{}
	for _, b := range c.Plan.Buffers {
		if b.Weight != nil {
			if kinds[b.DType] == nil {
				kinds[b.DType] = map[string]int{}
			}
			kinds[b.DType][b.Weight.Kind]++
		}
	}
	require.Equal(t, map[dtype.Type]map[string]int{
		dtype.F32: {"as_stored": 11}, dtype.Q4_K: {"as_stored": 6}, dtype.Q8_0: {"as_stored": 5}, dtype.F16: {"convert": 5},
	}, kinds)
	// Another format is made of all but those that have it.
	again, err := foundry.Compile(m, foundry.CompileOptions{Weights: dtype.Q8_0})
	require.NoError(t, err)
	made := map[string]int{}
	for _, b := range again.Plan.Buffers {
		if b.Weight != nil && len(b.Shape) == 2 {
			require.Equal(t, dtype.Q8_0, b.DType)
			made[b.Weight.Kind]++
		}
	}
	require.Equal(t, map[string]int{"as_stored": 5, "quantise": 11}, made)
}

// TestQuantisedKJV runs the trained model with weights quantised at load.
func TestQuantisedKJV(t *testing.T) {
	t.Parallel()
	m, err := foundry.Open(checkpoint.KJV2MName, foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	tokens, err := m.Tokenizer()
	require.NoError(t, err)
	ids, err := tokens.Encode("And the LORD spake unto Moses, saying, Speak unto the children of Israel, and say unto them,")
	require.NoError(t, err)
	for _, w := range []dtype.Type{dtype.F16, dtype.Q8_0, dtype.Q4_0, dtype.Q5_1} {
		t.Run(w.String(), func(t *testing.T) {
			want := oncpu.Evaluate(t, m, foundry.Ref, foundry.CompileOptions{Weights: w}, ids)
			requireSame(t, oncpu.Evaluate(t, m, foundry.CPU, foundry.CompileOptions{Weights: w}, ids), want)
		})
	}
}

// A file that Convert wrote runs as the same weights quantised at load do, bit for
// bit.
func TestConvertedRunsTheSame(t *testing.T) {
	m, err := foundry.Open(checkpoint.KJV2MName, foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	for _, w := range []dtype.Type{dtype.Q8_0, dtype.Q4_1, dtype.Q5_0} {
		path := filepath.Join(t.TempDir(), w.String()+".gguf")
		c, err := model.Convert(t.Context(), m, w, path, nil)
		require.NoError(t, err)
		require.Len(t, c.Tensors, 2)
		require.Equal(t, w, c.Tensors[1].DType)
		file, err := foundry.Open(path, foundry.Hub{})
		require.NoError(t, err)
		ids := oncpu.IDs(12, m.Config.Vocab)
		want := oncpu.Evaluate(t, m, foundry.Ref, foundry.CompileOptions{Weights: w}, ids)
		have := oncpu.Evaluate(t, file, foundry.Ref, foundry.CompileOptions{}, ids)
		require.NoError(t, file.Close())
		require.Equal(t, want.Logits, have.Logits)
		require.Equal(t, want.GreedyIDs, have.GreedyIDs)
	}
}
