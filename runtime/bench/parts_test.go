package bench

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/plan"
)

// Plans that run the same are one row, under the names of all that give them, and have one
// entry.
func TestPlansThatAreMetAgain(t *testing.T) {
	on, err := target.Find("h100")
	require.NoError(t, err)
	of := func(name, digest string, also ...string) *counted {
		return &counted{digest: digest, on: []*target.Target{on}, loads: [][]cost.Load{{{}}}, row: Row{Variant: name, Also: also, CommandBuffers: 1, Modelled: map[string]float64{}}}
	}
	b := &distinctPlans{met: map[string]int{}}
	fresh := b.take([]*counted{of("a", "1"), of("b", "1", "c"), of("d", "2")})
	require.Equal(t, []int{0, -1, 1}, fresh)
	p := &plan.Plan{Options: plan.Options{Weights: dtype.F16, Cache: dtype.F16}, Entries: []plan.Entry{{Name: "a"}, {Name: "b"}, {Name: "d"}}}
	require.NoError(t, b.keep(p, fresh))
	require.Len(t, p.Entries, 2)
	require.Equal(t, []string{"a", "d"}, []string{p.Entries[0].Name, p.Entries[1].Name})
	require.NotEmpty(t, p.Hash)
	fresh = b.take([]*counted{of("e", "2"), of("f", "3", "g")})
	require.Equal(t, []int{-1, 2}, fresh)
	var names []string
	for _, r := range b.rows {
		names = append(append(names, r.Variant), r.Also...)
	}
	require.Equal(t, []string{"a", "b", "c", "d", "e", "f", "g"}, names)
	require.NoError(t, b.measure(t.Context(), p, []int{-1, -1}, nil), "nothing is new")
}

// What is not named is told by what names begin with.
func TestBeginningsOfKernels(t *testing.T) {
	require.Equal(t, []string{"argmax", "attention", "rms_norm"},
		beginningsOf(map[string]bool{"attention_3x64": true, "attention_1x64_2": true, "rms_norm": true, "argmax9": true}))
}

// A kernel alone runs behind as many tokens as are asked for, as far as the model has
// positions; else a step of one token behind the prompt, of more behind none. The cache holds
// the longest.
func TestBehindAndFurthest(t *testing.T) {
	m := &model.Model{Config: decoder.Config{MaxPositions: 100}}
	of := func(behind []int, rows ...int) *kernelsBench {
		return &kernelsBench{KernelsOptions: KernelsOptions{Bench: Options{Prompt: 7}, Behind: behind, Rows: rows}, m: m}
	}
	require.Equal(t, []int{7}, of(nil).behind(1))
	require.Equal(t, []int{0}, of(nil).behind(2))
	asked := []int{0, 92, 93, 99}
	require.Equal(t, []int{0, 92, 92, 92}, of(asked).behind(8))
	require.Equal(t, []int{0, 92, 93, 99}, asked)
	require.Equal(t, []int{0}, of([]int{5}).behind(200))
	require.Equal(t, 16, of(nil, 1, 16).furthest())
	require.Equal(t, 8, of(nil, 1, 4).furthest())
	require.Equal(t, 30+16, of([]int{30, 20}, 1, 16).furthest())
}

// Attention is scores, softmax and weighted values; with it goes what only moves what it wrote.
func TestDispatchesOfAttention(t *testing.T) {
	of := func(bind []plan.Binding, ops ...ir.Op) *plan.Dispatch {
		d := &plan.Dispatch{Bind: bind}
		for _, op := range ops {
			d.Nodes = append(d.Nodes, plan.Node{Op: op.String()})
		}
		return d
	}
	for op, want := range map[ir.Op]bool{ir.OpBmmNT: true, ir.OpBmmNN: true, ir.OpSoftmax: true, ir.OpMatmulNT: false, ir.OpAdd: false} {
		require.Equal(t, want, isAttention(of(nil, op)), "%v", op)
		require.Equal(t, want, isAttention(of(nil, ir.OpAdd, op)), "%v", op)
	}
	require.False(t, isAttention(of(nil)))
	reads := []plan.Binding{{Buffer: 1, Access: plan.Read}, {Buffer: 2, Access: plan.Write}}
	wrote := map[int]bool{1: true, 2: false}
	require.True(t, moves(of(reads, ir.OpTranspose), wrote))
	require.True(t, moves(of(reads, ir.OpReshape, ir.OpTranspose), wrote))
	require.False(t, moves(of(reads, ir.OpTranspose, ir.OpAdd), wrote), "it computes")
	require.False(t, moves(of(reads, ir.OpTranspose), map[int]bool{2: true}), "what is only written")
	require.False(t, moves(of(reads[1:], ir.OpTranspose), wrote), "it reads nothing of attention's")
	unknown := of(reads)
	unknown.Nodes = []plan.Node{{Op: "own"}}
	require.False(t, moves(unknown, wrote))
}
