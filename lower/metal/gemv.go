package metal

import (
	"fmt"
	"math"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/plan"
)

// gemv is a region around matrix products of one operand: the prologue makes the
// operand, each part owns some of the weights and what happens to their rows.
type gemv struct {
	r     *region
	x     *ir.Value // the products' first operand
	norm  *ir.Node  // rms_norm or rms_scale that makes it, or nil
	inner *ir.Value // what the prologue computes by element: x, or the norm's operand
	depth int64     // K
	rows  sym.Dim   // T
	parts []*gemvPart
	extra []int // results that the prologue makes

	simds, perTeam, vectors int // simdgroups, rows of a team, vectors of a threadgroup
	teams                   int // of a simdgroup: each has rows of its own
	share                   int // simdgroups that share the chunks of their rows
	loads, held             int // registers of a lane for chunks on their way in main, and across the prologue
	segment                 int64
	direct                  bool // the operand is read where it lies
	chunked                 bool // the operand is staged in the order of chunks
	early                   *early
}

func (r *region) lowerGEMV() (*lowering, error) {
	if n := r.g.Nodes()[0]; len(r.g.Nodes()) == 1 && !n.Args[1].Type.Shape.At(0).IsConst() {
		return r.lowerBatched() // a product of two activations
	}
	g, err := r.analyseGEMV()
	if err != nil {
		return nil, err
	}
	if t, ok := g.tiled(); ok {
		return t.lower()
	}
	g.tune()
	k, err := g.emit()
	if err != nil {
		return nil, err
	}
	for _, p := range g.parts {
		for _, j := range p.best {
			return r.withMerge(k, g.rows, k.grid[0].N.C, j)
		}
	}
	return &lowering{kernels: []*kernel{k}}, nil
}

// analyseGEMV finds prologue, parts and extra results, or says what has no place.
func (r *region) analyseGEMV() (*gemv, error) {
	products := r.nodes(ir.OpMatmulNT)
	g := &gemv{r: r, x: products[0].Args[0]}
	for i, p := range products {
		if p.Args[0] != g.x {
			return nil, fmt.Errorf("matrix products of different operands do not share a kernel")
		}
		if p.Args[1].Param == nil {
			return nil, fmt.Errorf("the weight of a matrix product is made in the region")
		}
		if !r.operands[p.Args[1].Index].layout.isContiguous(p.Args[1].Type.Shape) {
			return nil, fmt.Errorf("the weight of a matrix product is a view that is not row-major")
		}
		for _, q := range products[:i] {
			a, b := p.Args[1], q.Args[1]
			if a.Type.DType == b.Type.DType && r.operands[a.Index].planes != r.operands[b.Index].planes {
				return nil, fmt.Errorf("weights of %s in planes and in blocks do not share a kernel", a.Type.DType)
			}
		}
	}
	var ok bool
	if g.depth, ok = g.x.Type.Shape.At(1).Const(); !ok {
		return nil, fmt.Errorf("rows of %s have no constant length", g.x.Type)
	}
	g.rows, g.inner = g.x.Type.Shape.At(0), g.x
	if g.x.Def != nil && (g.x.Def.Op == ir.OpRMSNorm || g.x.Def.Op == ir.OpRMSScale) {
		g.norm, g.inner = g.x.Def, g.x.Def.Args[0]
	}
	if err := g.formParts(products); err != nil {
		return nil, err
	}
	return g, nil
}

// run returns the longest run of rows that an epilogue sums up, 1 without any.
func (g *gemv) run() int {
	run := 1
	for _, p := range g.parts {
		for _, j := range p.sums {
			run = max(run, int(g.r.g.Results[j].Value.Def.Attr.Size.C))
		}
	}
	return run
}

