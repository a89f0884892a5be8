package metal

import (
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
	gemmNames
}

// gemmNames are the variables of the kernel.
type gemmNames struct {
	rows, columns, depth, threadsEach, blocksOf, ahead *msl.Value // constants
	left, right                                        *msl.Value // halves of a block of either operand
	chunkWidth, mine                                   *msl.Value // weights that a thread brings at once, and how often

	stage, rightStage  *msl.Value   // memory of blocks of either operand
	weights, fit       *msl.Value   // what brings weights, and their factors
	leftRows, from     *msl.Value   // what copies the operand, and its rows
	held               *msl.Value   // elements of the operand on their way
	scale, fits, downs *msl.Value   // factors of rows: of a norm, of their ranges, and these by row
	undo               *msl.Value   // what undoes the ranges of rows
	sum                *msl.Value   // the sums
	spread, sumRows    *msl.Value   // sums in the memory of the stages: of the simdgroup, and all
	restore            []*msl.Value // what undoes the ranges of the operands of each product
}

// multiplier is what multiplies the blocks in the stages, and finishes the sums.
type multiplier interface {
	// identity is the main of the kernel, and how its name ends.
	identity() (main plan.Main, suffix string)
	// files are the stage files, in front of main/gemm.metal.
	files() []string
	StageBytes(unit int) int
	HeadBytes() int
	// places are the halves of a block of either operand.
	places() (left, right *msl.Value)
	// undoRows prepares what undoes the ranges of rows, whose factors stand at downs.
	undoRows(k *kernel)
	// begin declares the sums.
	begin(k *kernel)
	// multiply adds a block's products, of stages that begin at left and right.
	multiply(k *kernel, left, right *msl.Value)
	// beside writes what brings the next block and what multiplies this one, in the order
	// in which they hinder each other less.
	beside(bring, multiply func())
	// settle is called where a block's products must be made, staged where stores to
	// stages must be seen behind the barrier that follows.
	settle(k *kernel)
	staged(k *kernel)
	// spreadIn declares where in the memory of the stages sums are finished.
	spreadIn(k *kernel)
	// store finishes part p's sums, w adjacent units at once.
	store(k *kernel, p *task.Part, w int)
}

// stages says how operands come to their stages.
func (g *gemm) stages() task.Staging { return task.Staging{Product: g.Product, Tiles: g.ProductTiles} }

// reader is the type that reads chunks of weights of t.
func (g *gemm) reader(t dtype.Type) *msl.Value { return g.format(t).reader(g.stages().Chunk(t)) }

func (g *gemm) blocks() int64 { return (g.Length + int64(g.Depth) - 1) / int64(g.Depth) }

// staged is how many groups of w elements of a block of the operand a thread owns.
func (g *gemm) staged() int { return g.RowElements() / g.w }

// units is how many units of p a threadgroup makes.
func (g *gemm) units(p *task.Part) int64 { return int64(g.Columns / p.RowsPerUnit()) }

// unitRows is the rows of weights of the largest unit.
func (g *gemm) unitRows() int {
	_, unit := g.WeightRows()
	return unit
}

