package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/task"
	"foundry/lower/msl"
)

// rowScales writes the prologue of a norm: scale[i] becomes the factor of the row
// of the i-th group of elements that the thread stages. The operand is scaled
// before it becomes halves, since f16 may not hold what it is made of.
func (g *gemm) rowScales(k *kernel, stage *msl.Value) {
	if g.Norm == nil {
		return
	}
	const rowsAtOnce = 4 // rows that a simdgroup reads at the same time
	what, width := g.Inner, int64(g.w)
	if sums := g.sums(); sums != nil {
		what, width = sums, 1
	}
	length := what.Type.Shape.At(-1).C
	k.phase("Prologue: the norm's scale of each row.")
	k.line("threadgroup float *const squares = (threadgroup float *)%s;", stage)
	k.open("for (uint m = simd * %du; m < ROWS; m += %du)", rowsAtOnce, rowsAtOnce*g.SIMDs())
	k.line("float mine[%d];", rowsAtOnce)
	k.line("for (uint r = 0u; r < %du; r++) mine[r] = 0.0f;", rowsAtOnce)
	k.open("for (uint k = lane * %du; k < %du; k += %du)", width, length, 32*width)
	k.line("FOUNDRY_UNROLL")
	k.open("for (uint r = 0u; r < %du; r++)", rowsAtOnce)
	e := newEmitter(k, g.r, int(width))
	e.report = no
	t := e.atom("t", raw("min(first + m + r, %s - 1u)", k.text(dimension(g.Tokens))), 0, 1)
	x := e.at(what, []affine{t, e.Know("k", length, width)})
	if g.sums() == nil {
		k.use("prologue/rms_norm.metal")
		x = msl.Call("squares_of", x)
	}
	k.line("mine[r] += %s;", x)
	k.close()
	k.close()
	k.open("for (uint r = 0u; r < %du; r++)", rowsAtOnce)
	k.line("mine[r] = simd_sum(mine[r]);")
	k.line("if (lane == 0u) squares[m + r] = mine[r];")
	k.close()
	k.close()
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.line("float scale[%d];", g.staged())
	k.line("for (uint i = 0u; i < %du; i++) scale[i] = %s;", g.staged(),
		times(raw("rsqrt(squares[(thread_index + i * THREADS) / %du] * (1.0f / float(%d)) + %s)", g.Depth/g.w, g.Length, msl.Float(g.Norm.Attr.Eps)), g.leftDown(k)))
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
}

// main walks over K. In turn b it starts block b on its way, multiplies the block
// that was started AHEAD turns before, and stages the one after that. What is copied, x
// or the weights, needs no staging and has its own places.
func (g *gemm) main(k *kernel, stage *msl.Value, t dtype.Type) {
	copied := g.copied(t)
	if g.Copied {
		g.startRows(k, stage, t)
	}
	if g.Copied && copied {
		g.mainCopied(k, stage)
		return
	}
	k.phase("Main: products of blocks.")
	left, right, bring, land, size := "c % 2u * LEFT", "c % 2u * RIGHT", "", "", ""
	switch {
	case g.Copied:
		left, size = "now", "LEFT"
		bring = fmt.Sprintf("left.start(from, %s + next, c + %du, thread_index);", stage, g.Stages-1)
		land = fmt.Sprintf("left.land(%s + next, thread_index);", stage)
	case copied:
		right, size = "now", "RIGHT"
		bring = fmt.Sprintf("weights.start(row, right + next, c + %du, thread_index);", g.Stages-1)
		land = "weights.land(right + next, thread_index);"
	}
	if !g.Copied {
		k.line("%s held[AHEAD * %du];", map[int]string{4: "float4", 1: "float"}[g.w], g.staged())
	}
	if bring != "" {
		k.line("uint now = 0u, next = %du * %s; // places of what is copied: multiplied, brought", g.Stages-1, size)
	}
	k.open("for (uint turn = 0u; turn < BLOCKS + AHEAD; turn += AHEAD)")
	k.line("FOUNDRY_UNROLL_TILES")
	k.open("for (uint a = 0u; a < AHEAD; a++)")
	k.line("const uint b = turn + a, c = b - AHEAD, p = c + 1u; // started, multiplied, staged")
	k.open("if (b < BLOCKS)")
	if !g.Copied {
		g.fetch(k, t)
	}
	if !copied {
		k.line("if (b > 0u) weights[a].start(row, b, thread_index);")
	}
	k.close()
	k.open("if (c < BLOCKS)")
	if bring != "" {
		k.line("if (c + %du < BLOCKS) %s", g.Stages-1, bring)
		k.line("tile_launched();")
	}
	g.by.multiply(k, raw("%s + %s", stage, left).String(), "right + "+right)
	if bring != "" {
		k.line("if (c + %du < BLOCKS) %s", g.Stages-1, land)
		k.line("now = now == %du * %s ? 0u : now + %s;", g.Stages-1, size, size)
		k.line("next = next == %du * %s ? 0u : next + %s;", g.Stages-1, size, size)
	}
	k.close()
	k.open("if (p < BLOCKS)")
	if !g.Copied {
		g.put(k, stage, t)
	}
	if !copied {
		k.line("weights[(a + 1u) %% AHEAD].land(right + p %% 2u * RIGHT, fit, thread_index);")
	}
	k.close()
	if bring != "" {
		k.line("tile_wait<%du>();", g.Stages-2)
	}
	g.by.settle(k)
	g.by.staged(k)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.close()
	k.close()
}

