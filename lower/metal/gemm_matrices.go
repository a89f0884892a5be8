package metal

import (
	"fmt"

	choice "foundry/ir/kernel"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

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

func (matrices) places(k *kernel) {
	k.line("constexpr uint LEFT = ROWS * DEPTH, RIGHT = COLUMNS * DEPTH;")
}

// rowUps is the name of what undoes the ranges of rows: [m] that of row m of the block.
const rowUps = "row_ups"

func (m matrices) rows(k *kernel) {
	k.line("threadgroup float *const %s = (threadgroup float *)%s + %du;", rowUps, k.shared[0].Name, m.UpsAt()/4)
	k.line("for (uint m = thread_index; m < ROWS; m += THREADS) %s[m] = range_up(downs[m]);", rowUps)
}

func (matrices) shape() string { return "ROWS, COLUMNS, DEPTH, " + plan.Units }

func (m matrices) begin(k *kernel) {
	k.matrices = m.SIMDs()
	k.line("matrix_sums<%s> sum = matrix_begin<%s>();", m.shape(), m.shape())
	k.line("matrix_clear(sum);")
}

func (m matrices) multiply(k *kernel, left, right string) {
	k.line("matrix_run<%s>(%s, %s, sum);", m.shape(), left, right)
}

// beside: units multiply by themselves while threads bring the next block.
func (matrices) beside(bring, multiply func()) { multiply(); bring() }

func (matrices) settle(k *kernel) { k.line("matrix_done(sum);") }
func (matrices) staged(k *kernel) { k.line("matrix_staged();") }

func (m matrices) spread(k *kernel, stage *msl.Value) {
	k.phase("Epilogue: rows of the sums, by their coordinates, in threadgroup memory.")
	k.line("threadgroup float *const rows = (threadgroup float *)%s;", stage)
	k.line("threadgroup float *const spread = rows + simd * %du;", m.PassRows()/m.SIMDs()*m.SpreadStride())
}

// store takes the sums a pass at a time: behind a barrier each simdgroup finishes its rows.
func (m matrices) store(k *kernel, p *task.Part, w int) {
	const barrier = "threadgroup_barrier(mem_flags::mem_threadgroup);"
	k.open("for (uint m = 0u; m < ROWS; m += %du)", m.PassRows())
	k.line("matrix_spread(sum, m, %du, rows, %du);", m.PassRows(), m.SpreadStride())
	k.line(barrier)
	if p.HeadNorm != nil {
		m.squareHeads(k)
		k.line(barrier)
	}
	each := m.PassRows() / m.SIMDs()
	units := m.Columns / p.RowsPerUnit()
	s := spreadUnits{rows: each, units: units, stride: m.SpreadStride(), token: fmt.Sprintf("first + m + simd * %du", each), unit: "unit"}
	if m.g.looks() {
		s.undone = fmt.Sprintf("%s[m + simd * %du + i / %du]", rowUps, each, units/w)
	}
	m.g.finish(k, p, w, s, func(e *emitter, t affine) *msl.Value { return m.headScale(e, p, t) })
	k.line(barrier)
	k.close()
}

// squareHeads leaves the squares of the pass's runs of columns in threadgroup memory, 16
// rows of a run a simdgroup.
func (m matrices) squareHeads(k *kernel) {
	k.use("main/gemm_heads.metal")
	factor := "restore0"
	if m.g.looks() {
		factor += fmt.Sprintf(" * %s[m + r + lane / 2u]", rowUps)
	}
	k.open("for (uint run = simd; run < %du; run += %du)", m.PassRows()/16*m.HeadSteps(), m.SIMDs())
	k.line("const uint r = run / %du * 16u, c = run %% %du;", m.HeadSteps(), m.HeadSteps())
	k.line("gemm_head_squares(rows + r * %du + c * %du, %du, %s, lane, %s + r * %du + c, %du);",
		m.SpreadStride(), choice.HeadStep, m.SpreadStride(), factor, m.g.heads, m.HeadSteps(), m.HeadSteps())
	k.close()
}

// headScale names the scale of the head of the lane's pairs at row t.
func (m matrices) headScale(e *emitter, p *task.Part, t affine) *msl.Value {
	steps := int(p.HeadDim()) / choice.HeadStep
	e.k.line("const float head_scale = gemm_head_scale<%du>(%s + (%s - first - m) * %du + u / %du * %du, %s);",
		steps, m.g.heads, t.String(), m.HeadSteps(), p.HeadDim()/2, steps, msl.Float(p.HeadNorm.Attr.Eps))
	return raw("head_scale")
}
