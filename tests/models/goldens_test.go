// Package models holds whole models to what others made of them: logits, hidden states and
// greedy ids of transformers, of every family, format and form of checkpoint, on the
// reference and on the CPU device.
package models

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"foundry"
	"foundry/ir"
	"foundry/ir/interp"
	"foundry/ir/sym"
	"foundry/runtime/eval"
	"foundry/tests/goldens"

	"github.com/stretchr/testify/require"
)

// complete asks for all models in all variants.
const complete = "FOUNDRY_COMPLETE"

func isComplete() bool { return os.Getenv(complete) != "" }

func TestGoldensOnRef(t *testing.T) {
	t.Parallel()
	for _, name := range goldens.Models {
		for _, variant := range []string{"unfused", "default", "per-layer-6", "fewest"} {
			t.Run(name+"/"+variant, func(t *testing.T) {
				m, prompts := goldens.Open(t, name)
				g, err := foundry.Fuse(m, foundry.Defaults(foundry.Ref, foundry.CompileOptions{Variant: variant, Context: 512, AllLogits: true}))
				require.NoError(t, err)
				e, err := foundry.Interpret(context.Background(), g)
				require.NoError(t, err)
				defer e.Close()
				for _, g := range prompts {
					want := g.IDs(t, "greedy_ids")
					out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: g.IDs(t, "input_ids"), Greedy: len(want), Top: 1})
					require.NoError(t, err)
					require.LessOrEqual(t, g.WorstRow(t, out.Logits, m.Config.Vocab), goldens.OnRef, g.Name)
					require.Equal(t, want, out.GreedyIDs, g.Name)
				}
			})
		}
	}
}

// Every layer's output, not the logits alone: an error in one layer shows there. In
// a fused graph the interpreter shows the operations inside of regions too.
func TestHiddenStatesOnRef(t *testing.T) {
	t.Parallel()
	for _, name := range goldens.Models {
		for _, variant := range []string{"unfused", "default", "per-layer-6", "fewest"} {
			t.Run(name+"/"+variant, func(t *testing.T) { requireHiddenStates(t, name, variant) })
		}
	}
}

func requireHiddenStates(t *testing.T, name, variant string) {
	m, prompts := goldens.Open(t, name)
	g, err := foundry.Fuse(m, foundry.Defaults(foundry.Ref, foundry.CompileOptions{Variant: variant, Context: 512, AllLogits: true}))
	require.NoError(t, err)
	program, err := interp.New(g.Entries[0], m.Weights().Tensor, interp.Float32)
	require.NoError(t, err)
	hidden := []string{"embed"}
	for n := range m.Config.Layers - 1 {
		hidden = append(hidden, layerLabel(n))
	}
	hidden = append(hidden, "final_norm")
	for _, golden := range prompts {
		ids := golden.IDs(t, "input_ids")
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
			require.LessOrEqual(t, goldens.NMSE(have[label], golden.Floats(t, hiddenName(i))), goldens.OnRef, "%s %s", golden.Name, label)
		}
	}
}

func layerLabel(n int) string { return fmt.Sprintf("layers.%d.resid_mlp", n) }

func hiddenName(i int) string { return fmt.Sprintf("hidden.%d", i) }
