package cost

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

// widths are the elements a load that a kernel tries, the widest first.
var widths = [...]int{4, 1}

// Candidates yields the kernels that a region can get on a target, what the model
// chooses first; none where there is nothing to choose. Of an attention and the product
// behind it, they are those of the product.
func Candidates(r *task.Region, t *target.Target) iter.Seq[kernel.Kernel] {
	kind := kindOfRegion(r)
	return func(yield func(kernel.Kernel) bool) {
		for k := range kind.candidates(r, t) {
			if kind.fits(r, k) == nil && !yield(k) {
				return
			}
		}
	}
}

func kindOfRegion(r *task.Region) kind {
	nodes := r.Graph.Nodes()
	if n := nodes[0]; len(nodes) == 1 && n.Op == ir.OpMatmulNT && !n.Args[1].Type.Shape.At(0).IsConst() {
		return batchedKind // a product of two activations
	}
	return kindOf(r.Has)
}

// Mains lists the first words of what Candidates yields for a region of several
// operations, of which has tells whether one of some is there; none where there is nothing
// to choose.
func Mains(has func(...ir.Op) bool) []string {
	out := []string{}
	for _, k := range kindOf(has).mains {
		out = append(out, kernel.Main(k))
	}
	return out
}

// kind is a kind of region.
type kind struct {
	mains      []kernel.Kernel                          // one kernel of each main that it can get
	wants      func(*task.Region, *target.Target) error // the reason why no kernel is like it; nil where fits tells
	candidates func(*task.Region, *target.Target) iter.Seq[kernel.Kernel]
	fits       func(*task.Region, kernel.Kernel) error // the reason why a candidate cannot be written; of nil, why none can
	first      bool                                    // what the model chooses is taken or nothing
}

func noCandidates(*task.Region, *target.Target) iter.Seq[kernel.Kernel] {
	return func(func(kernel.Kernel) bool) {}
}

var productKind = kind{
	mains: []kernel.Kernel{kernel.ProductRows{}, kernel.ProductTiles{}, kernel.ProductMatrices{}},
	wants: func(r *task.Region, t *target.Target) error {
		if r.Has(ir.OpBmmNT) { // attention, whose parts the product merges
			a, err := task.AttentionOf(r)
			if err == nil {
				_, err = PartsOf(a, t)
			}
			if err != nil {
				return err
			}
		}
		p, err := task.ProductOf(r)
		if err == nil && p.Merges && slices.ContainsFunc(p.Parts, func(p *task.Part) bool { return len(p.Best) > 0 }) {
			err = errors.New("a product behind attention that takes two kernels itself")
		}
		return err
	},
	candidates: func(r *task.Region, t *target.Target) iter.Seq[kernel.Kernel] {
		p, err := task.ProductOf(r)
		if err != nil {
			return noCandidates(r, t)
		}
		return productCandidates(p, t)
	},
	fits: func(r *task.Region, k kernel.Kernel) error {
		p, err := task.ProductOf(r)
		if err != nil {
			return err
		}
		return p.Fits(k)
	},
	first: true,
}

var attentionKind = kind{
	mains: []kernel.Kernel{kernel.AttentionRows{}, kernel.AttentionRows{Parts: 1}, kernel.AttentionTiles{}, kernel.AttentionMatrices{}},
	candidates: func(r *task.Region, t *target.Target) iter.Seq[kernel.Kernel] {
		a, err := task.AttentionOf(r)
		if err != nil {
			return noCandidates(r, t)
		}
		return attentionCandidates(a, t)
	},
	fits: func(r *task.Region, k kernel.Kernel) error {
		a, err := task.AttentionOf(r)
		if err != nil {
			return err
		}
		return a.Fits(k)
	},
}

var batchedKind = kind{
	mains:      []kernel.Kernel{kernel.BatchedElements{}, kernel.BatchedColumns{}, kernel.AttentionTiles{}},
	candidates: batchedCandidates,
	fits:       (*task.Region).FitsBatched,
}

var argmaxKind = kind{
	mains:      []kernel.Kernel{kernel.ArgmaxRow{}, kernel.ArgmaxParts{}},
	candidates: argmaxCandidates,
	fits:       func(r *task.Region, _ kernel.Kernel) error { return r.FitsArgmax() },
}

