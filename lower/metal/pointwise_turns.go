package metal

import (
	"foundry/ir"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// turns are the cosines and the sines of a rotation at one position, in threadgroup
// memory, by pair.
type turns struct{ cosines, sines *msl.Value }

// rotation is what the turns of a position depend on.
type rotation struct {
	frequencies *ir.Value
	start       sym.Dim
}

func rotationOf(n *ir.Node) rotation { return rotation{n.Args[1], n.Attr.Start} }

// positions is pointwise with a threadgroup a position: its threads compute the cosine
// and the sine of each pair once, meet, and turn the pairs of all heads.
func (r *region) positions(chosen choice.Positions) *lowering {
	parts, w := task.ElementsOf(r.asked), chosen.Width
	k := newKernel(kernelBase(r.name, r.g.Results[0].Value.Type), r.identity(plan.Elementwise))
	k.param("width", w)
	positions := parts[0].Space.Dims[1]
	k.grid[0].N = positions
	var ends []int64 // of each part's units, which follow one another
	units := int64(0)
	for _, p := range parts {
		units += p.Space.Dims[0].C * p.Space.Dims[2].C / 2 / int64(w)
		ends = append(ends, units)
	}
	k.threads = chosen.Threads()
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.ThreadIndex)
	k.ready()
	e := newEmitter(k, r, w)
	e.owns = len(parts) == 1
	t := number(0)
	if positions != sym.Const(1) {
		t = e.know(groupX, positions.Max(r.g.Bounds), 1)
	}
	at := r.turnsOnce(e, parts, t)
	k.phase("Main: the pairs of all heads.")
	k.each("unit", units, k.threads, 1, func(unit, _ *msl.Value) {
		k.choose(below(unit, ends), func(i int) {
			own := e.know(unit, ends[0], 1)
			if i > 0 {
				own = e.atom("own", unit.Sub(u(ends[i-1])), ends[i]-ends[i-1], 1)
			}
			e.turnPair(&parts[i], own, t, at)
		})
	})
	return alone(k)
}

// below are the conditions of parts that end there, one behind the other, for their choice.
func below(i *msl.Value, ends []int64) []*msl.Value {
	out := make([]*msl.Value, len(ends))
	if len(ends) > 1 {
		for j, end := range ends {
			out[j] = i.Less(u(end))
		}
	}
	return out
}

// turnsOnce computes the turns of all rotations of the parts at row t, each once, and has
// the threads of the group meet.
func (r *region) turnsOnce(e *emitter, parts []task.Elements, t affine) map[rotation]turns {
	at := map[rotation]turns{}
	for _, p := range parts {
		for _, n := range p.Rotations(r.asked) {
			if key := rotationOf(n); at[key].cosines == nil {
				at[key] = e.turnOnce(n, t)
			}
		}
	}
	e.k.barrier()
	return at
}

// turnOnce computes a rotation's turns at row t: before the ready point where no
// dispatch of the step writes its frequencies.
func (e *emitter) turnOnce(n *ir.Node, t affine) turns {
	k, half := e.k, n.Results[0].Type.Shape.At(2).C/2
	x := turns{k.threadgroup("cosines", "float", int(4*half)), k.threadgroup("sines", "float", int(4*half))}
	write := func() {
		w := e.Width
		e.Width = 1
		k.phase("The turn of each pair of the position.")
		k.each(k.fresh("pair"), half, k.threads, 1, func(pair, _ *msl.Value) {
			defer e.scope()()
			c, s := e.turn(n, t, e.know(pair, half, 1))
			k.add(msl.Set(x.cosines.At(pair), c), msl.Set(x.sines.At(pair), s))
		})
		e.Width = w
	}
	if f := n.Args[1]; f.Param != nil && e.r.operands[f.Index].Fixed {
		k.within(&k.readyPoint.Before, write)
	} else {
		write()
	}
	return x
}

// turnPair turns a pair, or four, of the part's heads at row t.
func (e *emitter) turnPair(p *task.Elements, unit, t affine, at map[rotation]turns) {
	done := e.scope()
	defer done()
	head, column := e.Split(unit, sym.Const(p.Space.Dims[2].C/2/int64(e.Width)), "index")
	i, _ := column.Times(sym.Poly{C: int64(e.Width)})
	for _, n := range p.Rotations(e.r.asked) {
		x := at[rotationOf(n)]
		e.bindTurn(n, t, i, e.define("cosine", e.shared(x.cosines, i)), e.define("sine", e.shared(x.sines, i)))
	}
	e.r.storeResults(e, p, []affine{head, t, i})
}

// shared reads w adjacent floats of threadgroup memory.
func (e *emitter) shared(floats *msl.Value, i affine) *msl.Value {
	if e.Width == 1 {
		return floats.At(e.k.index(i))
	}
	return floats.Add(e.k.index(i)).Paren().Cast("threadgroup const float4 *").Deref()
}
