package task

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/sym"
)

// A kernel fits a region where every walk of what it computes ends. What lowering writes
// takes the same walks, from the same elements, so what fits can be written.

// counted makes variables of walks that nobody writes: next is the next one.
type counted struct{ next Variable }

func (c *counted) Counter(string) Variable {
	c.next++
	return c.next - 1
}
func (c *counted) Quotient(base string, _ Index, _ sym.Dim) Variable  { return c.Counter(base) }
func (c *counted) Remainder(base string, _ Index, _ sym.Dim) Variable { return c.Counter(base) }
func (c *counted) Folded(base string, _ Index, _ int64) Variable      { return c.Counter(base) }

// some returns a new variable, of which that is known.
func (w *Walk) some(below, step int64) Index { return w.Know(w.Writer.Counter(""), below, step) }

// fresh returns a new variable of which nothing is known, freshBelow one with that bound.
func (w *Walk) fresh() Index                 { return w.unknown(w.Writer.Counter("")) }
func (w *Walk) freshBelow(bound int64) Index { return w.below(w.Writer.Counter(""), bound) }

func (r *Region) walk(width int) *Walk { return NewWalk(r, width, nil) }

// ones is a walk of one element at a time.
func (r *Region) ones() *Walk { return r.walk(1) }

// results walks to the results of p at ix, and to the places where they are stored.
func (w *Walk) results(p *Elements, ix []Index) {
	places := p.Places(ix)
	for _, j := range p.Results {
		for _, at := range places {
			w.Whole = w.Region.Graph.Results[j].Value.Type.DType == dtype.I32
			w.Reach(w.Region.Stored(j), at)
			w.Whole = false
			w.Target(j, at)
		}
	}
}

// Stored returns what is computed of result j: of a cache write the rows that are written.
func (r *Region) Stored(j int) *ir.Value {
	v := r.Graph.Results[j].Value
	if v.Def != nil && v.Def.Op == ir.OpKVWrite {
		return v.Def.Args[1]
	}
	return v
}

// FitsElements says why results by element cannot be made width at a time.
func (r *Region) FitsElements(width int) error {
	for _, p := range ElementsOf(r) {
		g, err := p.Grid(width)
		if err != nil {
			return err
		}
		w := r.walk(width)
		w.results(&p, w.Cell(&p, g))
		if w.Err != nil {
			return w.Err
		}
	}
	return nil
}

// turnOnce walks to the frequencies of all rotations of parts, whose turns for row t are
// made before, one at a time.
func (w *Walk) turnOnce(parts []Elements, t Index) {
	width := w.Width
	w.Width = 1
	for _, p := range parts {
		for _, n := range p.Rotations(w.Region) {
			w.Reach(n.Args[1], []Index{w.freshBelow(n.Results[0].Type.Shape.At(2).C / 2)})
		}
	}
	w.Width = width
}

// position returns the threadgroup's position, where parts are heads of the same ones.
func (w *Walk) position(parts []Elements) Index {
	n := parts[0].Space.Dims[1]
	if n == sym.Const(1) {
		return Number(0)
	}
	return w.below(GroupX, n.Max(w.Region.Graph.Bounds))
}

// FitsPositions says why a threadgroup cannot make all of a position, width pairs at a time.
func (r *Region) FitsPositions(width int) error {
	parts := ElementsOf(r)
	w := r.walk(width)
	t := w.position(parts)
	w.turnOnce(parts, t)
	for _, p := range parts {
		half := p.Space.Dims[2].C / 2
		unit := w.freshBelow(p.Space.Dims[0].C * half / int64(width))
		head, column := w.Split(unit, sym.Const(half/int64(width)), "index")
		i, _ := column.Times(sym.Poly{C: int64(width)})
		for _, n := range p.Rotations(r) {
			w.haveTurn(n, t, i)
		}
		w.results(&p, []Index{head, t, i})
	}
	return w.Err
}