// tune chooses rows a team, teams a simdgroup, simdgroups a threadgroup and vectors
// a threadgroup from the target's numbers.
func (g *gemv) tune() {
	t := g.r.target
	total, unit := int64(0), 1
	for _, p := range g.parts {
		total += p.units() * int64(p.rowsPerUnit())
		unit = max(unit, p.rowsPerUnit())
	}
	g.direct = g.norm == nil && g.readsDirectly()
	g.chunked = g.inChunks()
	g.teams = 1
	if chunks := g.depth / int64(g.widest()); g.chunked && (g.direct || (chunks+15)/16*16 < (chunks+31)/32*32) {
		g.teams = 2 // lanes of half a simdgroup idle less, and what a slice holds serves twice the rows
	}
	rounds := (g.depth/int64(g.widest()) + g.seats() - 1) / g.seats()
	if !g.rows.IsConst() {
		rounds = 1 // many vectors keep the cores busy as it is
	}
	n := int64(g.teams)
	deal := func(rows int64, unit int, rounds, run int64, t *target.Target) cost.Deal {
		return cost.GEMV(rows, unit, rounds, run, g.direct, t)
	}
	if g.direct && g.chunked && g.rows == sym.Const(1) {
		deal = cost.Sliced
	}
	d := deal((total+n-1)/n, unit, rounds, (int64(g.run())+n-1)/n, t)
	g.perTeam, g.share, g.simds, g.loads, g.held = d.PerSimd, d.Share, d.Simds, preloadRegisters, preloadRegisters
	switch {
	case g.chunked:
		g.loads = chunkRegisters
		if d.Queued {
			g.held = chunkRegisters
		}
		if !g.direct && g.perTeam > max(unit, 2) && d.Share == 1 {
			g.perTeam = max(unit, 2)
		}
	case d.Queued && !g.direct:
		g.loads = t.LoadAhead
	}
	g.vectors = 1
	if n, ok := g.rows.Const(); !ok {
		g.vectors = 4
	} else if n > 1 {
		g.vectors = int(min(n, 4))
	}
	// A staged operand leaves room for the partial sums and the shares.
	left := func() int64 {
		return int64(t.Limits.ThreadgroupBytes - 4*g.simds*g.vectors*(1+g.perTeam*g.teams) - 128)
	}
	room := left()
	for !g.direct && g.vectors > 1 && g.staged(g.depth)*4*int64(g.vectors) > room {
		g.vectors /= 2
		room = left()
	}
	g.segment = g.depth
	if !g.direct && g.staged(g.depth)*4 > room {
		g.segment = room / 5 / 2048 * 2048
	}
}

// chunkRegisters is what a lane may spend on chunks of levels loaded ahead, and where
// simdgroups wait for others across the prologue: such chunks keep lanes busy, not the
// memory, and simdgroups in flight hide more than loads ahead do. For the same reason a
// team takes no more than two rows, or a unit, of a staged vector: with four, registers
// leave room for two threadgroups of 256 threads a core instead of four.
const chunkRegisters = 16

// chunkWeights is the weights of a chunk in whose order operands can be staged.
const chunkWeights = 32

// inChunks reports whether all weights come in chunks of one format in whose order
// the operand can be staged.
func (g *gemv) inChunks() bool {
	t, same := g.sameFormat()
	return same && t.Quantised() && g.width(t) == chunkWeights
}

// sliced reports whether simdgroups bring what their chunks meet from device memory
// to threadgroup memory of their own.
func (g *gemv) sliced() bool {
	return g.direct && g.chunked && g.rows == sym.Const(1) && g.fixedWeights() && g.sliceRounds() > 0
}

// sliceBytes is the threadgroup memory that a round of chunks takes in a slice.
func (g *gemv) sliceBytes() int64 { return g.seats() * 4 * (chunkWeights + 4) }

// mostRounds is how many rounds of chunks can be loaded together besides what
// registers hold: those that have room for their slices.
func (g *gemv) mostRounds() int {
	if !g.sliced() {
		return math.MaxInt
	}
	return g.sliceRounds()
}

// sliceRounds is how many rounds' slices have room in threadgroup memory, beside the
// shares and the squares of rows.
func (g *gemv) sliceRounds() int {
	room := g.r.target.Limits.ThreadgroupBytes - 8*g.simds*g.teams*g.perTeam - 256
	return room / g.simds / int(g.sliceBytes())
}

