package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// operand declares what main reads its vectors from and returns the expression,
// and the name of the partial sums of a norm. A staged operand is filled segment
// by segment in main.
func (g *gemv) operand(k *kernel) (x, partial string) {
	k.line("const uint first = group.y * VECTORS;")
	if g.Direct {
		l := g.r.operands[g.Inner.Index].Layout
		row, _ := variable("first").Times(l.Stride[0])
		ptr := g.r.at(k, g.Inner.Index, affine{Const: l.Off}.Add(row))
		if g.rounds().Sliced() {
			return ptr, ""
		}
		return fmt.Sprintf("%s{%s, %s - first}", g.operandType(), ptr, k.text(dimension(g.Tokens))), ""
	}
	staged := k.threadgroup("staged", "float", int(4*g.Staged(g.Segment))*g.Vectors)
	if g.Norm != nil {
		partial = k.threadgroup("partial", "float", 4*g.Simdgroups*g.Vectors)
		k.use("prologue/rms_norm.metal")
	}
	return fmt.Sprintf("%s{%s}", g.operandType(), staged), partial
}

func (g *gemv) operandType() string {
	if g.Direct {
		return fmt.Sprintf("DeviceOperand<%du>", g.r.operands[g.Inner.Index].Layout.Stride[0].C)
	}
	if g.Chunked {
		return fmt.Sprintf("ChunkedOperand<%du>", g.Staged(g.Segment))
	}
	return fmt.Sprintf("StagedOperand<%du>", g.Staged(g.Segment))
}

// main accumulates all segments of the rows.
func (g *gemv) main(k *kernel, x, partial string, preload int, begins []int64) {
	k.line("float acc[VECTORS * ROWS];")
	k.line("for (uint i = 0u; i < VECTORS * ROWS; i++) acc[i] = 0.0f;")
	if g.Norm != nil {
		k.line("float squares[VECTORS];")
		k.line("for (uint m = 0u; m < VECTORS; m++) squares[m] = 0.0f;")
	}
	for begin := int64(0); begin < g.Length; begin += g.Segment {
		size := min(g.Segment, g.Length-begin)
		if !g.Direct {
			if begin > 0 {
				k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
			}
			k.phase("Prologue: %s.", g.describe())
			g.stageVectors(k, begin, size)
			if g.Norm != nil && begin+size == g.Length {
				k.line("for (uint m = 0u; m < VECTORS; m++) rms_partial(squares[m], %s + m * %du, simd, lane);", partial, g.Simdgroups)
			}
			k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
			g.stageSums(k, size)
		}
		k.phase("Main: rows of a matrix product.")
		if t, same := g.SameFormat(); same {
			g.accumulate(k, t, x, begin, size, preload, "row", "ROWS", "acc")
			preload = 0
			continue
		}
		for i, p := range g.Parts {
			g.choose(k, i, begins, func() { g.accumulatePart(k, p, x, begin, size) })
		}
	}
	k.line("gemv_sum<VECTORS * ROWS, %du>(acc);", g.Seats())
	if g.Share > 1 {
		shared := k.threadgroup("shares", "float", 4*g.Simdgroups*g.Teams*g.Vectors*g.PerTeam)
		k.line("gemv_share<VECTORS * ROWS, %du, %du>(acc, %s, %s, share, %s);", g.Share, g.Teams, shared, g.team(), g.seat())
	}
}

// stageSums adds up what groups of levels with offsets meet, where the operand is
// staged in their order.
func (g *gemv) stageSums(k *kernel, size int64) {
	t, _ := g.SameFormat()
	if !g.Chunked || !g.format(t).Offsets {
		return
	}
	k.builtin(plan.ThreadIndex)
	k.line("for (uint m = 0u; m < VECTORS; m++) chunked_sums<%s, %du, %du>(staged + m * %du, thread_index);",
		g.format(t).reader(choice.ChunkWeights), size/choice.ChunkWeights, g.Simdgroups*32, g.Staged(g.Segment))
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
}

// describe names what the prologue computes.
func (g *gemv) describe() string {
	name := "the operand"
	if g.Inner.Def != nil {
		name = g.Inner.Def.Op.String()
	}
	if g.Norm != nil {
		return "rms_norm of " + name + ", its scale applied to the sums"
	}
	return name
}

