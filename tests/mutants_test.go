package tests

import (
	"testing"

	"foundry"
	"foundry/ir/dtype"
	"foundry/lower/plan"

	"github.com/stretchr/testify/require"
)

// TestMutants changes one thing of compiled plans that a kernel would not survive, or
// would survive with other numbers: the verifier refuses each.
func TestMutants(t *testing.T) {
	t.Parallel()
	m, err := foundry.Open("kjv-2m", foundry.Hub{})
	require.NoError(t, err)
	for _, o := range []foundry.CompileOptions{
		{Context: 64, Chunk: 16}, {Variant: "unfused", Context: 64, Chunk: 16}, {Context: 64, Chunk: 16, Sampler: true},
		{Context: 64, Chunk: 16, Weights: dtype.Q8_0}, {Context: 64, Chunk: 16, Cache: dtype.F32, Weights: dtype.BF16},
	} {
		c, err := foundry.Compile(m, o)
		require.NoError(t, err)
		p := c.Plan
		require.NoError(t, p.Check())
		// Each change is made in the plan itself and taken back.
		refused := func(want string) {
			t.Helper()
			require.ErrorContains(t, p.Check(), want)
		}
		for _, context := range []int{65, 128, 1 << 20} {
			p.Model.Context = context
			refused("the context has")
		}
		p.Model.Context = 64
		p.Model.Chunk = 17
		refused("no entry runs more than")
		p.Model.Chunk = 65
		refused("is larger than the context")
		p.Model.Chunk = 16
		for i := range p.Buffers {
			b := &p.Buffers[i]
			if w := b.Weight; w != nil {
				kind := w.Kind
				w.Kind = map[bool]string{true: "convert", false: "quantise"}[b.DType.Quantised()]
				refused("makes no")
				w.Kind = kind
			}
			if b.Cache {
				rows := b.Shape[1]
				b.Shape[1] = b.Shape[0]
				refused("the context has")
				b.Shape[1] = rows
			}
		}
		// Each slot's type for each other: only those that no dispatch binds are not seen.
		bound := map[int]bool{}
		for _, e := range p.Runs() {
			for _, s := range e.Steps {
				if s.Dispatch != nil {
					bound[s.Dispatch.Kernel] = true
				}
			}
		}
		words := map[string]string{"float": "f32", "half": "f16", "ushort": "bf16", "int": "i32", "uint": "i32", "uchar": "blocks"}
		for k := range p.Kernels {
			require.True(t, bound[k])
			for i := range p.Kernels[k].Slots {
				slot := &p.Kernels[k].Slots[i]
				written := slot.Type
				if words[written] == "" || onStep(p, k, i) {
					continue
				}
				for typ, reads := range words {
					if words[written] != reads {
						slot.Type = typ
						refused("kernel " + p.Kernels[k].Name + ", slot")
					}
				}
				slot.Type = written
			}
		}
		require.NoError(t, p.Check(), "every change was taken back")
	}
}

// onStep reports whether slot s of kernel k is bound to the step, whose words have
// several types.
func onStep(p *plan.Plan, k, s int) bool {
	for _, e := range p.Entries {
		for _, step := range e.Steps {
			if d := step.Dispatch; d != nil && d.Kernel == k && p.Buffers[d.Bind[s].Buffer].Role == plan.StepBuffer {
				return true
			}
		}
	}
	return false
}
