package passes

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/cost"
	"foundry/ir/target"
	"foundry/lower/plan"
)

// A gain and a loss are told apart however small they are.
func TestSmallChanges(t *testing.T) {
	require.Equal(t, "500 ns more than 3 us", gain{us: -0.5, before: 3}.change())
	require.Equal(t, "500 ns less than 3 us", gain{us: 0.5, before: 3}.change())
	require.Equal(t, "0 ns less than 3 us", gain{before: 3}.change())
	require.Equal(t, "would lose 500 ns, this saves 1 us", gain{us: -0.5}.against(gain{us: 1}))
}

// A fusion that is taken although later passes would have made something of its
// operations says what: who reads the log sees what it was weighed against.
func TestWhatAFusionStandsInsteadOf(t *testing.T) {
	tgt, err := target.Find(target.Default)
	require.NoError(t, err)
	p, err := Variant("default")
	require.NoError(t, err)
	decode := oneLayer(t, "0.5b")[1]
	var log Log
	require.NoError(t, p.Run(decode, &Context{Target: tgt, Lowerable: cost.NewChoices(tgt, nil).Lowerable, Log: &log}))
	require.True(t, slices.ContainsFunc(log.Decisions, func(d plan.Decision) bool {
		return d.Outcome == plan.Matched && d.Pattern == "qkv-rope-kv" && strings.Contains(d.Reason, "; instead of ") && strings.HasSuffix(d.Reason, "with rmsnorm-qkv")
	}))
}
