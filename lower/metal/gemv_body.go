package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// operand declares what main reads its vectors from and returns the expression,
// and the name of the partial sums of a norm. A staged operand is filled segment
// by segment in main.
func (g *gemv) operand(k *kernel) (x, partial string) {
	k.line("const uint first = group.y * VECTORS;")
	if g.direct {
		l := g.r.operands[g.inner.Index].layout
		row, _ := variable("first").times(l.stride[0])
		ptr := g.r.at(k, g.inner.Index, affine{c: l.off}.add(row))
		if g.sliced() {
			return ptr, ""
		}
		return fmt.Sprintf("%s{%s, %s - first}", g.operandType(), ptr, k.text(dimension(g.rows))), ""
	}
	staged := k.threadgroup("staged", "float", int(4*g.staged(g.segment))*g.vectors)
	if g.norm != nil {
		partial = k.threadgroup("partial", "float", 4*g.simds*g.vectors)
		k.use("prologue/rms_norm.metal")
	}
	return fmt.Sprintf("%s{%s}", g.operandType(), staged), partial
}

func (g *gemv) operandType() string {
	if g.direct {
		return fmt.Sprintf("DeviceOperand<%du>", g.r.operands[g.inner.Index].layout.stride[0].C)
	}
	if g.chunked {
		return fmt.Sprintf("ChunkedOperand<%du>", g.staged(g.segment))
	}
	return fmt.Sprintf("StagedOperand<%du>", g.staged(g.segment))
}

// main accumulates all segments of the rows.
func (g *gemv) main(k *kernel, x, partial string, preload int, begins []int64) error {
	k.line("float acc[VECTORS * ROWS];")
	k.line("for (uint i = 0u; i < VECTORS * ROWS; i++) acc[i] = 0.0f;")
	if g.norm != nil {
		k.line("float squares[VECTORS];")
		k.line("for (uint m = 0u; m < VECTORS; m++) squares[m] = 0.0f;")
	}
	for begin := int64(0); begin < g.depth; begin += g.segment {
		size := min(g.segment, g.depth-begin)
		if !g.direct {
			if begin > 0 {
				k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
			}
			k.phase("Prologue: %s.", g.describe())
			if err := g.stage(k, begin, size); err != nil {
				return err
			}
			if g.norm != nil && begin+size == g.depth {
				k.line("for (uint m = 0u; m < VECTORS; m++) rms_partial(squares[m], %s + m * %du, simd, lane);", partial, g.simds)
			}
			k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
			g.stageSums(k, size)
		}
		k.phase("Main: rows of a matrix product.")
		if t, same := g.sameFormat(); same {
			g.accumulate(k, t, x, begin, size, preload, "row", "ROWS", "acc")
			preload = 0
			continue
		}
		for i, p := range g.parts {
			var err error
			g.choose(k, i, begins, func() { err = g.accumulatePart(k, p, x, begin, size) })
			if err != nil {
				return err
			}
		}
	}
	k.line("gemv_sum<VECTORS * ROWS, %du>(acc);", g.seats())
	if g.share > 1 {
		shared := k.threadgroup("shares", "float", 4*g.simds*g.teams*g.vectors*g.perTeam)
		k.line("gemv_share<VECTORS * ROWS, %du, %du>(acc, %s, %s, share, %s);", g.share, g.teams, shared, g.team(), g.seat())
	}
	return nil
}

// stageSums adds up what groups of levels with offsets meet, where the operand is
// staged in their order.
func (g *gemv) stageSums(k *kernel, size int64) {
	t, _ := g.sameFormat()
	if !g.chunked || !g.format(t).offsets {
		return
	}
	k.builtin(plan.ThreadIndex)
	k.line("for (uint m = 0u; m < VECTORS; m++) chunked_sums<%s, %du, %du>(staged + m * %du, thread_index);",
		g.format(t).reader(chunkWeights), size/chunkWeights, g.simds*32, g.staged(g.segment))
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
}

// describe names what the prologue computes.
func (g *gemv) describe() string {
	name := "the operand"
	if g.inner.Def != nil {
		name = g.inner.Def.Op.String()
	}
	if g.norm != nil {
		return "rms_norm of " + name + ", its scale applied to the sums"
	}
	return name
}

