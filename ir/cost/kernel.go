package cost

import (
	"math"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
)

// The shapes of kernels that the model assumes.
const (
	gemvVectors = 4   // rows of x that a GEMV's threadgroup takes
	rowThreads  = 256 // threads on one row of a reduction
	eachThreads = 256 // threads of an elementwise kernel, four elements each
	mergeTokens = 256 // cached positions of one split of attention
)

// Deal is how the rows of a matrix product of few vectors are dealt out.
type Deal struct {
	PerSimd int  // rows a simdgroup
	Share   int  // simdgroups that share the loads of one set of rows
	Simds   int  // simdgroups a threadgroup
	Queued  bool // there are as many simdgroups as the machine has places for: some wait for others
}

// Groups returns the threadgroups that rows take.
func (d Deal) Groups(rows int64) int64 {
	per := int64(d.PerSimd * d.Simds / d.Share)
	return (rows + per - 1) / per
}

// GEMV returns how to deal out rows, of which unit stay together (a gate and its
// up, or the two of a rotated pair). rounds is how often 32 lanes load to pass a
// row. rows counts all weights, so that the grid is sized by Q, K and V and not
// by the largest of them.
//
// The machine wants half of the simdgroups that its cores keep in flight. Where
// there are more rows than that, simdgroups take several and share the loads of
// the vector. Where there are fewer, simdgroups share rows, each lane of a row
// down to one load. A vector that is read where it lies (direct) and too long to stay
// near the core beside the weights that stream past comes from the cache for every
// set of rows, so there more rows go together and simdgroups share them.
// Threadgroups are small where all of them run at once and few threads are enough to
// take up the vector: a core then lets in the next kernel's while it ends this
// one's. run is how many adjacent units must meet in a
// threadgroup, 1 where none do. Measurements for all of it stand in
// docs/performance.md.
func GEMV(rows int64, unit int, rounds, run int64, direct bool, t *target.Target) Deal {
	want := int64(t.Cores) * int64(t.CoreThreads/t.Limits.SIMDWidth) / 2
	d := Deal{PerSimd: unit, Share: 1, Simds: 2}
	if direct && (rounds == 1 || rounds > 8) {
		d.PerSimd, d.Share = dealDirect(rows, unit, rounds, want*7/10)
	} else if rows/int64(unit) >= want/2 {
		for _, r := range []int{2, 4} {
			if r > unit && r%unit == 0 && rows/int64(r) >= want*3/2 {
				d.PerSimd = r
			}
		}
	} else {
		for d.Share < 8 && int64(d.Share*2) <= rounds && rows/int64(unit)*int64(d.Share) < want*2 {
			d.Share *= 2
		}
		for _, r := range []int{2, 4} {
			if r > unit && r%unit == 0 && rows/int64(r)*int64(d.Share) >= want*3/4 {
				d.PerSimd = r
			}
		}
	}
	simds := rows * int64(d.Share) / int64(d.PerSimd)
	switch {
	case simds >= 2*want || simds >= 16*int64(t.Cores) && rounds > 8:
		d.Simds = 8
	case simds >= 8*int64(t.Cores):
		d.Simds = 4
	}
	if d.Share > 1 {
		d.Simds = max(d.Simds, 2*d.Share)
	}
	d.Simds = max(d.Simds, d.Share*int(run)*unit/d.PerSimd)
	d.Queued = simds >= 2*want
	return d
}

// sliceSimds is how many simdgroups of a threadgroup have room for slices.
const sliceSimds = 8

