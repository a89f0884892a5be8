package tests

import (
	"encoding/json"
	"testing"

	"foundry"
	"foundry/ir/dtype"
	"foundry/lower/plan"

	"github.com/stretchr/testify/require"
)

// clone copies a plan through its JSON, with the kernels' sources.
func clone(t *testing.T, p *plan.Plan) *plan.Plan {
	t.Helper()
	text, err := json.Marshal(p)
	require.NoError(t, err)
	var out plan.Plan
	require.NoError(t, json.Unmarshal(text, &out))
	for i := range out.Kernels {
		out.Kernels[i].Source = p.Kernels[i].Source
	}
	return &out
}

// TestMutants changes one thing of compiled plans that a kernel would not survive, or
// would survive with other numbers: the verifier refuses each.
func TestMutants(t *testing.T) {
	m, err := foundry.Open("kjv-2m", foundry.Hub{})
	require.NoError(t, err)
	for _, o := range []foundry.CompileOptions{
		{Context: 64, Chunk: 16}, {Variant: "unfused", Context: 64, Chunk: 16}, {Context: 64, Chunk: 16, Sampler: true},
		{Context: 64, Chunk: 16, Weights: dtype.Q8_0}, {Context: 64, Chunk: 16, Cache: dtype.F32, Weights: dtype.BF16},
	} {
		c, err := foundry.Compile(m, o)
		require.NoError(t, err)
		require.NoError(t, clone(t, c.Plan).Check())
		refused := func(want string, change func(p *plan.Plan) bool) {
			t.Helper()
			p := clone(t, c.Plan)
			if change(p) {
				require.ErrorContains(t, p.Check(), want)
			}
		}
		for _, context := range []int{65, 128, 1 << 20} {
			refused("the context has", func(p *plan.Plan) bool { p.Model.Context = context; return true })
		}
		refused("no entry runs more than", func(p *plan.Plan) bool { p.Model.Chunk = 17; return true })
		refused("is larger than the context", func(p *plan.Plan) bool { p.Model.Chunk = 65; return true })
		for i := range c.Plan.Buffers {
			refused("makes no", func(p *plan.Plan) bool {
				b := &p.Buffers[i]
				if b.Weight == nil {
					return false
				}
				b.Weight.Kind = map[bool]string{true: "convert", false: "quantise"}[b.DType.Quantised()]
				return true
			})
			refused("the context has", func(p *plan.Plan) bool {
				b := &p.Buffers[i]
				if !b.Cache {
					return false
				}
				b.Shape[1] = b.Shape[0]
				return true
			})
		}
		// Each slot's type for each other: only those that no dispatch binds are not seen.
		bound := map[int]bool{}
		for _, e := range c.Plan.Runs() {
			for _, s := range e.Steps {
				if s.Dispatch != nil {
					bound[s.Dispatch.Kernel] = true
				}
			}
		}
		words := map[string]string{"float": "f32", "half": "f16", "ushort": "bf16", "int": "i32", "uint": "i32", "uchar": "blocks"}
		for k := range c.Plan.Kernels {
			require.True(t, bound[k])
			for s, slot := range c.Plan.Kernels[k].Slots {
				for typ, reads := range words {
					refused("kernel "+c.Plan.Kernels[k].Name+", slot", func(p *plan.Plan) bool {
						if words[slot.Type] == reads || words[slot.Type] == "" || onStep(p, k, s) {
							return false
						}
						p.Kernels[k].Slots[s].Type = typ
						return true
					})
				}
			}
		}
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