// seats is the lanes of a team.
func (g *gemv) seats() int64 { return 32 / int64(g.teams) }

// widest is the most elements that a lane loads at once from any weight.
func (g *gemv) widest() int {
	w := 1
	for _, p := range g.parts {
		for _, q := range p.products {
			w = max(w, g.width(q.Args[1].Type.DType))
		}
	}
	return w
}

// owners are the teams, or groups of them, that own rows of their own.
func (g *gemv) owners() int { return g.simds / g.share * g.teams }

// staged is the length of a staged vector of n elements, in floats: whole pairs of
// quads, or chunks with a gap behind each.
func (g *gemv) staged(n int64) int64 {
	if g.chunked {
		return n / chunkWeights * (chunkWeights + 4)
	}
	return (n + 7) / 8 * 8
}

// readsDirectly reports whether the operand lies as rows at a constant stride.
func (g *gemv) readsDirectly() bool {
	if g.inner.Param == nil || g.r.operandType(g.inner.Index) != dtype.F32 {
		return false
	}
	l := g.r.operands[g.inner.Index].layout
	return constant(l.stride[0]) && l.stride[0].C%4 == 0 && constant(l.off) && l.off.C%4 == 0 &&
		(l.stride[1] == sym.Poly{C: 1} || g.depth == 1)
}

func (g *gemv) width(t dtype.Type) int { return g.r.tuning.weightWidth(g.format(t), g.depth) }

// name is such as rmsnorm_qkv_896x1152_f16.
func (g *gemv) name() string {
	rows, t := int64(0), dtype.Invalid
	mixed := false
	for _, p := range g.parts {
		for _, q := range p.products {
			rows += p.n
			mixed = mixed || t != dtype.Invalid && t != q.Args[1].Type.DType
			t = q.Args[1].Type.DType
		}
	}
	suffix := t.String()
	if mixed {
		suffix = "mixed"
	}
	name := fmt.Sprintf("%s_%dx%d_%s", identifier(g.r.name), g.depth, rows, suffix)
	if !g.rows.IsConst() {
		name += "_many"
	}
	return name
}

func (g *gemv) emit() (*kernel, error) {
	k := newKernel(g.name(), g.r.about(plan.ProductRows))
	k.threads = g.simds * 32
	if g.rows == sym.Const(1) {
		g.early = &early{k: k}
	}
	for _, p := range []struct {
		name  string
		value int
	}{{"K", int(g.depth)}, {"rows_per_team", g.perTeam}, {"teams", g.teams}, {"simdgroups", g.simds}, {"share", g.share}, {"vectors", g.vectors}, {"segment", int(g.segment)}} {
		k.param(p.name, p.value)
	}
	k.use("main/gemv.metal", "prologue/staged.metal", "common/load.metal")
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	groups := int64(0)
	var begins []int64
	for _, p := range g.parts {
		begins = append(begins, groups)
		perGroup := int64(g.owners() * g.perTeam / p.rowsPerUnit())
		groups += (p.units() + perGroup - 1) / perGroup
	}
	k.grid[0].N = sym.Const(groups)
	k.grid[1] = plan.GridDim{N: g.rows, Div: int64(g.vectors)}

	k.phase("Rows of this team.")
	k.line("constexpr uint ROWS = %du, VECTORS = %du;", g.perTeam, g.vectors)
	k.line("device const uchar *row[ROWS];")
	k.line("uint unit;")
	if g.teams > 1 {
		k.line("const uint team = simd * %du + lane / %du, seat = lane %% %du;", g.teams, g.seats(), g.seats())
	}
	if g.share > 1 {
		k.line("const uint owner = %s, share = simd %% %du, share_lane = share * %du + %s;", g.shareOwner(), g.share, g.seats(), g.seat())
	}
	for i, p := range g.parts {
		g.choose(k, i, begins, func() { g.pickRows(k, p, begins[i]) })
	}
	preload := g.preload(k)
	k.ready()
	x, partial := g.operand(k)
	if err := g.main(k, x, partial, preload, begins); err != nil {
		return nil, err
	}
	k.phase("Epilogue: one lane a unit and vector.")
	var taken [2][][]string
	for i, p := range g.parts {
		var err error
		g.choose(k, i, begins, func() { err = g.epilogue(k, p, partial) })
		if err != nil {
			return nil, err
		}
		if g.early != nil {
			taken[0] = append(taken[0], g.early.end(false))
			taken[1] = append(taken[1], g.early.end(true))
		}
	}
	g.placeEarly(k, taken, begins)
	return k, nil
}

