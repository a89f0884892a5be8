package passes

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/target"
	"foundry/lower/plan"
)

// What saves nothing is no loss in words, and one of a thing is one.
func TestGainsInWords(t *testing.T) {
	none, less, more := gain{before: 3}, gain{us: 2, before: 3, dispatches: 1, waves: 1, bytes: 1}, gain{us: -2, before: 3, dispatches: 2, waves: 2, bytes: 2000}
	require.Equal(t, "0 dispatches and 0 waves fewer, 0 B less moved, predicted 0 ns less than 3 us", none.String())
	require.Equal(t, "1 dispatch and 1 wave fewer, 1 B less moved, predicted 2 us less than 3 us", less.String())
	require.Equal(t, "predicted 2 us more than 3 us, though it saves 2 dispatches, 2 waves and 2 kB", more.lossReason())
	require.Equal(t, "would save 2 us, this saves 0 ns", less.against(none))
	require.Equal(t, "would lose 2 us, this saves 2 us", more.against(less))
	require.Equal(t, "would save 0 ns, this saves 2 us", none.against(less))
}

// On a machine where nothing takes time, nothing is gained, and a fusion is not taken; where a
// dispatch takes as little as can be, it is.
func TestNothingGained(t *testing.T) {
	huge := math.Inf(1)
	for us, want := range map[float64]string{0: plan.Unprofitable, 1e-9: plan.Matched} {
		x, err := target.Find(target.Default)
		require.NoError(t, err)
		free := *x
		free.BandwidthGBs, free.CacheGBs, free.TFlops, free.TileTFlops = huge, huge, huge, huge
		free.DispatchUs, free.WaveUs, free.GroupUs, free.LatencyUs, free.StepUs, free.EncodeUs, free.SubmitUs, free.CommandBufferUs = us, 0, 0, 0, 0, 0, 0, 0
		g, err := ir.Parse("g.fir", "graph @g (T=1..4, P=0..3, S<=4) {\n  %x = input \"x\" : f32[T, 64]\n  %a = silu %x\n  %y = silu %a\n  return y=%y\n}")
		require.NoError(t, err)
		p, err := Parse("fuse-elementwise{when=cheaper}")
		require.NoError(t, err)
		log := &Log{}
		require.NoError(t, p.Run(g, &Context{Target: &free, Choices: cost.NewChoices(&free, nil), Log: log}))
		require.NotEmpty(t, log.Decisions)
		require.Equal(t, want, log.Decisions[0].Outcome, "%+v", log.Decisions)
	}
}