// HeadNormOf returns the norm before the rotation of the heads of p, nil for none.
func (r *Region) HeadNormOf(p *Elements) (norm *ir.Node, err error) {
	for _, n := range r.Nodes(ir.OpRMSNorm) {
		for _, j := range p.Results {
			if DependsOn(r.Graph.Results[j].Value, func(m *ir.Node) bool { return m == n }) {
				if norm != nil && norm != n || n.Results[0].Type.Shape != p.Space {
					return nil, fmt.Errorf("norms that meet in heads of %s", p.Space)
				}
				norm = n
			}
		}
	}
	return norm, nil
}

// FitsHeads says why norms of heads and the rotation behind them are not one kernel.
func (r *Region) FitsHeads() error {
	parts := ElementsOf(r)
	if !AtOnePosition(r, parts) {
		return fmt.Errorf("norms share a kernel only where each head of one position is turned behind its own")
	}
	w := r.ones()
	t := w.position(parts)
	w.turnOnce(parts, t)
	for _, p := range parts {
		norm, err := r.HeadNormOf(&p)
		if err != nil {
			return err
		}
		half := p.Space.Dims[2].C / 2
		head, pair := w.freshBelow(p.Space.Dims[0].C), w.freshBelow(half)
		low, high := []Index{head, t, pair}, []Index{head, t, pair.Plus(half)}
		if norm != nil {
			for _, ix := range [][]Index{low, high} {
				w.Reach(norm.Args[0], ix)
				w.Reach(norm.Args[1], ix[2:])
				w.Have(norm.Results[0], ix)
			}
		}
		for _, n := range p.Rotations(r) {
			w.haveTurn(n, t, pair)
		}
		w.results(&p, low)
	}
	return w.Err
}

// TheNorm returns the one norm of a region of whole rows, or says why it has no kernel.
func (r *Region) TheNorm() (*ir.Node, error) {
	norms := append(r.Nodes(ir.OpRMSNorm), r.Nodes(ir.OpRMSScale)...)
	if len(norms) != 1 {
		return nil, fmt.Errorf("%d norms do not share a kernel", len(norms))
	}
	return norms[0], nil
}

// FitsRows says why a norm with what makes its operand and what follows is not a kernel
// with a threadgroup a row, width elements at a time.
func (r *Region) FitsRows(width int) error {
	norm, err := r.TheNorm()
	if err != nil {
		return err
	}
	sums, gamma := NormOperands(norm)
	space := norm.Results[0].Type.Shape
	n, ok := space.At(-1).Const()
	if !ok || n%int64(width) != 0 {
		return fmt.Errorf("rows of %s do not split into %d", space, width)
	}
	for _, res := range r.Graph.Results {
		if Walked(res.Value) != space {
			return fmt.Errorf("a result of %s beside a norm of %s", res.Value.Type, space)
		}
	}
	w := r.walk(width)
	ix, _ := w.RowOf(space)
	if w.Err != nil {
		return w.Err
	}
	row := ix[:len(ix)-1]
	ix[len(ix)-1] = w.some(n, int64(width))
	behind := func(v *ir.Value) bool { return DependsOn(v, func(m *ir.Node) bool { return m == norm }) }
	w.Reach(norm.Args[0], ix)
	for j, res := range r.Graph.Results {
		if !behind(res.Value) {
			w.Reach(res.Value, ix)
			w.Target(j, ix)
		}
	}
	if w.Err == nil && sums != nil {
		w.sums(sums, row)
	}
	w.Have(norm.Args[0], ix)
	w.Reach(gamma, ix[len(ix)-1:])
	w.Have(norm.Results[0], ix)
	for j, res := range r.Graph.Results {
		if behind(res.Value) {
			w.Reach(res.Value, ix)
			w.Target(j, ix)
		}
	}
	return w.Err
}

// sums walks to a row of finished sums.
func (w *Walk) sums(sums *ir.Value, row []Index) {
	count, ok := sums.Type.Shape.At(-1).Const()
	if !ok {
		w.fail("sums of %s", sums.Type)
		return
	}
	width := w.Width
	w.Width = 1
	w.Reach(sums, append(append([]Index(nil), row...), w.freshBelow(count)))
	w.Width = width
}

