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

// headsOf returns how norms of heads and the rotation behind them are dealt out.
func headsOf(parts []task.Elements, t *target.Target) kernel.Heads {
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

// byHead deals out norms of heads, a threadgroup a position.
func (m *model) byHead(k Kernel, as kernel.Heads) []Kernel {
	parts := task.ElementsOf(m.region)
	k.Groups, k.Threads = float64(parts[0].Space.Dims[1].Eval(m.Env)), float64(as.Threads())
	k.Shared = turnBytes(m.region, parts)
	return m.single(k)
}

// byPosition deals out results by element with a threadgroup a position.
func (m *model) byPosition(k Kernel, as kernel.Positions) []Kernel {
	parts := task.ElementsOf(m.region)
	k.Groups, k.Threads = float64(parts[0].Space.Dims[1].Eval(m.Env)), float64(as.Threads())
	k.Shared = turnBytes(m.region, parts)
	return m.single(k)
}

// byElement deals out results by element with a thread a few of them.
func (m *model) byElement(k Kernel, as kernel.Elements) []Kernel {
	k.Threads = float64(as.Threads())
	columns, rows := 0.0, int64(1)
	parts := task.ElementsOf(m.region)
	for _, p := range parts {
		g, err := p.Grid(as.Width)
		if err != nil {
			return m.single(k)
		}
		columns = max(columns, math.Ceil(float64(g.Columns.Eval(m.Env))/k.Threads))
		rows = max(rows, g.Rows.Eval(m.Env))
	}
	k.Groups = columns * float64(rows) * float64(len(parts))
	return m.single(k)
}

// norm deals out a norm, a threadgroup a row, as one that has no kernel would be, too.
func (m *model) norm(k Kernel, as kernel.Kernel) []Kernel {
	if as, ok := as.(kernel.RowNorm); ok {
		return m.byRow(k, as)
	}
	length := m.theNorm().Results[0].Type.Shape.At(-1).Eval(m.Env)
	return m.byRow(k, kernel.RowNorm{Length: length, Width: widthOf(length)})
}

// theNorm returns the last norm of the node.
func (m *model) theNorm() *ir.Node {
	var norm *ir.Node
	for _, n := range m.ops {
		if n.Op == ir.OpRMSNorm || n.Op == ir.OpRMSScale {
			norm = n
		}
	}
	return norm
}

func (m *model) byRow(k Kernel, as kernel.RowNorm) []Kernel {
	k.Groups, k.Threads, k.Shared = m.rows(m.theNorm()), float64(as.Threads()), as.Bytes()
	return m.single(k)
}

// sample deals out a sample: what its first kernel leaves of a row all others read again, but
// the last, which reads a part. Settings may spare most of them; they cost their dispatch then.
func (m *model) sample(k Kernel, as kernel.Sample) (out []Kernel) {
	rows := m.elems(m.ops[0].Results[0].Type)
	for i, x := range as.Kernels() {
		one, between := Kernel{Name: x.Name}, 4*rows*float64(as.Parts()*kernel.SamplePart)
		switch {
		case i == 0:
			one = k
		case x.Groups == 1:
			between = rows * float64(4*kernel.SamplePart+16*as.Parts())
		}
		one.touch(between, false, m.Target)
		one.Groups, one.Threads, one.Shared = rows*float64(x.Groups), float64(as.Threads()), x.Bytes
		out = append(out, one)
	}
	return out
}

func argmaxMerge(parts, rows int64, t *target.Target) Kernel {
	as := kernel.ArgmaxMerge{Parts: parts, Largest: t.Limits.Threads}
	return Kernel{Name: "argmax_merge", Cache: float64(8 * parts * rows), Groups: float64(rows), Threads: float64(as.Threads()), Shared: kernel.BestBytes(as.Threads())}
}
