package tests

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"strconv"
	"testing"
	"time"

	"foundry"

	"github.com/stretchr/testify/require"
)

var long = flag.Bool("long", false, "also run what takes minutes: real shapes on the reference")

type synthPrompt struct {
	TopIDs    []int32   `json:"top32_ids"`
	TopLogits []float32 `json:"top32_logits"`
	GreedyIDs []int32   `json:"greedy_ids"`
}

// The reference on the published shapes with generated weights, against the same
// done with Hugging Face transformers: go test ./tests -run Synth -args -long.
func TestSynthGoldensOnRef(t *testing.T) {
	if !*long {
		t.Skip("takes gigabytes and minutes; run with -args -long")
	}
	raw, err := os.ReadFile("testdata/synth-goldens.json")
	require.NoError(t, err)
	var models map[string]struct{ Prompts map[string]synthPrompt }
	require.NoError(t, json.Unmarshal(raw, &models))
	for _, name := range []string{"qwen2.5-0.5b", "qwen2.5-1.5b"} {
		m, err := foundry.Open("synth:"+name, foundry.Hub{})
		require.NoError(t, err)
		g, err := foundry.Fuse(m, foundry.CompileOptions{Device: foundry.Ref, Variant: "six", Context: 512})
		require.NoError(t, err)
		start := time.Now()
		e, err := foundry.Interpret(context.Background(), g)
		require.NoError(t, err)
		t.Logf("%s: weights generated in %v", name, time.Since(start))
		for length, want := range models[name].Prompts {
			n, err := strconv.Atoi(length)
			require.NoError(t, err)
			ids := make([]int32, n)
			for i := range ids {
				ids[i] = int32((i*7919 + 13) % 151643)
			}
			start := time.Now()
			out, err := e.Evaluate(context.Background(), foundry.EvalOptions{IDs: ids, Greedy: len(want.GreedyIDs), Top: 32})
			require.NoError(t, err)
			steps := n + len(want.GreedyIDs) - 1
			t.Logf("%s: %d tokens in %v, %v a token", name, steps, time.Since(start), time.Since(start)/time.Duration(steps))
			var have []float32
			var top []int32
			for _, c := range out.Top {
				top, have = append(top, c.ID), append(have, c.Logit)
			}
			require.Equal(t, want.TopIDs, top)
			require.LessOrEqual(t, nmse(have, want.TopLogits), refBound)
			require.Equal(t, want.GreedyIDs, out.GreedyIDs)
		}
		require.NoError(t, e.Close())
		require.NoError(t, m.Close())
	}
}