// FitsArgmax says why argmax is not a kernel.
func (r *Region) FitsArgmax() error {
	nodes := r.Graph.Nodes()
	if len(nodes) != 1 {
		return fmt.Errorf("argmax shares no kernel with %s", nodes[0].Op)
	}
	in := nodes[0].Args[0].Type.Shape
	if !in.At(1).IsConst() {
		return fmt.Errorf("argmax of rows of %s", in.At(1))
	}
	w := r.ones()
	if _, _, ok := w.Address(nodes[0].Args[0], []Index{w.unknown(GroupY), Number(0)}); !ok {
		return fmt.Errorf("the operand of argmax is computed in the region")
	}
	return w.Err
}

// FitsSoftmax says why softmax is not a kernel of rows, or two of so many segments of them.
func (r *Region) FitsSoftmax(segments int64) error {
	if len(r.Graph.Nodes()) != 1 {
		return fmt.Errorf("softmax shares a kernel only within attention")
	}
	n := r.Graph.Nodes()[0]
	w := r.ones()
	ix, _ := w.RowOf(n.Results[0].Type.Shape)
	if w.Err != nil {
		return w.Err
	}
	_, err := w.SoftmaxRow(n, ix, segments)
	return err
}

// SoftmaxRow is a row of a softmax.
type SoftmaxRow struct {
	Row     Index // its number
	At      Index // its offset in the result
	Between Index // its offset in the memory of segments, where there is such
	Param   int   // operand that it is read from
	From    Index // its offset there; of an operand in blocks that of At's row
}

// SoftmaxRow returns the row of n at ix, whose last index it makes 0.
func (w *Walk) SoftmaxRow(n *ir.Node, ix []Index, segments int64) (s SoftmaxRow, err error) {
	space := n.Results[0].Type.Shape
	rows, length := space, space.At(-1)
	rows.Rank--
	for d := range int(rows.Rank) {
		scaled, ok := s.Row.Times(rows.Dims[d].Poly())
		if !ok {
			return s, fmt.Errorf("rows of %s have too many symbols", rows)
		}
		s.Row = scaled.Add(ix[d])
	}
	ix[len(ix)-1] = Number(0)
	var ok, okBetween bool
	if s.At, ok = s.Row.Times(length.Poly()); !ok {
		return s, fmt.Errorf("rows of %s have too many symbols", space)
	}
	x := n.Args[0]
	if t := x.Type.DType; t.Quantised() {
		if _, ok := FormatOf(t); !ok || x.Param == nil {
			return s, fmt.Errorf("no kernel reads %s rows here", t)
		}
		s.Param = x.Index
	} else {
		if s.Param, s.From, ok = w.Address(x, ix); !ok {
			return s, fmt.Errorf("the operand of softmax is computed in the region")
		}
		l := w.Region.Operands[s.Param].Layout
		if last := l.Stride[w.Region.Graph.Params[s.Param].Type.Shape.Rank-1]; last != (sym.Poly{C: 1}) {
			return s, fmt.Errorf("the elements of softmax's rows are not adjacent")
		}
	}
	if s.Between, okBetween = s.Row.Times(sym.Poly{C: segments}); !okBetween {
		return s, fmt.Errorf("rows of %s have too many symbols", space)
	}
	return s, w.Err
}

// sampleParts is how many parts of a row a sample's fixed-point sums hold.
const sampleParts = 64

// FitsSample says why sample is not a run of kernels.
func (r *Region) FitsSample() error {
	if len(r.Graph.Nodes()) != 1 {
		return fmt.Errorf("sample shares no kernel")
	}
	n := r.Graph.Nodes()[0]
	vocab, ok := n.Args[0].Type.Shape.At(1).Const()
	if !ok {
		return fmt.Errorf("sample of rows of %s", n.Args[0].Type.Shape.At(1))
	}
	if vocab > sampleParts*kernel.SamplePart {
		return fmt.Errorf("sample of %d tokens, %d are the most", vocab, sampleParts*kernel.SamplePart)
	}
	w := r.ones()
	for i, ix := range [][]Index{{w.unknown(GroupY), Number(0)}, {Number(0)}, {GroupY.Index()}, {Number(0)}} {
		if _, _, ok := w.Address(n.Args[i], ix); !ok {
			w.fail("operand %d of sample is computed in the region", i)
		}
	}
	return w.Err
}

