package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// gemm is a gemv's region dealt out in blocks, for many rows of the operand: a
// threadgroup makes a block of rows by units, K in blocks of Depth.
type gemm struct {
	*gemv
	choice.ProductTiles
	by multiplier
	w  int // elements of the operand that a thread stages at once, 4 or 1
}

// multiplier is what multiplies the blocks in the stages, and finishes the sums.
type multiplier interface {
	// identity is the main of the kernel, and how its name ends.
	identity() (main plan.Main, suffix string)
	// files are the stage files, in front of main/gemm.metal.
	files() []string
	StageBytes(unit int) int
	HeadBytes() int
	// places declares LEFT and RIGHT, the halves of a block of either operand.
	places(k *kernel)
	// rows prepares what undoes the ranges of rows, whose factors stand at downs.
	rows(k *kernel)
	// begin declares the sums.
	begin(k *kernel)
	// multiply adds a block's products, of stages that begin at left and right.
	multiply(k *kernel, left, right string)
	// beside writes what brings the next block and what multiplies this one, in the order
	// in which they hinder each other less.
	beside(bring, multiply func())
	// settle is called where a block's products must be made, staged where stores to
	// stages must be seen behind the barrier that follows.
	settle(k *kernel)
	staged(k *kernel)
	// spread declares where in the memory of the stages sums are finished.
	spread(k *kernel, stage *msl.Value)
	// store finishes part p's sums, w adjacent units at once.
	store(k *kernel, p *task.Part, w int)
}

// chunk is the weights of format t that a thread brings at once: the most that divide a row
// and, where they are expanded, leave every thread a chunk of a block. The factors of a
// chunk are decoded once.
func (g *gemm) chunk(t dtype.Type) int {
	widths := g.format(t).Widths
	for _, w := range widths {
		if w <= g.Depth && g.Length%int64(w) == 0 && (t == dtype.F16 || g.Columns*g.Depth >= w*g.threads()) {
			return w
		}
	}
	return widths[len(widths)-1]
}

func (g *gemm) blocks() int64 { return (g.Length + int64(g.Depth) - 1) / int64(g.Depth) }
func (g *gemm) threads() int  { return g.SIMDs() * 32 }

// staged is how many groups of w elements of a block of the operand a thread owns.
func (g *gemm) staged() int { return g.Rows * g.Depth / g.w / g.threads() }

// units is how many units of p a threadgroup makes.
func (g *gemm) units(p *task.Part) int64 { return int64(g.Columns / p.RowsPerUnit()) }

// unit is the rows of weights of the largest unit.
func (g *gemm) unit() int {
	_, unit := g.WeightRows()
	return unit
}

func (g *gemm) emit() *kernel {
	g.w, _ = g.TilesWidth(g.ProductTiles) // cost has asked
	main, suffix := g.by.identity()
	k := newKernel(g.name()+suffix, g.r.identity(main))
	k.threads = g.threads()
	for _, p := range []struct {
		name  string
		value int
	}{{"K", int(g.Length)}, {"rows", g.Rows}, {"columns", g.Columns}, {"depth", g.Depth}, {"stages", g.Stages}, {"ahead", g.Ahead},
		{"simdgroup_rows", g.Rows / g.SIMDRows}, {"simdgroup_columns", g.Columns / g.SIMDColumns}, {"width", g.w}} {
		k.param(p.name, p.value)
	}
	k.use(g.by.files()...)
	k.use("common/flight.metal", "common/load.metal", "main/gemm.metal")
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.ThreadIndex)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	groups := int64(0)
	var begins []int64
	for _, p := range g.Parts {
		begins = append(begins, groups)
		groups += (p.Units() + g.units(p) - 1) / g.units(p)
	}
	// Rows run fastest: threadgroups that read the same weights start together.
	k.grid[0], k.grid[1].N = plan.GridDim{N: g.Tokens, Div: int64(g.Rows)}, sym.Const(groups)
	stage := k.threadgroup("stage", "half", g.by.StageBytes(g.unit()))
	if g.Whole() > 0 {
		g.heads = k.threadgroup("head_squares", "float", g.by.HeadBytes())
	}

	k.line("constexpr uint ROWS = %du, COLUMNS = %du, DEPTH = %du, THREADS = %du, BLOCKS = %du;", g.Rows, g.Columns, g.Depth, g.threads(), g.blocks())
	if !g.Copied || g.Expanded {
		k.line("constexpr uint AHEAD = %du;", g.Ahead)
	}
	g.by.places(k)
	places, _ := g.Places()
	k.line("threadgroup half *const right = %s + %du * LEFT;", stage, places)
	k.line("uint unit;")
	t, same := g.SameFormat()
	if same {
		k.phase("Rows of weights that this thread brings.")
		g.declareRows(k, t)
	}
	for i, p := range g.Parts {
		g.choosePart(k, i, begins, func() {
			g.firstUnit(k, p, begins[i])
			if same {
				g.pickWeights(k, p)
			}
		})
	}
	if same && g.FixedWeights() {
		k.phase("Preload: weights, which no dispatch of the step writes.")
		g.preload(k, t)
	}
	k.ready()
	k.line("const uint first = group.x * ROWS;")
	if !g.Copied {
		g.rowScales(k, stage)
		g.rowRanges(k, stage)
	}
	g.by.begin(k)
	g.mains(k, stage, t, same, begins)
	g.by.spread(k, stage)
	for i, p := range g.Parts {
		g.choosePart(k, i, begins, func() { g.store(k, p) })
	}
	return k
}