var normKind = kind{
	mains:      []kernel.Kernel{kernel.RowNorm{Width: 1}},
	candidates: func(r *task.Region, _ *target.Target) iter.Seq[kernel.Kernel] { return normCandidates(r) },
	fits:       func(r *task.Region, k kernel.Kernel) error { return r.FitsRows(k.(kernel.RowNorm).Width) },
}

var elementsKind = kind{
	mains:      []kernel.Kernel{kernel.Elements{}, kernel.Positions{}},
	candidates: elementsCandidates,
	fits: func(r *task.Region, k kernel.Kernel) error {
		if k, ok := k.(kernel.Positions); ok {
			return r.FitsPositions(k.Width)
		}
		return r.FitsElements(k.(kernel.Elements).Width)
	},
}

// alone is the kind of a region of which there is nothing to choose.
func alone(fits func(*task.Region) error) kind {
	return kind{candidates: noCandidates, fits: func(r *task.Region, _ kernel.Kernel) error { return fits(r) }}
}

var softmaxKind = kind{
	mains: []kernel.Kernel{kernel.SoftmaxRow{}, kernel.SoftmaxSegments{}},
	candidates: func(r *task.Region, t *target.Target) iter.Seq[kernel.Kernel] {
		if len(r.Graph.Nodes()) == 1 {
			return softmaxCandidates(r, t)
		}
		return noCandidates(r, t)
	},
	fits: func(r *task.Region, k kernel.Kernel) error {
		cut, _ := k.(kernel.SoftmaxSegments)
		return r.FitsSoftmax(cut.Segments)
	},
}

// kindOf returns the kind of a region by its operations.
func kindOf(has func(...ir.Op) bool) kind {
	switch {
	case has(ir.OpMatmulNT):
		return productKind
	case has(ir.OpBmmNT) && has(ir.OpBmmNN):
		return attentionKind
	case has(ir.OpBmmNT, ir.OpBmmNN):
		return batchedKind
	case has(ir.OpSoftmax):
		return softmaxKind
	case has(ir.OpArgmax):
		return argmaxKind
	case has(ir.OpSample):
		return alone((*task.Region).FitsSample)
	case has(ir.OpArange, ir.OpOnes, ir.OpRandomUniform):
		return alone((*task.Region).FitsCreate)
	case has(ir.OpRMSNorm) && has(ir.OpRope):
		return alone((*task.Region).FitsHeads)
	case has(ir.OpRMSNorm, ir.OpRMSScale):
		return normKind
	}
	return elementsKind
}

// takenOf yields those candidates that r's pin takes; without one, those of the main that
// the model chooses. Lowering writes the first that it can: how wide loads may be, the
// alignment of elements says.
func takenOf(r *task.Region, t *target.Target) iter.Seq[kernel.Kernel] {
	return taken(r.Pin, kindOfRegion(r).candidates(r, t))
}

func taken(pin kernel.Pin, candidates iter.Seq[kernel.Kernel]) iter.Seq[kernel.Kernel] {
	return func(yield func(kernel.Kernel) bool) {
		var best kernel.Kernel
		for k := range candidates {
			if best == nil {
				best = k
			} else if pin == "" && kernel.Main(k) != kernel.Main(best) {
				continue
			}
			if pin != "" && !pin.Takes(k) {
				continue
			}
			if !yield(k) {
				return
			}
		}
	}
}

// checkPin is an error where r is pinned to a kernel that it cannot get.
func checkPin(r *task.Region, t *target.Target) error {
	if r.Pin == "" {
		return nil
	}
	for range takenOf(r, t) {
		return nil
	}
	const most = 6 // in a message
	var texts []string
	left := 0
	for k := range Candidates(r, t) {
		if len(texts) < most {
			texts = append(texts, k.String())
		} else {
			left++
		}
	}
	if len(texts) == 0 {
		return fmt.Errorf("kernel=%q: there is one kernel for it, and nothing to choose", r.Pin)
	}
	list := strings.Join(texts, "; ")
	if left > 0 {
		list += fmt.Sprintf(" and %d more", left)
	}
	return fmt.Errorf("kernel=%q: none of its kernels has these words; there are %s", r.Pin, list)
}

// productCandidates yields what the model chooses for a product, then the blocks of tiles
// that are possible, those predicted to be fastest first, then what is near the deal over
// rows.
func productCandidates(p *task.Product, t *target.Target) iter.Seq[kernel.Kernel] {
	return func(yield func(kernel.Kernel) bool) {
		chosen := bestProduct(p, t)
		if !yield(chosen) {
			return
		}
		var others []kernel.Kernel
		if p.TakesTiles() {
			others = slices.Concat(matrixCandidates(p, t), onceCandidates(p, t), tileCandidates(p, t))
		}
		for _, k := range slices.Concat(others, rowCandidates(p, t)) {
			if k != chosen && !yield(k) {
				return
			}
		}
	}
}