// FitsCreate says why an operation that makes elements of nothing is not a kernel.
func (r *Region) FitsCreate() error {
	if len(r.Graph.Nodes()) != 1 {
		return fmt.Errorf("what is made of nothing shares no kernel")
	}
	n := r.Graph.Nodes()[0]
	w := r.ones()
	if n.Op == ir.OpRandomUniform {
		if _, _, ok := w.Address(n.Args[0], []Index{Number(0)}); !ok {
			return fmt.Errorf("the seed of random_uniform is computed in the region")
		}
	}
	w.Target(0, []Index{Number(0)})
	return w.Err
}

// DotsOf returns the rows of a and b whose product a thread of a batched product by element
// makes, and the element of the result.
func (w *Walk) DotsOf(n *ir.Node) (a, b, at []Index) {
	out := n.Results[0].Type.Shape
	m, col := w.unknown(GroupY), w.unknown(PositionX)
	if out.At(-2) == sym.Const(1) {
		m = Number(0)
	}
	at, a, b = []Index{m, col}, []Index{m, Number(0)}, []Index{col, Number(0)}
	if n.Op == ir.OpBmmNT {
		h := w.below(GroupZ, out.At(0).C)
		g, _ := w.Split(h, sym.Const(out.At(0).C/n.Args[1].Type.Shape.At(0).C), "b_head")
		at, a, b = append([]Index{h}, at...), append([]Index{h}, a...), append([]Index{g}, b...)
	}
	return a, b, at
}

// Aligned is Address, and false unless Width adjacent elements can be read there.
func (w *Walk) Aligned(v *ir.Value, ix []Index) (param int, off Index, ok bool) {
	param, off, ok = w.Address(v, ix)
	return param, off, ok && w.Divides(int64(w.Width), off)
}

// alone is an error of a batched product in a region of several operations.
func (r *Region) alone() error {
	if len(r.Graph.Nodes()) != 1 {
		return fmt.Errorf("%s shares a kernel only within attention", r.Graph.Nodes()[0].Op)
	}
	return nil
}

// FitsDots says why a batched product, or one of two activations, cannot be made an element a
// thread, width elements of each row at a time.
func (r *Region) FitsDots(width int) error {
	if err := r.alone(); err != nil {
		return err
	}
	n := r.Graph.Nodes()[0]
	depth, ok := n.Args[0].Type.Shape.At(-1).Const()
	if !ok || depth%int64(width) != 0 {
		return fmt.Errorf("rows of %s do not split into %d", n.Args[0].Type, width)
	}
	w := r.walk(width)
	from, to, at := w.DotsOf(n)
	_, _, okA := w.Aligned(n.Args[0], from)
	_, _, okB := w.Aligned(n.Args[1], to)
	if !okA || !okB || n.Args[1].Type.DType.Quantised() {
		return fmt.Errorf("operands of %s are not aligned rows", n.Op)
	}
	w.Width = 1
	w.Target(0, at)
	return w.Err
}

// ColumnsOf returns the head and row of a batched product that a threadgroup makes columns
// of, and the head of its second operand.
func (w *Walk) ColumnsOf(n *ir.Node) (h, m, of Index) {
	out := n.Results[0].Type.Shape
	h, m = w.below(GroupZ, out.At(0).C), w.unknown(GroupY)
	if out.At(1) == sym.Const(1) {
		m = Number(0)
	}
	of, _ = w.Split(h, sym.Const(out.At(0).C/n.Args[1].Type.Shape.At(0).C), "b_head")
	return h, m, of
}

// FitsColumns says why a batched product cannot be made a column a lane.
func (r *Region) FitsColumns() error {
	if err := r.alone(); err != nil {
		return err
	}
	n := r.Graph.Nodes()[0]
	w := r.ones()
	h, m, g := w.ColumnsOf(n)
	_, _, okA := w.Aligned(n.Args[0], []Index{h, m, Number(0)})
	_, _, okB := w.Address(n.Args[1], []Index{g, Number(0), w.fresh()})
	if !okA || !okB {
		return fmt.Errorf("operands of bmm_nn are not rows")
	}
	w.Target(0, []Index{h, m, w.fresh()})
	return w.Err
}
