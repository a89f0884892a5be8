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

// A prompt in chunks of any size gives the logits of one pass: attention in tiles
// over caches that other chunks have filled, blocks of tiles that end anywhere.
func TestPrefillInChunks(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"kjv-2m", "rand-hd128"} {
		m, prompts := goldens.Open(t, name)
		load := oncpu.FromDisk(t, m, foundry.CompileOptions{Context: 512, AllLogits: true})
		prompt := prompts[0].IDs(t, "input_ids")
		for _, g := range prompts {
			if ids := g.IDs(t, "input_ids"); len(ids) > len(prompt) {
				prompt = ids
			}
		}
		prompt = prompt[:min(len(prompt), 130)]
		logits := func(t *testing.T, chunk int) []float32 {
			out, err := eval.Prompt(context.Background(), load(t, chunk), eval.Options{IDs: prompt, Top: 1})
			require.NoError(t, err)
			return out.Logits
		}
		whole := logits(t, 0)
		for _, chunk := range []int{1, 7, 16, 33, 100} {
			t.Run(fmt.Sprintf("%s/%d", name, chunk), func(t *testing.T) {
				worst := goldens.NMSE(logits(t, chunk), whole)
				require.LessOrEqual(t, worst, chunksBound)
				t.Logf("NMSE %.2g", worst)
			})
		}
	}
}
