package metal

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// attention is a region of scores, softmax and weighted values.
type attention struct {
	r            *region
	scores, pv   *ir.Node
	soft         *ir.Node
	heads        int64
	d            int64
	rows         sym.Dim
	keys         sym.Dim
	width, lanes int // elements a load, lanes that share a key
	simds, ahead int
	early        int   // keys of a slot that are loaded before the ready point
	splits       int64 // parts of the cache, each a threadgroup; 0 for a single pass
}

// lowerAttention lowers bmm_nt, softmax, bmm_nn (and views of the result) to one
// pass over the keys, a threadgroup a head and row.
func (r *region) lowerAttention() (*lowering, error) {
	a, err := r.analyseAttention()
	if err != nil {
		return nil, err
	}
	if len(r.g.Results) != 1 {
		return nil, fmt.Errorf("scores or weights of attention are used outside the region")
	}
	if r.name == cost.SplitAttention {
		return a.lowerSplit()
	}
	if f, ok := a.inTiles(); ok {
		return f.lower()
	}
	k, err := a.emit()
	if err != nil {
		return nil, err
	}
	return &lowering{kernels: []*kernel{k}}, nil
}

func (r *region) analyseAttention() (*attention, error) {
	nt, soft, nn := r.nodes(ir.OpBmmNT), r.nodes(ir.OpSoftmax), r.nodes(ir.OpBmmNN)
	if len(nt) != 1 || len(soft) != 1 || len(nn) != 1 || soft[0].Args[0].Def != nt[0] || nn[0].Args[0].Def != soft[0] {
		return nil, fmt.Errorf("attention wants bmm_nt, softmax and bmm_nn in a chain")
	}
	a := &attention{r: r, scores: nt[0], soft: soft[0], pv: nn[0]}
	out := nn[0].Results[0].Type.Shape
	q := nt[0].Args[0].Type.Shape
	var ok [3]bool
	a.heads, ok[0] = out.At(0).Const()
	a.d, ok[1] = q.At(2).Const()
	dv, okv := out.At(2).Const()
	ok[2] = okv && dv == a.d
	if ok != [3]bool{true, true, true} {
		return nil, fmt.Errorf("attention wants keys and values of one constant head_dim, has %s and %s", q.At(2), out.At(2))
	}
	a.rows, a.keys = q.At(1), nt[0].Results[0].Type.Shape.At(2)
	return a, nil
}

// tune chooses lanes a key and simdgroups a row.
func (a *attention) tune() {
	chunks := a.d / int64(a.width)
	// Eight elements a lane, in loads of up to four, as far as the row divides.
	a.lanes = 1
	for a.lanes < 32 && chunks%int64(2*a.lanes) == 0 && a.d/int64(2*a.lanes) >= 8 {
		a.lanes *= 2
	}
	a.ahead = 4
	if a.d/int64(a.lanes) > 16 {
		a.ahead = 2
	}
	if a.r.tuning.Unroll == Unroll1 { // how many keys there are the shape does not say
		a.ahead = 1
	}
	slots := 32 / a.lanes
	t := a.r.target
	groups := a.heads * a.rows.Max(a.r.g.Bounds) * max(a.splits, 1)
	if a.ahead > 2 && groups*16 < int64(t.Cores*t.CoreThreads/t.Limits.SIMDWidth) {
		a.ahead = 2 // registers, since a row is going to have many simdgroups
	}
	keys := cost.Seen(a.keys.Max(a.r.g.Bounds), int64(a.soft.Attr.Window), 1)
	a.simds = int(cost.RowSIMDs(groups, keys/max(a.splits, 1), a.d, int64(slots*a.ahead), t))
	a.early = 0
	if k, v := a.cache(a.scores.Args[1]), a.cache(a.pv.Args[1]); k != nil && v != nil && a.rows == sym.Const(1) {
		perKey := (k.Type.DType.Bytes(a.d/int64(a.lanes)) + v.Type.DType.Bytes(a.d/int64(a.lanes)) + 3) / 4
		a.early = int(preloadRegisters/perKey) / a.ahead * a.ahead
	}
}

// cache returns the operand whose rows are keys or values x, each in its place, where
// earlier runs wrote those below P; otherwise nil.
func (a *attention) cache(x *ir.Value) *ir.Value {
	for x.Param == nil {
		if x.Def.Op != ir.OpRepeatKV && (x.Def.Op != ir.OpSlice || x.Def.Attr.Start != sym.Const(0)) {
			return nil
		}
		x = x.Def.Args[0]
	}
	if !a.r.operands[x.Index].settled {
		return nil
	}
	return x
}

