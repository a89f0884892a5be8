package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/task"
)

// rope computes both elements of the pair that ix belongs to and binds them: the
// caller asks for indices below and from head_dim/2 on with text of their own. Of an
// element that may lie in either half of a head it computes the one.
func (e *emitter) rope(n *ir.Node, ix []affine, of []task.Element) string {
	v := n.Results[0]
	low, high := of[0].Index, of[1].Index
	a, b := e.at(of[0].Value, low), e.at(of[1].Value, high)
	c, s := e.turn(n, low[1], of[2].Index[0])
	here := ix[2].String()
	if here != low[2].String() && here != high[2].String() {
		d, half := e.k.text(ix[2]), v.Type.Shape.At(2).C/2
		return e.define("turned", "(%s) < %du ? %s * %s - %s * %s : %s * %s + %s * %s", d, half, a, c, b, s, b, c, a, s)
	}
	l := e.define("low", "%s * %s - %s * %s", a, c, b, s)
	h := e.define("high", "%s * %s + %s * %s", b, c, a, s)
	e.bind(v, low, l)
	e.bind(v, high, h)
	return map[bool]string{true: l, false: h}[here == low[2].String()]
}

// turn returns the names of cos and sin for row t and pair i.
func (e *emitter) turn(n *ir.Node, t, i affine) (c, s string) {
	e.k.use("epilogue/rope.metal")
	key := e.turnKey(n, t, i)
	if c = e.bound[key]; c != "" {
		return c, e.bound[key+"sin"]
	}
	f := e.at(n.Args[1], []affine{i})
	position := e.k.text(t.Add(dimension(n.Attr.Start)))
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