// mains writes the products: once where all weights have one format, by part
// where they differ.
func (g *gemm) mains(k *kernel, stage *msl.Value, t dtype.Type, same bool, begins []int64) {
	if same {
		if !g.FixedWeights() {
			g.preload(k, t)
		}
		g.main(k, stage, t)
		return
	}
	for i, p := range g.Parts {
		g.choosePart(k, i, begins, func() {
			t := p.Products[0].Args[1].Type.DType
			g.declareRows(k, t)
			g.pickWeights(k, p)
			g.preload(k, t)
			g.main(k, stage, t)
		})
	}
}

// choosePart writes body for part i under the range of threadgroups along y that
// the part owns.
func (g *gemm) choosePart(k *kernel, i int, begins []int64, body func()) {
	switch {
	case len(g.Parts) == 1:
		body()
		return
	case i == 0:
		k.open("if (group.y < %du)", begins[1])
	case i < len(begins)-1:
		k.open("else if (group.y < %du)", begins[i+1])
	default:
		k.open("else")
	}
	body()
	k.close()
}

// firstUnit sets the first unit of the threadgroup.
func (g *gemm) firstUnit(k *kernel, p *task.Part, begin int64) {
	group := "group.y"
	if begin > 0 {
		group = fmt.Sprintf("(group.y - %du)", begin)
	}
	k.line("unit = %s * %du;", group, g.units(p))
}

// copied reports whether weights of t reach their stage as they are stored: not beside
// others that are expanded while x is copied, since those have two places.
func (g *gemm) copied(t dtype.Type) bool {
	return t == dtype.F16 && g.chunk(t) == 8 && !(g.Copied && g.Expanded)
}

// carrier is the MSL type that brings weights of t to a stage.
func (g *gemm) carrier(t dtype.Type) string {
	if g.copied(t) {
		return fmt.Sprintf("gemm_halves<COLUMNS, DEPTH, THREADS, %du>", g.Length)
	}
	return fmt.Sprintf("gemm_weights<%s, COLUMNS, DEPTH, THREADS, %du, %s>", g.format(t).reader(g.chunk(t)), g.Length, g.weightFactors(t))
}

// declareRows declares what pickWeights fills.
func (g *gemm) declareRows(k *kernel, t dtype.Type) {
	k.use(g.format(t).files()...)
	chunks := g.Columns * g.Depth / g.chunk(t)
	k.line("device const uchar *row[%d];", (chunks+g.threads()-1)/g.threads())
	k.line("constexpr uint WIDTH = %du, MINE = %du;", g.chunk(t), (chunks+g.threads()-1)/g.threads())
	if !g.copied(t) {
		k.line("float fit[%s];", g.weightFactors(t))
	}
}

// weightFactors is how many factors a thread needs for its chunks of weights: one where all of
// them are of one product, since the thread's stage rows lie as far apart as the units of
// all products repeat.
func (g *gemm) weightFactors(t dtype.Type) string {
	for _, p := range g.Parts {
		if len(p.Products) > 1 && g.threads()*g.chunk(t)/g.Depth%(16*p.RowsPerUnit()) != 0 {
			return "MINE"
		}
	}
	return "1u"
}

// pickWeights points row[] at the thread's rows. A strip of 16 stage rows holds
// one row of each of 16 units; the strips of the same units stand together. Units
// beyond the end repeat the last one and are not stored.
func (g *gemm) pickWeights(k *kernel, p *task.Part) {
	per := p.RowsPerUnit()
	k.open("for (uint i = 0u; i < MINE; i++)")
	k.line("const uint at = gemm_row<COLUMNS, DEPTH, THREADS, WIDTH>(i, thread_index);")
	k.line("uint n = min(unit + at / %du * 16u + at %% 16u, %du);", 16*per, p.Units()-1)
	if p.Pair {
		half := p.HeadDim() / 2
		k.line("n = n / %du * %du + n %% %du + at / 16u %% 2u * %du;", half, 2*half, half, half)
	}
	each := per / len(p.Products)
	base, fit := "", ""
	choose := func(i int, this, others string) string {
		if i == 0 || this == others {
			return this
		}
		return fmt.Sprintf("at / %du %% %du == %du ? %s : %s", 16*each, len(p.Products), i, this, others)
	}
	for i, q := range p.Products {
		w := q.Args[1]
		name := k.slot(ref{refArg, w.Index}, g.r.argName(w.Index), pointee(w.Type.DType), plan.Read).Cast("device const uchar *").String()
		base, fit = choose(i, name, base), choose(i, g.weightFactor(k, w, g.r.down).String(), fit)
	}
	k.line("device const uchar *const base = %s;", base)
	k.line("row[i] = base + ulong(n) * %du;", g.r.format(p.Products[0].Args[1]).rowBytes(p.Products[0].Args[1].Type.DType, g.Length))
	if t := p.Products[0].Args[1].Type.DType; !g.copied(t) {
		k.line("if (i < %s) fit[i] = %s;", g.weightFactors(t), fit)
	}
	k.close()
}

// weightFactor returns the factor down or up of a weight, which f16 does not need.
func (g *gemm) weightFactor(k *kernel, w *ir.Value, factor func(*kernel, *ir.Value) *msl.Value) *msl.Value {
	if w.Type.DType == dtype.F16 {
		return one
	}
	return factor(k, w)
}

// preload brings the first blocks of weights.
func (g *gemm) preload(k *kernel, t dtype.Type) {
	if !g.copied(t) {
		k.line("%s weights[AHEAD];", g.carrier(t))
		k.line("weights[0].start(row, 0u, thread_index);")
		return
	}
	k.line("%s weights;", g.carrier(t))
	for s := range g.Stages - 1 {
		if int64(s) < g.blocks() {
			k.line("weights.start(row, right + %du * RIGHT, %du, thread_index);", s, s)
			k.line("weights.land(right + %du * RIGHT, thread_index);", s)
		}
		k.line("tile_launched();")
	}
}
