package metal

import (
	"fmt"

	"foundry/ir"
)

// rope computes both elements of the pair that ix belongs to and binds them: the
// caller asks for indices below and from head_dim/2 on with text of their own.
func (e *emitter) rope(n *ir.Node, ix []affine) string {
	v, half := n.Results[0], n.Results[0].Type.Shape.At(2).C/2
	low, high := ix, ix
	inLow := e.bounded(ix[2], half)
	if inLow {
		high = []affine{ix[0], ix[1], ix[2].plus(half)}
	} else if down := ix[2].plus(-half); down.c.C >= 0 && e.bounded(down, half) {
		low = []affine{ix[0], ix[1], down}
	} else {
		return e.ropeAnywhere(n, ix, half)
	}
	a, b := e.at(n.Args[0], low), e.at(n.Args[0], high)
	c, s := e.turn(n, low[1], low[2])
	l := e.define("low", "%s * %s - %s * %s", a, c, b, s)
	h := e.define("high", "%s * %s + %s * %s", b, c, a, s)
	e.bind(v, low, l)
	e.bind(v, high, h)
	return map[bool]string{true: l, false: h}[inLow]
}

// ropeAnywhere computes elements that may lie in either half of a head.
func (e *emitter) ropeAnywhere(n *ir.Node, ix []affine, half int64) string {
	if half%int64(e.w) != 0 {
		return e.fail("four adjacent elements cross half a head")
	}
	d := e.k.text(ix[2])
	place := e.atom("place", fmt.Sprintf("(%s) < %du ? (%s) : (%s) - %du", d, half, d, d, half), half, int64(e.w))
	a := e.at(n.Args[0], []affine{ix[0], ix[1], place})
	b := e.at(n.Args[0], []affine{ix[0], ix[1], place.plus(half)})
	c, s := e.turn(n, ix[1], place)
	return e.define("turned", "(%s) < %du ? %s * %s - %s * %s : %s * %s + %s * %s", d, half, a, c, b, s, b, c, a, s)
}

// turn returns the names of cos and sin for row t and pair i.
func (e *emitter) turn(n *ir.Node, t, i affine) (c, s string) {
	e.k.use("epilogue/rope.metal")
	key := e.turnKey(n, t, i)
	if c = e.bound[key]; c != "" {
		return c, e.bound[key+"sin"]
	}
	f := e.at(n.Args[1], []affine{i})
	position := e.k.text(t.add(dimension(n.Attr.Start)))
	if x := n.Args[1]; e.early.takes(e) && x.Param != nil && e.r.operands[x.Index].Fixed {
		c, s = e.early.register(), e.early.register()
		e.early.line(true, fmt.Sprintf("rope_turn(%s, %s, %s, %s);", position, f, c, s))
	} else {
		c, s = e.k.fresh("cosine"), e.k.fresh("sine")
		e.k.line("%s %s, %s;", e.vec(), c, s)
		e.k.line("rope_turn(%s, %s, %s, %s);", position, f, c, s)
	}
	e.bindTurn(n, t, i, c, s)
	return c, s
}

func (e *emitter) turnKey(n *ir.Node, t, i affine) string {
	return e.key(n.Args[1], []affine{t, i, dimension(n.Attr.Start)})
}

// bindTurn names the cos and sin for row t and pair i.
func (e *emitter) bindTurn(n *ir.Node, t, i affine, c, s string) {
	key := e.turnKey(n, t, i)
	e.bound[key], e.bound[key+"sin"] = c, s
}
