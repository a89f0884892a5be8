package cost

import (
	"math"

	"foundry/ir"
	"foundry/ir/sym"
	"foundry/ir/target"
)

// The shapes of kernels that the model assumes.
const (
	rowsPerGroup = 8   // rows of a weight that one threadgroup of a GEMV owns
	gemvThreads  = 256 // threads of it
	gemvTokens   = 8   // rows of x up to which a product is a GEMV
	tileSide     = 64  // rows and columns of a GEMM's threadgroup
	rowThreads   = 256 // threads on one row of a reduction
	eachThreads  = 256 // threads of an elementwise kernel, four elements each
	mergeTokens  = 256 // cached positions of one split of attention
	headParts    = 64  // rows of logits behind one partial maximum
)

// Rows returns how many rows of a weight one threadgroup of a GEMV should own so
// that the grid of all rows fills the target.
func Rows(rows int64, t *target.Target) int64 {
	n := int64(rowsPerGroup)
	for n > 1 && float64(rows/n)*gemvThreads < float64(t.Cores)*float64(t.CoreThreads)/2 {
		n /= 2
	}
	return n
}

// Splits returns into how many parts attention's positions are split, 1 for the
// single pass: as many as fill the target, none of them shorter than
// mergeTokens. heads counts query heads times tokens.
func Splits(heads, positions int64, t *target.Target) int64 {
	want := int64(math.Ceil(float64(t.Cores) * float64(t.CoreThreads) / 2 / rowThreads / float64(max(1, heads))))
	return max(1, min(want, positions/mergeTokens))
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
	return m.kernels()
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
	k := m.base()
	switch {
	case len(attention) > 0:
		return m.attention(k, attention, products)
	case len(products) > 0:
		m.product(&k, products)
		if argmax != nil {
			return []Kernel{k, m.merge("argmax_merge", rowsOf(products, m.env)/headParts*8)}
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
	if !isTransient(v) || bytes > float64(m.target.CacheBytes)/4 {
		k.Memory += bytes
		return
	}
	k.Cache += bytes
}

// isTransient reports whether v was made in this run and is no cache.
func isTransient(v *ir.Value) bool {
	for v.Def != nil && v.Def.Op.Is(ir.View) {
		v = v.Def.Args[0]
	}
	return v.Def != nil && ir.StateRoot(v) == v
}

func (m *model) elems(t ir.Type) float64 { return float64(t.Shape.Elems(m.env)) }

// rows returns the rows of n's operand or result, whichever has more.
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
// and what its threadgroups read again and compute again.
func (m *model) product(k *Kernel, products []*ir.Node) {
	rows := rowsOf(products, m.env)
	x := products[0].Args[0]
	tokens, cols := float64(x.Type.Shape.At(0).Eval(m.env)), float64(x.Type.Shape.At(1).Eval(m.env))
	if tokens <= gemvTokens {
		k.Groups = math.Ceil(rows/float64(Rows(int64(rows), m.target))) * tokens
		k.Threads = gemvThreads
	} else {
		k.Groups = math.Ceil(rows/tileSide) * math.Ceil(tokens/tileSide)
		k.Threads = gemvThreads
		k.Tile = 2 * rows * tokens * cols
		k.Flops -= k.Tile
	}
	rowsOfX := min(tokens, tileSide)
	if tokens <= gemvTokens {
		rowsOfX = 1
	}
	k.Cache += k.Groups * rowsOfX * cols * 4
	m.prologue(k, x, k.Groups*rowsOfX)
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
		k.PrologueCache += n * cols * 4
		k.PrologueFlops += n * cols * 2
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
		// Elementwise work happens as the operand is loaded, once a threadgroup.
		k.Flops += n * cols * float64(flopsOf[d.Op])
		for i, a := range d.Args {
			if i > 0 {
				k.Cache += n * cols * 4
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
		return []Kernel{k}
	}
	dim := float64(last.Results[0].Type.Shape.At(-1).Eval(m.env))
	positions := first.Results[0].Type.Shape.At(-1)
	splits := 1.0
	if m.isSplit() {
		most := positions.Max(m.boundsOf())
		splits = float64(Splits(int64(heads*tokens), most, m.target))
	}
	k.Groups *= splits
	partials := splits * heads * tokens * (dim + 2) * 4
	k.Cache += partials
	if len(outs) == 0 {
		if splits == 1 && !m.isSplit() {
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
	m.product(&o, outs)
	o.Flops = 2 * rowsOf(outs, m.env) * heads * dim * tokens
	k.Flops -= min(k.Flops, o.Flops)
	o.PrologueCache += o.Groups * partials
	o.PrologueFlops += o.Groups * partials / 2
	return []Kernel{k, o}
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
