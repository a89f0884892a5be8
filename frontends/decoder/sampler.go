package decoder

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Sampler returns the graph "sample", which chooses again behind a run of the
// model: result "token" i32[1], from inputs that the plan keeps for it: "logits"
// f32[1, Vocab] of that run, "history" i32[context+1], the tokens by position, and
// from the step the settings "step.sampling" f32[5] and "step.random" i32[3], seed
// and counter. T is 1, and P counts the tokens that have run.
func Sampler(c Config, context int) (*ir.Graph, error) {
	if err := c.CheckContext(context); err != nil {
		return nil, fmt.Errorf("%s: %w", c.ModelType, err)
	}
	n := int64(context)
	g := ir.NewGraph("sample", sym.Bounds{TMin: 1, TMax: 1, PMin: 1, PMax: n, SMax: n + 1})
	input := func(name string, t dtype.Type, dims ...int64) *ir.Value {
		var shape []sym.Dim
		for _, d := range dims {
			shape = append(shape, sym.Const(d))
		}
		return g.Param(ir.Input, name, ir.TypeOf(t, shape...))
	}
	b := &ir.Builder{Graph: g}
	logits := input("logits", dtype.F32, 1, int64(c.Vocab))
	settings, random := input("step.sampling", dtype.F32, 5), input("step.random", dtype.I32, 3)
	history := input("history", dtype.I32, n+1)
	u := b.Add(ir.OpRandomUniform, "random", ir.Attr{Size: sym.Const(1)}, random)
	seen := b.Add(ir.OpSlice, "seen", ir.Attr{Size: sym.P}, history)
	g.Return("token", b.Add(ir.OpSample, "sample", ir.Attr{}, logits, settings, u, seen))
	if err := b.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.ModelType, err)
	}
	return g, nil
}
