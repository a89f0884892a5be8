package irgen

import (
	"fmt"
	"math/rand/v2"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Wide returns the random graph of a seed that reaches further than Graph does: contexts
// in which attention has several parts, runs of tokens enough for tiles, rows of whole
// blocks of every format, windows, heads that sample, and free operations on what layers
// leave. One in eight is free altogether. It always verifies.
func Wide(seed uint64) *ir.Graph {
	r := rand.New(rand.NewPCG(seed, stream+2))
	if r.IntN(8) == 0 {
		return Free(r)
	}
	tokens, context := int64(1), int64(40)
	small := true // few columns, where there are many rows
	switch r.IntN(8) {
	case 0, 1, 2:
		small = false
	case 3:
		context, small = 520, false
	case 4, 5:
		tokens = randomOf[int64](r, 2, 5, 9)
	case 6:
		tokens, context = randomOf[int64](r, 3, 9), 520
	default:
		tokens, context = randomOf[int64](r, 33, 65, 70), 80
	}
	b := sym.Bounds{TMin: 1, TMax: tokens, PMax: context - 1, SMax: context}
	l := &layers{builder: newBuilder(r, b), mutations: drawMutations(seed, r.IntN(5))}
	l.kvHeads = randomOf[int64](r, 1, 1, 2, 4)
	l.heads = l.kvHeads * randomOf[int64](r, 1, 2, 3, 7)
	l.width = randomOf[int64](r, 8, 16, 32, 64)
	l.hidden = randomOf[int64](r, 32, 64, 96, 128)
	l.inter = randomOf[int64](r, 32, 64, 160)
	l.vocab = randomOf[int64](r, 33, 64, 257, 500)
	if !small {
		l.width = randomOf[int64](r, 32, 64, 128)
		l.hidden = randomOf[int64](r, 96, 256, 512, 896)
		l.inter = randomOf[int64](r, 160, 256, 768)
	}
	l.window = randomOf(r, 0, 0, 0, 1, 7, 300)
	l.sampled = r.IntN(4) == 0
	l.build()
	if r.IntN(3) == 0 {
		l.further(1 + r.IntN(4))
	}
	return l.finish()
}

// further adds free operations that read what the graph returns.
func (l *layers) further(count int) {
	f := &free{builder: l.builder}
	for _, res := range l.g.Results {
		if ir.StateRoot(res.Value) == res.Value {
			f.values = append(f.values, res.Value)
		}
	}
	if len(f.values) == 0 {
		return
	}
	before := len(f.values)
	for range count {
		if v := f.next(); v != nil {
			f.values = append(f.values, v)
		}
	}
	for _, v := range f.values[before:] {
		if v.Def != nil && len(v.Users()) == 0 && ir.StateRoot(v) == v && !l.g.Returned(v) {
			l.g.Return(fmt.Sprintf("further%d", len(l.g.Results)), v)
		}
	}
}

// pick returns a token of each row of logits: the largest, or a sample.
func (l *layers) pick(logits *ir.Value) *ir.Value {
	if !l.sampled {
		return l.add(ir.OpArgmax, "argmax", ir.Attr{}, logits)
	}
	u := l.add(ir.OpRandomUniform, "random", ir.Attr{Size: logits.Type.Shape.At(0)}, l.param(ir.Input, "random", dtype.I32, sym.Const(3)))
	return l.add(ir.OpSample, "sample", ir.Attr{}, logits, l.param(ir.Input, "settings", dtype.F32, sym.Const(5)), u,
		l.param(ir.Input, "seen", dtype.I32, sym.Const(7)))
}
