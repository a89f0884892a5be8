package passes_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/target"
	"foundry/lower/plan"
	"foundry/passes"
)

// chosen runs the default pipeline over a decode graph, without the calls named,
// and returns the region of layer 1 that holds the labelled operation.
func chosen(t *testing.T, size string, tgt *target.Target, label string, without ...string) (*ir.Node, []plan.Decision) {
	t.Helper()
	p, err := passes.Variant("default")
	require.NoError(t, err)
	var calls []string
	for _, c := range p {
		drop := false
		for _, w := range without {
			drop = drop || c.Pass.Name == w
		}
		if !drop {
			calls = append(calls, c.String())
		}
	}
	g := decode(t, size)
	var log passes.Log
	require.NoError(t, parse(t, strings.Join(calls, ",")).Run(g, &passes.Context{Target: tgt, Log: &log}))
	for _, n := range g.Nodes() {
		if n.Label == "layers.1."+label {
			return n, log.Decisions
		}
		if n.Region == nil {
			continue
		}
		for _, m := range n.Region.Nodes() {
			if m.Label == "layers.1."+label {
				return n, log.Decisions
			}
		}
	}
	require.Fail(t, "no node "+label)
	return nil, nil
}

func holds(n *ir.Node, op ir.Op) bool {
	if n.Region == nil {
		return n.Op == op
	}
	for _, m := range n.Region.Nodes() {
		if m.Op == op {
			return true
		}
	}
	return false
}

func machine(t *testing.T, name string) *target.Target {
	t.Helper()
	x, err := target.Find(name)
	require.NoError(t, err)
	return x
}

// The choice follows the target's numbers: with no latency and a fast cache the
// norm may be computed everywhere, with barriers for free nothing is fused for
// their sake, and with few cores one pass over the cache is enough.
func TestChoicesFollowTheTarget(t *testing.T) {
	m3 := machine(t, "apple-m3-pro")
	m3.LatencyUs, m3.CacheGBs = 0, 1e6
	n, _ := chosen(t, "7b", m3, "gate_proj", "split-norm")
	require.True(t, holds(n, ir.OpRMSNorm), "a free norm is computed anywhere")

	m3 = machine(t, "apple-m3-pro")
	m3.WaveUs, m3.DispatchUs = 100, 50
	n, _ = chosen(t, "7b", m3, "gate_proj", "split-norm")
	require.True(t, holds(n, ir.OpRMSNorm), "waves that cost 100 us are worth any norm")

	ultra := machine(t, "apple-m3-ultra")
	n, _ = chosen(t, "7b", ultra, "scores")
	require.Len(t, cost.Run{Target: ultra, Bounds: n.Region.Bounds, Env: cost.Typical(n.Region.Bounds)}.Kernels(n), 2, "28 heads do not fill 80 cores: parts and their merge")
	small := machine(t, "apple-m3-ultra")
	small.Cores, small.BandwidthGBs = 4, 40
	n, _ = chosen(t, "7b", small, "scores")
	require.Equal(t, "attention", n.Attr.Pattern)
}
