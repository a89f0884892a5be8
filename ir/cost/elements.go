package cost

import (
	"math"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

// positionsOf returns the kernel with a threadgroup a position for results of which each
// thread turns width pairs at once; false where they do not divide.
func positionsOf(parts []task.Elements, width int, t *target.Target) (kernel.Positions, bool) {
	k := kernel.Positions{Width: width, Largest: t.Limits.Threads}
	for _, p := range parts {
		half := p.Space.Dims[2].C / 2
		if half%int64(width) != 0 {
			return k, false
		}
		k.Units += int(p.Space.Dims[0].C * half / int64(width))
	}
	return k, true
}

// divides reports whether rows of all parts divide into loads of width elements.
func divides(parts []task.Elements, width int) bool {
	for _, p := range parts {
		if _, err := p.Grid(width); err != nil {
			return false
		}
	}
	return true
}

// HeadsOf returns how norms of heads and the rotation behind them are dealt out.
func HeadsOf(parts []task.Elements, t *target.Target) kernel.Heads {
	k := kernel.Heads{}
	for _, p := range parts {
		k.Heads += p.Space.Dims[0].C
	}
	k.Simdgroups = min(int(k.Heads), t.Limits.Threads/t.Limits.SIMDWidth)
	return k
}

// turnBytes is the threadgroup memory of the cosines and sines of one position, of each
// rotation that differs in its frequencies or where it begins.
func turnBytes(r *task.Region, parts []task.Elements) int {
	type turn struct {
		frequencies *ir.Value
		start       sym.Dim
	}
	bytes := 0
	seen := map[turn]bool{}
	for _, p := range parts {
		for _, n := range p.Rotations(r) {
			if at := (turn{n.Args[1], n.Attr.Start}); !seen[at] {
				seen[at] = true
				bytes += 2 * kernel.Rounded(int(4*n.Results[0].Type.Shape.At(2).C/2))
			}
		}
	}
	return bytes
}

// byHead fills in the grid of norms of heads, a threadgroup a position.
func (m *model) byHead(k *Kernel) {
	if m.err != nil {
		return
	}
	if parts := task.ElementsOf(m.region); task.AtOnePosition(m.region, parts) {
		k.Groups, k.Threads = float64(parts[0].Space.Dims[1].Eval(m.Env)), float64(HeadsOf(parts, m.Target).Threads())
		k.Shared = turnBytes(m.region, parts)
	}
}

// byElement fills in the grid of a kernel by element.
func (m *model) byElement(k *Kernel) {
	if m.err != nil {
		return
	}
	parts := task.ElementsOf(m.region)
	switch as := m.chosen().(type) {
	case kernel.Positions:
		k.Groups, k.Threads = float64(parts[0].Space.Dims[1].Eval(m.Env)), float64(as.Threads())
		k.Shared = turnBytes(m.region, parts)
	case kernel.Elements:
		k.Threads = float64(as.Threads())
		columns, rows := 0.0, int64(1)
		for _, p := range parts {
			g, err := p.Grid(as.Width)
			if err != nil {
				return
			}
			columns = max(columns, math.Ceil(float64(g.Columns.Eval(m.Env))/k.Threads))
			rows = max(rows, g.Rows.Eval(m.Env))
		}
		k.Groups = columns * float64(rows) * float64(len(parts))
	}
}

// byRow fills in the grid of a norm, a threadgroup a row.
func (m *model) byRow(k *Kernel, norm *ir.Node) {
	length := norm.Results[0].Type.Shape.At(-1).Eval(m.Env)
	k.Groups = m.rows(norm)
	as := kernel.RowNorm{Length: length, Width: widthOf(length)}
	if chosen, ok := m.chosen().(kernel.RowNorm); ok {
		as = chosen
	}
	k.Threads, k.Shared = float64(as.Threads()), as.Bytes()
}

// argmax returns the two kernels of argmax alone.
func (m *model) argmax(k Kernel, n *ir.Node) []Kernel {
	shape := n.Args[0].Type.Shape
	if m.err != nil {
		return []Kernel{k}
	}
	return argmaxKernels(k, m.chosen(), shape.At(0).Eval(m.Env), m.Target)
}

// argmaxKernels adds to k, which has what argmax reads and writes, its grid as it is dealt
// out over so many rows, and the merge of parts.
func argmaxKernels(k Kernel, as kernel.Kernel, rows int64, t *target.Target) []Kernel {
	switch as := as.(type) {
	case kernel.ArgmaxRow:
		k.Groups, k.Threads, k.Shared = float64(rows), float64(as.Threads()), kernel.BestBytes(as.Threads())
	case kernel.ArgmaxParts:
		k.Groups, k.Threads, k.Shared = float64(as.Parts()*rows), float64(as.Threads()), kernel.BestBytes(as.Threads())
		return []Kernel{k, argmaxMerge(as.Parts(), rows, t)}
	}
	return []Kernel{k}
}

func argmaxMerge(parts, rows int64, t *target.Target) Kernel {
	as := kernel.ArgmaxMerge{Parts: parts, Largest: t.Limits.Threads}
	return Kernel{Name: "argmax_merge", Cache: float64(8 * parts * rows), Groups: float64(rows), Threads: float64(as.Threads()), Shared: kernel.BestBytes(as.Threads())}
}
