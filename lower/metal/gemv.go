package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// gemv is a product over rows of its weights on its way to text.
type gemv struct {
	*task.Product
	choice.ProductRows
	r     *region
	early *early

	count, vectors    *msl.Value // rows of a team, and vectors
	row, unit, first  *msl.Value // the team's rows of weights, its first unit, and the first vector
	team, seat        *msl.Value
	owner, own, share *msl.Value
	acc, loaded       *msl.Value   // sums, and weights that were loaded before the ready point
	staged, partial   *msl.Value   // the vectors in threadgroup memory, and partial sums of a norm
	squared           *msl.Value   // the lane's sums of the squares of vectors
	heads             *msl.Value   // threadgroup memory for the squares of heads, once it is there
	where             []*msl.Value // conditions of threadgroups that have a part
}

// product is the region's product on its way to text.
func (r *region) product() *gemv {
	p, _ := task.ProductOf(r.asked) // cost has asked
	return &gemv{Product: p, r: r}
}

// productRows writes a product over rows of its weights, and the argmax that stands beside it.
func (r *region) productRows(chosen choice.ProductRows) *lowering {
	g := r.product()
	g.ProductRows = chosen
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
	k.threads = g.Threads()
	if g.LoadsEarly() {
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
	g.count, g.vectors, g.row, g.unit = msl.Variable("ROWS"), msl.Variable("VECTORS"), msl.Variable("row"), msl.Variable("unit")
	k.add(&msl.Declare{Type: constexpr, Of: []msl.Declared{{Variable: g.count, Value: u(g.PerTeam)}, {Variable: g.vectors, Value: u(g.Vectors)}}})
	k.add(msl.Array(bytesOfDevice, g.row, g.count), msl.Array(uintType, g.unit, nil))
	g.teams(k)
	for _, end := range begins[1:] {
		g.where = append(g.where, groupX.Less(u(end)))
	}
	g.where = append(g.where, nil) // what is left
	k.choose(g.where, func(i int) { g.pickRows(k, g.Parts[i], begins[i]) })
	preload := g.preload(k)
	k.ready()
	g.first = k.let(constUint, "first", groupY.Mul(g.vectors))
	g.main(k, g.operand(k), preload)
	k.phase("Epilogue: one lane a unit and vector.")
	var taken [2][][]msl.Statement
	k.choose(g.where, func(i int) {
		g.epilogue(k, g.Parts[i])
		if g.early != nil {
			taken[0] = append(taken[0], g.early.end(false))
			taken[1] = append(taken[1], g.early.end(true))
		}
	})
	g.placeEarly(k, taken)
	return k
}

// teams declares which team and seat the lane has, and which rows and lane among those that
// share rows. Owner and own are the number of the lane's team and of the lane among those
// that own other rows, and among those that share rows; seat is the lane's in its team,
// team its team's number in the threadgroup.
func (g *gemv) teams(k *kernel) {
	g.team, g.seat, g.share = simd, lane, nil
	if g.Teams > 1 {
		g.team, g.seat = msl.Variable("team"), msl.Variable("seat")
		k.add(&msl.Declare{Type: constUint, Of: []msl.Declared{
			{Variable: g.team, Value: simd.Mul(u(g.Teams)).Add(lane.Div(u(g.Seats())))},
			{Variable: g.seat, Value: lane.Mod(u(g.Seats()))},
		}})
	}
	g.owner, g.own = g.team, g.seat
	if g.Share > 1 {
		owner := simd.Div(u(g.Share))
		if g.Teams > 1 {
			owner = owner.Mul(u(g.Teams)).Add(lane.Div(u(g.Seats())))
		}
		g.owner, g.share, g.own = msl.Variable("owner"), msl.Variable("share"), msl.Variable("share_lane")
		k.add(&msl.Declare{Type: constUint, Of: []msl.Declared{
			{Variable: g.owner, Value: owner}, {Variable: g.share, Value: simd.Mod(u(g.Share))},
			{Variable: g.own, Value: g.share.Mul(u(g.Seats())).Add(g.seat)},
		}})
	}
}

// pickRows points row[] at the simdgroup's rows; units beyond the end repeat the
// last one and are not stored.
func (g *gemv) pickRows(k *kernel, p *task.Part, begin int64) {
	per := p.RowsPerUnit()
	units := g.PerTeam / per
	group := groupX
	if begin > 0 {
		group = group.Sub(u(begin))
	}
	k.add(msl.Set(g.unit, group.Mul(u(g.Owners())).Add(g.owner).Mul(u(units))))
	k.loop("u", u(0), u(units), nil, func(i *msl.Value) {
		n := k.let(constUint, "n", msl.Min(g.unit.Add(i), u(p.Units()-1)))
		half := p.HeadDim() / 2
		if p.Pair {
			n = n.Div(u(half)).Mul(u(2 * half)).Add(n.Mod(u(half))).Paren()
		}
		row := func(at int) *msl.Value { return g.row.At(i.Mul(u(per)).Add(u(at))) }
		at := 0
		for _, q := range p.Products {
			w := q.Args[1]
			bytes := g.r.format(w).rowBytes(w.Type.DType, g.Length)
			weights := k.slot(ref{refArg, w.Index}, g.r.argName(w.Index), pointee(w.Type.DType), plan.Read)
			k.add(msl.Set(row(at), weights.Cast("device const uchar *").Add(msl.Call("ulong", n).Mul(u(bytes)))))
			at++
			if p.Pair {
				k.add(msl.Set(row(at), row(at-1).Add(msl.Long(half*bytes))))
				at++
			}
		}
	})
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
