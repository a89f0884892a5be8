package models

import (
	"context"
	"encoding/json"
	"flag"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/runtime/eval"
	"foundry/tests/goldens"
)

var long = flag.Bool("long", false, "also run what takes minutes: real shapes on the reference")

type synthPrompt struct {
	TopIDs    []int32   `json:"top32_ids"`
	TopLogits []float32 `json:"top32_logits"`
	GreedyIDs []int32   `json:"greedy_ids"`
}

// The reference on the published shapes with generated weights, against the same
// done with Hugging Face transformers. -args -long adds the longest prompt of 0.5b,
// and 1.5b.
func TestSynthGoldensOnRef(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("generating and running the weights of 0.5b takes 2.4 GB and ten seconds")
	}
	raw, err := os.ReadFile("../testdata/synth-goldens.json")
	require.NoError(t, err)
	var models map[string]struct{ Prompts map[string]synthPrompt }
	require.NoError(t, json.Unmarshal(raw, &models))
	sizes, longest := []string{"qwen2.5-0.5b"}, 24
	if *long {
		sizes, longest = append(sizes, "qwen2.5-1.5b"), math.MaxInt
	}
	for _, name := range sizes {
		m, err := foundry.Open("synth:"+name, foundry.Hub{})
		require.NoError(t, err)
		g, err := foundry.Fuse(m, foundry.Defaults(foundry.Ref, foundry.CompileOptions{Variant: "per-layer-6", Context: 512}))
		require.NoError(t, err)
		start := time.Now()
		e, err := foundry.Interpret(context.Background(), g)
		require.NoError(t, err)
		t.Logf("%s: weights generated in %v", name, time.Since(start))
		for length, want := range models[name].Prompts {
			n, err := strconv.Atoi(length)
			require.NoError(t, err)
			if n > longest {
				continue
			}
			ids := make([]int32, n)
			for i := range ids {
				ids[i] = int32((i*7919 + 13) % 151643)
			}
			start := time.Now()
			out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: ids, Greedy: len(want.GreedyIDs), Top: 32})
			require.NoError(t, err)
			steps := n + len(want.GreedyIDs) - 1
			t.Logf("%s: %d tokens in %v, %v a token", name, steps, time.Since(start), time.Since(start)/time.Duration(steps))
			var have []float32
			var top []int32
			for _, c := range out.Top {
				top, have = append(top, c.ID), append(have, c.Logit)
			}
			require.Equal(t, want.TopIDs, top)
			require.LessOrEqual(t, goldens.NMSE(have, want.TopLogits), goldens.OnRef)
			require.Equal(t, want.GreedyIDs, out.GreedyIDs)
		}
		require.NoError(t, e.Close())
		require.NoError(t, m.Close())
	}
}
