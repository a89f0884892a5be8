package irgen

import (
	"math"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// qkv names the three projections in their order.
var qkv = [3]string{"q", "k", "v"}

// attention adds the first half of a layer and returns the residual stream.
func (l *layers) attention(x *ir.Value) *ir.Value {
	h := l.norm("input_norm", x, nil)
	l.expose("norm-used", h)
	if l.has("fourth-proj") {
		w := l.weight(l.name("r_proj.weight"), l.kvHeads*l.width, l.hidden)
		l.g.Return(l.name("r"), l.node(ir.OpMatmulNT, "r_proj", ir.Attr{}, h, w))
	}
	p := l.project(x, h)
	q, k, v := l.rotate(p)
	k, v = l.cache(k, v)
	return l.output(x, l.attend(q, k, v))
}

// project makes q, k and v in attention layout.
func (l *layers) project(x, h *ir.Value) (out [3]*ir.Value) {
	odd := l.r.IntN(3) // which of the three a mutation of one of them meets
	var weight *ir.Value
	for i, n := range qkv {
		rows := l.kvHeads * l.width
		if i == 0 {
			rows = l.heads * l.width
		}
		from := h
		if i == 1 && l.has("k-from-x") {
			from = x
		}
		if i < 2 || !l.has("shared-proj") {
			weight = l.weight(l.name(n+"_proj.weight"), rows, l.hidden)
		}
		y := l.node(ir.OpMatmulNT, n+"_proj", ir.Attr{}, from, weight)
		if i == 0 {
			l.expose("proj-used", y)
		}
		switch {
		case i == odd && l.has("no-bias"):
		case i == odd && l.has("row-bias"):
			bias := l.param(ir.Input, l.name(n+"_rows"), dtype.F32, sym.T, sym.Const(rows))
			y = l.node(ir.OpAdd, n+"_bias", ir.Attr{}, y, bias)
		default:
			y = l.node(ir.OpAdd, n+"_bias", ir.Attr{}, y, l.vector(l.name(n+"_proj.bias"), rows))
		}
		out[i] = l.node(ir.OpKVRearrange, n+"_heads", ir.Attr{Heads: int(rows / l.width)}, y)
	}
	return out
}

func (l *layers) rotate(p [3]*ir.Value) (q, k, v *ir.Value) {
	table, start := l.freq, sym.P
	if l.has("rope-table") {
		table = l.vector(l.name("inv_freq"), l.width/2)
	}
	if l.has("rope-start") {
		start = sym.Const(0)
	}
	q, k, v = p[0], p[1], p[2]
	if l.has("head-norms") || l.has("q-head-norm") {
		q = l.node(ir.OpRMSNorm, "q_norm", ir.Attr{Eps: 1e-6}, q, l.vector(l.name("q_norm.weight"), l.width))
	}
	if l.has("head-norms") {
		k = l.node(ir.OpRMSNorm, "k_norm", ir.Attr{Eps: 1e-6}, k, l.vector(l.name("k_norm.weight"), l.width))
	}
	q = l.node(ir.OpRope, "q_rope", ir.Attr{Start: sym.P}, q, l.freq)
	if !l.has("k-not-roped") {
		k = l.node(ir.OpRope, "k_rope", ir.Attr{Start: start}, k, table)
	}
	if l.has("v-roped") {
		v = l.node(ir.OpRope, "v_rope", ir.Attr{Start: sym.P}, v, l.freq)
	}
	l.expose("rope-used", k)
	return q, k, v
}

// cache writes k and v to their caches and returns the views that attention reads.
func (l *layers) cache(k, v *ir.Value) (*ir.Value, *ir.Value) {
	if l.has("no-cache") {
		return k, v
	}
	t := randomOf(l.r, dtype.F16, dtype.F16, dtype.F32)
	view := func(n string, x *ir.Value, start sym.Dim) *ir.Value {
		// One row more than the context needs leaves room for "write-start".
		rows := sym.Const(l.g.Bounds.SMax + 1)
		c := l.param(ir.State, l.name(n), t, sym.Const(l.kvHeads), rows, sym.Const(l.width))
		c2 := l.node(ir.OpKVWrite, n+"_write", ir.Attr{Start: start}, c, x)
		l.g.Return(c.Param.Name, c2)
		return l.node(ir.OpSlice, n+"_view", ir.Attr{Axis: 1, Size: sym.S}, c2)
	}
	start := sym.P
	if l.has("write-start") {
		start = sym.P.Add(sym.Const(1))
	}
	return view("k", k, sym.P), view("v", v, start)
}

// attend returns [T, heads*width].
func (l *layers) attend(q, k, v *ir.Value) *ir.Value {
	times := int(l.heads / l.kvHeads)
	if !l.has("no-repeat") {
		k = l.node(ir.OpRepeatKV, "k_repeat", ir.Attr{Times: times}, k)
		l.expose("repeat-used", k)
		if l.has("k-repeat-cast") {
			k = l.node(ir.OpCast, "k_widen", ir.Attr{To: dtype.F32}, k)
		}
		if !l.has("repeat-k-only") {
			v = l.node(ir.OpRepeatKV, "v_repeat", ir.Attr{Times: times}, v)
			l.expose("v-repeat-used", v)
			if l.has("repeat-cast") {
				v = l.node(ir.OpCast, "v_widen", ir.Attr{To: dtype.F32}, v)
			}
		}
	}
	scale := 1 / math.Sqrt(float64(l.width))
	if l.has("scale-one") {
		scale = 1
	}
	s := l.node(ir.OpBmmNT, "scores", ir.Attr{Scale: scale}, q, k)
	l.expose("scores-used", s)
	if l.has("masked-scores") {
		s = l.node(ir.OpAdd, "mask", ir.Attr{}, s, l.param(ir.Input, l.name("mask"), dtype.F32, s.Type.Shape.At(-1)))
	}
	mask := ir.Attr{Causal: true, Start: sym.P, Window: l.window}
	switch {
	case l.has("not-causal"):
		mask = ir.Attr{}
	case l.has("causal-start") || l.has("no-cache"):
		mask.Start = sym.Const(0)
	}
	p := l.node(ir.OpSoftmax, "softmax", mask, s)
	l.expose("probs-used", p)
	if l.has("two-pv") {
		l.g.Return(l.name("pk"), l.node(ir.OpBmmNN, "pk", ir.Attr{}, p, k))
	}
	if l.has("probs-scaled") {
		p = l.node(ir.OpMul, "probs_scale", ir.Attr{}, p, l.param(ir.Input, l.name("columns"), dtype.F32, p.Type.Shape.At(-1)))
	}
	o := l.node(ir.OpBmmNN, "pv", ir.Attr{}, p, v)
	if l.has("head-major") {
		w := l.param(ir.Weight, l.name("o_proj.heads"), dtype.F32, sym.Const(l.heads), sym.Const(l.width), sym.Const(l.width))
		o = l.node(ir.OpBmmNN, "o_heads", ir.Attr{}, o, w)
	}
	o = l.node(ir.OpTranspose, "attn_heads", ir.Attr{Perm: [4]int8{1, 0, 2, 0}}, o)
	return l.node(ir.OpReshape, "attn_rows", ir.Attr{Shape: ir.ShapeOf(sym.T, sym.Const(l.heads*l.width))}, o)
}

// output adds o_proj and the residual.
func (l *layers) output(x, o *ir.Value) *ir.Value {
	y := l.node(ir.OpMatmulNT, "o_proj", ir.Attr{}, o, l.weight(l.name("o_proj.weight"), l.hidden, l.heads*l.width))
	l.expose("o-used", y)
	args := []*ir.Value{y, x}
	switch {
	case l.has("resid-swapped"):
		args = []*ir.Value{x, y}
	case l.has("resid-row"):
		args[1] = l.vector(l.name("o_proj.bias"), l.hidden)
	case l.has("resid-twice"):
		args[1] = y
	}
	return l.node(ir.OpAdd, "resid_attn", ir.Attr{}, args...)
}
