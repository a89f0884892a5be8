package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// gemv is a product over rows of its weights on its way to text.
type gemv struct {
	*task.Product
	choice.ProductRows
	r       *region
	early   *early
	squares string // threadgroup memory for the squares of heads, once it is there
}

func (r *region) lowerProduct(chosen choice.Kernel) *lowering {
	if n := r.g.Nodes()[0]; len(r.g.Nodes()) == 1 && !n.Args[1].Type.Shape.At(0).IsConst() {
		return r.lowerBatched(chosen) // a product of two activations
	}
	p, _ := task.ProductOf(r.asked) // cost has asked
	g := &gemv{Product: p, r: r}
	switch k := chosen.(type) {
	case choice.ProductTiles:
		return alone(inTiles(g, k).emit())
	case choice.ProductMatrices:
		return alone(inMatrices(g, k).emit())
	case choice.ProductRows:
		g.ProductRows = k
	}
	k := g.emit()
	for _, p := range g.Parts {
		for _, j := range p.Best {
			return r.withMerge(k, g.Tokens, k.grid[0].N.C, j)
		}
	}
	return alone(k)
}

// rounds is how often lanes load chunks before they use the first.
func (g *gemv) rounds() task.Rounds {
	return task.Rounds{Product: g.Product, Rows: g.ProductRows, Room: g.r.target.Limits.ThreadgroupBytes}
}

func (g *gemv) width(t dtype.Type) int { return g.rounds().Width(t) }

// name is such as rmsnorm_qkv_896x1152_f16.
func (g *gemv) name() string {
	rows, t := int64(0), dtype.Invalid
	mixed := false
	for _, p := range g.Parts {
		for _, q := range p.Products {
			rows += p.Each
			mixed = mixed || t != dtype.Invalid && t != q.Args[1].Type.DType
			t = q.Args[1].Type.DType
		}
	}
	suffix := t.String()
	if mixed {
		suffix = "mixed"
	}
	name := fmt.Sprintf("%s_%dx%d_%s", identifier(g.r.name), g.Length, rows, suffix)
	if !g.Tokens.IsConst() {
		name += "_many"
	}
	return name
}

func (g *gemv) emit() *kernel {
	k := newKernel(g.name(), g.r.identity(plan.ProductRows))
	k.threads = g.Simdgroups * 32
	if g.Tokens == sym.Const(1) {
		g.early = &early{k: k}
	}
	for _, p := range []struct {
		name  string
		value int
	}{{"K", int(g.Length)}, {"rows_per_team", g.PerTeam}, {"teams", g.Teams}, {"simdgroups", g.Simdgroups}, {"share", g.Share}, {"vectors", g.Vectors}, {"segment", int(g.Segment)}} {
		k.param(p.name, p.value)
	}
	k.use("main/gemv.metal", "prologue/staged.metal", "common/load.metal")
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	groups := int64(0)
	var begins []int64
	for _, p := range g.Parts {
		begins = append(begins, groups)
		perGroup := int64(g.Owners() * g.PerTeam / p.RowsPerUnit())
		groups += (p.Units() + perGroup - 1) / perGroup
	}
	k.grid[0].N = sym.Const(groups)
	k.grid[1] = plan.GridDim{N: g.Tokens, Div: int64(g.Vectors)}

	k.phase("Rows of this team.")
	k.line("constexpr uint ROWS = %du, VECTORS = %du;", g.PerTeam, g.Vectors)
	k.line("device const uchar *row[ROWS];")
	k.line("uint unit;")
	if g.Teams > 1 {
		k.line("const uint team = simd * %du + lane / %du, seat = lane %% %du;", g.Teams, g.Seats(), g.Seats())
	}
	if g.Share > 1 {
		k.line("const uint owner = %s, share = simd %% %du, share_lane = share * %du + %s;", g.shareOwner(), g.Share, g.Seats(), g.seat())
	}
	for i, p := range g.Parts {
		g.choose(k, i, begins, func() { g.pickRows(k, p, begins[i]) })
	}
	preload := g.preload(k)
	k.ready()
	x, partial := g.operand(k)
	g.main(k, x, partial, preload, begins)
	k.phase("Epilogue: one lane a unit and vector.")
	var taken [2][][]string
	for i, p := range g.Parts {
		g.choose(k, i, begins, func() { g.epilogue(k, p, partial) })
		if g.early != nil {
			taken[0] = append(taken[0], g.early.end(false))
			taken[1] = append(taken[1], g.early.end(true))
		}
	}
	g.placeEarly(k, taken, begins)
	return k
}