func (g *gemv) accumulate(k *kernel, t dtype.Type, x string, begin, size int64, preload int, row, rows, acc string) {
	f := g.format(t)
	w := g.width(t)
	k.use(f.files()...)
	reader := f.reader(w)
	ahead := g.ahead(f.registers(w), size/int64(w), preload)
	if g.sliced() {
		k.use("main/gemv_slices.metal")
		bytes := int64(max(preload, ahead)) * g.sliceBytes()
		slices := k.threadgroup("slices", "float", int(bytes)*g.simds)
		share := "0u"
		if g.share > 1 {
			share = "share"
		}
		k.line("gemv_sliced<%s, %s, %du, %du, %du, %du, %du>(%s, raw, %s, %s + simd * %du, %s, lane, %s);",
			reader, rows, g.lanes(), g.seats(), size/int64(w), preload, ahead, row, x, slices, bytes/4, share, acc)
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

// ahead is how many rounds of chunks a lane loads before it uses the first: what
// its registers hold, evenly over the rounds that are left.
func (g *gemv) ahead(registers int, chunks int64, preload int) int {
	left := (chunks+g.lanes()-1)/g.lanes() - int64(preload)
	most := int64(min(max(1, g.loads/(registers*g.perTeam)), g.mostRounds()))
	if left < 1 || g.vectors > 1 {
		return 1
	}
	batches := (left + most - 1) / most
	return min(g.r.tuning.rounds(int((left+batches-1)/batches), int(left)), g.mostRounds())
}

// accumulatePart is accumulate where weights differ in format: the rows of each
// product go by themselves.
func (g *gemv) accumulatePart(k *kernel, p *gemvPart, x string, begin, size int64) error {
	per := p.rowsPerUnit()
	t := p.products[0].Args[1].Type.DType
	uniform := true
	for _, q := range p.products {
		uniform = uniform && q.Args[1].Type.DType == t
	}
	if uniform {
		g.accumulate(k, t, x, begin, size, 0, "row", "ROWS", "acc")
		return nil
	}
	units := g.perTeam / per
	each := per / len(p.products)
	for i, q := range p.products {
		k.open("")
		k.line("device const uchar *mine[%du];", units*each)
		k.line("float sums[VECTORS * %du];", units*each)
		k.line("for (uint u = 0u; u < %du; u++) mine[u] = row[u / %du * %du + %du + u %% %du];", units*each, each, per, i*each, each)
		k.line("for (uint u = 0u; u < VECTORS * %du; u++) sums[u] = 0.0f;", units*each)
		g.accumulate(k, q.Args[1].Type.DType, x, begin, size, 0, "mine", fmt.Sprintf("%du", units*each), "sums")
		k.line("for (uint u = 0u; u < VECTORS * %du; u++) acc[u / %du * %du + %du + u %% %du] += sums[u];", units*each, each, per, i*each, each)
		k.close()
	}
	return nil
}

// stage computes elements [begin, begin+size) of each vector into threadgroup
// memory, four at a time where all that they are made of allows.
func (g *gemv) stage(k *kernel, begin, size int64) error {
	err := fmt.Errorf("a segment of %d elements", size)
	for _, w := range []int{4, 1} {
		if size%int64(w) != 0 {
			continue
		}
		if err = k.attempt(func() error { return g.stageWith(k, begin, size, w) }); err == nil {
			return nil
		}
	}
	return err
}

func (g *gemv) stageWith(k *kernel, begin, size int64, w int) error {
	e := newEmitter(k, g.r, w)
	threads := g.simds * 32
	k.builtin(plan.ThreadIndex)
	t := number(0)
	open := 0
	m := "0u"
	if g.vectors > 1 || !g.rows.IsConst() || g.rows.C > 1 {
		k.open("for (uint m = 0u; m < VECTORS; m++)")
		open, m = 1, "m"
		t = e.atom("t", fmt.Sprintf("min(first + m, %s - 1u)", k.text(dimension(g.rows))), 0, 1)
	}
	done := k.each("k", size, threads, w)
	col := e.know("k", size, int64(w)).plus(begin)
	ix := []affine{t, col}
	e.report = fmt.Sprintf("group.x == 0u && %s == 0u", col.group())
	v := e.at(g.inner, ix)
	if g.norm != nil && g.sums() == nil {
		k.line("squares[%s] += squares_of(%s);", m, v)
	}
	for _, j := range g.extra {
		if err := g.storeExtra(e, j, ix, m); err != nil {
			return err
		}
	}
	value := v
	if g.norm != nil {
		_, gamma := normOperands(g.norm)
		value = e.define("scaled", "%s * %s", v, g.gamma(e, gamma, ix[1:], size))
	}
	if g.chunked {
		t, _ := g.sameFormat()
		k.use(g.format(t).files()...)
		k.line("chunked_store%d<%s>(staged + %s * %du, k, %s);", w, g.format(t).reader(g.width(t)), m, g.staged(g.segment), value)
	} else {
		k.line("staged_store%d(staged + %s * %du, k, %s);", w, m, g.staged(g.segment), value)
	}
	done()
	if sums := g.sums(); sums != nil && begin == 0 {
		if err := g.r.addSums(e, sums, ix[:1], "squares["+m+"]"); err != nil {
			return err
		}
	}
	if open == 1 {
		k.close()
	}
	return e.err
}

// gammaRounds is the most loads of the norm's weights that a thread holds across the
// ready point. Longer vectors belong to longer kernels, which have other work then
// and need the registers.
const gammaRounds = 2

// gamma returns the norm's weights for the elements at ix, in the loop over size
// elements that stage is in: loaded before the ready point where there is one vector
// and a thread needs few.
func (g *gemv) gamma(e *emitter, gamma *ir.Value, ix []affine, size int64) string {
	rounds, _ := rounds(size, g.simds*32, e.w)
	if g.early == nil || rounds > gammaRounds || size != g.depth || gamma.Param == nil || !g.r.operands[gamma.Index].fixed {
		return e.at(gamma, ix)
	}
	k, name := e.k, e.k.fresh("gammas")
	k.preload += k.aside(1, func() {
		k.phase("Preload: the norm's weights.")
		k.line("%s %s[%d];", e.vec(), name, rounds)
		k.line("FOUNDRY_UNROLL")
		k.open("for (uint round = 0u; round < %du; round++)", rounds)
		k.line("const uint k = min((thread_index + round * %du) * %du, %du);", g.simds*32, e.w, size-int64(e.w))
		done := e.scope()
		k.line("%s[round] = %s;", name, e.at(gamma, ix))
		done()
		k.close()
	})
	return name + "[round]"
}

// sums returns the finished sums of squares that the prologue adds up, or nil.
func (g *gemv) sums() *ir.Value {
	if g.norm == nil {
		return nil
	}
	sums, _ := normOperands(g.norm)
	return sums
}

// storeExtra stores a result of the prologue, by the first threadgroup alone.
func (g *gemv) storeExtra(e *emitter, j int, ix []affine, m string) error {
	v := g.r.g.Results[j].Value
	if core(v) != g.inner.Type.Shape {
		return fmt.Errorf("a result of %s is not what the prologue walks over", v.Type)
	}
	value := e.at(v, ix)
	e.k.line("if (group.x == 0u && first + %s < %s) store%d(%s, %s);", m, e.k.text(dimension(g.rows)), e.w, e.target(j, ix), g.r.kept(e.k, j, value))
	return nil
}

// epilogue gives each unit of each vector to a lane, which computes the results
// of its rows and stores them.
func (g *gemv) epilogue(k *kernel, p *gemvPart, partial string) error {
	units := g.perTeam / p.rowsPerUnit()
	e := newEmitter(k, g.r, 1)
	e.owns = len(g.parts) == 1
	u, t, vector := g.seat(), number(0), "0u"
	guard := g.guard(p)
	if g.many() {
		u = fmt.Sprintf("%s %% %du", g.seat(), units)
		vector = fmt.Sprintf("%s / %du", g.seat(), units)
		guard += fmt.Sprintf(" && first + %s < %s", vector, k.text(dimension(g.rows)))
	}
	for i := range p.sums {
		k.line("float square%d = 0.0f;", i)
	}
	if len(p.best) > 0 {
		k.line("float best = -INFINITY;")
		k.line("uint place = 0xffffffffu;")
	}
	k.open("if (%s)", guard)
	e.early = g.early
	e.early.begin()
	done := e.scope()
	if vector != "0u" {
		t = e.atom("t", "first + "+vector, 0, 1)
	}
	scale := ""
	if g.norm != nil {
		scale = k.fresh("scale")
		k.line("const float %s = rms_scale<%du, %du>(%s + (%s) * %du, %s);", scale, g.simds, g.depth, partial, vector, g.simds, floatText(g.norm.Attr.Eps))
	}
	unit := e.atom("own", "unit + "+u, p.units(), 1)
	ix, row := g.place(e, p, t, unit)
	if err := g.bindRows(e, p, t, row, scale, units); err != nil {
		return err
	}
	if len(p.results) > 0 {
		if err := g.r.storeResults(e, part{space: core(g.r.g.Results[p.results[0]].Value), results: p.results, pair: p.pair}, ix); err != nil {
			return err
		}
	}
	for i, j := range p.sums {
		x := e.at(g.r.g.Results[j].Value.Def.Args[0], []affine{t, row})
		k.line("square%d = %s * %s;", i, x, x)
	}
	for _, j := range p.best {
		v := e.at(g.r.g.Results[j].Value.Def.Args[0], []affine{t, row})
		if g.r.token != tokenPlain {
			v = fmt.Sprintf("argmax_logit(%s)", v)
		}
		k.line("argmax_take(best, place, %s, %s);", v, k.text(row))
	}
	done()
	k.close()
	e.early = nil
	for i, j := range p.sums {
		g.storeSums(e, p, i, j, units, u, vector)
	}
	if len(p.best) > 0 {
		g.storeBest(e)
	}
	return e.err
}

// many reports whether a threadgroup may have several vectors.
func (g *gemv) many() bool { return g.vectors > 1 || g.rows != sym.Const(1) }

// guard is the condition of a lane that has a unit of the part.
func (g *gemv) guard(p *gemvPart) string {
	units := g.perTeam / p.rowsPerUnit()
	u, lanes := g.seat(), units
	if g.many() {
		u, lanes = fmt.Sprintf("%s %% %du", g.seat(), units), units*g.vectors
	}
	share := ""
	if g.share > 1 {
		share = "share == 0u && "
	}
	return fmt.Sprintf("%s%s < %du && unit + %s < %du", share, g.seat(), lanes, u, p.units())
}

// storeSums adds up the squares of runs of adjacent rows and stores them: the
// rows of a threadgroup meet in threadgroup memory.
func (g *gemv) storeSums(e *emitter, p *gemvPart, i, j, units int, u, vector string) {
	k := e.k
	size := int(g.r.g.Results[j].Value.Def.Attr.Size.C)
	rows := g.owners() * units
	shared := k.threadgroup("row_squares", "float", 4*rows*g.vectors)
	k.builtin(plan.ThreadIndex)
	k.phase("Epilogue: sums of the squares of %d rows.", size)
	first := fmt.Sprintf("%s < %du", g.seat(), units*g.vectors)
	if g.share > 1 {
		first = "share == 0u && " + first
	}
	k.line("if (%s) %s[(%s) * %du + %s * %du + %s] = square%d;", first, shared, vector, rows, g.owner(), units, u, i)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	runs := rows / size
	run := e.atom("run", fmt.Sprintf("thread_index %% %du", runs), int64(runs), 1)
	t := e.atom("t", fmt.Sprintf("first + thread_index / %du", runs), 0, 1)
	index := e.atom("index", fmt.Sprintf("(unit - %s * %du) / %du + %s", g.owner(), units, size, run.text()), 0, 1)
	k.open("if (thread_index < %du && %s < %du && %s < %s)", runs*g.vectors, index.text(), p.n/int64(size), t.text(), k.text(dimension(g.rows)))
	sum := k.fresh("sum")
	k.line("float %s = 0.0f;", sum)
	k.line("for (uint r = 0u; r < %du; r++) %s += %s[thread_index / %du * %du + %s * %du + r];", size, sum, shared, runs, rows, run.text(), size)
	k.line("store1(%s, %s);", e.target(j, []affine{t, index}), sum)
	k.close()
}

// storeBest leaves the threadgroup's best row for the merge.
func (g *gemv) storeBest(e *emitter) {
	k := e.k
	k.use("main/argmax.metal")
	k.builtin(plan.ThreadIndex)
	k.phase("Epilogue: the threadgroup's largest row.")
	e.argmaxMerge(g.simds)
	values := k.slot(ref{refScratch, 0}, "part_best", "float", plan.Write)
	places := k.slot(ref{refScratch, 1}, "part_place", "uint", plan.Write)
	k.open("if (thread_index == 0u)")
	k.line("%s[group.x] = best;", values)
	k.line("%s[group.x] = place;", places)
	k.close()
}

// place turns a unit into the index of the part's results and the row of the
// products: the head and the element of it where the results are in attention
// layout.
func (g *gemv) place(e *emitter, p *gemvPart, t, unit affine) (ix []affine, row affine) {
	if p.heads == 0 {
		return []affine{t, unit}, unit
	}
	d := p.headDim()
	per := d
	if p.pair {
		per = d / 2
	}
	h, i := e.split(unit, sym.Const(per), "head")
	row, _ = h.times(sym.Poly{C: d})
	return []affine{h, t, i}, row.add(i)
}

// bindRows names the sums that the lane's unit ended with.
func (g *gemv) bindRows(e *emitter, p *gemvPart, t, row affine, scale string, units int) error {
	at := 0
	for _, q := range p.products {
		rows := []affine{row}
		if p.pair {
			rows = append(rows, row.plus(p.headDim()/2))
		}
		for _, n := range rows {
			name := e.k.fresh("row_sum")
			product := fmt.Sprintf("gemv_pick<%du, %du>(acc + %du, %s)", units*g.vectors, p.rowsPerUnit(), at, g.seat())
			if scale != "" {
				product += " * " + scale
			}
			e.k.line("const float %s = %s;", name, product)
			e.bind(q.Results[0], []affine{t, n}, name)
			at++
		}
	}
	return nil
}

// floatText prints a constant as an MSL float that reads back to the same float.
func floatText(v float64) string {
	return fmt.Sprintf("%.9ef", float32(v))
}