func (a *attention) emit() (*kernel, error) {
	r := a.r
	var last error
	for _, w := range r.tuning.widths() {
		if a.d%int64(w) != 0 {
			continue
		}
		a.width = w
		a.tune()
		k := newKernel(fmt.Sprintf("%s_%dx%d", identifier(r.name), a.heads, a.d), r.about(plan.AttentionRows))
		if a.splits > 0 {
			k = newKernel(fmt.Sprintf("attention_parts_%dx%d", a.heads, a.d), r.about(plan.AttentionParts))
		}
		if !a.rows.IsConst() {
			k.name += "_many"
		}
		if last = a.body(k); last == nil {
			return k, nil
		}
	}
	return nil, last
}

func (a *attention) body(k *kernel) error {
	r := a.r
	k.threads = a.simds * 32
	k.grid[0].N, k.grid[1].N = sym.Const(a.heads), a.rows
	for _, p := range []struct {
		name  string
		value int
	}{{"head_dim", int(a.d)}, {"lanes_per_key", a.lanes}, {"simdgroups", a.simds}, {"keys_ahead", a.ahead}, {"keys_early", a.early}, {"width", a.width}} {
		k.param(p.name, p.value)
	}
	k.use("common/load.metal", "main/attention.metal")
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	shared := k.threadgroup("shared", "float", 4*a.simds*int(a.d+2))
	e := newEmitter(k, r, a.width)
	h := e.know("group.x", a.heads, 1)
	t := number(0)
	if a.rows != sym.Const(1) {
		t = e.know("group.y", 0, 1)
	}
	mine := int(a.d) / a.lanes
	kp, ks, kt, err := a.rowsOf(e, a.scores.Args[1], h)
	if err != nil {
		return err
	}
	vp, vs, vt, err := a.rowsOf(e, a.pv.Args[1], h)
	if err != nil {
		return err
	}
	visible := a.visible(k, t)
	known, before := "0u", "" // before are the keys that stand before those that are read
	if a.early > 0 {
		known = k.text(dimension(sym.P))
	}
	if a.soft.Attr.Window > 0 {
		k.phase("The keys of the window.")
		k.line("const uint hidden = %s - %s;", a.end(k, t), visible)
		kp, vp, before = fmt.Sprintf("%s + hidden * (%s)", kp, ks), fmt.Sprintf("%s + hidden * (%s)", vp, vs), "hidden"
	}
	if a.splits > 0 {
		kp, vp, visible = a.cutKeys(k, kp, ks, vp, vs, visible)
		if before == "" {
			before = "begin"
		} else {
			before = "(hidden + begin)"
		}
	}
	if a.early > 0 && before != "" {
		known = fmt.Sprintf("min(max(%[1]s, %[2]s) - %[2]s, %[3]s)", known, before, visible)
	}
	pieces := max(1, a.early*mine/a.width) // an array has an element
	k.phase("Preload: keys and values that earlier runs wrote.")
	k.line("const uint known = %s;", known)
	kt, vt = fmt.Sprintf("attention_piece<%s, %du>", kt, a.width), fmt.Sprintf("attention_piece<%s, %du>", vt, a.width)
	k.line("%s::Raw early_key[%d];", kt, pieces)
	k.line("%s::Raw early_value[%d];", vt, pieces)
	k.line("attention_preload<%s, %s, %du, %du, %du, %du, %du>(%s, %s, %s, %s, known, simd, lane, early_key, early_value);",
		kt, vt, a.d, a.lanes, a.width, a.simds, a.early, kp, ks, vp, vs)
	k.ready()
	k.phase("Prologue: the lane's elements of the query.")
	first := e.atom("element", fmt.Sprintf("(lane %% %du) * %du", a.lanes, a.width), int64(a.lanes*a.width), int64(a.width))
	k.line("float q[%d];", mine)
	for j := 0; j < mine; j += a.width {
		v := e.at(a.scores.Args[0], []affine{h, t, first.plus(int64(j * a.lanes))})
		if a.width == 1 {
			k.line("q[%d] = %s;", j, v)
			continue
		}
		k.line("q[%d] = %s.x; q[%d] = %s.y; q[%d] = %s.z; q[%d] = %s.w;", j, v, j+1, v, j+2, v, j+3, v)
	}
	k.phase("Main: softmax and weighted values in one pass over the keys.")
	k.line("float top = -3.0e38f, sum = 0.0f, acc[%d];", mine)
	k.line("for (uint j = 0u; j < %du; j++) acc[j] = 0.0f;", mine)
	k.line("attention_scan<%s, %s, %du, %du, %du, %du, %du, %du>(q, %s, %s, %s, %s, known, %s, %s, simd, lane, early_key, early_value, top, sum, acc);",
		kt, vt, a.d, a.lanes, a.width, a.simds, a.ahead, a.early, kp, ks, vp, vs, visible, times(floatText(a.scores.Attr.Scale), r.readUp(k, a.scores.Args[1])))
	if a.splits > 0 {
		a.storeParts(e, h, t, shared)
		return e.err
	}
	k.line("const float value = %s;", times(fmt.Sprintf("attention_merge<%du, %du, %du, %du>(top, sum, acc, %s, simd, lane)", a.d, a.lanes, a.width, a.simds, shared), r.readUp(k, a.pv.Args[1])))
	l, err := a.resultLayout()
	if err != nil {
		return err
	}
	k.phase("Epilogue: element d of the row.")
	k.open("if (simd * 32u + lane < %du)", a.d)
	e.w = 1
	d := e.atom("d", "simd * 32u + lane", a.d, 1)
	y := r.resultType(0)
	slot := k.slot(ref{refResult, 0}, "y", pointee(y), plan.Write)
	k.line("store1(%s, %s);", e.place(slot, y, l, []affine{h, t, d}), r.kept(k, 0, "value"))
	k.close()
	return e.err
}