// choose writes body for part i: bare where there is one part, otherwise under
// the range of threadgroups that the part owns.
func (g *gemv) choose(k *kernel, i int, begins []int64, body func()) {
	switch {
	case len(g.Parts) == 1:
		body()
		return
	case i == 0:
		k.open("if (group.x < %du)", begins[1])
	case i < len(begins)-1:
		k.open("else if (group.x < %du)", begins[i+1])
	default:
		k.open("else")
	}
	body()
	k.close()
}

// pickRows points row[] at the simdgroup's rows; units beyond the end repeat the
// last one and are not stored.
func (g *gemv) pickRows(k *kernel, p *task.Part, begin int64) {
	units := g.PerTeam / p.RowsPerUnit()
	group := "group.x"
	if begin > 0 {
		group = fmt.Sprintf("(group.x - %du)", begin)
	}
	k.line("unit = (%s * %du + %s) * %du;", group, g.Owners(), g.owner(), units)
	k.open("for (uint u = 0u; u < %du; u++)", units)
	n := "n"
	k.line("const uint n = min(unit + u, %du);", p.Units()-1)
	half := p.HeadDim() / 2
	if p.Pair {
		n = fmt.Sprintf("(n / %du * %du + n %% %du)", half, 2*half, half)
	}
	at := 0
	for _, q := range p.Products {
		w := q.Args[1]
		bytes := g.r.format(w).rowBytes(w.Type.DType, g.Length)
		name := k.slot(ref{refArg, w.Index}, g.r.argName(w.Index), pointee(w.Type.DType), plan.Read)
		k.line("row[u * %du + %du] = (device const uchar *)%s + ulong(%s) * %du;", p.RowsPerUnit(), at, name, n, bytes)
		at++
		if p.Pair {
			k.line("row[u * %du + %du] = row[u * %du + %du] + %dul;", p.RowsPerUnit(), at, p.RowsPerUnit(), at-1, half*bytes)
			at++
		}
	}
	k.close()
}

// owner and lane are the number of the lane's team and of the lane among those that
// own other rows, and among those that share rows; seat is the lane's in its team,
// team its team's number in the threadgroup.
func (g *gemv) owner() string {
	if g.Share > 1 {
		return "owner"
	}
	return g.team()
}

func (g *gemv) shareOwner() string {
	if g.Teams > 1 {
		return fmt.Sprintf("simd / %du * %du + lane / %du", g.Share, g.Teams, g.Seats())
	}
	return fmt.Sprintf("simd / %du", g.Share)
}

func (g *gemv) lane() string {
	if g.Share > 1 {
		return "share_lane"
	}
	return g.seat()
}

func (g *gemv) seat() string {
	if g.Teams > 1 {
		return "seat"
	}
	return "lane"
}

func (g *gemv) team() string {
	if g.Teams > 1 {
		return "team"
	}
	return "simd"
}

// lanes is how many lanes share the chunks of a row.
func (g *gemv) lanes() int64 { return g.rounds().Lanes() }

// format returns how weights of t are read; those of one dtype lie alike.
func (g *gemv) format(t dtype.Type) format {
	for _, p := range g.Parts {
		for _, q := range p.Products {
			if q.Args[1].Type.DType == t {
				return g.r.format(q.Args[1])
			}
		}
	}
	f, _ := formatIn(ir.Type{DType: t}, false)
	return f
}
