package emulated

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/runtime"
	"foundry/runtime/mtl"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"
)

// drawn generates from a prompt and reports the ids.
func drawn(t *testing.T, s *foundry.Session, n int, how runtime.Sampling) []int32 {
	t.Helper()
	var ids []int32
	for id, err := range s.IDs.Generate(context.Background(), n, how) {
		require.NoError(t, err)
		ids = append(ids, id)
	}
	return ids
}

// Tokens drawn by the plan's entry sample, in batches without the host, are those
// that the host draws from the same plan's logits, for every filter; a seed gives
// them again, however the calls are cut, and another seed gives others.
func TestDrawnWhereTheModelRuns(t *testing.T) {
	t.Parallel()
	const n = 12
	prompt := []int32{1062, 258, 342}
	m, _ := goldens.Open(t, goldens.Models[0])
	open := func(t *testing.T, e *foundry.Engine, draws bool) *foundry.Session {
		s, err := e.NewSession()
		require.NoError(t, err)
		require.Equal(t, draws, s.IDs.Limits().Draws)
		require.NoError(t, s.IDs.Prefill(context.Background(), prompt))
		return s
	}
	o := foundry.CompileOptions{Context: 64, Chunk: 16}
	host := open(t, oncpu.FromDisk(t, m, o)(t, 0), false)
	defer host.Close()
	o.Sampler = true
	settings := []runtime.Sampling{
		{Temperature: 1}, {Temperature: 1, Seed: 1}, {Temperature: 0.7, TopK: 20, TopP: 0.8, Repetition: 1.1, Seed: 1 << 40}, {Temperature: 3, MinP: 0.01, Seed: 2},
		{Temperature: 2, TopP: 0.95, Seed: 3}, {Repetition: 1.4},
	}
	var want [][]int32
	for i, how := range settings {
		require.NoError(t, host.IDs.Rewind(len(prompt)))
		want = append(want, drawn(t, host, n, how))
		for _, other := range want[:i] {
			require.NotEqual(t, other, want[i], "%+v", how)
		}
	}
	for _, engine := range []*foundry.Engine{oncpu.FromDisk(t, m, o)(t, 0), onEmulatedMetal(t, m, bundle(t, m, o), mtl.Options{Indirect: true})} {
		s := open(t, engine, true)
		for i, how := range settings {
			require.NoError(t, s.IDs.Rewind(len(prompt)))
			have := drawn(t, s, 1+i, how)
			require.Equal(t, want[i], append(have, drawn(t, s, n-1-i, how)...), "%s: %+v", engine.Device, how)
		}
		require.NoError(t, s.Close())
		if engine.Device == foundry.Metal {
			require.NoError(t, engine.Close())
		}
	}
	clean(t)
}
