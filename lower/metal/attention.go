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

// lowerAttention lowers bmm_nt, softmax, bmm_nn (and views of the result) to one
// pass over the keys, a threadgroup a head and row.
func (r *region) lowerAttention(chosen choice.Kernel) *lowering {
	a := r.attention()
	if chosen, ok := chosen.(choice.AttentionTiles); ok {
		return alone((&flash{attention: a, AttentionTiles: chosen, head: "group.x"}).emit())
	}
	rows := chosen.(choice.AttentionRows)
	if rows.Parts > 0 {
		return a.lowerParts(rows)
	}
	return alone(a.emit(rows))
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
	k.threads = a.Simdgroups * 32
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
	h := e.Know("group.x", a.Heads, 1)
	t := number(0)
	if a.Rows != sym.Const(1) {
		t = e.Know("group.y", 0, 1)
	}
	mine := int(a.Dim) / a.Lanes
	kp, ks, kt := a.rowsOf(e, a.Scores.Args[1], h)
	vp, vs, vt := a.rowsOf(e, a.Weighted.Args[1], h)
	visible := a.visible(k, t)
	known, before := "0u", "" // before are the keys that stand before those that are read
	if a.Early > 0 {
		known = k.text(dimension(sym.P))
	}
	if a.Softmax.Attr.Window > 0 {
		k.phase("The keys of the window.")
		k.line("const uint hidden = %s - %s;", a.end(k, t), visible)
		kp, vp, before = fmt.Sprintf("%s + hidden * (%s)", kp, ks), fmt.Sprintf("%s + hidden * (%s)", vp, vs), "hidden"
	}
	if a.Parts > 0 {
		kp, vp, visible = a.cutKeys(k, kp, ks, vp, vs, visible)
		if before == "" {
			before = "begin"
		} else {
			before = "(hidden + begin)"
		}
	}
	if a.Early > 0 && before != "" {
		known = fmt.Sprintf("min(max(%[1]s, %[2]s) - %[2]s, %[3]s)", known, before, visible)
	}
	pieces := max(1, a.Early*mine/a.Width) // an array has an element
	k.phase("Preload: keys and values that earlier runs wrote.")
	k.line("const uint known = %s;", known)
	kt, vt = fmt.Sprintf("attention_piece<%s, %du>", kt, a.Width), fmt.Sprintf("attention_piece<%s, %du>", vt, a.Width)
	k.line("%s::Raw early_key[%d];", kt, pieces)
	k.line("%s::Raw early_value[%d];", vt, pieces)
	k.line("attention_preload<%s, %s, %du, %du, %du, %du, %du>(%s, %s, %s, %s, known, simd, lane, early_key, early_value);",
		kt, vt, a.Dim, a.Lanes, a.Width, a.Simdgroups, a.Early, kp, ks, vp, vs)
	k.ready()
	k.phase("Prologue: the lane's elements of the query.")
	first := e.atom("element", raw("(lane %% %du) * %du", a.Lanes, a.Width), int64(a.Lanes*a.Width), int64(a.Width))
	k.line("float q[%d];", mine)
	for j := 0; j < mine; j += a.Width {
		v := e.at(a.Scores.Args[0], []affine{h, t, first.Plus(int64(j * a.Lanes))})
		if a.Width == 1 {
			k.line("q[%d] = %s;", j, v)
			continue
		}
		k.line("q[%d] = %s.x; q[%d] = %s.y; q[%d] = %s.z; q[%d] = %s.w;", j, v, j+1, v, j+2, v, j+3, v)
	}
	k.phase("Main: softmax and weighted values in one pass over the keys.")
	k.line("float top = -3.0e38f, sum = 0.0f, acc[%d];", mine)
	k.line("for (uint j = 0u; j < %du; j++) acc[j] = 0.0f;", mine)
	k.line("attention_scan<%s, %s, %du, %du, %du, %du, %du, %du>(q, %s, %s, %s, %s, known, %s, %s, simd, lane, early_key, early_value, top, sum, acc);",
		kt, vt, a.Dim, a.Lanes, a.Width, a.Simdgroups, a.Ahead, a.Early, kp, ks, vp, vs, visible, times(msl.Float(a.Scores.Attr.Scale), r.readUp(k, a.Scores.Args[1])))
	if a.Parts > 0 {
		a.storeParts(e, h, t, shared)
		return
	}
	k.line("const float value = %s;", times(raw("attention_merge<%du, %du, %du, %du>(top, sum, acc, %s, simd, lane)", a.Dim, a.Lanes, a.Width, a.Simdgroups, shared), r.readUp(k, a.Weighted.Args[1])))
	k.phase("Epilogue: element d of the row.")
	k.open("if (simd * 32u + lane < %du)", a.Dim)
	e.Width = 1
	d := e.atom("d", raw("simd * 32u + lane"), a.Dim, 1)
	k.line("store1(%s, %s);", a.target(e, []affine{h, t, d}), r.asStored(k, 0, msl.Name("value")))
	k.close()
}

// target returns the pointer that element [head, row, d] is stored to.
func (a *attention) target(e *emitter, ix []affine) *msl.Value {
	l, _ := a.ResultLayout() // cost has asked
	return e.k.from(e.k.slot(ref{refResult, 0}, "y", pointee(a.r.resultType(0)), plan.Write), e.Place(l, ix))
}

// visible returns the count of keys that row t sees: the last of those before end.
func (a *attention) visible(k *kernel, t affine) string {
	if w := a.Softmax.Attr.Window; w > 0 {
		return fmt.Sprintf("min(%s, %du)", a.end(k, t), w)
	}
	return a.end(k, t)
}

// end returns the key behind the last one that row t sees.
func (a *attention) end(k *kernel, t affine) string {
	last, all := t.Add(dimension(a.Softmax.Attr.Start)).Plus(1), dimension(a.Keys)
	if !a.Softmax.Attr.Causal || last.Equal(all) {
		return k.text(all) // a row alone sees every key
	}
	return fmt.Sprintf("min(%s, %s)", k.text(last), k.text(all))
}

// rowsOf returns the pointer to row 0 of the keys or values of query head h, the
// distance between rows, and the element type.
func (a *attention) rowsOf(e *emitter, b *ir.Value, h affine) (ptr, stride, typ string) {
	param, first, step := e.KeysOf(b, a.Heads, h, int64(a.Width))
	return e.r.at(e.k, param, first).String(), e.k.text(step), pointee(e.r.g.Params[param].Type.DType)
}