// Sliced returns GEMV's deal where simdgroups bring slices of a vector that is read
// where it lies: each slice serves the rows of its simdgroup alone, so as many rows go
// together, shared by as many simdgroups, as leave enough of them; where there are not
// enough rows for that, what gives the most. At 7b on an H200, four rows shared by eight
// against two by four: down_proj in q4_0 21.3 -> 16.4 us, o_proj 5.4 -> 4.0.
func Sliced(rows int64, unit int, rounds, run int64, t *target.Target) Deal {
	want := int64(t.Cores) * int64(t.CoreThreads/t.Limits.SIMDWidth) / 2
	best := Deal{PerSimd: unit, Share: 1}
	parallel := func(d Deal) int64 { return rows / int64(d.PerSimd) * int64(d.Share) }
	least := func(d Deal) int { return max(d.Share, d.Share*int(run)*unit/d.PerSimd) } // simdgroups a threadgroup
	for _, r := range []int{4, 2, 1} {
		if r < unit || r%unit != 0 {
			continue
		}
		for s := 1; s <= sliceSimds && int64(s) < 2*rounds; s *= 2 {
			d := Deal{PerSimd: r, Share: s}
			if least(d) <= sliceSimds && parallel(best) < want*7/10 && parallel(d) > parallel(best) {
				best = d
			}
		}
	}
	best.Simds = max(2, least(best))
	if n := parallel(best); n >= 2*want || n >= 16*int64(t.Cores) && rounds > 8 {
		best.Simds = max(best.Simds, sliceSimds)
	} else if n >= 8*int64(t.Cores) {
		best.Simds = max(best.Simds, 4)
	}
	best.Queued = parallel(best) >= 2*want
	return best
}

// dealDirect returns the most rows a simdgroup, and the fewest simdgroups that share
// them, that leave enough simdgroups: four for long rows only. Where a row takes one
// round, or there are vectors enough to fill the machine, it is two rows: of four,
// with as many sums for each of several vectors, registers overflow.
func dealDirect(rows int64, unit int, rounds, enough int64) (perSimd, share int) {
	if rounds == 1 {
		return max(unit, 2), 1
	}
	most := 1
	for most < 8 && int64(most*2) <= rounds {
		most *= 2
	}
	for _, r := range []int{4, 2, 1} {
		if r < unit || r%unit != 0 || r == 4 && rounds <= 16 {
			continue
		}
		for s := 1; s <= most && s <= 16/r; s *= 2 {
			if rows/int64(r)*int64(s) >= enough {
				return r, s
			}
		}
	}
	return unit, most
}

// Splits returns into how many parts attention's positions are split, 1 for the
// single pass: as many as fill the target, but for the last none shorter than
// mergeTokens. heads counts query heads times tokens.
func Splits(heads, positions int64, t *target.Target) int64 {
	want := int64(math.Ceil(float64(t.Cores) * float64(t.CoreThreads) / 2 / rowThreads / float64(max(1, heads))))
	return max(1, min(want, (positions+mergeTokens-1)/mergeTokens))
}

// Kernels returns the dispatches that node n becomes on t in the run e, in the
// order they run in: none for a view, one for most nodes and regions, two where
// partial results are merged.
func Kernels(n *ir.Node, t *target.Target, e sym.Env) []Kernel {
	if isView(n) {
		return nil
	}
	m := model{node: n, target: t, env: e}
	if n.Region == nil {
		m.ops = []*ir.Node{n}
	} else {
		m.ops = n.Region.Nodes()
	}
	ks := m.kernels()
	ks[0].Exchanges += m.exchanges()
	return ks
}

// model is one node on its way to kernels.
type model struct {
	node   *ir.Node
	target *target.Target
	env    sym.Env
	ops    []*ir.Node // the region's nodes, or the node
}

func (m *model) kernels() []Kernel {
	var products, attention []*ir.Node
	var argmax, embedding *ir.Node
	for _, o := range m.ops {
		switch {
		case o.Op == ir.OpMatmulNT:
			products = append(products, o)
		case o.Op.Is(ir.Contraction):
			attention = append(attention, o)
		case o.Op == ir.OpArgmax:
			argmax = o
		case o.Op == ir.OpEmbedding:
			embedding = o
		}
	}
	if n := m.ops[0]; n.Op == ir.OpSoftmax && len(m.ops) == 1 {
		r, f := softmaxOf(n, sym.Bounds{}, m.env), SoftmaxForm{Segment: int64(n.Attr.Segment)}
		return r.kernels(f, r.Threads(f, m.target), m.target)
	}
	k := m.base()
	switch {
	case len(attention) > 0:
		return m.attention(k, attention, products)
	case len(products) > 0:
		m.product(&k, products, true)
		if argmax != nil {
			return []Kernel{k, m.merge("argmax_merge", k.Groups*8)}
		}
	case argmax != nil:
		k.Groups = m.elems(argmax.Args[0].Type) / 4096
		return []Kernel{k, m.merge("argmax_merge", k.Groups*8)}
	case embedding != nil || m.reduces():
		k.Groups = m.rows(m.ops[0])
	}
	k.Groups = max(1, math.Ceil(k.Groups))
	return []Kernel{k}
}