func (g *gemv) accumulate(k *kernel, t dtype.Type, x string, begin, size int64, preload int, row, rows, acc string) {
	f := g.format(t)
	w := g.width(t)
	k.use(f.files()...)
	reader := f.reader(w)
	ahead := g.rounds().Ahead(t, size, preload)
	if g.rounds().Sliced() {
		k.use("main/gemv_slices.metal")
		bytes := int64(max(preload, ahead)) * g.rounds().SliceBytes()
		slices := k.threadgroup("slices", "float", int(bytes)*g.Simdgroups)
		share := "0u"
		if g.Share > 1 {
			share = "share"
		}
		k.line("gemv_sliced<%s, %s, %du, %du, %du, %du, %du>(%s, raw, %s, %s + simd * %du, %s, lane, %s);",
			reader, rows, g.lanes(), g.Seats(), size/int64(w), preload, ahead, row, x, slices, bytes/4, share, acc)
		return
	}
	if preload > 0 {
		k.line("gemv_preloaded<%s, %s, %s, VECTORS, %du, %du, %du>(%s, raw, %s, %s);", reader, g.operandType(), rows, g.lanes(), size/int64(w), preload, g.lane(), x, acc)
	}
	if size/int64(w) > int64(preload)*g.lanes() {
		k.line("gemv_accumulate<%s, %s, %s, VECTORS, %du, %du, %du, %du, %du>(%s, %s, %s, %s);",
			reader, g.operandType(), rows, g.lanes(), begin/int64(w), size/int64(w), preload, ahead, row, g.lane(), x, acc)
	}
}

// accumulatePart is accumulate where weights differ in format: the rows of each
// product go by themselves.
func (g *gemv) accumulatePart(k *kernel, p *task.Part, x string, begin, size int64) {
	per := p.RowsPerUnit()
	t := p.Products[0].Args[1].Type.DType
	uniform := true
	for _, q := range p.Products {
		uniform = uniform && q.Args[1].Type.DType == t
	}
	if uniform {
		g.accumulate(k, t, x, begin, size, 0, "row", "ROWS", "acc")
		return
	}
	units := g.PerTeam / per
	each := per / len(p.Products)
	for i, q := range p.Products {
		k.open("")
		k.line("device const uchar *mine[%du];", units*each)
		k.line("float sums[VECTORS * %du];", units*each)
		k.line("for (uint u = 0u; u < %du; u++) mine[u] = row[u / %du * %du + %du + u %% %du];", units*each, each, per, i*each, each)
		k.line("for (uint u = 0u; u < VECTORS * %du; u++) sums[u] = 0.0f;", units*each)
		g.accumulate(k, q.Args[1].Type.DType, x, begin, size, 0, "mine", fmt.Sprintf("%du", units*each), "sums")
		k.line("for (uint u = 0u; u < VECTORS * %du; u++) acc[u / %du * %du + %du + u %% %du] += sums[u];", units*each, each, per, i*each, each)
		k.close()
	}
}

// stageVectors computes elements [begin, begin+size) of each vector into threadgroup
// memory, four at a time where all that they are made of allows.
func (g *gemv) stageVectors(k *kernel, begin, size int64) {
	w, _ := g.StageWidth(begin, size) // cost has asked
	e := newEmitter(k, g.r, w)
	threads := g.Simdgroups * 32
	k.builtin(plan.ThreadIndex)
	t := number(0)
	open := 0
	m := "0u"
	if g.Vectors > 1 || !g.Tokens.IsConst() || g.Tokens.C > 1 {
		k.open("for (uint m = 0u; m < VECTORS; m++)")
		open, m = 1, "m"
		t = e.atom("t", fmt.Sprintf("min(first + m, %s - 1u)", k.text(dimension(g.Tokens))), 0, 1)
	}
	done := k.each("k", size, threads, w)
	col := e.Know("k", size, int64(w)).Plus(begin)
	ix := []affine{t, col}
	e.report = fmt.Sprintf("group.x == 0u && %s == 0u", group(col))
	v := e.at(g.Inner, ix)
	if g.Norm != nil && g.sums() == nil {
		k.line("squares[%s] += squares_of(%s);", m, v)
	}
	for _, j := range g.Extra {
		g.storeExtra(e, j, ix, m)
	}
	value := v
	if g.Norm != nil {
		_, gamma := task.NormOperands(g.Norm)
		value = e.define("scaled", "%s * %s", v, g.gamma(e, gamma, ix[1:], size))
	}
	if g.Chunked {
		t, _ := g.SameFormat()
		k.use(g.format(t).files()...)
		k.line("chunked_store%d<%s>(staged + %s * %du, k, %s);", w, g.format(t).reader(g.width(t)), m, g.Staged(g.Segment), value)
	} else {
		k.line("staged_store%d(staged + %s * %du, k, %s);", w, m, g.Staged(g.Segment), value)
	}
	done()
	if sums := g.sums(); sums != nil && begin == 0 {
		g.r.addSums(e, sums, ix[:1], "squares["+m+"]")
	}
	if open == 1 {
		k.close()
	}
}