func (g *gemm) emit() *kernel {
	g.w, _ = g.TilesWidth(g.ProductTiles) // cost has asked
	main, suffix := g.by.identity()
	k := newKernel(g.name()+suffix, g.r.identity(main))
	k.threads = g.Threads()
	for _, p := range []struct {
		name  string
		value int
	}{{"K", int(g.Length)}, {"rows", g.Rows}, {"columns", g.Columns}, {"depth", g.Depth}, {"stages", g.Stages}, {"ahead", g.Ahead},
		{"simdgroup_rows", g.Rows / g.SIMDRows}, {"simdgroup_columns", g.Columns / g.SIMDColumns}, {"width", g.w}} {
		k.param(p.name, p.value)
	}
	k.use(g.by.files()...)
	k.use("common/flight.metal", "common/load.metal", "prologue/fit.metal", "main/gemm.metal")
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
	g.stage = k.threadgroup("stage", "half", g.by.StageBytes(g.unitRows()))
	if g.Whole() > 0 {
		g.heads = k.threadgroup("head_squares", "float", g.by.HeadBytes())
	}
	g.constants(k)
	places, _ := g.Places()
	g.rightStage = k.let(halvesOfGroup, "right", g.stage.Add(u(places).Mul(g.left)))
	g.unit = k.array(uintType, "unit", nil)
	t, same := g.SameFormat()
	if same {
		k.phase("Rows of weights that this thread brings.")
		g.declareRows(k, t)
	}
	for _, end := range begins[1:] {
		g.where = append(g.where, groupY.Less(u(end)))
	}
	g.where = append(g.where, nil) // what is left
	k.choose(g.where, func(i int) {
		g.firstUnit(k, g.Parts[i], begins[i])
		if same {
			g.pickWeights(k, g.Parts[i])
		}
	})
	if same && g.FixedWeights() {
		k.phase("Preload: weights, which no dispatch of the step writes.")
		g.preload(k, t)
	}
	k.ready()
	g.first = k.let(constUint, "first", groupX.Mul(g.rows))
	if !g.Copied {
		g.rowScales(k)
		g.rowRanges(k)
	}
	g.by.begin(k)
	g.mains(k, t, same)
	g.by.spreadIn(k)
	k.choose(g.where, func(i int) { g.store(k, g.Parts[i]) })
	return k
}

// Pointers to threadgroup memory.
var (
	halvesOfGroup = msl.Name("threadgroup half *const")
	floatsOfGroup = msl.Name("threadgroup float *const")
)

// constants declares the constants of the blocks.
func (g *gemm) constants(k *kernel) {
	declare := func(of ...msl.Declared) { k.add(&msl.Declare{Type: constexpr, Of: of}) }
	constant := func(v **msl.Value, name string, value *msl.Value) msl.Declared {
		*v = msl.Variable(name)
		return msl.Declared{Variable: *v, Value: value}
	}
	declare(constant(&g.rows, "ROWS", u(g.Rows)), constant(&g.columns, "COLUMNS", u(g.Columns)), constant(&g.depth, "DEPTH", u(g.Depth)),
		constant(&g.threadsEach, "THREADS", u(g.Threads())), constant(&g.blocksOf, "BLOCKS", u(g.blocks())))
	if !g.Copied || g.Expanded {
		declare(constant(&g.ahead, "AHEAD", u(g.Ahead)))
	}
	left, right := g.by.places()
	declare(constant(&g.left, "LEFT", left), constant(&g.right, "RIGHT", right))
}

// mains writes the products: once where all weights have one format, by part
// where they differ.
func (g *gemm) mains(k *kernel, t dtype.Type, same bool) {
	if same {
		if !g.FixedWeights() {
			g.preload(k, t)
		}
		g.main(k, t)
		return
	}
	k.choose(g.where, func(i int) {
		p := g.Parts[i]
		t := g.Region.Lies(p.Products[0].Args[1])
		g.declareRows(k, t)
		g.pickWeights(k, p)
		g.preload(k, t)
		g.main(k, t)
	})
}

// firstUnit sets the first unit of the threadgroup.
func (g *gemm) firstUnit(k *kernel, p *task.Part, begin int64) {
	group := groupY
	if begin > 0 {
		group = group.Sub(u(begin))
	}
	k.add(msl.Set(g.unit, group.Mul(u(g.units(p)))))
}

// carrier is the type that brings weights of t to a stage.
func (g *gemm) carrier(t dtype.Type) *msl.Value {
	if g.stages().Copies(t) {
		return msl.Of("gemm_halves", g.columns, g.depth, g.threadsEach, u(g.Length))
	}
	return msl.Of("gemm_weights", g.reader(t), g.columns, g.depth, g.threadsEach, u(g.Length), g.weightFactors(t))
}

// declareRows declares what pickWeights fills.
func (g *gemm) declareRows(k *kernel, t dtype.Type) {
	k.use(g.format(t).files()...)
	mine := u(g.stages().Chunks(t))
	g.row = k.array(bytesOfDevice, "row", mine)
	g.chunkWidth, g.mine = msl.Variable("WIDTH"), msl.Variable("MINE")
	k.add(&msl.Declare{Type: constexpr, Of: []msl.Declared{{Variable: g.chunkWidth, Value: u(g.stages().Chunk(t))}, {Variable: g.mine, Value: mine}}})
	if !g.stages().Copies(t) {
		g.fit = k.array(floatType, "fit", g.weightFactors(t))
	}
}

