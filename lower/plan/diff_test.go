package plan

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Each number of a difference is that of the plan that it is said of, and each side has what
// the other lacks.
func TestDiffOfTwo(t *testing.T) {
	a, b := sample(t), sample(t)
	same, err := Diff("a", a, "b", b)
	require.NoError(t, err)
	require.Equal(t, [2]DiffSide{}, [2]DiffSide{same.OnlyA, same.OnlyB})
	for _, n := range same.Numbers {
		require.Equal(t, n.A, n.B, n.What)
	}

	b.Model.Context /= 2
	b.Kernels = b.Kernels[:2]
	b.ArenaBytes = 8192
	b.Buffers = append(b.Buffers, Buffer{Name: "w", Class: Weight, Bytes: 1000, DType: dtype.F16}, Buffer{Name: "s", Class: State, Bytes: 10, DType: dtype.F16})
	for i := range b.Entries {
		e := &b.Entries[i]
		e.Steps = slices.Clone(e.Steps)[:4] // the last dispatch is gone
		e.CommandBuffers = e.CommandBuffers[:1]
		scale := *e.Steps[2].Dispatch
		scale.Nodes = []Node{{"layers.0.scale", "mul"}, {"layers.0.scale", "mul"}, {"layers.0.add", "add"}}
		again := scale
		again.Label = "layers.1.scale"
		e.Steps[2].Dispatch = &scale
		e.Steps = append(e.Steps, Step{Dispatch: &again})
	}
	b.Decisions = []Decision{
		{Pattern: "norm+qkv", Node: "%3", Outcome: "refused", Reason: "slots 34 > 31"}, // other figures
		{Entry: "decode", Pattern: "norm+qkv", Node: "%4", Outcome: "matched", Reason: "x"},
		{Entry: "prefill", Pattern: "norm+qkv", Node: "%4", Outcome: "matched", Reason: "x"},
	}
	a.Decisions = append(a.Decisions, Decision{Entry: "prefill", Pattern: "rope", Node: "%9", Outcome: "refused", Reason: "y"})
	d, err := Diff("a", a, "b", b)
	require.NoError(t, err)
	require.Equal(t, [2]string{"a", "b"}, [2]string{d.A, d.B})
	ea, eb := a.Stats(&a.Entries[0], sym.Env{T: 8}), b.Stats(&b.Entries[0], sym.Env{T: 8})
	da, db := a.Stats(&a.Entries[1], sym.Env{T: 1, P: int64(b.Model.Context / 2)}), b.Stats(&b.Entries[1], sym.Env{T: 1, P: int64(b.Model.Context / 2)})
	weights, states := a.ClassBytes(Weight), a.ClassBytes(State)
	want := []DiffNumber{
		{"", "kernels", 3, 2}, {"", "weight bytes", weights, weights + 1000}, {"", "state bytes", states, states + 10}, {"", "arena bytes", 4096, 8192},
		{"prefill", "dispatches", 3, 3}, {"prefill", "waves", 3, 2}, {"prefill", "barriers", 2, 2}, {"prefill", "command buffers", 2, 1},
		{"prefill", "bytes moved", ea.MovedBytes, eb.MovedBytes}, {"prefill", "flops", ea.Flops, eb.Flops},
		{"decode", "dispatches", 3, 3}, {"decode", "waves", 3, 2}, {"decode", "barriers", 2, 2}, {"decode", "command buffers", 2, 1},
		{"decode", "bytes moved", da.MovedBytes, db.MovedBytes}, {"decode", "flops", da.Flops, db.Flops},
	}
	require.Equal(t, want, d.Numbers)
	require.NotEqual(t, ea.MovedBytes, eb.MovedBytes)
	require.NotEqual(t, da.MovedBytes, db.MovedBytes)
	require.NotEqual(t, ea.Flops, eb.Flops)
	require.Equal(t, []DiffDispatch{
		{"prefill", "layers.0.scale", "mul", 1}, {"prefill", "pick", "argmax", 1}, {"decode", "layers.0.scale", "mul", 1}, {"decode", "pick", "argmax", 1},
	}, d.OnlyA.Dispatches)
	require.Equal(t, []DiffDispatch{{"prefill", "layers.0.scale", "2 mul, add", 2}, {"decode", "layers.0.scale", "2 mul, add", 2}}, d.OnlyB.Dispatches)
	require.Len(t, d.OnlyA.Decisions, 1)
	require.Equal(t, "rope", d.OnlyA.Decisions[0].Pattern)
	require.Len(t, d.OnlyB.Decisions, 2, "each entry's own")
	require.Equal(t, []string{"decode", "prefill"}, []string{d.OnlyB.Decisions[0].Entry, d.OnlyB.Decisions[1].Entry})

	b.Entries = b.Entries[:1]
	_, err = Diff("a", a, "b", b)
	require.EqualError(t, err, `a and b cannot be compared: the plan has no entry "decode", it has prefill`)
}
