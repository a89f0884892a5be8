package metal

import (
	"foundry/ir"
	"foundry/ir/task"
	"foundry/lower/msl"
)

// rope computes both elements of the pair that ix belongs to and binds them: the
// caller asks for indices below and from head_dim/2 on that differ. Of an
// element that may lie in either half of a head it computes the one.
func (e *emitter) rope(n *ir.Node, ix []affine, of []task.Element) *msl.Value {
	v := n.Results[0]
	low, high := of[0].Index, of[1].Index
	a, b := e.at(of[0].Value, low), e.at(of[1].Value, high)
	c, s := e.turn(n, low[1], of[2].Index[0])
	down, up := a.Mul(c).Sub(b.Mul(s)), b.Mul(c).Add(a.Mul(s))
	if !ix[2].Equal(low[2]) && !ix[2].Equal(high[2]) {
		half := v.Type.Shape.At(2).C / 2
		return e.define("turned", e.k.index(ix[2]).Paren().Less(u(half)).Select(down, up))
	}
	l := e.define("low", down)
	h := e.define("high", up)
	e.bind(v, low, l)
	e.bind(v, high, h)
	if ix[2].Equal(low[2]) {
		return l
	}
	return h
}

// turn returns cos and sin for row t and pair i.
func (e *emitter) turn(n *ir.Node, t, i affine) (c, s *msl.Value) {
	k := e.k
	k.use("epilogue/rope.metal")
	key := turnAt(n, t, i)
	if c = e.holds(key); c != nil {
		return c, e.holds(key.sine())
	}
	f := e.at(n.Args[1], []affine{i})
	position := k.index(t.Add(dimension(n.Attr.Start)))
	if x := n.Args[1]; e.early.takes(e) && x.Param != nil && e.r.operands[x.Index].Fixed {
		c, s = e.early.register(), e.early.register()
		e.early.take(true, &msl.Do{Call: msl.Call("rope_turn", position, f, c, s)})
	} else {
		c, s = msl.Variable(k.fresh("cosine")), msl.Variable(k.fresh("sine"))
		k.add(&msl.Declare{Type: e.vec(), Of: []msl.Declared{{Variable: c}, {Variable: s}}})
		k.do(msl.Call("rope_turn", position, f, c, s))
	}
	e.bindTurn(n, t, i, c, s)
	return c, s
}

// turnAt is the place of the cosine of the turn for row t and pair i.
func turnAt(n *ir.Node, t, i affine) place {
	return place{n.Args[1], theCosine, []affine{t, i, dimension(n.Attr.Start)}}
}

// sine is the place of the sine that belongs to a cosine's.
func (p place) sine() place {
	p.what = theSine
	return p
}

// bindTurn says what holds cos and sin for row t and pair i.
func (e *emitter) bindTurn(n *ir.Node, t, i affine, c, s *msl.Value) {
	key := turnAt(n, t, i)
	e.hold(key, c)
	e.hold(key.sine(), s)
}