// weightFactors is how many factors a thread needs for its chunks of weights.
func (g *gemm) weightFactors(t dtype.Type) *msl.Value {
	if g.stages().FactorEach(t) {
		return g.mine
	}
	return u(1)
}

// pickWeights points row[] at the thread's rows. A strip of 16 stage rows holds
// one row of each of 16 units; the strips of the same units stand together. Units
// beyond the end repeat the last one and are not stored.
func (g *gemm) pickWeights(k *kernel, p *task.Part) {
	per := p.RowsPerUnit()
	k.loop("i", u(0), g.mine, nil, func(i *msl.Value) {
		at := k.let(constUint, "at", msl.Of("gemm_row", g.columns, g.depth, g.threadsEach, g.chunkWidth).Call(i, thread))
		n := k.let(uintType, "n", msl.Min(g.unit.Add(at.Div(u(16*per)).Mul(u(16))).Add(at.Mod(u(16))), u(p.Units()-1)))
		if p.Pair {
			half := u(p.HeadDim() / 2)
			k.add(msl.Set(n, n.Div(half).Mul(u(p.HeadDim())).Add(n.Mod(half)).Add(at.Div(u(16)).Mod(u(2)).Mul(half))))
		}
		base, fit := g.pick(k, p, at)
		base = k.let(msl.Name("device const uchar *const"), "base", base)
		w := p.Products[0].Args[1]
		k.add(msl.Set(g.row.At(i), base.Add(msl.Call("ulong", n).Mul(u(g.r.format(w).rowBytes(g.Region.Lies(w), g.Length))))))
		if t := g.Region.Lies(w); !g.stages().Copies(t) {
			k.add(msl.When(i.Less(g.weightFactors(t)), msl.Set(g.fit.At(i), fit)))
		}
	})
}

// pick is the weights and their factor of the product that stage row at belongs to.
func (g *gemm) pick(k *kernel, p *task.Part, at *msl.Value) (base, fit *msl.Value) {
	each := p.RowsPerUnit() / len(p.Products)
	for i, q := range p.Products {
		w := q.Args[1]
		weights := k.slot(ref{refArg, w.Index}, g.r.argName(w.Index), pointee(g.Region.Lies(w)), plan.Read).Cast("device const uchar *")
		factor := g.weightFactor(k, w, g.r.down)
		if i == 0 {
			base, fit = weights, factor
			continue
		}
		own := at.Div(u(16 * each)).Mod(u(len(p.Products))).Equal(u(i))
		if !weights.Same(base) {
			base = own.Select(weights, base)
		}
		if !factor.Same(fit) {
			fit = own.Select(factor, fit)
		}
	}
	return base, fit
}

// weightFactor returns the factor down or up of a weight, which a checkpoint's f16 does not need.
func (g *gemm) weightFactor(k *kernel, w *ir.Value, factor func(*kernel, *ir.Value) *msl.Value) *msl.Value {
	if g.Region.Lies(w) == dtype.F16 && !g.Region.Operands[w.Index].Scaled {
		return one
	}
	return factor(k, w)
}

// preload brings the first blocks of weights.
func (g *gemm) preload(k *kernel, t dtype.Type) {
	if !g.stages().Copies(t) {
		g.weights = k.array(g.carrier(t), "weights", g.ahead)
		k.do(g.weights.At(msl.Int(0)).Dot("start").Call(g.row, u(0), thread))
		return
	}
	g.weights = k.array(g.carrier(t), "weights", nil)
	for s := range g.Stages - 1 {
		if int64(s) < g.blocks() {
			to := g.rightStage.Add(u(s).Mul(g.right))
			k.do(g.weights.Dot("start").Call(g.row, to, u(s), thread))
			k.do(g.weights.Dot("land").Call(to, thread))
		}
		k.do(msl.Call("tile_launched"))
	}
}