// visible returns the count of keys that row t sees: the last of those before end.
func (a *attention) visible(k *kernel, t affine) string {
	if w := a.soft.Attr.Window; w > 0 {
		return fmt.Sprintf("min(%s, %du)", a.end(k, t), w)
	}
	return a.end(k, t)
}

// end returns the key behind the last one that row t sees.
func (a *attention) end(k *kernel, t affine) string {
	all := k.text(dimension(a.keys))
	if !a.soft.Attr.Causal {
		return all
	}
	return fmt.Sprintf("min(%s, %s)", k.text(t.add(dimension(a.soft.Attr.Start)).plus(1)), all)
}

// rowsOf returns the pointer to row 0 of the keys or values of query head h, the
// distance between rows, and the element type.
func (a *attention) rowsOf(e *emitter, b *ir.Value, h affine) (ptr, stride, typ string, err error) {
	ratio := a.heads / b.Type.Shape.At(0).C
	head, _ := e.split(h, sym.Const(ratio), "kv_head")
	s := e.know("row_of_keys", 0, 1)
	param, off, ok := e.address(b, []affine{head, s, number(0)})
	if !ok {
		return "", "", "", fmt.Errorf("keys or values of attention are computed in the region")
	}
	l := e.r.operands[param].layout
	step := affine{}
	off.terms = slices.DeleteFunc(slices.Clone(off.terms), func(t term) bool {
		if t.atom == "row_of_keys" {
			step.c = t.coef
			return true
		}
		return false
	})
	if !e.divides(int64(a.width), step) || !e.divides(int64(a.width), off) || l.stride[e.r.g.Params[param].Type.Shape.Rank-1] != (sym.Poly{C: 1}) {
		return "", "", "", fmt.Errorf("rows of keys or values are not aligned")
	}
	return e.r.at(e.k, param, off), e.k.text(step), pointee(e.r.g.Params[param].Type.DType), nil
}

// resultLayout follows the views of the result back to the layout that elements
// (head, row, d) are stored with.
func (a *attention) resultLayout() (layout, error) {
	v := a.r.g.Results[0].Value
	l, ok := contiguous(v.Type.Shape)
	for ok && v.Def != a.pv {
		if v.Def == nil {
			return layout{}, fmt.Errorf("the result of attention is not its weighted values")
		}
		x := v.Def.Args[0]
		switch v.Def.Op {
		case ir.OpTranspose:
			var in layout
			for d := range int(x.Type.Shape.Rank) {
				in.stride[v.Def.Attr.Perm[d]] = l.stride[d]
			}
			l = in
		case ir.OpReshape:
			l, ok = l.reshape(v.Type.Shape, x.Type.Shape)
		default:
			return layout{}, fmt.Errorf("%s behind attention is not a view", v.Def.Op)
		}
		v = x
	}
	if !ok {
		return layout{}, fmt.Errorf("the result of attention has %s, whose strides have too many symbols", v.Type)
	}
	return l, nil
}