// gammaRounds is the most loads of the norm's weights that a thread holds across the
// ready point. Longer vectors belong to longer kernels, which have other work then
// and need the registers.
const gammaRounds = 2

// gamma returns the norm's weights for the elements at ix, in the loop over size
// elements that stage is in: loaded before the ready point where there is one vector
// and a thread needs few.
func (g *gemv) gamma(e *emitter, gamma *ir.Value, ix []affine, size int64) string {
	rounds, _ := rounds(size, g.Simdgroups*32, e.Width)
	if g.early == nil || rounds > gammaRounds || size != g.Length || gamma.Param == nil || !g.r.operands[gamma.Index].Fixed {
		return e.at(gamma, ix)
	}
	k, name := e.k, e.k.fresh("gammas")
	k.preload += k.aside(1, func() {
		k.phase("Preload: the norm's weights.")
		k.line("%s %s[%d];", e.vec(), name, rounds)
		k.line("FOUNDRY_UNROLL")
		k.open("for (uint round = 0u; round < %du; round++)", rounds)
		k.line("const uint k = min((thread_index + round * %du) * %du, %du);", g.Simdgroups*32, e.Width, size-int64(e.Width))
		done := e.scope()
		k.line("%s[round] = %s;", name, e.at(gamma, ix))
		done()
		k.close()
	})
	return name + "[round]"
}

// sums returns the finished sums of squares that the prologue adds up, or nil.
func (g *gemv) sums() *ir.Value {
	if g.Norm == nil {
		return nil
	}
	sums, _ := task.NormOperands(g.Norm)
	return sums
}

// storeExtra stores a result of the prologue, by the first threadgroup alone.
func (g *gemv) storeExtra(e *emitter, j int, ix []affine, m string) {
	v := g.r.g.Results[j].Value
	value := e.at(v, ix)
	e.k.line("if (group.x == 0u && first + %s < %s) store%d(%s, %s);", m, e.k.text(dimension(g.Tokens)), e.Width, e.target(j, ix), g.r.asStored(e.k, j, value))
}

// epilogue gives each unit of each vector to a lane, which computes the results
// of its rows and stores them.
func (g *gemv) epilogue(k *kernel, p *task.Part, partial string) {
	units := g.PerTeam / p.RowsPerUnit()
	e := newEmitter(k, g.r, 1)
	e.owns = len(g.Parts) == 1
	u, vector := g.seat(), "0u"
	guard := g.guard(p)
	if g.many() {
		u = fmt.Sprintf("%s %% %du", g.seat(), units)
		vector = fmt.Sprintf("%s / %du", g.seat(), units)
		guard += fmt.Sprintf(" && first + %s < %s", vector, k.text(dimension(g.Tokens)))
	}
	for i := range p.Sums {
		k.line("float square%d = 0.0f;", i)
	}
	if len(p.Best) > 0 {
		k.line("float best = -INFINITY;")
		k.line("uint place = 0xffffffffu;")
	}
	if p.HeadNorm != nil {
		g.squareHeads(k, p, partial, guard, u, vector, units)
	}
	k.open("if (%s)", guard)
	e.early = g.early
	e.early.begin()
	done := e.scope()
	t, ix, row := g.bindUnit(e, p, partial, u, vector, units)
	if p.HeadNorm != nil {
		scale, half := k.fresh("head_scale"), p.HeadDim()/2
		k.line("const float %s = gemv_head_scale<%du>(%s + (%s) * %du + %s / %du * %du, %s);",
			scale, half, g.squares, vector, g.Owners()*units, g.localUnit(u, units), half, half, floatText(p.HeadNorm.Attr.Eps))
		bindHeadNorm(e, p, ix, scale)
	}
	if len(p.Results) > 0 {
		g.r.storeResults(e, g.Elements(p), ix)
	}
	for i, j := range p.Sums {
		x := e.at(g.r.g.Results[j].Value.Def.Args[0], []affine{t, row})
		k.line("square%d = %s * %s;", i, x, x)
	}
	for _, j := range p.Best {
		v := e.at(g.r.g.Results[j].Value.Def.Args[0], []affine{t, row})
		if g.r.token != tokenPlain {
			v = fmt.Sprintf("argmax_logit(%s)", v)
		}
		k.line("argmax_take(best, place, %s, %s);", v, k.text(row))
	}
	done()
	k.close()
	e.early = nil
	for i, j := range p.Sums {
		g.storeSums(e, p, i, j, units, u, vector)
	}
	if len(p.Best) > 0 {
		g.storeBest(e)
	}
}

