package compile

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/sym"
	"foundry/lower/plan"
)

func only(entry, label, ops string, count int) plan.DiffDispatch {
	return plan.DiffDispatch{Entry: entry, Label: label, Ops: ops, Count: count}
}

func diffOf(t *testing.T, a, b *plan.Plan) *plan.Difference {
	t.Helper()
	d, err := plan.Diff("a", a, "b", b)
	require.NoError(t, err)
	return d
}

// Regions of one pattern that hold other operations are a difference, in what is
// dispatched and in what was decided.
func TestDiffOfRegions(t *testing.T) {
	m := embedded(t)
	plans := map[string]*plan.Plan{}
	for _, v := range []string{"qkv", "qkv-bias", "swiglu", "gate-up-swiglu"} {
		c, err := Model(m, Options{Variant: v})
		require.NoError(t, err)
		plans[v] = c.Plan
	}
	decode := func(all []plan.DiffDispatch) []plan.DiffDispatch {
		return slices.DeleteFunc(slices.Clone(all), func(d plan.DiffDispatch) bool { return d.Entry != "decode" })
	}
	d := diffOf(t, plans["qkv"], plans["qkv-bias"])
	require.Equal(t, []plan.DiffDispatch{
		only("decode", "layers.0.qkv", "3 matmul_nt", 5),
		only("decode", "layers.0.q_bias", "add", 5), only("decode", "layers.0.k_bias", "add", 5), only("decode", "layers.0.v_bias", "add", 5),
	}, decode(d.OnlyA.Dispatches))
	require.Equal(t, []plan.DiffDispatch{only("decode", "layers.0.qkv", "3 matmul_nt, 3 add", 5)}, decode(d.OnlyB.Dispatches))
	require.Regexp(t, "^3 matmul_nt: 3 nodes", d.OnlyA.Decisions[0].Reason)
	require.Equal(t, 5, d.OnlyA.Decisions[0].Count)
	require.Regexp(t, "^3 matmul_nt, 3 add: 6 nodes", d.OnlyB.Decisions[0].Reason)

	var want []plan.DiffNumber
	for _, name := range []string{"prefill", "decode"} {
		env := map[string]sym.Env{"prefill": {T: int64(plans["qkv"].Model.Chunk)}, "decode": {T: 1, P: int64(plans["qkv"].Model.Context / 2)}}[name]
		var of [2]plan.EntryStats
		for i, p := range []*plan.Plan{plans["qkv"], plans["qkv-bias"]} {
			e, err := p.Entry(name)
			require.NoError(t, err)
			of[i] = p.Stats(e, env)
		}
		require.Greater(t, of[0].MovedBytes, of[1].MovedBytes)
		for _, n := range []struct {
			what string
			of   func(plan.EntryStats) int64
		}{
			{"dispatches", func(e plan.EntryStats) int64 { return int64(e.Dispatches) }},
			{"waves", func(e plan.EntryStats) int64 { return int64(e.Waves) }},
			{"barriers", func(e plan.EntryStats) int64 { return int64(e.Barriers) }},
			{"command buffers", func(e plan.EntryStats) int64 { return int64(e.CommandBuffers) }},
			{"bytes moved", func(e plan.EntryStats) int64 { return e.MovedBytes }},
			{"flops", func(e plan.EntryStats) int64 { return e.Flops }},
		} {
			want = append(want, plan.DiffNumber{Entry: name, What: n.what, A: n.of(of[0]), B: n.of(of[1])})
		}
	}
	var whole []plan.DiffNumber
	for _, n := range d.Numbers {
		if n.Entry == "" {
			whole = append(whole, n)
		}
	}
	require.Equal(t, append(whole, want...), d.Numbers, "of the whole plans, then of each entry")
	require.Greater(t, len(whole), 3)

	d = diffOf(t, plans["swiglu"], plans["gate-up-swiglu"])
	require.Equal(t, []plan.DiffDispatch{
		only("decode", "layers.0.post_norm", "rms_norm", 5), only("decode", "layers.0.gate_up", "2 matmul_nt, silu, mul", 5),
	}, decode(d.OnlyA.Dispatches))
	require.Equal(t, []plan.DiffDispatch{only("decode", "layers.0.gate_up", "rms_norm, 2 matmul_nt, silu, mul", 5)}, decode(d.OnlyB.Dispatches))

	d = diffOf(t, plans["qkv"], plans["qkv"])
	require.Equal(t, plan.DiffSide{}, d.OnlyA)
	require.Equal(t, plan.DiffSide{}, d.OnlyB)
}

// Of a reason the words count, not the figures.
func TestDiffOfReasons(t *testing.T) {
	c, err := Model(embedded(t), Options{Variant: "per-layer-6"})
	require.NoError(t, err)
	with := func(outcome, reason string) *plan.Plan {
		p := *c.Plan
		p.Decisions = []plan.Decision{{Entry: "decode", Pattern: "attention-split", Node: "layers.0.scores", Outcome: outcome, Reason: reason}}
		return &p
	}
	a := with(plan.Unprofitable, "predicted 1.5 us more than 6 us, though it saves 1 dispatch, 1 wave and 512 B")
	require.Empty(t, diffOf(t, a, with(plan.Unprofitable, "predicted 0.5 us more than 11.5 us, though it saves 2 dispatches, 3 waves and 17 KiB")).OnlyA)
	d := diffOf(t, a, with(plan.Unprofitable, "predicted 12 us with attention-split, against 11.5 us with attention"))
	require.Len(t, d.OnlyA.Decisions, 1)
	require.Len(t, d.OnlyB.Decisions, 1)
	a = with(plan.Refused, "apple-m3-pro cannot make one kernel of bmm_nt: no kernel for q8_0 weights")
	require.Len(t, diffOf(t, a, with(plan.Refused, "apple-m3-pro cannot make one kernel of bmm_nt: no kernel for q4_0 weights")).OnlyB.Decisions, 1)
}