// element declares where the i-th group of elements of a block lies: m and j in the
// stage, column in the operand's row. ok is what must hold for it to exist, empty
// where it always does.
func (g *gemm) element(e *emitter, t dtype.Type, b string) (column affine, ok string) {
	k := e.k
	k.line("const uint m = (thread_index + i * THREADS) / %du, j = (thread_index + i * THREADS) %% %du * %du;", g.Depth/g.w, g.Depth/g.w, g.w)
	at := fmt.Sprintf("gemm_column<%s, DEPTH>(%s, j / 4u)", g.format(t).reader(g.chunk(t)), b)
	switch {
	case g.chunk(t) < 4:
		at = b + " * DEPTH + j"
	case g.w == 1:
		at += " + j % 4u"
	}
	if g.Length%int64(g.Depth) == 0 {
		return e.atom("column", raw("%s", at), g.Length, int64(g.w)), ""
	}
	k.line("const uint place = %s;", at)
	return e.atom("column", raw("min(place, %du)", g.Length-int64(g.w)), g.Length, int64(g.w)), fmt.Sprintf("place < %du", g.Length)
}

// fetch reads the thread's elements of block b of the operand.
func (g *gemm) fetch(k *kernel, t dtype.Type) {
	k.line("FOUNDRY_UNROLL")
	k.open("for (uint i = 0u; i < %du; i++)", g.staged())
	e := newEmitter(k, g.r, g.w)
	column, ok := g.element(e, t, "b")
	row := e.atom("t", raw("min(first + m, %s - 1u)", k.text(dimension(g.Tokens))), 0, 1)
	ix := []affine{row, column}
	e.report, e.stored = raw("group.y == 0u && %s == 0u", column.String()), g.Inner
	value := e.at(g.Inner, ix)
	for _, j := range g.Extra {
		v := g.r.g.Results[j].Value
		here := fmt.Sprintf("group.y == 0u && first + m < %s", k.text(dimension(g.Tokens)))
		if ok != "" {
			here += " && " + ok
		}
		extra := e.at(v, ix)
		k.line("if (%s) store%d(%s, %s);", here, g.w, e.target(j, ix), g.r.asStored(k, j, extra))
	}
	if ok != "" {
		value = raw("%s ? %s : %s(0.0f)", ok, value, e.vec())
	}
	k.line("held[a * %du + i] = %s;", g.staged(), value)
	k.close()
}

// put stages what fetch read.
func (g *gemm) put(k *kernel, stage *msl.Value, t dtype.Type) {
	k.line("FOUNDRY_UNROLL")
	k.open("for (uint i = 0u; i < %du; i++)", g.staged())
	e := newEmitter(k, g.r, g.w)
	held := raw("held[(a + 1u) %% AHEAD * %du + i]", g.staged())
	value := times(held, g.leftDown(k))
	if g.looks() {
		value = value.Mul(raw("fits[i]"))
	}
	if g.Norm != nil {
		column, _ := g.element(e, t, "p")
		_, gamma := task.NormOperands(g.Norm)
		value = raw("%s * scale[i] * %s", held, e.at(gamma, []affine{column}))
	} else {
		k.line("const uint m = (thread_index + i * THREADS) / %du, j = (thread_index + i * THREADS) %% %du * %du;", g.Depth/g.w, g.Depth/g.w, g.w)
	}
	k.line("gemm_put(%s + p %% 2u * LEFT + gemm_at<DEPTH>(m, j), %s);", stage, value)
	k.close()
}

// looks reports whether the operand has no bound: then the kernel looks at its rows.
func (g *gemm) looks() bool { return g.r.narrowing(g.X) == unbounded }

// rowRanges writes the prologue of an operand without a bound: fits[i] becomes the
// factor of the row of the i-th group of elements that the thread stages.
func (g *gemm) rowRanges(k *kernel, stage *msl.Value) {
	if !g.looks() {
		return
	}
	k.use("common/range.metal")
	k.phase("Prologue: the range of each row.")
	k.line("threadgroup float *const downs = (threadgroup float *)%s;", stage)
	k.open("for (uint m = simd; m < ROWS; m += %du)", g.SIMDs())
	k.line("float most = 0.0f;")
	k.open("for (uint k = lane * %du; k < %du; k += %du)", g.w, g.Length, 32*g.w)
	e := newEmitter(k, g.r, g.w)
	e.report = no
	t := e.atom("t", raw("min(first + m, %s - 1u)", k.text(dimension(g.Tokens))), 0, 1)
	k.line("most = max(most, range_size(%s));", e.at(g.Inner, []affine{t, e.Know("k", g.Length, int64(g.w))}))
	k.close()
	k.line("most = simd_max(most);")
	k.line("if (lane == 0u) downs[m] = range_down(most);")
	k.close()
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.line("float fits[%d];", g.staged())
	k.line("for (uint i = 0u; i < %du; i++) fits[i] = downs[(thread_index + i * THREADS) / %du];", g.staged(), g.Depth/g.w)
	g.by.rows(k)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
}

// leftDown and leftUp return the factors of the operand's range, where it has one.
func (g *gemm) leftDown(k *kernel) *msl.Value {
	if g.X.Def == nil && g.r.operands[g.X.Index].Scaled {
		return one // it lies so
	}
	return g.leftFactor(k, g.r.down)
}

func (g *gemm) leftUp(k *kernel) *msl.Value { return g.leftFactor(k, g.r.up) }

func (g *gemm) leftFactor(k *kernel, factor func(*kernel, *ir.Value) *msl.Value) *msl.Value {
	if g.looks() {
		return one
	}
	return factor(k, g.X)
}