func tileCandidates(p *task.Product, t *target.Target) (out []kernel.Kernel) {
	n := numbersOf(p, p.Tokens.Max(p.Region.Graph.Bounds))
	us := map[kernel.ProductTiles]float64{}
	var all []kernel.ProductTiles
	for x := range n.tilings(t) {
		us[x] = n.predicted(n.tiled(x, t), t)
		all = append(all, x)
	}
	slices.SortStableFunc(all, func(a, b kernel.ProductTiles) int { return cmp.Compare(us[a], us[b]) })
	for _, x := range all {
		out = append(out, x)
	}
	return out
}

// rowCandidates lists deals over rows: with each width of loads that weights have, one
// load on its way or all of them; and with half as many or twice as many rows a team,
// simdgroups that share them, simdgroups a threadgroup. An operand that rows read is never
// kept as halves.
func rowCandidates(p *task.Product, t *target.Target) (out []kernel.Kernel) {
	if p.Inner.Param != nil {
		o := &p.Region.Operands[p.Inner.Index]
		halves := o.Halves
		o.Halves = false
		defer func() { o.Halves = halves }()
	}
	add := func(k kernel.Kernel) {
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	base := productRows(p, t, 0)
	wide := []int{0}
	p.Weights(func(w *ir.Value) {
		for _, x := range p.Region.Format(w).Widths {
			if p.Length%int64(x) == 0 {
				wide = append(wide, x)
			}
		}
	})
	for _, w := range wide {
		k := productRows(p, t, w)
		add(k)
		one, all := k, k
		one.Loads, one.Held, all.Loads = 0, 0, kernel.AllLoads
		add(one)
		add(all)
	}
	if p.Whole() > 0 {
		return out // heads say how rows are dealt out
	}
	_, unit := p.WeightRows()
	scaled := func(n int, by float64) int { return int(float64(n) * by) }
	for _, by := range [...][3]float64{{2, 1, 1}, {0.5, 1, 1}, {1, 2, 1}, {1, 0.5, 1}, {1, 1, 2}, {1, 1, 0.5}, {2, 2, 1}, {0.5, 0.5, 1}, {1, 2, 2}, {1, 0.5, 0.5}} {
		k := base
		k.PerTeam, k.Share, k.Simdgroups = scaled(k.PerTeam, by[0]), scaled(k.Share, by[1]), scaled(k.Simdgroups, by[2])
		if k.PerTeam < unit || k.PerTeam > mostPerTeam || k.PerTeam%unit != 0 || k.Share < 1 || k.Simdgroups < max(k.Share, 2) || k.Threads() > t.Limits.Threads ||
			k.Owners()*k.PerTeam < p.Run()*unit {
			continue
		}
		stageVectors(p, &k, t)
		add(k)
	}
	return out
}

// mostPerTeam is how many rows of sums a lane's registers hold beside the loads.
const mostPerTeam = 8

// attentionCandidates yields what the model chooses, then the other ways: in one pass row
// by row, in tiles, and in parts of the keys.
func attentionCandidates(a *task.Attention, t *target.Target) iter.Seq[kernel.Kernel] {
	return func(yield func(kernel.Kernel) bool) {
		chosen := bestAttention(a, t)
		if !yield(chosen) {
			return
		}
		var others []kernel.Kernel
		for _, parts := range [...]bool{false, true} {
			for _, w := range widths {
				if a.Dim%int64(w) != 0 {
					continue
				}
				k := attentionRows(a, w, parts, t)
				one := k
				one.Ahead = 1
				others = append(others, k, one)
			}
		}
		if a.TakesTiles() {
			for k := range attentionTiles(a.Dim, t) {
				others = append(others, k)
			}
			for k := range attentionMatrices(a.Dim, t) {
				others = append(others, k)
			}
		}
		for _, k := range others {
			if k != chosen && !yield(k) {
				return
			}
		}
	}
}

// partsOfKeys yields how a is dealt out row by row in parts of the keys, the widest loads
// first.
func partsOfKeys(a *task.Attention, t *target.Target) iter.Seq[kernel.AttentionRows] {
	return func(yield func(kernel.AttentionRows) bool) {
		for _, w := range widths {
			if a.Dim%int64(w) == 0 && !yield(attentionRows(a, w, true, t)) {
				return
			}
		}
	}
}

// batchedCandidates yields what the model chooses for a batched product, or a product of
// two activations, then the other ways.
func batchedCandidates(r *task.Region, t *target.Target) iter.Seq[kernel.Kernel] {
	var out []kernel.Kernel
	n := r.Graph.Nodes()[0]
	if n.Op == ir.OpBmmNN {
		out = append(out, kernel.BatchedColumns{})
	} else {
		depth, constant := n.Args[0].Type.Shape.At(-1).Const()
		for _, w := range widths {
			if w == 1 || constant && depth%int64(w) == 0 {
				out = append(out, kernel.BatchedElements{Width: w})
			}
		}
	}
	if p, ok := task.BatchedOf(r); ok {
		if k, can := batchedTiles(p, t); can && tilesPay(p, k, t) {
			out = slices.Insert(out, 0, kernel.Kernel(k))
		} else if can {
			out = append(out, k)
		}
	}
	return slices.Values(out)
}

// argmaxCandidates yields argmax in one kernel and in two, first the one that is predicted
// to be faster in a typical run; nothing where rows have no constant length.
func argmaxCandidates(r *task.Region, t *target.Target) iter.Seq[kernel.Kernel] {
	n := r.Nodes(ir.OpArgmax)[0]
	length, constant := n.Args[0].Type.Shape.At(-1).Const()
	if !constant || len(r.Graph.Nodes()) > 1 {
		return func(func(kernel.Kernel) bool) {}
	}
	e := Typical(r.Graph.Bounds)
	rows := n.Args[0].Type.Shape.At(0).Eval(e)
	us := func(as kernel.Kernel) (us float64) {
		k := Kernel{Flops: float64(rows * length)}
		if bytes := float64(bytesOf(n.Args[0].Type).Eval(e)); bytes > float64(t.CacheBytes)/4 {
			k.Memory = bytes
		} else {
			k.Cache = bytes
		}
		for _, k := range argmaxKernels(k, as, rows, t) {
			us += Wave([]Kernel{k}, t)
		}
		return us
	}
	out := []kernel.Kernel{kernel.ArgmaxParts{Length: length}, kernel.ArgmaxRow{Length: length, Largest: t.Limits.Threads}}
	if us(out[1]) < us(out[0]) {
		slices.Reverse(out)
	}
	return slices.Values(out)
}

// normCandidates yields the widths of loads that divide a norm's row.
func normCandidates(r *task.Region) iter.Seq[kernel.Kernel] {
	return func(yield func(kernel.Kernel) bool) {
		norms := append(r.Nodes(ir.OpRMSNorm), r.Nodes(ir.OpRMSScale)...)
		length, constant := norms[0].Results[0].Type.Shape.At(-1).Const()
		for _, w := range widthsOf(r, func(w int) bool { return constant && length%int64(w) == 0 }) {
			if !yield(kernel.RowNorm{Length: length, Width: w}) {
				return
			}
		}
	}
}

// widthsOf lists the elements a load of a region's kernels by element: those that divide,
// and one, but where a row lies in blocks, which are read by four.
func widthsOf(r *task.Region, divides func(w int) bool) []int {
	inBlocks := slices.ContainsFunc(r.Graph.Params, func(p *ir.Value) bool { return p.Type.DType.Quantised() })
	switch {
	case !divides(widths[0]):
		return widths[1:]
	case inBlocks:
		return widths[:1]
	}
	return widths[:]
}

// elementsCandidates yields, for results by element, kernels with a threadgroup a position where one can make all
// of a position, and computes its cosines and sines once; then with a thread a few
// elements. A run of squares is one element of its result.
func elementsCandidates(r *task.Region, t *target.Target) iter.Seq[kernel.Kernel] {
	return func(yield func(kernel.Kernel) bool) {
		parts, widths := task.ElementsOf(r), widthsOf(r, func(w int) bool { return divides(task.ElementsOf(r), w) })
		if r.Has(ir.OpSumSquares) {
			widths = widths[len(widths)-1:]
		}
		if task.AtOnePosition(r, parts) {
			for _, w := range widths {
				if k, ok := positionsOf(parts, w, t); ok && !yield(k) {
					return
				}
			}
		}
		for _, w := range widths {
			if !yield(kernel.Elements{Width: w}) {
				return
			}
		}
	}
}
