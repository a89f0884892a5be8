package metal

import (
	"fmt"

	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// seats is how lanes finish units of a part: each has a unit of a vector.
type seats struct {
	units  int        // a team's units
	unit   *msl.Value // the lane's, counted from the team's first
	vector *msl.Value // the lane's, counted from the threadgroup's first
	exists *msl.Value // the condition of a lane that has a unit of a vector that exists
}

// many reports whether a threadgroup may have several vectors.
func (g *gemv) many() bool { return g.Vectors > 1 || g.Tokens != sym.Const(1) }

func (g *gemv) seats(k *kernel, p *task.Part) seats {
	s := seats{units: g.PerTeam / p.RowsPerUnit(), unit: g.seat, vector: u(0)}
	s.exists = g.guard(p)
	if g.many() {
		s.unit, s.vector = g.seat.Mod(u(s.units)), g.seat.Div(u(s.units))
		s.exists = s.exists.And(g.first.Add(s.vector).Less(k.dim(g.Tokens)))
	}
	return s
}

// guard is the condition of a lane that has a unit of the part.
func (g *gemv) guard(p *task.Part) *msl.Value {
	units := g.PerTeam / p.RowsPerUnit()
	unit, lanes := g.seat, units
	if g.many() {
		unit, lanes = g.seat.Mod(u(units)), units*g.Vectors
	}
	return g.sharesFirst(g.seat.Less(u(lanes))).And(g.unit.Add(unit).Less(u(p.Units())))
}

// sharesFirst is a condition for the first of the simdgroups that share rows.
func (g *gemv) sharesFirst(condition *msl.Value) *msl.Value {
	if g.Share > 1 {
		return g.share.Equal(u(0)).And(condition)
	}
	return condition
}

// epilogue gives each unit of each vector to a lane, which computes the results
// of its rows and stores them.
func (g *gemv) epilogue(k *kernel, p *task.Part) {
	e := newEmitter(k, g.r, 1)
	e.owns = len(g.Parts) == 1
	s := g.seats(k, p)
	squares := make([]*msl.Value, len(p.Sums))
	for i := range squares {
		squares[i] = k.let(floatType, fmt.Sprintf("square%d", i), zero)
	}
	var b best
	if len(p.Best) > 0 {
		b = k.noBest()
	}
	if p.HeadNorm != nil {
		g.squareHeads(k, p, s)
	}
	k.when(s.exists, func() {
		e.early = g.early
		e.early.begin()
		defer e.scope()()
		t, ix, row := g.bindUnit(e, p, s)
		if p.HeadNorm != nil {
			half := u(p.HeadDim() / 2)
			own := g.heads.Add(s.vector.Paren().Mul(u(g.Owners() * s.units))).Add(g.localUnit(s).Div(half).Mul(half))
			scale := k.let(constFloat, k.fresh("head_scale"), msl.Of("gemv_head_scale", half).Call(own, msl.Float(p.HeadNorm.Attr.Eps)))
			bindHeadNorm(e, p, ix, scale)
		}
		if len(p.Results) > 0 {
			g.r.storeResults(e, g.Elements(p), ix)
		}
		for i, j := range p.Sums {
			x := e.at(g.r.g.Results[j].Value.Def.Args[0], []affine{t, row})
			k.add(msl.Set(squares[i], x.Mul(x)))
		}
		for _, j := range p.Best {
			v := e.at(g.r.g.Results[j].Value.Def.Args[0], []affine{t, row})
			if g.r.token != tokenPlain {
				v = msl.Call("argmax_logit", v)
			}
			k.do(msl.Call("argmax_take", b.value, b.place, v, k.index(row)))
		}
	})
	e.early = nil
	for i, j := range p.Sums {
		g.storeSums(e, p, squares[i], j, s)
	}
	if len(p.Best) > 0 {
		g.storeBest(e, b)
	}
}

// bindUnit names the sums of the lane's unit, and returns its token, the index of the
// part's results there, and its row of the products.
func (g *gemv) bindUnit(e *emitter, p *task.Part, s seats) (t affine, ix []affine, row affine) {
	k := e.k
	t = number(0)
	if g.many() {
		t = e.atom("t", g.first.Add(s.vector), 0, 1)
	}
	var scale *msl.Value
	if g.Norm != nil {
		name, all := k.fresh("scale"), msl.Of("rms_scale", u(g.Simdgroups), u(g.Length))
		scale = k.let(constFloat, name, all.Call(g.partial.Add(s.vector.Paren().Mul(u(g.Simdgroups))), msl.Float(g.Norm.Attr.Eps)))
	}
	unit := e.atom("own", g.unit.Add(s.unit), p.Units(), 1)
	ix, row = e.OfUnit(p, t, unit)
	g.bindRows(e, p, t, row, scale, s.units)
	return t, ix, row
}

// bindRows names the sums that the lane's unit ended with.
func (g *gemv) bindRows(e *emitter, p *task.Part, t, row affine, scale *msl.Value, units int) {
	pick := msl.Of("gemv_pick", u(units*g.Vectors), u(p.RowsPerUnit()))
	at := 0
	for _, q := range p.Products {
		for _, n := range p.Rows(row) {
			name, product := e.k.fresh("row_sum"), pick.Call(g.acc.Add(u(at)), g.seat)
			if scale != nil {
				product = product.Mul(scale)
			}
			e.bind(q.Results[0], []affine{t, n}, e.k.let(constFloat, name, product))
			at++
		}
	}
}

// storeSums adds up the squares of runs of adjacent rows and stores them: the
// rows of a threadgroup meet in threadgroup memory.
func (g *gemv) storeSums(e *emitter, p *task.Part, square *msl.Value, j int, s seats) {
	k := e.k
	size := g.r.g.Results[j].Value.Def.Attr.Size.C
	rows := g.Owners() * s.units
	shared := k.threadgroup("row_squares", "float", 4*rows*g.Vectors)
	k.builtin(plan.ThreadIndex)
	k.phase("Epilogue: sums of the squares of %d rows.", size)
	own := s.vector.Paren().Mul(u(rows)).Add(g.owner.Mul(u(s.units))).Add(s.unit)
	k.add(msl.When(g.sharesFirst(g.seat.Less(u(s.units*g.Vectors))), msl.Set(shared.At(own), square)))
	k.barrier()
	runs := int64(rows) / size
	run := e.atom("run", thread.Mod(u(runs)), runs, 1)
	t := e.atom("t", g.first.Add(thread.Div(u(runs))), 0, 1)
	index := e.atom("index", g.unit.Sub(g.owner.Mul(u(s.units))).Div(u(size)).Add(k.index(run)), 0, 1)
	exists := thread.Less(u(runs * int64(g.Vectors))).And(k.index(index).Less(u(p.Each / size))).And(k.index(t).Less(k.dim(g.Tokens)))
	k.when(exists, func() {
		sum, r := k.let(floatType, k.fresh("sum"), zero), msl.Variable("r")
		begin := thread.Div(u(runs)).Mul(u(rows)).Add(k.index(run).Mul(u(size)))
		k.add(msl.Times(r, u(size), msl.Raise(sum, shared.At(begin.Add(r)))))
		k.add(storing(1, e.target(j, []affine{t, index}), sum))
	})
}

// storeBest leaves the threadgroup's best row for the merge.
func (g *gemv) storeBest(e *emitter, b best) {
	k := e.k
	k.use("main/argmax.metal")
	k.builtin(plan.ThreadIndex)
	k.phase("Epilogue: the threadgroup's largest row.")
	e.argmaxMerge(b, g.Simdgroups)
	b.storePart(k, groupX)
}
