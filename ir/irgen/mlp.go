package irgen

import (
	"foundry/ir"
	"foundry/ir/dtype"
)

// mlp adds the second half of a layer and returns the residual stream.
func (l *layers) mlp(x *ir.Value) *ir.Value {
	h := l.mlpNorm(x)
	gateWeight := l.weight(l.name("gate_proj.weight"), l.inter, l.hidden)
	upWeight := gateWeight
	if !l.has("shared-gate") {
		upWeight = l.weight(l.name("up_proj.weight"), l.inter, l.hidden)
	}
	gate := l.node(ir.OpMatmulNT, "gate_proj", ir.Attr{}, h, gateWeight)
	if l.has("up-from-x") {
		h = x
	}
	up := l.node(ir.OpMatmulNT, "up_proj", ir.Attr{}, h, upWeight)
	if l.has("gate-bias") {
		gate = l.node(ir.OpAdd, "gate_bias", ir.Attr{}, gate, l.vector(l.name("gate_proj.bias"), l.inter))
	}
	l.expose("gate-used", gate)
	m := l.swiglu(gate, up)
	l.expose("swiglu-used", m)
	if l.has("cast-between") {
		m = l.node(ir.OpCast, "narrow", ir.Attr{To: dtype.F16}, m)
		m = l.node(ir.OpCast, "widen", ir.Attr{To: dtype.F32}, m)
	}
	y := l.node(ir.OpMatmulNT, "down_proj", ir.Attr{}, m, l.weight(l.name("down_proj.weight"), l.hidden, l.inter))
	l.expose("down-used", y)
	switch {
	case l.has("no-resid"):
		return y
	case l.has("down-resid-row"):
		return l.node(ir.OpAdd, "resid_mlp", ir.Attr{}, y, l.vector(l.name("down_proj.bias"), l.hidden))
	case l.has("resid-swapped"):
		return l.node(ir.OpAdd, "resid_mlp", ir.Attr{}, x, y)
	}
	return l.node(ir.OpAdd, "resid_mlp", ir.Attr{}, y, x)
}

// mlpNorm returns what gate and up read.
func (l *layers) mlpNorm(x *ir.Value) *ir.Value {
	var first *ir.Node // the attention norm of this layer, where there is one
	for _, n := range l.g.Nodes() {
		if n.Op == ir.OpRMSNorm && n.Label == l.name("input_norm") {
			first = n
		}
	}
	switch {
	case l.has("no-norm"):
		return x
	case first != nil && l.has("one-norm"):
		return first.Result()
	case first != nil && l.has("shared-norm"):
		return l.norm("post_norm", x, first.Args[1])
	}
	h := l.norm("post_norm", x, nil)
	l.expose("post-norm-used", h)
	return h
}

func (l *layers) swiglu(gate, up *ir.Value) *ir.Value {
	switch {
	case l.has("no-silu"):
		return l.node(ir.OpMul, "mul", ir.Attr{}, gate, up)
	case l.has("silu-up"):
		return l.node(ir.OpSilu, "silu", ir.Attr{}, l.node(ir.OpMul, "mul", ir.Attr{}, gate, up))
	}
	s := l.node(ir.OpSilu, "silu", ir.Attr{}, gate)
	l.expose("silu-used", s)
	args := []*ir.Value{s, up}
	if l.has("mul-swapped") {
		args = []*ir.Value{up, s}
	}
	m := l.node(ir.OpMul, "mul", ir.Attr{}, args...)
	if l.has("silu-added") {
		m = l.node(ir.OpAdd, "silu_add", ir.Attr{}, m, s)
	}
	return m
}
