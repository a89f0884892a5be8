package metal

import (
	"foundry/ir"
	choice "foundry/ir/kernel"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// create writes arange, ones and random_uniform.
func (r *region) create(chosen choice.Create) *lowering {
	n := r.g.Nodes()[0]
	k := newKernel(kernelBase(r.name, n.Results[0].Type), r.identity(plan.Create))
	k.threads = chosen.Threads()
	k.grid[0] = plan.GridDim{N: n.Attr.Size, Div: int64(choice.CreateWidth * k.threads)}
	k.use("main/create.metal")
	position := k.builtin(plan.ThreadPosition)
	k.ready()
	e := newEmitter(k, r, 1)
	first, count := msl.Variable("first"), msl.Variable("count")
	k.add(&msl.Declare{Type: constUint, Of: []msl.Declared{{Variable: first, Value: position.Dot("x").Mul(u(choice.CreateWidth))}, {Variable: count, Value: k.dim(n.Attr.Size)}}})
	value := msl.Call("float4", one)
	switch n.Op {
	case ir.OpArange:
		value = msl.Call("arange4", msl.Call("int", k.dim(n.Attr.Start)), first)
	case ir.OpRandomUniform:
		value = msl.Call("random4", e.pointer(n.Args[0], []affine{number(0)}), first)
	}
	store := msl.Call("store_created", e.target(0, []affine{number(0)}), first, count, value)
	k.add(msl.When(first.Less(count), &msl.Do{Call: store}))
	return alone(k)
}