// choose writes body for part i: bare where there is one part, otherwise under
// the range of threadgroups that the part owns.
func (g *gemv) choose(k *kernel, i int, begins []int64, body func()) {
	switch {
	case len(g.parts) == 1:
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
func (g *gemv) pickRows(k *kernel, p *gemvPart, begin int64) {
	units := g.perTeam / p.rowsPerUnit()
	group := "group.x"
	if begin > 0 {
		group = fmt.Sprintf("(group.x - %du)", begin)
	}
	k.line("unit = (%s * %du + %s) * %du;", group, g.owners(), g.owner(), units)
	k.open("for (uint u = 0u; u < %du; u++)", units)
	n := "n"
	k.line("const uint n = min(unit + u, %du);", p.units()-1)
	half := p.headDim() / 2
	if p.pair {
		n = fmt.Sprintf("(n / %du * %du + n %% %du)", half, 2*half, half)
	}
	at := 0
	for _, q := range p.products {
		w := q.Args[1]
		bytes := g.r.format(w).rowBytes(w.Type.DType, g.depth)
		name := k.slot(ref{refArg, w.Index}, g.r.argName(w.Index), pointee(w.Type.DType), plan.Read)
		k.line("row[u * %du + %du] = (device const uchar *)%s + ulong(%s) * %du;", p.rowsPerUnit(), at, name, n, bytes)
		at++
		if p.pair {
			k.line("row[u * %du + %du] = row[u * %du + %du] + %dul;", p.rowsPerUnit(), at, p.rowsPerUnit(), at-1, half*bytes)
			at++
		}
	}
	k.close()
}

// owner and lane are the number of the lane's team and of the lane among those that
// own other rows, and among those that share rows; seat is the lane's in its team,
// team its team's number in the threadgroup.
func (g *gemv) owner() string {
	if g.share > 1 {
		return "owner"
	}
	return g.team()
}

func (g *gemv) shareOwner() string {
	if g.teams > 1 {
		return fmt.Sprintf("simd / %du * %du + lane / %du", g.share, g.teams, g.seats())
	}
	return fmt.Sprintf("simd / %du", g.share)
}

func (g *gemv) lane() string {
	if g.share > 1 {
		return "share_lane"
	}
	return g.seat()
}

func (g *gemv) seat() string {
	if g.teams > 1 {
		return "seat"
	}
	return "lane"
}

func (g *gemv) team() string {
	if g.teams > 1 {
		return "team"
	}
	return "simd"
}

// lanes is how many lanes share the chunks of a row.
func (g *gemv) lanes() int64 { return g.seats() * int64(g.share) }

// format returns how weights of t are read; those of one dtype lie alike.
func (g *gemv) format(t dtype.Type) format {
	for _, p := range g.parts {
		for _, q := range p.products {
			if q.Args[1].Type.DType == t {
				return g.r.format(q.Args[1])
			}
		}
	}
	f, _ := formatOf(t)
	return f
}

// sameFormat returns the dtype that all weights have.
func (g *gemv) sameFormat() (dtype.Type, bool) {
	t := g.parts[0].products[0].Args[1].Type.DType
	for _, p := range g.parts {
		for _, q := range p.products {
			if q.Args[1].Type.DType != t {
				return t, false
			}
		}
	}
	return t, true
}
