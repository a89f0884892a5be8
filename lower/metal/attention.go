package metal

import (
	"fmt"

	"foundry/ir"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// attention is a region of scores, softmax and weighted values on its way to text.
type attention struct {
	*task.Attention
	choice.AttentionRows
	r *region
}

// attentionRows writes attention (and views of its result) as a pass over the keys with a
// threadgroup a head and row, or a part of its keys.
func (r *region) attentionRows(chosen choice.AttentionRows) *lowering {
	if chosen.Parts > 0 {
		return r.attention().lowerParts(chosen)
	}
	return alone(r.attention().emit(chosen))
}

// attentionTiles writes attention, or one of its batched products, in tiles.
func (r *region) attentionTiles(chosen choice.AttentionTiles) *lowering {
	if b, ok := task.BatchedOf(r.asked); ok {
		a := &attention{r: r, Attention: &task.Attention{Region: r.asked, Scores: b.Product, Heads: b.Heads, Dim: b.Dim, Rows: b.Rows, Keys: b.Keys}}
		a.Width = choice.KeysWidth
		return alone((&flash{attention: a, AttentionTiles: chosen, head: groupZ}).batched())
	}
	return alone((&flash{attention: r.attention(), AttentionTiles: chosen, head: groupX}).emit())
}

// attentionMatrices writes attention by matrix units.
func (r *region) attentionMatrices(chosen choice.AttentionMatrices) *lowering {
	return alone(newFlashMatrices(r.attention(), chosen).emit())
}

func (r *region) attention() *attention {
	a, _ := task.AttentionOf(r.asked) // cost has asked
	return &attention{Attention: a, r: r}
}

// emit writes the pass over the keys, or over a part of them.
func (a *attention) emit(chosen choice.AttentionRows) *kernel {
	r := a.r
	a.AttentionRows = chosen
	k := newKernel(fmt.Sprintf("%s_%dx%d", identifier(r.name), a.Heads, a.Dim), r.identity(plan.AttentionRows))
	if a.Parts > 0 {
		k = newKernel(fmt.Sprintf("attention_parts_%dx%d", a.Heads, a.Dim), r.identity(plan.AttentionParts))
	}
	if !a.Rows.IsConst() {
		k.name += "_many"
	}
	a.body(k)
	return k
}

func (a *attention) body(k *kernel) {
	r := a.r
	k.threads = a.Threads()
	k.grid[0].N, k.grid[1].N = sym.Const(a.Heads), a.Rows
	for _, p := range []struct {
		name  string
		value int
	}{{"head_dim", int(a.Dim)}, {"lanes_per_key", a.Lanes}, {"simdgroups", a.Simdgroups}, {"keys_ahead", a.Ahead}, {"keys_early", a.Early}, {"width", a.Width}} {
		k.param(p.name, p.value)
	}
	k.use("common/load.metal", "main/attention.metal")
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	shared := k.threadgroup("shared", "float", 4*a.Simdgroups*int(a.Dim+2))
	e := newEmitter(k, r, a.Width)
	h := e.know(groupX, a.Heads, 1)
	t := number(0)
	if a.Rows != sym.Const(1) {
		t = e.know(groupY, 0, 1)
	}
	keys, values := a.rowsOf(e, a.Scores.Args[1], h), a.rowsOf(e, a.Weighted.Args[1], h)
	mine, visible := int(a.Dim)/a.Lanes, a.visible(k, t)
	known := u(0)
	var before *msl.Value // the keys that stand before those that are read
	if a.Early > 0 {
		known = k.dim(sym.P)
	}
	if a.Softmax.Attr.Window > 0 {
		k.phase("The keys of the window.")
		before = k.let(constUint, "hidden", a.end(k, t).Sub(visible))
		keys, values = keys.from(before), values.from(before)
	}
	if a.Parts > 0 {
		begin, count := a.cutKeys(k, visible)
		keys, values, visible = keys.from(begin), values.from(begin), count
		if before == nil {
			before = begin
		} else {
			before = before.Add(begin).Paren()
		}
	}
	if a.Early > 0 && before != nil {
		known = msl.Min(msl.Call("max", known, before).Sub(before), visible)
	}
	pieces := u(max(1, a.Early*mine/a.Width)) // an array has an element
	k.phase("Preload: keys and values that earlier runs wrote.")
	known = k.let(constUint, "known", known)
	keyPiece, valuePiece := msl.Of("attention_piece", keys.typ, u(a.Width)), msl.Of("attention_piece", values.typ, u(a.Width))
	earlyKey := k.array(keyPiece.Scoped("Raw"), "early_key", pieces)
	earlyValue := k.array(valuePiece.Scoped("Raw"), "early_value", pieces)
	k.do(msl.Of("attention_preload", keyPiece, valuePiece, u(a.Dim), u(a.Lanes), u(a.Width), u(a.Simdgroups), u(a.Early)).
		Call(keys.first, keys.step, values.first, values.step, known, simd, lane, earlyKey, earlyValue))
	k.ready()
	q := a.query(e, h, t)
	k.phase("Main: softmax and weighted values in one pass over the keys.")
	top, sum, acc, j := msl.Variable("top"), msl.Variable("sum"), msl.Variable("acc"), msl.Variable("j")
	k.add(&msl.Declare{Type: floatType, Of: []msl.Declared{{Variable: top, Value: msl.Name("-3.0e38f")}, {Variable: sum, Value: zero}, {Variable: acc, Size: u(mine)}}})
	k.add(msl.Times(j, u(mine), msl.Set(acc.At(j), zero)))
	scale := times(msl.Float(a.Scores.Attr.Scale*log2e), r.readUp(k, a.Scores.Args[1]))
	k.do(msl.Of("attention_scan", keyPiece, valuePiece, u(a.Dim), u(a.Lanes), u(a.Width), u(a.Simdgroups), u(a.Ahead), u(a.Early)).
		Call(q, keys.first, keys.step, values.first, values.step, known, visible, scale, simd, lane, earlyKey, earlyValue, top, sum, acc))
	merged := []*msl.Value{top, sum, acc, shared, simd, lane}
	if a.Parts > 0 {
		a.storeParts(e, h, t, merged)
		return
	}
	value := k.let(constFloat, "value", a.gathered(k, "attention_merge", merged))
	k.phase("Epilogue: element d of the row.")
	k.when(simd.Mul(u(32)).Add(lane).Less(u(a.Dim)), func() {
		e.Width = 1
		d := e.atom("d", simd.Mul(u(32)).Add(lane), a.Dim, 1)
		to := a.target(e, []affine{h, t, d})
		k.add(storing(1, to, r.asStored(k, 0, value)))
	})
}

// query declares the lane's elements of the query.
func (a *attention) query(e *emitter, h, t affine) *msl.Value {
	k, mine := e.k, int(a.Dim)/a.Lanes
	k.phase("Prologue: the lane's elements of the query.")
	first := e.atom("element", lane.Mod(u(a.Lanes)).Paren().Mul(u(a.Width)), int64(a.Lanes*a.Width), int64(a.Width))
	q := k.array(floatType, "q", u(mine))
	for j := 0; j < mine; j += a.Width {
		v := e.at(a.Scores.Args[0], []affine{h, t, first.Plus(int64(j * a.Lanes))})
		if a.Width == 1 {
			k.add(msl.Set(q.At(msl.Int(j)), v))
			continue
		}
		four := &msl.Row{}
		for i, lane := range []string{"x", "y", "z", "w"} {
			four.Of = append(four.Of, msl.Set(q.At(msl.Int(j+i)), v.Dot(lane)))
		}
		k.add(four)
	}
	return q
}

// gathered is what the simdgroups' sums make together by a function of the stage.
func (a *attention) gathered(k *kernel, name string, args []*msl.Value) *msl.Value {
	gather := msl.Of(name, u(a.Dim), u(a.Lanes), u(a.Width), u(a.Simdgroups))
	return times(gather.Call(args...), a.r.readUp(k, a.Weighted.Args[1]))
}

// target returns the pointer that element [head, row, d] is stored to.
func (a *attention) target(e *emitter, ix []affine) *msl.Value {
	l, _ := a.ResultLayout() // cost has asked
	return e.k.from(e.k.slot(ref{refResult, 0}, "y", pointee(a.r.resultType(0)), plan.Write), e.Place(l, ix))
}

// visible returns the count of keys that row t sees: the last of those before end.
func (a *attention) visible(k *kernel, t affine) *msl.Value {
	if w := a.Softmax.Attr.Window; w > 0 {
		return msl.Min(a.end(k, t), u(w))
	}
	return a.end(k, t)
}

// end returns the key behind the last one that row t sees.
func (a *attention) end(k *kernel, t affine) *msl.Value {
	last, all := t.Add(dimension(a.Softmax.Attr.Start)).Plus(1), dimension(a.Keys)
	if !a.Softmax.Attr.Causal || last.Equal(all) {
		return k.index(all) // a row alone sees every key
	}
	return msl.Min(k.index(last), k.index(all))
}

// keyRows is rows of keys or values: the pointer to the first, the distance between two,
// and the type of their elements.
type keyRows struct{ first, step, typ *msl.Value }

// from is the rows that begin n rows later.
func (r keyRows) from(n *msl.Value) keyRows {
	r.first = r.first.Add(n.Mul(r.step.Paren()))
	return r
}

// rowsOf returns the keys or values of query head h.
func (a *attention) rowsOf(e *emitter, b *ir.Value, h affine) keyRows {
	param, first, step := e.KeysOf(b, a.Heads, h, int64(a.Width))
	return keyRows{e.r.at(e.k, param, first), e.k.index(step), msl.Name(pointee(e.r.g.Params[param].Type.DType))}
}
