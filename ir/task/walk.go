package task

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Walk goes from an element of a region's value, or Width adjacent ones, back to what it is
// made of, through operations by element, views and moves of elements, to operands and to
// what a main has. Whether a kernel can be written is whether the walks end; lowering
// writes along the same walks.
type Walk struct {
	Region *Region
	Width  int
	Whole  bool       // values are i32, which are only moved
	Merged *Attention // the attention whose parts are merged by element, or nil
	Writer Writer
	Err    error // the first reason why an element cannot be had

	known []known   // what is known of variables, by their numbers
	have  []Element // elements that are there
}

// Writer numbers the variables of a walk and writes what they hold. Base is what the text
// may call one.
type Writer interface {
	// Quotient returns a new variable that holds of / by, Remainder one that holds of % by.
	Quotient(base string, of Index, by sym.Dim) Variable
	Remainder(base string, of Index, by sym.Dim) Variable
	// Folded returns a new variable that holds of, less half where it is not below that.
	Folded(base string, of Index, half int64) Variable
	// Counter returns a new variable that counts the rounds of a loop.
	Counter(base string) Variable
}

// known is an exclusive upper bound of a variable, 0 for none, and a number that divides it.
type known struct{ below, step int64 }

// NewWalk returns a walk over r's values whose variables writer makes; nil: one that nobody
// writes.
func NewWalk(r *Region, width int, writer Writer) *Walk {
	if writer == nil {
		writer = &counted{Given}
	}
	return &Walk{Region: r, Width: width, Writer: writer}
}

// several reports whether elements are reached that lie beside each other, not one.
func (w *Walk) several() bool { return w.Width > 1 }

// Element is Width adjacent elements of a value, by the index of the first.
type Element struct {
	Value *ir.Value
	Index []Index
}

// Step is what an element is made of, in one step.
type Step struct {
	Of    []Element // what it is computed of, in order
	Moved bool      // a move of Of[0], nothing computed
	Param int       // operand that holds it, or that holds an embedding's id
	At    Index     // its offset there; of an operand in blocks its row
	Loop  Variable  // the variable that counts its elements, where one step is a loop over them
}

func (w *Walk) fail(format string, args ...any) {
	if w.Err == nil {
		w.Err = fmt.Errorf(format, args...)
	}
}

// Know notes what is known of a variable: an exclusive upper bound, 0 for none, and a
// number that divides it. It returns the index that it holds.
func (w *Walk) Know(v Variable, below, step int64) Index {
	for int(v) >= len(w.known) {
		w.known = append(w.known, known{})
	}
	k := &w.known[v]
	if below > 0 {
		k.below = below
	}
	k.step = step
	return v.Index()
}

// unknown is v's index, of which no more is known than was; below is that of v under an
// exclusive bound, 0 for none.
func (w *Walk) unknown(v Variable) Index            { return w.below(v, 0) }
func (w *Walk) below(v Variable, bound int64) Index { return w.Know(v, bound, 1) }

// of is what is known of a variable.
func (w *Walk) of(v Variable) (k known) {
	if int(v) < len(w.known) {
		k = w.known[v]
	}
	k.step = max(k.step, 1)
	return k
}

// Reach walks from element ix of v to its end. It notes in Err why there is none.
func (w *Walk) Reach(v *ir.Value, ix []Index) {
	if w.Err != nil {
		return
	}
	if w.has(v, ix) {
		return
	}
	s := w.StepFrom(v, ix)
	of := s.Of
	if n := v.Def; n != nil && n.Op == ir.OpRope && len(of) == 3 && w.has(n.Args[1], turn(n, of[0].Index[1], of[2].Index[0])) {
		of = of[:2]
	}
	for _, o := range of {
		w.Reach(o.Value, o.Index)
	}
	w.Have(v, ix)
}

// turn is the place of the cosine and the sine of n for row t and pair i, beside the elements
// of its frequencies, which have one index.
func turn(n *ir.Node, t, i Index) []Index { return []Index{t, i, Dimension(n.Attr.Start)} }

// haveTurn notes that the cosine and the sine of n for row t and pair i are there.
func (w *Walk) haveTurn(n *ir.Node, t, i Index) { w.Have(n.Args[1], turn(n, t, i)) }

// Have notes that element ix of v is there.
func (w *Walk) Have(v *ir.Value, ix []Index) { w.have = append(w.have, Element{v, ix}) }

// has reports whether element ix of v is there.
func (w *Walk) has(v *ir.Value, ix []Index) bool {
	for i := range w.have {
		if h := &w.have[i]; h.Value == v && Same(h.Index, ix) {
			return true
		}
	}
	return false
}

// StepFrom returns what element ix of v is made of.
func (w *Walk) StepFrom(v *ir.Value, ix []Index) Step {
	if v.Param != nil {
		return w.load(v, ix)
	}
	n := v.Def
	if x, to, ok := w.moved(v, ix); ok {
		return Step{Of: []Element{{x, to}}, Moved: true}
	}
	switch n.Op {
	case ir.OpAdd, ir.OpMul:
		return Step{Of: []Element{{n.Args[0], ix}, {n.Args[1], ix[len(ix)-int(n.Args[1].Type.Shape.Rank):]}}}
	case ir.OpSilu, ir.OpCast:
		return Step{Of: []Element{{n.Args[0], ix}}}
	case ir.OpRope:
		return w.rope(n, ix)
	case ir.OpEmbedding:
		return w.embedding(n, ix)
	case ir.OpConcat:
		return w.concat(n, ix)
	case ir.OpSumSquares:
		return w.sumSquares(n, ix)
	case ir.OpBmmNN:
		if w.Merged != nil {
			if w.several() && (w.Merged.Dim%int64(w.Width) != 0 || !w.Divides(int64(w.Width), ix[2])) {
				w.fail("four adjacent elements cross a head")
			}
			return Step{}
		}
	}
	if n.Op.IsFunction() {
		return Step{Of: []Element{{n.Args[0], ix}}}
	}
	w.fail("%s cannot be computed an element at a time here", n.Op)
	return Step{}
}

