package plan

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// prepared is the sample with a preparation that writes ranges, one of them the cache's.
func prepared(t *testing.T) *Plan {
	p := sample(t)
	p.Kernels = append(p.Kernels, Kernel{
		Name: "measure", Source: "kernel void measure() {}\n", Threads: [3]int{32, 1, 1},
		Slots: []Slot{{"weight", "half", "device", Read}, {"range", "float", "device", Write}},
	})
	p.Buffers = append(p.Buffers, Buffer{Name: "ranges", Role: RangesBuffer, Class: Prepared, Bytes: 16, DType: dtype.F32, Shape: []sym.Dim{sym.Const(4)}})
	p.Buffers[4].Range = 8
	scale := &p.Kernels[1]
	scale.Slots = append(scale.Slots, Slot{"cache_range", "float", "device", Read})
	for _, e := range p.Entries {
		d := e.Steps[2].Dispatch
		d.Bind = append(d.Bind, Binding{len(p.Buffers) - 1, 8, 8, Read})
	}
	one := GridDim{sym.Const(1), 1}
	p.Prepare = &Entry{Name: "prepare", Role: Prepare, TMin: 1, TMax: 1, CommandBuffers: []CommandBuffer{{0, 1}}, Steps: []Step{{Dispatch: &Dispatch{
		Kernel: len(p.Kernels) - 1, Label: "measure", Layer: -1, Grid: [3]GridDim{one, one, one},
		Bind: []Binding{{2, 0, 4096, Read}, {len(p.Buffers) - 1, 8, 8, Write}},
	}}}}
	return p
}

// writeInEntry has the first entry write ranges, too.
func writeInEntry(p *Plan) {
	e, again := &p.Entries[0], *p.Prepare.Steps[0].Dispatch
	again.Wave = e.Steps[len(e.Steps)-1].Dispatch.Wave
	e.Steps = append(e.Steps, Step{Dispatch: &again})
	e.CommandBuffers[len(e.CommandBuffers)-1].Last++
}

func TestPreparation(t *testing.T) {
	p := prepared(t)
	require.NoError(t, p.Check())
	dir := t.TempDir()
	require.NoError(t, p.Save(dir))
	back, err := Load(dir)
	require.NoError(t, err)
	require.Equal(t, p, back)

	for name, c := range map[string]struct {
		edit func(*Plan)
		want string
	}{
		"name":            {func(p *Plan) { p.Prepare.Name = "first" }, `the preparation is named "first"`},
		"tokens":          {func(p *Plan) { p.Prepare.TMax = 4 }, "T from 1 to 4; want prepare and 1"},
		"a P":             {func(p *Plan) { p.Prepare.PMax = 1 }, "entry prepare: p_max 1, which only entries of role decode and T = 1 have"},
		"a P below 0":     {func(p *Plan) { p.Prepare.PMax = -1 }, "entry prepare: p_max -1, which only"},
		"by tokens":       {func(p *Plan) { p.Prepare.Steps[0].Dispatch.Grid[1].N = sym.T }, `dispatch "measure" has a grid of T, but no tokens that it could depend on`},
		"missing":         {func(p *Plan) { p.Prepare = nil }, "prepared ranges: the preparation does not write it"},
		"of a session":    {func(p *Plan) { p.Prepare.Steps[0].Dispatch.Bind[0] = Binding{4, 0, 2048, Read} }, `dispatch "measure" binds the state layers.0.k, which sessions own`},
		"entry writes":    {writeInEntry, "prepared ranges: an entry writes it"},
		"range of f32":    {func(p *Plan) { p.Buffers[5].Range = 8 }, "buffer x: a range of f32 of class transient, want of an f16 state"},
		"range at 0":      {func(p *Plan) { p.Buffers[4].Range = 4 }, "buffer layers.0.k: the range at byte 4 of ranges, which has 16"},
		"range behind":    {func(p *Plan) { p.Buffers[4].Range = 16 }, "buffer layers.0.k: the range at byte 16 of ranges, which has 16"},
		"range unbound":   {func(p *Plan) { p.Entries[1].Steps[2].Dispatch.Bind[4].Offset = 0 }, `dispatch "layers.0.scale": slot cache: buffer layers.0.k is kept in the range at 8, which the dispatch does not bind`},
		"half a range":    {func(p *Plan) { p.Prepare.Steps[0].Dispatch.Bind[1].Offset = 4 }, "slot range: 8 bytes at 4 of ranges, want whole ranges of 8"},
		"range of nobody": {func(p *Plan) { p.Buffers[9].Role = NoRole }, "a range, but no prepared buffer ranges"},
	} {
		p := prepared(t)
		c.edit(p)
		require.ErrorContains(t, p.Check(), c.want, name)
	}
}

// A range lies whole among the prepared ones, behind the first, which stands for none.
func TestWhereRangesLie(t *testing.T) {
	p := &Plan{Buffers: []Buffer{{Name: "ranges", Role: RangesBuffer, Class: Prepared, Bytes: 4 * RangeBytes}}}
	at := func(n int64) error { return p.verifyRange(&Buffer{Class: State, DType: dtype.F16, Range: n}) }
	for _, n := range []int64{8, 16, 24} {
		require.NoError(t, at(n), "%d", n)
	}
	for _, n := range []int64{-8, 4, 7, 9, 12, 25, 32} {
		require.EqualError(t, at(n), fmt.Sprintf("the range at byte %d of ranges, which has 32", n))
	}
	require.EqualError(t, p.verifyRange(&Buffer{Class: Weight, DType: dtype.F16, Range: 8}), "a range of f16 of class weight, want of an f16 state")
	require.EqualError(t, p.verifyRange(&Buffer{Class: State, DType: dtype.F32, Range: 8}), "a range of f32 of class state, want of an f16 state")
	p.Buffers[0].Role = NoRole
	require.EqualError(t, at(8), "a range, but no prepared buffer ranges")
}