// base holds what is so for any kernel of the node: its traffic, its operations,
// and the grid of an elementwise one.
func (m *model) base() Kernel {
	k := Kernel{Name: m.node.Op.String(), Threads: eachThreads, Flops: float64(Flops(m.node).Eval(m.env))}
	if m.node.Region != nil {
		k.Name = m.node.Attr.Pattern
	}
	for i, a := range m.node.Args {
		m.add(&k, a, float64(readOf(m.node, i).Eval(m.env)))
	}
	for i, r := range m.node.Results {
		bytes := written(m.node).Eval(m.env)
		if m.node.Region != nil {
			bytes = 0
			if def := m.node.Region.Results[i].Value.Def; def != nil {
				bytes = written(def).Eval(m.env)
			}
		}
		m.add(&k, r, float64(bytes))
		k.Groups = max(k.Groups, m.elems(r.Type)/4/eachThreads)
	}
	return k
}

// add counts bytes of v as coming from memory or from the cache: weights, caches
// and whatever fills more than a quarter of the cache come from memory.
func (m *model) add(k *Kernel, v *ir.Value, bytes float64) {
	if !transient(v) || bytes > float64(m.target.CacheBytes)/4 {
		k.Memory += bytes
		return
	}
	k.Cache += bytes
}

// transient reports whether v was made in this run and is no cache, or is an
// input of it: what a cache near the cores may hold.
func transient(v *ir.Value) bool {
	for v.Def != nil && v.Def.Op.Is(ir.View) {
		v = v.Def.Args[0]
	}
	if v.Def == nil {
		return v.Param.Kind == ir.Input
	}
	return ir.StateRoot(v) == v
}

func (m *model) elems(t ir.Type) float64 { return float64(t.Shape.Elems(m.env)) }

// rows returns how many rows n's result has.
func (m *model) rows(n *ir.Node) float64 {
	t := n.Results[0].Type
	return m.elems(t) / float64(max(1, t.Shape.At(-1).Eval(m.env)))
}

func (m *model) reduces() bool {
	for _, o := range m.ops {
		if o.Op.Is(ir.RowReduce) {
			return true
		}
	}
	return false
}

func rowsOf(products []*ir.Node, e sym.Env) float64 {
	rows := 0.0
	for _, p := range products {
		rows += float64(p.Args[1].Type.Shape.At(0).Eval(e))
	}
	return rows
}

func (m *model) merge(name string, bytes float64) Kernel {
	return Kernel{Name: name, Cache: bytes, Groups: 1, Threads: rowThreads}
}

// product fills in the grid of a matrix product over all rows of its weights,
// and what its threadgroups read again and compute again. tiles tells whether the
// kernel has a form in tiles.
func (m *model) product(k *Kernel, products []*ir.Node, tiles bool) {
	rows := rowsOf(products, m.env)
	x := products[0].Args[0]
	tokens, cols := float64(x.Type.Shape.At(0).Eval(m.env)), float64(x.Type.Shape.At(1).Eval(m.env))
	p := Product{Tokens: int64(tokens), Rows: int64(rows), Cols: int64(cols), Unit: m.unit(products)}
	takes := tiles
	p.Halves, p.HalfRows = true, m.halfRows(x)
	for _, q := range products {
		w := q.Args[1].Type
		p.Bytes += w.DType.Bytes(w.Shape.Elems(m.env))
		p.Halves = p.Halves && w.DType == dtype.F16
		takes = takes && TakesTiles(w.DType)
		p.Together = max(p.Together, w.DType.WeightsPerRead())
	}
	grid, vectors := p.rowwise(m.target), min(tokens, gemvVectors)
	if t, faster := GEMM(p, m.target); takes && faster {
		grid, vectors = p.tiled(t, m.target), float64(t.Rows)
	}
	k.Flops = max(0, k.Flops-p.flops()) + grid.Flops
	k.Tile, k.Groups, k.Threads, k.Tiled = grid.Tile, grid.Groups, grid.Threads, grid.Tiled
	k.Cache += grid.Cache
	k.WaitUs = grid.WaitUs
	k.Exchanges += grid.Exchanges
	if m.node.Region != nil { // what a product alone reads is made elsewhere
		m.prologue(k, x, k.Groups*vectors)
	}
}