func (w *Walk) load(v *ir.Value, ix []Index) Step {
	if (v.Type.DType == dtype.I32) != w.Whole {
		w.fail("%s values are not read by element", v.Type.DType)
		return Step{}
	}
	if v.Type.DType.Quantised() {
		return w.loadBlocks(v, ix)
	}
	_, off, ok := w.Address(v, ix)
	if !ok {
		return Step{}
	}
	if w.several() {
		last := w.Region.Operands[v.Index].Layout.Stride[v.Type.Shape.Rank-1]
		if last != (sym.Poly{C: 1}) || !w.Divides(int64(w.Width), off) {
			w.fail("four adjacent elements are not aligned")
		}
	}
	return Step{Param: v.Index, At: off}
}

// loadBlocks is load from rows of blocks, which have no views.
func (w *Walk) loadBlocks(v *ir.Value, ix []Index) Step {
	last := len(ix) - 1
	row := Number(0)
	for d, i := range ix[:last] {
		scaled, ok := row.Times(v.Type.Shape.Dims[d].Poly())
		if !ok {
			w.fail("rows of %s have too many symbols", v.Type)
			return Step{}
		}
		row = scaled.Add(i)
	}
	w.four(v.Type.DType, ix[last])
	return Step{Param: v.Index, At: row}
}

// four looks whether four adjacent elements, from column c on, of a row of blocks are read.
func (w *Walk) four(t dtype.Type, c Index) {
	switch {
	case w.Width != 4:
		w.fail("rows of %s are read four at a time", t)
	case !w.Divides(4, c):
		w.fail("four adjacent elements are not aligned")
	}
}

// rope needs both elements of the pair that ix belongs to, and the frequency of the pair.
// Where it is not known in which half of a head ix lies, one variable holds its place in
// either.
func (w *Walk) rope(n *ir.Node, ix []Index) Step {
	v, half := n.Results[0], n.Results[0].Type.Shape.At(2).C/2
	low, high := ix, ix
	if w.Bounded(ix[2], half) {
		high = []Index{ix[0], ix[1], ix[2].Plus(half)}
	} else if down := ix[2].Plus(-half); w.Bounded(down, half) {
		low = []Index{ix[0], ix[1], down}
	} else {
		if half%int64(w.Width) != 0 {
			w.fail("four adjacent elements cross half a head")
			return Step{}
		}
		place := w.Know(w.Writer.Folded("place", ix[2], half), half, int64(w.Width))
		return Step{Of: []Element{{n.Args[0], []Index{ix[0], ix[1], place}}, {n.Args[0], []Index{ix[0], ix[1], place.Plus(half)}}, {n.Args[1], []Index{place}}}}
	}

	w.Have(v, low)
	w.Have(v, high)
	return Step{Of: []Element{{n.Args[0], low}, {n.Args[0], high}, {n.Args[1], []Index{low[2]}}}}
}

func (w *Walk) embedding(n *ir.Node, ix []Index) Step {
	ids, table := n.Args[0], n.Args[1]
	param, off, ok := w.Address(ids, ix[:1])
	switch cols := table.Type.Shape.At(1).C; {
	case !ok || table.Param == nil:
		w.fail("the ids and the table of an embedding are operands")
	case table.Type.DType.Quantised():
		w.four(table.Type.DType, ix[1])
	case w.several() && (cols%int64(w.Width) != 0 || !w.Divides(int64(w.Width), ix[1])):
		w.fail("four adjacent elements are not aligned")
	}
	return Step{Param: param, At: off}
}

// concat needs the operand that holds the element: of each the element that it would be.
func (w *Walk) concat(n *ir.Node, ix []Index) (s Step) {
	axis, begin := n.Attr.Axis, Number(0)
	for _, a := range n.Args {
		end := begin.Add(Dimension(a.Type.Shape.At(axis)))
		if w.several() && axis == len(ix)-1 && !w.Divides(int64(w.Width), end) {
			w.fail("four adjacent elements cross operands of concat")
		}
		to := append([]Index(nil), ix...)
		to[axis] = ix[axis].Add(Index{Const: begin.Const.Scale(-1)})
		s.Of = append(s.Of, Element{a, to})
		begin = end
	}
	return s
}

// sumSquares needs a run of elements, whose place in it a variable counts.
func (w *Walk) sumSquares(n *ir.Node, ix []Index) Step {
	if w.several() {
		w.fail("sums of squares are made one at a time")
		return Step{}
	}
	last := len(ix) - 1
	run, ok := ix[last].Times(sym.Poly{C: n.Attr.Size.C})
	if !ok {
		w.fail("a run has too many symbols")
		return Step{}
	}
	to, loop := append([]Index(nil), ix...), w.Writer.Counter("j")
	to[last] = run.Add(w.below(loop, n.Attr.Size.C))
	return Step{Of: []Element{{n.Args[0], to}}, Loop: loop}
}
