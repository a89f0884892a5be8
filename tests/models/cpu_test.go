package models

import (
	"context"
	"fmt"
	"testing"

	"foundry"
	"foundry/runtime/eval"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"
)

// In NMSE of logits, beside the goldens' bounds.
const (
	quantisedBound = 2e-6 // cpu against the reference on the same blocks
	chunksBound    = 3e-6 // prefill in chunks against prefill in one: their f16 operands are other sums' roundings
)

// From the bundle on disk, prefill of the whole prompt and, in the variant default, token by
// token: the first model in three variants, the others in one of them, with
// FOUNDRY_COMPLETE all.
func TestGoldensOnCPU(t *testing.T) {
	t.Parallel()
	for _, name := range goldens.Models {
		for _, variant := range []string{"unfused", "default", "fewest"} {
			if name != goldens.Models[0] && variant != "default" && !isComplete() {
				continue
			}
			m, prompts := goldens.Open(t, name)
			load := oncpu.FromDisk(t, m, foundry.CompileOptions{Variant: variant, Context: 512, AllLogits: true})
			for _, chunk := range []int{0, 1} {
				if chunk == 1 && variant != "default" && !isComplete() {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/chunk=%d", name, variant, chunk), func(t *testing.T) {
					e := load(t, chunk)
					for _, g := range prompts {
						ids := g.IDs(t, "input_ids")
						out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: ids, Greedy: len(g.IDs(t, "greedy_ids")), Top: 1})
						require.NoError(t, err)
						worst := g.WorstRow(t, out.Logits, m.Config.Vocab)
						require.LessOrEqual(t, worst, goldens.OnCPU, g.Name)
						agree := g.RequireGreedy(t, out.GreedyIDs, goldens.Margin)
						t.Logf("%-8s worst row's NMSE %.2g, %d of %d greedy ids", g.Name, worst, agree, len(out.GreedyIDs))
					}
				})
			}
		}
	}
}
