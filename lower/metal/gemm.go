package metal

import (
	"fmt"

	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// The block of a tiled product: four simdgroups, rows of weights, and elements of
// K a step. The number of vectors follows from the target.
const (
	gemmThreads = 128
	gemmRows    = 64
	gemmStep    = 32
)

// gemmVectors is the count of vectors from which a product of a constant number of
// them is tiled; with fewer, rows are read at the speed of memory anyway.
const gemmVectors = 8

// tiled reports whether the product is a GEMM: many vectors, weights of one format
// (their order of K is the order in which the vectors are staged).
func (g *gemv) tiled() bool {
	if g.rows.Max(g.r.g.Bounds) <= gemmVectors {
		return false
	}
	if _, same := g.sameFormat(); !same {
		return false
	}
	for _, p := range g.parts {
		if len(p.best) > 0 || gemmRows%p.rowsPerUnit() != 0 || gemmRows/p.rowsPerUnit()%g.run() != 0 {
			return false
		}
	}
	return true
}

// gemm is a tiled product: the same prologue, parts and epilogue as a gemv's.
type gemm struct {
	*gemv
	vectors int // of a block
	elem    string
	reader  string
	width   int
	stride  int // of a staged vector or row, in elements
}

func (g *gemv) emitGEMM() (*kernel, error) {
	t, _ := g.sameFormat()
	m := &gemm{gemv: g, vectors: 32, elem: "float", width: g.width(t), stride: gemmStep + 8}
	m.reader = formats[t].reader(m.width)
	blocks := int64(0)
	for _, p := range g.parts {
		blocks += m.blocks(p)
	}
	// Larger blocks read each operand less often, while there is one for each core.
	if blocks*((g.rows.Max(g.r.g.Bounds)+63)/64) >= int64(g.r.target.Cores) {
		m.vectors = 64
	}
	// A norm bounds its vectors, so that halves hold them; what other kernels made
	// may lie beyond the largest half.
	if g.norm != nil && t != dtype.F32 {
		m.elem = "half"
	}
	return m.emit(t)
}

// blocks returns how many blocks of rows a part takes.
func (m *gemm) blocks(p *gemvPart) int64 {
	units := int64(gemmRows / p.rowsPerUnit())
	return (p.units() + units - 1) / units
}

func (m *gemm) poolBytes() int {
	size := 4
	if m.elem == "half" {
		size = 2
	}
	return max((m.vectors+gemmRows)*m.stride*size, 4*m.vectors*(gemmRows+4))
}

func (m *gemm) emit(t dtype.Type) (*kernel, error) {
	k := newKernel(m.name(), m.r.about("a block of a matrix product"))
	k.threads = gemmThreads
	for _, p := range []struct {
		name  string
		value int
	}{{"K", int(m.depth)}, {"block_vectors", m.vectors}, {"block_rows", gemmRows}, {"step", gemmStep}} {
		k.param(p.name, p.value)
	}
	k.use("common/load.metal", "common/tile.metal", "main/gemm.metal")
	k.use(formats[t].files()...)
	for _, b := range []plan.Builtin{plan.ThreadgroupPosition, plan.ThreadIndex, plan.SimdgroupIndex} {
		k.builtin(b)
	}
	groups, begins := int64(0), []int64{}
	for _, p := range m.parts {
		begins = append(begins, groups)
		groups += m.blocks(p)
	}
	k.grid[0].N = sym.Const(groups)
	k.grid[1] = plan.GridDim{N: m.rows, Div: int64(m.vectors)}
	pool := k.threadgroup("pool", "float", m.poolBytes())
	scales := ""
	if m.norm != nil {
		scales = k.threadgroup("scales", "float", 4*(m.vectors+gemmThreads))
	}
	per := gemmStep / m.width
	k.phase("Rows of this block that the thread stages.")
	k.line("device const uchar *row[%d];", gemmRows*per/gemmThreads)
	k.line("uint unit;")
	for i, p := range m.parts {
		m.choose(k, i, begins, func() { m.pickBlock(k, p, begins[i], per) })
	}
	k.ready()
	k.line("const uint first = group.y * %du;", m.vectors)
	k.line("threadgroup %s *a = (threadgroup %s *)%s;", m.elem, m.elem, pool)
	k.line("threadgroup %s *b = a + %du;", m.elem, m.vectors*m.stride)
	tiles := m.vectors / 32 * gemmRows / 32
	k.line("tile<float> c[%d];", tiles)
	k.line("for (uint i = 0u; i < %du; i++) tile_fill(c[i], 0.0f);", tiles)
	if m.norm != nil {
		k.line("float squares = 0.0f;")
	}
	chunks := m.depth / int64(m.width)
	k.open("for (uint step = 0u; step < %du; step++)", (chunks+int64(per)-1)/int64(per))
	k.phase("Prologue: %s, in the order of the weights.", m.describe())
	if err := m.stageBlock(k, chunks, per); err != nil {
		return nil, err
	}
	k.phase("Main: a block of a matrix product.")
	k.line("gemm_stage<%s, %s, %du, %du, %du, %du>(row, step, b, thread_index);", m.reader, m.elem, chunks, gemmRows, gemmStep, gemmThreads)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.line("gemm_step<%s, %du, %du, %du>(a, b, simd, c);", m.elem, m.vectors, gemmRows, gemmStep)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.close()
	if m.norm != nil {
		m.finishNorm(k, scales)
	}
	k.line("gemm_store<%du, %du>(c, %s, simd);", m.vectors, gemmRows, pool)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.phase("Epilogue: units of the block, one after the other in each thread.")
	for i, p := range m.parts {
		var err error
		m.choose(k, i, begins, func() { err = m.finishBlock(k, p, pool, scales) })
		if err != nil {
			return nil, err
		}
	}
	return k, nil
}

// pickBlock points row[] at the rows of the block that the thread stages; rows
// beyond the end repeat the last unit and are not stored.
func (m *gemm) pickBlock(k *kernel, p *gemvPart, begin int64, per int) {
	group := "group.x"
	if begin > 0 {
		group = fmt.Sprintf("(group.x - %du)", begin)
	}
	ru := p.rowsPerUnit()
	k.line("unit = %s * %du;", group, gemmRows/ru)
	k.open("for (uint r = 0u; r < %du; r++)", gemmRows*per/gemmThreads)
	k.line("const uint column = thread_index / %du + r * %du;", per, gemmThreads/per)
	k.line("const uint n = min(unit + column / %du, %du);", ru, p.units()-1)
	half := p.headDim() / 2
	n := "n"
	if p.pair {
		n = fmt.Sprintf("(n / %du * %du + n %% %du)", half, 2*half, half)
	}
	at := 0
	for _, q := range p.products {
		w := q.Args[1]
		bytes := w.Type.DType.Bytes(m.depth)
		name := k.slot(ref{refArg, w.Index}, m.r.argName(w.Index), pointee(w.Type.DType), plan.Read)
		rows := []string{n}
		if p.pair {
			rows = append(rows, fmt.Sprintf("(%s + %du)", n, half))
		}
		for _, row := range rows {
			head := ""
			if ru > 1 {
				head = fmt.Sprintf("if (column %% %du == %du) ", ru, at)
			}
			k.line("%srow[r] = (device const uchar *)%s + ulong(%s) * %du;", head, name, row, bytes)
			at++
		}
	}
	k.close()
}

// stageBlock writes the vectors' elements of one step to a, four at a time where
// all that they are made of allows. A thread stays with one vector, so that it can
// sum up its squares.
func (m *gemm) stageBlock(k *kernel, chunks int64, per int) error {
	var err error
	for _, w := range []int{4, 1} {
		if m.width%w != 0 {
			continue
		}
		if err = k.attempt(func() error { return m.stageBlockWith(k, chunks, per, w) }); err == nil {
			return nil
		}
	}
	return err
}

func (m *gemm) stageBlockWith(k *kernel, chunks int64, per, w int) error {
	e := newEmitter(k, m.r, w)
	share := gemmThreads / m.vectors
	k.open("")
	k.line("const uint m = thread_index / %du;", share)
	t := e.atom("t", fmt.Sprintf("min(first + m, %s - 1u)", k.text(dimension(m.rows))), 0, 1)
	k.open("for (uint l = thread_index %% %du * %du; l < %du; l += %du)", share, w, gemmStep, share*w)
	k.line("const uint chunk = step * %du + l / %du;", per, m.width)
	k.open("if (chunk < %du)", chunks)
	position := fmt.Sprintf("%s::position(chunk, l %% %du / 4u)", m.reader, m.width)
	if w == 1 && m.width > 1 {
		position += " + l % 4u"
	}
	col := e.atom("k", position, m.depth, int64(w))
	ix := []affine{t, col}
	e.report = fmt.Sprintf("group.x == 0u && %s == 0u", col.text())
	v := e.at(m.inner, ix)
	value := v
	if m.norm != nil {
		k.use("prologue/rms_norm.metal")
		if m.sums() == nil {
			k.line("squares += squares_of(%s);", v)
		}
		_, gamma := normOperands(m.norm)
		value = e.define("scaled", "%s * %s", v, e.at(gamma, ix[1:]))
	}
	for _, j := range m.extra {
		if err := m.storeExtra(e, j, ix, "m"); err != nil {
			return err
		}
	}
	k.line("gemm_put%d(a + m * %du + l, %s);", w, m.stride, value)
	k.close()
	k.open("else")
	zero := map[int]string{1: "0.0f", 4: "float4(0.0f)"}[w]
	k.line("gemm_put%d(a + m * %du + l, %s);", w, m.stride, zero)
	k.close()
	k.close()
	if sums := m.sums(); sums != nil {
		k.open("if (step == 0u)")
		count, _ := sums.Type.Shape.At(-1).Const()
		e.w = 1
		k.open("for (uint part = thread_index %% %du; part < %du; part += %du)", share, count, share)
		done := e.scope()
		k.line("squares += %s;", e.at(sums, []affine{t, e.know("part", count, 1)}))
		done()
		k.close()
		k.close()
	}
	k.close()
	return e.err
}

// finishNorm leaves the scale of each vector in scales.
func (m *gemm) finishNorm(k *kernel, scales string) {
	share := gemmThreads / m.vectors
	k.line("%s[%du + thread_index] = squares;", scales, m.vectors)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.line("if (thread_index < %du) %s[thread_index] = rms_scale<%du, %du>(%s + %du + thread_index * %du, %s);",
		m.vectors, scales, share, m.depth, scales, m.vectors, share, floatText(m.norm.Attr.Eps))
}

// finishBlock computes and stores the results of a part's units.
func (m *gemm) finishBlock(k *kernel, p *gemvPart, sums, scales string) error {
	units := gemmRows / p.rowsPerUnit()
	e := newEmitter(k, m.r, 1)
	e.owns = len(m.parts) == 1
	k.open("for (uint i = thread_index; i < %du; i += %du)", m.vectors*units, gemmThreads)
	done := e.scope()
	k.line("const uint m = i / %du, u = i %% %du;", units, units)
	guard := fmt.Sprintf("unit + u < %du && first + m < %s", p.units(), k.text(dimension(m.rows)))
	k.open("if (%s)", guard)
	t := e.atom("t", "first + m", 0, 1)
	own := e.atom("own", "unit + u", p.units(), 1)
	ix, row := m.place(e, p, t, own)
	at := 0
	cell := func() string {
		return fmt.Sprintf("%s[m * %du + u * %du + %du]", sums, gemmRows+4, p.rowsPerUnit(), at)
	}
	for _, q := range p.products {
		rows := []affine{row}
		if p.pair {
			rows = append(rows, row.plus(p.headDim()/2))
		}
		for _, n := range rows {
			name := k.fresh("row_sum")
			scale := ""
			if m.norm != nil {
				scale = fmt.Sprintf(" * %s[m]", scales)
			}
			k.line("const float %s = %s%s;", name, cell(), scale)
			e.bind(q.Results[0], []affine{t, n}, name)
			at++
		}
	}
	if len(p.results) > 0 {
		if err := m.r.storeResults(e, part{space: core(m.r.g.Results[p.results[0]].Value), results: p.results, pair: p.pair}, ix); err != nil {
			return err
		}
	}
	at = 0
	for _, j := range p.sums {
		k.line("%s = %s;", cell(), e.at(m.r.g.Results[j].Value.Def.Args[0], []affine{t, row}))
	}
	k.close()
	done()
	k.close()
	for _, j := range p.sums {
		m.storeRuns(e, p, j, sums, units)
	}
	return e.err
}

// storeRuns adds up the squares of runs of adjacent rows, which their threads left
// in the block's sums.
func (m *gemm) storeRuns(e *emitter, p *gemvPart, j int, sums string, units int) {
	k := e.k
	size := int(m.r.g.Results[j].Value.Def.Attr.Size.C)
	runs := units / size
	k.phase("Epilogue: sums of the squares of %d rows.", size)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.open("for (uint i = thread_index; i < %du; i += %du)", m.vectors*runs, gemmThreads)
	run := e.atom("run", fmt.Sprintf("i %% %du", runs), int64(runs), 1)
	t := e.atom("t", fmt.Sprintf("first + i / %du", runs), 0, 1)
	index := e.atom("index", fmt.Sprintf("unit / %du + %s", size, run.text()), 0, 1)
	k.open("if (%s < %du && %s < %s)", index.text(), p.n/int64(size), t.text(), k.text(dimension(m.rows)))
	sum := k.fresh("sum")
	k.line("float %s = 0.0f;", sum)
	k.line("for (uint r = 0u; r < %du; r++) %s += squares_of(%s[i / %du * %du + %s * %du + r]);", size, sum, sums, runs, gemmRows+4, run.text(), size)
	k.line("store1(%s, %s);", e.target(j, []affine{t, index}), sum)
	k.close()
	k.close()
	k.use("prologue/rms_norm.metal")
}
