package cost

import (
	"iter"
	"math"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

// The shapes of kernels that the model assumes.
const (
	mostVectors = 4   // of a product's threadgroup over rows of weights
	rowThreads  = 256 // threads on one row of a reduction
)

// Run is what the kernels of a graph's nodes are predicted for.
type Run struct {
	Target  *target.Target
	Choices *Choices   // choices for the target, made so far; nil: none are remembered
	Bounds  sym.Bounds // bounds of the graph's dims
	Env     sym.Env
	// Stored is how the graph's values lie. While a graph is being fused it is nil: what a
	// value's readers will be is open, and what can lie as halves is taken to, where tiles
	// then copy it.
	Stored *Storage
}

// Kernels returns the dispatches that node n becomes, in the order they run in: none for
// a view, one for most nodes and regions, two where partial results are merged.
func (r Run) Kernels(n *ir.Node) []Kernel {
	if task.IsView(n) {
		return nil
	}
	m := model{Run: r, node: n}
	m.region, m.err = r.work(n)
	if n.Region == nil {
		m.ops = []*ir.Node{n}
	} else {
		m.ops = n.Region.Nodes()
	}
	ks := m.kernels()
	ks[0].Exchanges += m.exchanges()
	return ks
}

// Candidates yields the kernels that node n can get where its operands lie as they do, what
// the model chooses first. What a copy of a view gets is not asked: most of them are none.
func (r Run) Candidates(n *ir.Node) iter.Seq[kernel.Kernel] {
	nothing := func(func(kernel.Kernel) bool) {}
	if n.Op.Is(ir.View) {
		return nothing
	}
	w, err := r.work(n)
	if err != nil {
		return nothing
	}
	return Candidates(w, r.Target)
}

// work returns what n asks for where its operands lie as they do in the run.
func (r Run) work(n *ir.Node) (*task.Region, error) {
	w, err := task.In(n, r.Bounds, r.Target)
	if err != nil {
		return nil, err
	}
	w.Unbounded = r.Stored.within(n)
	for i, a := range n.Args {
		w.Operands[i].Halves = r.Stored.Halves(a)
	}
	return w, nil
}

// model is one node on its way to kernels.
type model struct {
	Run
	node   *ir.Node
	ops    []*ir.Node // the region's nodes, or the node
	region *task.Region
	err    error // the reason why there is no region
}

// chosen returns the kernel that the node gets, nil where there is none, or nothing to
// choose. Where it is open how a product's operand lies, it is kept as halves where it can
// be and tiles then copy it.
func (m *model) chosen() kernel.Kernel {
	if m.err != nil {
		return nil
	}
	if m.Choices == nil {
		m.Choices = NewChoices(m.Target, nil)
	}
	if o := m.open(); o != nil {
		o.Halves = true
		k := m.Choices.Of(m.node, m.region).Kernel
		if blocks, ok := blocksOf(k); ok && blocks.Copied {
			return k
		}
		o.Halves = false
	}
	return m.Choices.Of(m.node, m.region).Kernel
}

// open returns the operand of a product's rows where it is open how it lies; otherwise nil.
func (m *model) open() *task.Operand {
	if m.Stored != nil || !m.region.Has(ir.OpMatmulNT) {
		return nil
	}
	p, err := task.ProductOf(m.region)
	if err != nil || p.Inner.Param == nil || p.Norm != nil || len(p.Extra) > 0 || p.Tokens.IsConst() || !m.canBeHalves(p.Inner) {
		return nil
	}
	return &m.region.Operands[p.Inner.Index]
}

func (m *model) kernels() []Kernel {
	k := m.base()
	kind := kindOf(m.has)
	if m.err == nil {
		kind = kindOfRegion(m.region)
	}
	as := m.chosen()
	switch {
	case kind.deal != nil:
		return kind.deal(m, k, as)
	case as != nil:
		return kind.of(as).deal(m, k, as)
	}
	return m.single(k)
}

// has reports whether one of ops stands in the node.
func (m *model) has(ops ...ir.Op) bool {
	return slices.ContainsFunc(m.ops, func(n *ir.Node) bool { return slices.Contains(ops, n.Op) })
}

// single is k as the one kernel of the node, in whole threadgroups.
func (m *model) single(k Kernel) []Kernel {
	k.Groups = max(1, math.Ceil(k.Groups))
	return []Kernel{k}
}

// base holds what is so for any kernel of the node: its traffic, its operations,
// and the grid of an elementwise one.
func (m *model) base() Kernel {
	k := Kernel{Name: m.node.Op.String(), Threads: kernel.EachThreads, Flops: float64(Flops(m.node).Eval(m.Env))}
	if m.node.Region != nil {
		k.Name = m.node.Attr.Pattern
	}
	for i, a := range m.node.Args {
		k.touch(float64(readOf(m.node, i).Add(m.Stored.Saved(a)).Eval(m.Env)), !transient(a), m.Target)
	}
	for i, r := range m.node.Results {
		k.touch(float64(Written(m.node, i).Add(m.Stored.Saved(r)).Eval(m.Env)), !transient(r), m.Target)
		k.Groups = max(k.Groups, m.elems(r.Type)/4/kernel.EachThreads)
	}
	return k
}

// touch counts bytes as coming from memory or from the cache: what is stored, such as weights
// and caches, and whatever fills more than a quarter of the cache come from memory.
func (k *Kernel) touch(bytes float64, stored bool, t *target.Target) {
	if stored || bytes > float64(t.CacheBytes)/4 {
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

func (m *model) elems(t ir.Type) float64 { return float64(t.Shape.Elems(m.Env)) }

// rows returns how many rows n's result has.
func (m *model) rows(n *ir.Node) float64 {
	t := n.Results[0].Type
	return m.elems(t) / float64(max(1, t.Shape.At(-1).Eval(m.Env)))
}

func rowsOf(products []*ir.Node, e sym.Env) float64 {
	rows := 0.0
	for _, p := range products {
		rows += float64(p.Args[1].Type.Shape.At(0).Eval(e))
	}
	return rows
}

// products returns the kernels of a region with matrix products: of one alone, or with the
// attention or the argmax that it stands beside.
func (m *model) products(k Kernel, as kernel.Kernel) []Kernel {
	if m.err != nil {
		return m.single(k)
	}
	if m.has(ir.OpBmmNT, ir.OpBmmNN) {
		a, err := task.AttentionOf(m.region)
		switch {
		case err != nil:
			return m.single(k)
		case as == nil:
			return m.passes(k, a, nil)
		}
		return mainOf(productMains, as).deal(m, k, as)
	}
	ks := m.product(k, as)
	switch {
	case len(ks) > 1:
		return ks
	case m.has(ir.OpArgmax) && len(ks) == 1:
		return append(ks, argmaxMerge(int64(ks[0].Groups), 1, m.Target))
	case len(ks) == 1:
		k = ks[0]
	}
	return m.single(k)
}

// product returns the kernels of a matrix product, the product's the last; none where the
// region can be none.
func (m *model) product(k Kernel, as kernel.Kernel) []Kernel {
	if as != nil {
		return mainOf(productMains, as).deal(m, k, as)
	}
	p, err := task.ProductOf(m.region)
	if err != nil {
		return nil
	}
	n := numbersOf(p, p.Tokens.Eval(m.Env))
	return []Kernel{m.around(k, p, n, Kernel{}, min(n.tokens, mostVectors))}
}

// around is k as a product over all rows of its weights, with the grid as it is dealt out
// among threadgroups of so many vectors, and what these read again and compute again.
func (m *model) around(k Kernel, p *task.Product, n matmul, grid Kernel, vectors int64) Kernel {
	k.Flops = max(0, k.Flops-n.flops()) + grid.Flops
	k.Tile, k.Matrix, k.Groups, k.Threads, k.Tiled = grid.Tile, grid.Matrix, grid.Groups, grid.Threads, grid.Tiled
	k.Cache += grid.Cache
	k.WaitUs, k.Loads = grid.WaitUs, grid.Loads
	k.Exchanges += grid.Exchanges
	m.prologue(&k, p.X, k.Groups*float64(vectors))
	return k
}

// canBeHalves reports whether param x of the region can be kept as halves: it is made by
// another dispatch, as rows of f32.
func (m *model) canBeHalves(x *ir.Value) bool {
	x = m.node.Args[x.Index]
	for x.Def != nil && x.Def.Op == ir.OpReshape {
		x = x.Def.Args[0]
	}
	return x.Def != nil && x.Type.DType == dtype.F32 && !x.Def.Op.Is(ir.View)
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
	cols := float64(v.Type.Shape.At(-1).Eval(m.Env))
	switch d := v.Def; d.Op {
	case ir.OpRMSNorm:
		// The row is read and squared before main can scale it.
		k.PrologueCache += n * float64(d.Args[0].Type.DType.Bytes(int64(cols)))
		k.PrologueFlops += n * cols * 2
		k.PrologueSteps++
		k.Cache += n * cols * 4
	case ir.OpRMSScale:
		parts := float64(d.Args[1].Type.Shape.At(-1).Eval(m.Env))
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
				k.PrologueCache += n * float64(a.Type.Shape.At(-1).Eval(m.Env)) * 4
				continue
			}
			m.prologue(k, a, n)
		}
	}
}