// bindUnit names the sums of the lane's unit, and returns its token, the index of the
// part's results there, and its row of the products.
func (g *gemv) bindUnit(e *emitter, p *task.Part, partial, u, vector string, units int) (t affine, ix []affine, row affine) {
	k := e.k
	t = number(0)
	if vector != "0u" {
		t = e.atom("t", "first + "+vector, 0, 1)
	}
	scale := ""
	if g.Norm != nil {
		scale = k.fresh("scale")
		k.line("const float %s = rms_scale<%du, %du>(%s + (%s) * %du, %s);", scale, g.Simdgroups, g.Length, partial, vector, g.Simdgroups, floatText(g.Norm.Attr.Eps))
	}
	unit := e.atom("own", "unit + "+u, p.Units(), 1)
	ix, row = e.OfUnit(p, t, unit)
	g.bindRows(e, p, t, row, scale, units)
	return t, ix, row
}

// many reports whether a threadgroup may have several vectors.
func (g *gemv) many() bool { return g.Vectors > 1 || g.Tokens != sym.Const(1) }

// guard is the condition of a lane that has a unit of the part.
func (g *gemv) guard(p *task.Part) string {
	units := g.PerTeam / p.RowsPerUnit()
	u, lanes := g.seat(), units
	if g.many() {
		u, lanes = fmt.Sprintf("%s %% %du", g.seat(), units), units*g.Vectors
	}
	share := ""
	if g.Share > 1 {
		share = "share == 0u && "
	}
	return fmt.Sprintf("%s%s < %du && unit + %s < %du", share, g.seat(), lanes, u, p.Units())
}

// storeSums adds up the squares of runs of adjacent rows and stores them: the
// rows of a threadgroup meet in threadgroup memory.
func (g *gemv) storeSums(e *emitter, p *task.Part, i, j, units int, u, vector string) {
	k := e.k
	size := int(g.r.g.Results[j].Value.Def.Attr.Size.C)
	rows := g.Owners() * units
	shared := k.threadgroup("row_squares", "float", 4*rows*g.Vectors)
	k.builtin(plan.ThreadIndex)
	k.phase("Epilogue: sums of the squares of %d rows.", size)
	first := fmt.Sprintf("%s < %du", g.seat(), units*g.Vectors)
	if g.Share > 1 {
		first = "share == 0u && " + first
	}
	k.line("if (%s) %s[(%s) * %du + %s * %du + %s] = square%d;", first, shared, vector, rows, g.owner(), units, u, i)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	runs := rows / size
	run := e.atom("run", fmt.Sprintf("thread_index %% %du", runs), int64(runs), 1)
	t := e.atom("t", fmt.Sprintf("first + thread_index / %du", runs), 0, 1)
	index := e.atom("index", fmt.Sprintf("(unit - %s * %du) / %du + %s", g.owner(), units, size, run.String()), 0, 1)
	k.open("if (thread_index < %du && %s < %du && %s < %s)", runs*g.Vectors, index.String(), p.Each/int64(size), t.String(), k.text(dimension(g.Tokens)))
	sum := k.fresh("sum")
	k.line("float %s = 0.0f;", sum)
	k.line("for (uint r = 0u; r < %du; r++) %s += %s[thread_index / %du * %du + %s * %du + r];", size, sum, shared, runs, rows, run.String(), size)
	k.line("store1(%s, %s);", e.target(j, []affine{t, index}), sum)
	k.close()
}

// storeBest leaves the threadgroup's best row for the merge.
func (g *gemv) storeBest(e *emitter) {
	k := e.k
	k.use("main/argmax.metal")
	k.builtin(plan.ThreadIndex)
	k.phase("Epilogue: the threadgroup's largest row.")
	e.argmaxMerge(g.Simdgroups)
	values := k.slot(ref{refScratch, 0}, "part_best", "float", plan.Write)
	places := k.slot(ref{refScratch, 1}, "part_place", "uint", plan.Write)
	k.open("if (thread_index == 0u)")
	k.line("%s[group.x] = best;", values)
	k.line("%s[group.x] = place;", places)
	k.close()
}

// bindRows names the sums that the lane's unit ended with.
func (g *gemv) bindRows(e *emitter, p *task.Part, t, row affine, scale string, units int) {
	at := 0
	for _, q := range p.Products {
		for _, n := range p.Rows(row) {
			name := e.k.fresh("row_sum")
			product := fmt.Sprintf("gemv_pick<%du, %du>(acc + %du, %s)", units*g.Vectors, p.RowsPerUnit(), at, g.seat())
			if scale != "" {
				product += " * " + scale
			}
			e.k.line("const float %s = %s;", name, product)
			e.bind(q.Results[0], []affine{t, n}, name)
			at++
		}
	}
}

// floatText prints a constant as an MSL float that reads back to the same float.
func floatText(v float64) string {
	return fmt.Sprintf("%.9ef", float32(v))
}
