package cost

import (
	"cmp"
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
		if kind.wants != nil && kind.wants(r, t) != nil {
			return
		}
		for k := range kind.candidates(r, t) {
			if kind.of(k).fits(r, k) == nil && !yield(k) {
				return
			}
		}
	}
}

// CheckPin is an error of words that no kernel has, or that none of those has together that
// a region can get of which one of has tells whether some operations are there; without any
// they are those of all regions.
func CheckPin(words kernel.Pin, has ...func(...ir.Op) bool) error {
	var all, own []kernel.Kernel
	for _, m := range mains() {
		all = append(all, m.words...)
	}
	if len(has) == 0 {
		own = all
	}
	for _, h := range has {
		for _, m := range kindOf(h).mains {
			own = append(own, m.words...)
		}
	}
	return words.Check(all, own)
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
			} else if pin == "" && !kernel.SameMain(k, best) {
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

// tileCandidates lists the blocks of tiles that are possible, those predicted to be fastest
// first.
func tileCandidates(p *task.Product, t *target.Target) (out []kernel.ProductTiles) {
	n := numbersOf(p, p.Tokens.Max(p.Region.Graph.Bounds))
	us := map[kernel.ProductTiles]float64{}
	for x := range n.tilings(t) {
		us[x] = n.predicted(n.tiled(x, t), t)
		out = append(out, x)
	}
	slices.SortStableFunc(out, func(a, b kernel.ProductTiles) int { return cmp.Compare(us[a], us[b]) })
	return out
}

// rowCandidates lists deals over rows: with each width of loads that weights have, one
// load on its way or all of them; and with half as many or twice as many rows a team,
// simdgroups that share them, simdgroups a threadgroup. An operand that rows read is never
// kept as halves.
func rowCandidates(p *task.Product, t *target.Target) (out []kernel.ProductRows) {
	if p.Inner.Param != nil {
		o := &p.Region.Operands[p.Inner.Index]
		halves := o.Halves
		o.Halves = false
		defer func() { o.Halves = halves }()
	}
	add := func(k kernel.ProductRows) {
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
	for _, k := range fullDeals(p, t) {
		add(k)
	}
	_, unit := p.WeightRows()
	scaled := func(n int, by float64) int { return int(float64(n) * by) }
	for _, by := range [...][3]float64{{2, 1, 1}, {0.5, 1, 1}, {1, 2, 1}, {1, 0.5, 1}, {1, 1, 2}, {1, 1, 0.5}, {2, 2, 1}, {0.5, 0.5, 1}, {1, 2, 2}, {1, 0.5, 0.5}} {
		k := base
		k.PerTeam, k.Share, k.Simdgroups = scaled(k.PerTeam, by[0]), scaled(k.Share, by[1]), scaled(k.Simdgroups, by[2])
		if k.PerTeam > mostPerTeam || k.PerTeam%unit != 0 || k.Share < 1 || k.Simdgroups < max(k.Share, 2) || k.Threads() > t.Limits.Threads ||
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

// attentionInRows yields the ways in one pass row by row, then in parts of the keys.
func attentionInRows(a *task.Attention, t *target.Target) iter.Seq[kernel.AttentionRows] {
	return func(yield func(kernel.AttentionRows) bool) {
		for _, parts := range [...]bool{false, true} {
			for _, w := range widths {
				if a.Dim%int64(w) != 0 {
					continue
				}
				k := attentionRows(a, w, parts, t)
				one := k
				one.Ahead = 1
				if !yield(k) || !yield(one) {
					return
				}
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

// bestBatched returns what the model chooses for a batched product, or a product of two
// activations: tiles where they can take it and pay; nil for the first that fits otherwise.
func bestBatched(r *task.Region, t *target.Target) kernel.Kernel {
	if b, ok := task.BatchedOf(r); ok {
		if k, can := batchedTiles(b, t); can && tilesPay(b, k, t) {
			return k
		}
	}
	for _, m := range batchedMains {
		for k := range m.candidates(r, t) {
			return k
		}
	}
	return nil
}

// normCandidates yields the widths of loads that divide a norm's row.
func normCandidates(r *task.Region, _ *target.Target) iter.Seq[kernel.RowNorm] {
	norms := append(r.Nodes(ir.OpRMSNorm), r.Nodes(ir.OpRMSScale)...)
	length, constant := norms[0].Results[0].Type.Shape.At(-1).Const()
	can := widthsOf(r, func(w int) bool { return constant && length%int64(w) == 0 })
	return eachWidth(can, func(w int) kernel.RowNorm { return kernel.RowNorm{Length: length, Width: w} })
}

// eachWidth yields a kernel for each number of elements a load.
func eachWidth[K kernel.Kernel](widths []int, of func(w int) K) iter.Seq[K] {
	return func(yield func(K) bool) {
		for _, w := range widths {
			if !yield(of(w)) {
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

// elementWidths lists the elements a load of a region's results by element. A run of squares
// is one element of its result.
func elementWidths(r *task.Region, parts []task.Elements) []int {
	widths := widthsOf(r, func(w int) bool { return divides(parts, w) })
	if r.Has(ir.OpSumSquares) {
		return widths[len(widths)-1:]
	}
	return widths
}

// positionCandidates yields kernels with a threadgroup a position, where one can make all of
// it, and computes its cosines and sines once.
func positionCandidates(r *task.Region, t *target.Target) iter.Seq[kernel.Positions] {
	parts := task.ElementsOf(r)
	if !task.AtOnePosition(r, parts) {
		return none[kernel.Positions]
	}
	return func(yield func(kernel.Positions) bool) {
		for _, w := range elementWidths(r, parts) {
			if k, ok := positionsOf(parts, w, t); ok && !yield(k) {
				return
			}
		}
	}
}

// elementCandidates yields kernels with a thread a few elements.
func elementCandidates(r *task.Region, _ *target.Target) iter.Seq[kernel.Elements] {
	return eachWidth(elementWidths(r, task.ElementsOf(r)), func(w int) kernel.Elements { return kernel.Elements{Width: w} })
}