// halfRows reports whether the left operand of a product can be kept as halves: it is
// made by another dispatch, as rows of f32.
func (m *model) halfRows(x *ir.Value) bool {
	if m.node.Region != nil {
		if x.Param == nil {
			return false
		}
		x = m.node.Args[x.Index]
	}
	for x.Def != nil && x.Def.Op == ir.OpReshape {
		x = x.Def.Args[0]
	}
	return x.Def != nil && x.Type.DType == dtype.F32 && !x.Def.Op.Is(ir.View)
}

// unit returns how many rows of the weights one thread must end up with.
func (m *model) unit(products []*ir.Node) int {
	for _, o := range m.ops {
		if o.Op == ir.OpRope || len(products) > 1 && o.Op == ir.OpMul {
			return 2
		}
	}
	return 1
}

// prologue counts what each of n threadgroup rows does to make the operand v of
// main out of the region's operands.
func (m *model) prologue(k *Kernel, v *ir.Value, n float64) {
	for v.Def != nil && v.Def.Op.Is(ir.View) {
		v = v.Def.Args[0]
	}
	if v.Def == nil {
		return
	}
	cols := float64(v.Type.Shape.At(-1).Eval(m.env))
	switch d := v.Def; d.Op {
	case ir.OpRMSNorm:
		// The row is read and squared before main can scale it.
		k.PrologueCache += n * float64(d.Args[0].Type.DType.Bytes(int64(cols)))
		k.PrologueFlops += n * cols * 2
		k.PrologueSteps++
		k.Cache += n * cols * 4
	case ir.OpRMSScale:
		parts := float64(d.Args[1].Type.Shape.At(-1).Eval(m.env))
		k.PrologueCache += n * parts * 4
		k.PrologueFlops += n * parts
		k.Cache += n * cols * 4
		k.Flops += n * cols * 2
	default:
		if !d.Op.Is(ir.Elementwise) {
			return
		}
		// The threadgroup computes the row into its memory, and main waits for it.
		k.PrologueFlops += n * cols * float64(d.Op.Info().Flops)
		if d.Args[0].Def == nil {
			k.PrologueSteps++
		}
		for _, a := range d.Args {
			if a.Def == nil {
				k.PrologueCache += n * float64(a.Type.Shape.At(-1).Eval(m.env)) * 4
				continue
			}
			m.prologue(k, a, n)
		}
	}
}

