package tests

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
	"foundry/runtime/eval"

	"github.com/stretchr/testify/require"
)

// The goldens were made with Hugging Face transformers: float32 from the bf16
// weights, eager attention. For each prompt NAME: NAME.input_ids, NAME.logits and
// NAME.hidden.I of the last rows (hidden 0 is the embedding, the last one stands
// behind the final norm), NAME.greedy_ids and NAME.greedy_margin.
type golden struct {
	name   string
	source checkpoint.Source
}

// goldenModel opens one of the models that have goldens, and its prompts.
func goldenModel(t *testing.T, name string) (*foundry.Model, []golden) {
	t.Helper()
	dir := filepath.Join("testdata", name)
	path := dir
	if name == checkpoint.KJV2MName {
		path = name // embedded in the program
	}
	m, err := foundry.Open(path, foundry.Hub{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	source, err := checkpoint.Open(filepath.Join(dir, "goldens.safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, source.Close()) })
	var out []golden
	for _, tensor := range source.Names() {
		if prompt, ok := strings.CutSuffix(tensor, ".input_ids"); ok {
			out = append(out, golden{prompt, source})
		}
	}
	require.NotEmpty(t, out)
	return m, out
}

var goldenModels = []string{checkpoint.KJV2MName, "rand-hd64", "rand-hd128"}

func (g golden) floats(t *testing.T, tensor string) []float32 {
	t.Helper()
	return floatsOf(t, g.source, g.name+"."+tensor)
}

func floatsOf(t *testing.T, s checkpoint.Source, tensor string) []float32 {
	t.Helper()
	raw, err := checkpoint.ReadAs(s, tensor, dtype.F32, nil)
	require.NoError(t, err)
	out := make([]float32, len(raw)/4)
	dtype.Dequantise(dtype.F32, raw, out)
	return out
}

func (g golden) ids(t *testing.T, tensor string) []int32 {
	t.Helper()
	raw, err := checkpoint.ReadAs(g.source, g.name+"."+tensor, dtype.I32, nil)
	require.NoError(t, err)
	out := make([]int32, len(raw)/4)
	for i := range out {
		out[i] = int32(raw[4*i]) | int32(raw[4*i+1])<<8 | int32(raw[4*i+2])<<16 | int32(raw[4*i+3])<<24
	}
	return out
}

// nmse compares the tail of have, as long as want, with want.
func nmse(have, want []float32) float64 {
	return interp.Compare(have[len(have)-len(want):], want).NMSE
}

// worstRow is the largest NMSE of a row of logits, of as many last rows of have as the
// golden holds.
func (g golden) worstRow(t *testing.T, have []float32, vocab int) float64 {
	t.Helper()
	want := g.floats(t, "logits")
	have = have[len(have)-len(want):]
	worst := 0.0
	for at := 0; at < len(want); at += vocab {
		worst = max(worst, nmse(have[at:at+vocab], want[at:at+vocab]))
	}
	return worst
}

// requireGreedy compares greedy ids up to the first difference, which counts only
// where the golden's margin is above the given one. It returns how many agree.
func requireGreedy(t *testing.T, g golden, have []int32, margin float64) int {
	t.Helper()
	want := g.ids(t, "greedy_ids")
	require.Len(t, have, len(want))
	same, ok := interp.Agreement(have, want, g.floats(t, "greedy_margin"), margin)
	require.True(t, ok, "%s: greedy ids differ at %d: have %v, want %v", g.name, same, have, want)
	return same
}

// Must hold on ref in every row: float32 weights, whatever passes did to the graph.
const refBound = interp.ModelF32

func TestGoldensOnRef(t *testing.T) {
	t.Parallel()
	for _, name := range goldenModels {
		for _, variant := range []string{"unfused", "default", "per-layer-6", "fewest"} {
			t.Run(name+"/"+variant, func(t *testing.T) {
				m, goldens := goldenModel(t, name)
				g, err := foundry.Fuse(m, foundry.Defaults(foundry.Ref, foundry.CompileOptions{Variant: variant, Context: 512, AllLogits: true}))
				require.NoError(t, err)
				e, err := foundry.Interpret(context.Background(), g)
				require.NoError(t, err)
				defer e.Close()
				for _, g := range goldens {
					want := g.ids(t, "greedy_ids")
					out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: g.ids(t, "input_ids"), Greedy: len(want), Top: 1})
					require.NoError(t, err)
					require.LessOrEqual(t, g.worstRow(t, out.Logits, m.Config.Vocab), refBound, g.name)
					require.Equal(t, want, out.GreedyIDs, g.name)
				}
			})
		}
	}
}

// Every layer's output, not the logits alone: an error in one layer shows there. In
// a fused graph the interpreter shows the operations inside of regions too.
func TestHiddenStatesOnRef(t *testing.T) {
	t.Parallel()
	for _, name := range goldenModels {
		for _, variant := range []string{"unfused", "default", "per-layer-6", "fewest"} {
			t.Run(name+"/"+variant, func(t *testing.T) { requireHiddenStates(t, name, variant) })
		}
	}
}

func requireHiddenStates(t *testing.T, name, variant string) {
	m, goldens := goldenModel(t, name)
	g, err := foundry.Fuse(m, foundry.Defaults(foundry.Ref, foundry.CompileOptions{Variant: variant, Context: 512, AllLogits: true}))
	require.NoError(t, err)
	program, err := interp.New(g.Entries[0], m.Weights().Tensor, interp.Float32)
	require.NoError(t, err)
	hidden := []string{"embed"}
	for n := range m.Config.Layers - 1 {
		hidden = append(hidden, layerLabel(n))
	}
	hidden = append(hidden, "final_norm")
	for _, golden := range goldens {
		ids := golden.ids(t, "input_ids")
		have := map[string][]float32{}
		_, err := program.Run(context.Background(), interp.Run{
			Env:    sym.Env{T: int64(len(ids))},
			Inputs: map[string]interp.Tensor{"ids": interp.Ints(ids, len(ids))},
			State:  program.NewState(),
			Watch: func(n *ir.Node, result interp.Tensor) {
				if n.Op != ir.OpFused && n.Op != ir.OpSumSquares && slices.Contains(hidden, n.Label) {
					have[n.Label] = slices.Clone(result.Float32s())
				}
			},
		})
		require.NoError(t, err)
		for i, label := range hidden {
			require.NotEmpty(t, have[label], label)
			require.LessOrEqual(t, nmse(have[label], golden.floats(t, hiddenName(i))), refBound, "%s %s", golden.name, label)
		}
	}
}

func layerLabel(n int) string { return fmt.Sprintf("layers.%d.resid_mlp", n) }

func hiddenName(i int) string { return fmt.Sprintf("hidden.%d", i) }
