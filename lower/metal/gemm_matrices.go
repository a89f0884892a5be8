package metal

import (
	choice "foundry/ir/kernel"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// productMatrices writes a product in blocks for matrix units.
func (r *region) productMatrices(chosen choice.ProductMatrices) *lowering {
	p := r.product()
	if chosen.Once {
		return r.expandedOnce(p.Product, chosen)
	}
	return alone(inMatrices(p, chosen).emit())
}

// inMatrices is g's product where matrix units multiply blocks, all simdgroups of the
// threadgroup together.
func inMatrices(g *gemv, m choice.ProductMatrices) *gemm {
	out := &gemm{gemv: g, ProductTiles: m.ProductTiles}
	out.by = matrices{m, out}
	return out
}

type matrices struct {
	choice.ProductMatrices
	g *gemm
}

func (matrices) identity() (plan.Main, string) { return plan.ProductMatrices, "_matrices" }
func (matrices) files() []string {
	return []string{"common/matrix.metal", "main/gemm_matrices.metal"}
}

func (m matrices) places() (left, right *msl.Value) {
	return m.g.rows.Mul(m.g.depth), m.g.columns.Mul(m.g.depth)
}

// undoRows: undo[m] undoes the range of row m of the block.
func (m matrices) undoRows(k *kernel) {
	g, row := m.g, msl.Variable("m")
	stage := msl.Name(k.shared[0].Name)
	g.undo = k.let(floatsOfGroup, "row_ups", stage.Cast("threadgroup float *").Add(u(m.UpsAt()/4)))
	k.add(&msl.For{Variable: row, From: thread, Below: g.rows, Step: g.threadsEach, Line: true,
		Body: []msl.Statement{msl.Set(g.undo.At(row), msl.Call("range_up", g.downs.At(row)))}})
}

// shape is a template of the stage for the block's shape.
func (m matrices) shape(name string) *msl.Value {
	return msl.Of(name, m.g.rows, m.g.columns, m.g.depth, msl.Name(plan.Units))
}

func (m matrices) begin(k *kernel) {
	k.matrices = m.SIMDs()
	m.g.sum = msl.Variable("sum")
	k.add(msl.Let(m.shape("matrix_sums"), m.g.sum, m.shape("matrix_begin").Call()))
	k.do(msl.Call("matrix_clear", m.g.sum))
}

func (m matrices) multiply(k *kernel, left, right *msl.Value) {
	k.do(m.shape("matrix_run").Call(left, right, m.g.sum))
}

// beside: units multiply by themselves while threads bring the next block.
func (matrices) beside(bring, multiply func()) { multiply(); bring() }

func (m matrices) settle(k *kernel) { k.do(msl.Call("matrix_done", m.g.sum)) }
func (matrices) staged(k *kernel)   { k.do(msl.Call("matrix_staged")) }

func (m matrices) spreadIn(k *kernel) {
	k.phase("Epilogue: rows of the sums, by their coordinates, in threadgroup memory.")
	m.g.sumRows = k.let(floatsOfGroup, "rows", m.g.stage.Cast("threadgroup float *"))
	m.g.spread = k.let(floatsOfGroup, "spread", m.g.sumRows.Add(simd.Mul(u(m.PassRows()/m.SIMDs()*m.SpreadStride()))))
}

// store takes the sums a pass at a time: behind a barrier each simdgroup finishes its rows.
func (m matrices) store(k *kernel, p *task.Part, w int) {
	g := m.g
	k.loop("m", u(0), g.rows, u(m.PassRows()), func(row *msl.Value) {
		k.do(msl.Call("matrix_spread", g.sum, row, u(m.PassRows()), g.sumRows, u(m.SpreadStride())))
		k.barrier()
		if p.HeadNorm != nil {
			m.squareHeads(k, row)
			k.barrier()
		}
		each := m.PassRows() / m.SIMDs()
		units := m.Columns / p.RowsPerUnit()
		own := row.Add(simd.Mul(u(each)))
		g.finish(k, p, w, spreadUnits{
			rows: each, units: units, stride: m.SpreadStride(), token: g.first.Add(row).Add(simd.Mul(u(each))), unit: g.unit,
			undone: func(i *msl.Value) *msl.Value { return g.undo.At(own.Add(i.Div(u(units / w)))) },
			head: func(e *emitter, t affine, unit *msl.Value) *msl.Value {
				return g.headScale(e, p, e.k.index(t).Sub(g.first).Sub(row), unit.Div(u(p.HeadDim()/2)))
			},
		})
		k.barrier()
	})
}

// squareHeads leaves the squares of the pass's runs of columns in threadgroup memory, 16
// rows of a run a simdgroup.
func (m matrices) squareHeads(k *kernel, row *msl.Value) {
	g := m.g
	k.use("main/gemm_heads.metal")
	k.loop("run", simd, u(m.PassRows()/16*m.HeadSteps()), u(m.SIMDs()), func(run *msl.Value) {
		r, c, steps := msl.Variable("r"), msl.Variable("c"), u(m.HeadSteps())
		k.add(&msl.Declare{Type: constUint, Of: []msl.Declared{{Variable: r, Value: run.Div(steps).Mul(u(16))}, {Variable: c, Value: run.Mod(steps)}}})
		factor := g.restore[0]
		if g.looks() {
			factor = factor.Mul(g.undo.At(row.Add(r).Add(lane.Div(u(2)))))
		}
		stride := u(m.SpreadStride())
		from, to := g.sumRows.Add(r.Mul(stride)).Add(c.Mul(u(choice.HeadStep))), g.heads.Add(r.Mul(steps)).Add(c)
		k.do(msl.Call("gemm_head_squares", from, stride, factor, lane, to, steps))
	})
}