// attention returns a single pass, or a split with its merge, and where an output
// projection stands in the region, that one with the merge before its main.
func (m *model) attention(k Kernel, products, outs []*ir.Node) []Kernel {
	first, last := products[0], products[len(products)-1]
	heads := float64(first.Args[0].Type.Shape.At(0).Eval(m.env))
	tokens := float64(first.Args[0].Type.Shape.At(1).Eval(m.env))
	k.Groups, k.Threads = heads*tokens, rowThreads
	if len(products) == 1 {
		// Half of a pass: each element of the result, or row of it, reads its own rows.
		depth := first.Args[0].Type.Shape.At(-1).Eval(m.env)
		out := first.Results[0].Type.Shape.At(-1).Eval(m.env)
		if first.Op == ir.OpBmmNN {
			depth, out = out, depth
		}
		x := rowAttention(int64(heads), int64(tokens), out, depth, m.target)
		if first.Args[1].Type.DType == dtype.F16 && depth%tileSide == 0 && InTiles(int64(heads), int64(tokens), out, 0, depth, m.target) {
			x = tiledAttention(int64(heads), int64(tokens), out, depth, m.target)
			k.Tile, k.Groups, k.Threads, k.Tiled = x.Tile/2, x.Groups, x.Threads, x.Tiled
			k.Flops = 0
		}
		k.Flops += x.Flops / 4
		k.Cache += x.Cache / 2
		return []Kernel{k}
	}
	dim := float64(last.Results[0].Type.Shape.At(-1).Eval(m.env))
	positions := first.Results[0].Type.Shape.At(-1)
	if m.passOver(&k, first, int64(heads), int64(tokens), int64(dim)) {
		return []Kernel{k}
	}
	splits := 1.0
	if m.isSplit() {
		most := Seen(positions.Max(m.boundsOf()), m.window(), 1)
		splits = float64(Splits(int64(heads*tokens), most, m.target))
	}
	k.Groups *= splits
	partials := splits * heads * tokens * (dim + 2) * 4
	k.Cache += partials
	if len(outs) == 0 {
		if !m.isSplit() {
			return []Kernel{k}
		}
		return []Kernel{k, {Name: "attention_merge", Cache: partials, Groups: heads * tokens, Threads: rowThreads}}
	}
	// What the projection reads is the region's, so it is taken off the first.
	o := Kernel{Name: "merge_o", Flops: k.Flops}
	for _, p := range outs {
		for i, a := range p.Args[1:] {
			if a.Param == nil {
				continue
			}
			bytes := float64(readOf(p, i+1).Eval(m.env))
			k.Memory -= bytes
			o.Memory += bytes
		}
	}
	m.product(&o, outs, false) // its prologue merges whole rows, which tiles do not have
	o.Flops = 2 * rowsOf(outs, m.env) * heads * dim * tokens
	k.Flops -= min(k.Flops, o.Flops)
	o.PrologueCache += o.Groups * partials
	o.PrologueFlops += o.Groups * partials / 2
	o.PrologueSteps++
	return []Kernel{k, o}
}

// passOver adds to k what attention does for each row of queries, or makes it
// attention in tiles where that is what lowering takes.
func (m *model) passOver(k *Kernel, scores *ir.Node, heads, tokens, dim int64) (tiles bool) {
	keys := scores.Results[0].Type.Shape.At(-1).Eval(m.env)
	counted := float64(4 * heads * tokens * keys * dim)
	window := m.window()
	m.hide(k, scores.Args[1], keys, Seen(keys, window, tokens))
	x := rowAttention(heads, tokens, Seen(keys, window, 1), dim, m.target)
	tiles = !m.isSplit() && scores.Args[1].Type.DType == dtype.F16 && dim%tileSide == 0 && InTiles(heads, tokens, keys, window, dim, m.target)
	if tiles {
		x = tiledAttention(heads, tokens, blockSeen(keys, window), dim, m.target)
		k.Tile, k.Groups, k.Threads, k.Tiled = x.Tile, x.Groups, x.Threads, x.Tiled
	}
	k.Flops = max(0, k.Flops-counted) + x.Flops
	k.Cache += x.Cache
	return tiles
}

// window is how many keys a row sees, the last of them; 0: all.
func (m *model) window() int64 {
	for _, n := range m.ops {
		if n.Op == ir.OpSoftmax {
			return int64(n.Attr.Window)
		}
	}
	return 0
}

// hide takes off what k reads the keys that no row sees, and their values.
func (m *model) hide(k *Kernel, of *ir.Value, keys, seen int64) {
	dim := of.Type.Shape.At(-1).Eval(m.env)
	for of.Def != nil {
		of = of.Def.Args[0]
	}
	hidden := of.Type.DType.Bytes(of.Type.Shape.At(0).Eval(m.env) * (keys - seen) * dim)
	k.Memory -= min(k.Memory, 2*float64(hidden))
}

// isSplit reports whether the region asks for attention in parts.
func (m *model) isSplit() bool {
	return m.node.Region != nil && (m.node.Attr.Pattern == SplitAttention || m.node.Attr.Pattern == SplitAttentionO)
}

// Patterns whose regions become two kernels: attention in parts and their merge,
// the second with the merge in the output projection's prologue.
const (
	SplitAttention  = "attention-split"
	SplitAttentionO = "attention-split-o"
)

func (m *model) boundsOf() sym.Bounds { return m.node.Region.Bounds }
