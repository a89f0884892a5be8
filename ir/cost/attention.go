package cost

import (
	"iter"
	"math"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

// A threadgroup of attention in tiles takes tileQueries rows of queries through
// the keys, so many at a time as one of tileKeys, where they have room.
const tileQueries = 64

var tileKeys = [...]int{64, 32}

// attentionTiles yields attention in tiles of heads of dim elements, as many keys at a time
// as there is room for on a target first.
func attentionTiles(dim int64, t *target.Target) iter.Seq[kernel.AttentionTiles] {
	return func(yield func(kernel.AttentionTiles) bool) {
		for _, keys := range tileKeys {
			k := kernel.AttentionTiles{Simdgroups: tileQueries / kernel.TileSide, Keys: keys}
			if k.Bytes(dim) <= t.Limits.ThreadgroupBytes && !yield(k) {
				return
			}
		}
	}
}

// bestAttention returns how a is dealt out: in tiles, a block of queries a threadgroup,
// where they can take it and are predicted to be faster for as many rows as the graph may
// have; row by row; or row by row in parts of the keys where that and a merge are
// predicted to be faster in a typical run.
func bestAttention(a *task.Attention, t *target.Target) kernel.Kernel {
	whole := bestOnePass(a, t)
	if parts := attentionRows(a, widthOf(a.Dim), true, t); parts.Parts > 1 && waves(a, parts, t) < waves(a, whole, t) {
		return parts
	}
	return whole
}

func bestOnePass(a *task.Attention, t *target.Target) kernel.Kernel {
	rows := attentionRows(a, widthOf(a.Dim), false, t)
	if !a.TakesTiles() {
		return rows
	}
	b, window := a.Region.Graph.Bounds, a.Window()
	tokens, keys := a.Rows.Max(b), a.Keys.Max(b)
	best, us, wait := kernel.Kernel(rows), attentionByRow(rows, a.Heads, tokens, seenOf(keys, window, 1), a.Dim, t).Us(t), 0.0
	for tiles := range attentionTiles(a.Dim, t) {
		k := tiledAttention(tiles, a.Heads, tokens, blockSeen(tiles, keys, window), a.Dim, t)
		// Of equals, the one that waits less, though it be hidden.
		if v := k.Us(t); v < us || v == us && k.WaitUs < wait {
			best, us, wait = tiles, v, k.WaitUs
		}
	}
	for units := range attentionMatrices(a.Dim, t) {
		k := attentionInMatrices(units, a.Heads, tokens, seenOf(keys, window, int64(units.Rows+units.Keys)), a.Dim, t)
		if v := k.Us(t); v < us || v == us && k.WaitUs < wait {
			best, us, wait = units, v, k.WaitUs
		}
	}
	return best
}

// waves is the predicted time of a's kernels in a typical run, one behind the other.
func waves(a *task.Attention, as kernel.Kernel, t *target.Target) (us float64) {
	e := Typical(a.Region.Graph.Bounds)
	var k Kernel
	for _, x := range [...]*ir.Value{a.Scores.Args[1], a.Weighted.Args[1]} {
		bytes := float64(x.Type.DType.Bytes(x.Type.Shape.At(0).C * seenOf(a.Keys.Eval(e), a.Window(), a.Rows.Eval(e)) * a.Dim))
		k.touch(bytes, a.Cache(x) != nil, t)
	}
	k.Cache += 2 * 4 * float64(a.Heads*a.Rows.Eval(e)*a.Dim) // queries and result
	work := &model{Run: Run{Target: t, Env: e}, region: a.Region}
	for _, k := range mainOf(attentionMains, as).deal(work, k, as) {
		us += Wave([]Kernel{k}, t)
	}
	return us
}

// widthOf is how many of d adjacent elements a lane loads at once.
func widthOf(d int64) int {
	for _, w := range widths {
		if d%int64(w) == 0 {
			return w
		}
	}
	return 1
}

// attentionRows returns how a is dealt out row by row with loads of width elements:
// lanes a key, simdgroups a row, and parts of the keys where they are asked for, whose
// number follows from the target and the longest context.
func attentionRows(a *task.Attention, width int, parts bool, t *target.Target) kernel.AttentionRows {
	b := a.Region.Graph.Bounds
	k := kernel.AttentionRows{Width: width, Lanes: 1, Ahead: 4}
	keys := seenOf(a.Keys.Max(b), a.Window(), 1)
	if parts {
		k.Parts = splits(a.Heads*a.Rows.Eval(Typical(b)), keys, t)
	}
	// Eight elements a lane, in loads of up to four, as far as the row divides.
	chunks := a.Dim / int64(width)
	for k.Lanes < 32 && chunks%int64(2*k.Lanes) == 0 && a.Dim/int64(2*k.Lanes) >= 8 {
		k.Lanes *= 2
	}
	mine := a.Dim / int64(k.Lanes)
	if mine > 16 {
		k.Ahead = 2
	}
	groups := a.Heads * a.Rows.Max(b) * max(k.Parts, 1)
	if k.Ahead > 2 && groups*16 < int64(t.Cores*t.CoreThreads/t.Limits.SIMDWidth) {
		k.Ahead = 2 // registers, since a row is going to have many simdgroups
	}
	k.Simdgroups = int(rowSIMDs(groups, keys/max(k.Parts, 1), a.Dim, int64(keysAtOnce(k)), t))
	if keys, values := a.Cache(a.Scores.Args[1]), a.Cache(a.Weighted.Args[1]); keys != nil && values != nil && a.Rows == sym.Const(1) {
		perKey := (keys.Type.DType.Bytes(mine) + values.Type.DType.Bytes(mine) + 3) / 4
		k.Early = int(preloadRegisters/perKey) / k.Ahead * k.Ahead
	}
	return k
}

// keysAtOnce is how many keys a simdgroup loads before it uses the first.
func keysAtOnce(k kernel.AttentionRows) int { return 32 / k.Lanes * k.Ahead }

// batchedTiles returns a batched product in tiles, a block of 64 rows of a head a
// threadgroup; false where they cannot take it.
func batchedTiles(p *task.Batched, t *target.Target) (kernel.AttentionTiles, bool) {
	k := kernel.AttentionTiles{Simdgroups: tileQueries / kernel.TileSide, Keys: tileKeys[0]}
	return k, p.TakesTiles() && k.StageBytes(p.Dim) <= t.Limits.ThreadgroupBytes
}

// tilesPay reports whether a batched product is predicted to be faster in tiles than by
// element of scores, or by column of values.
func tilesPay(p *task.Batched, as kernel.AttentionTiles, t *target.Target) bool {
	b := p.Region.Graph.Bounds
	tokens, keys := p.Rows.Max(b), p.Keys.Max(b)
	return tiledAttention(as, p.Heads, tokens, keys, p.Dim, t).Us(t) < batchedByRow(p.Heads, tokens, keys, p.Dim, t).Us(t)
}

// rowSIMDs is how many simdgroups share the keys of a row of attention of d
// elements, where there are groups rows and each simdgroup loads step keys at once:
// more while they fill no more than three quarters of the machine and there are keys
// to share. Of 1,024 threads each would have too few registers for what it loads ahead.
func rowSIMDs(groups, keys, d, step int64, t *target.Target) int64 {
	simds := (d + 31) / 32
	room := int64(t.Cores * t.CoreThreads / t.Limits.SIMDWidth)
	for simds*2 <= int64(t.Limits.Threads)/64 && groups*simds*2 <= room*3/4 && simds*step < keys &&
		4*2*simds*(d+2) <= int64(t.Limits.ThreadgroupBytes) {
		simds *= 2
	}
	return simds
}

// splits returns into how many parts attention's positions are split, 1 for the
// single pass: as many as fill the target, but for the last none shorter than
// kernel.LeastKeys. heads counts query heads times tokens.
func splits(heads, positions int64, t *target.Target) int64 {
	want := int64(math.Ceil(float64(t.Cores) * float64(t.CoreThreads) / 2 / rowThreads / float64(max(1, heads))))
	return max(1, min(want, (positions+kernel.LeastKeys-1)/kernel.LeastKeys))
}

// seenOf is how many of the keys are read for a block of successive rows of queries, each
// of which sees the last window of those before it; all of them where window is 0.
func seenOf(keys, window, rows int64) int64 {
	if window == 0 {
		return keys
	}
	return min(keys, window+rows-1)
}

// blockSeen is seenOf of a threadgroup's tiles, which read whole blocks of keys.
func blockSeen(as kernel.AttentionTiles, keys, window int64) int64 {
	return seenOf(keys, window, int64(as.Queries()+as.Keys))
}

// resident is how many threadgroups of attention in tiles a core takes at once: as many as
// it has threads, registers and threadgroup memory for.
func resident(as kernel.AttentionTiles, d int64, t *target.Target) float64 {
	return float64(max(1, min(t.CoreThreads/as.Threads(), t.CoreFloats/(as.Threads()*as.Registers(d)), t.CoreBytes/as.Bytes(d))))
}

func tiledAttention(as kernel.AttentionTiles, heads, tokens, keys, d int64, t *target.Target) Kernel {
	k := Kernel{Groups: float64(heads) * math.Ceil(float64(tokens)/float64(as.Queries())), Threads: float64(as.Threads()), Tiled: true}
	at := resident(as, d, t)
	k.Tile = k.Groups * float64(as.Queries()) * float64(keys) * float64(d) * 4
	// Where the threads that a core has at once do not keep its matrix units busy.
	k.Tile *= max(1, min(tileThreads, float64(t.CoreThreads))/(at*k.Threads))
	k.Cache = k.Groups * float64(keys) * float64(d) * 4
	// The simdgroups wait for a block of keys, then for its values.
	k.WaitUs = math.Ceil(k.Groups/float64(t.Cores)/at) * math.Ceil(float64(keys)/float64(as.Keys)) * 2 * t.LatencyUs
	return k
}

// attentionByRow is the pass over keys of each row, in the parts that x has: every lane
// multiplies as much again for shuffles and weights.
func attentionByRow(x kernel.AttentionRows, heads, tokens, keys, d int64, t *target.Target) Kernel {
	rows, parts := float64(heads*tokens), max(x.Parts, 1)
	k := Kernel{Groups: rows * float64(parts), Threads: float64(x.Threads()), Loads: float64(x.Ahead)}
	k.Flops = rows * float64(keys) * float64(d) * 8
	k.Cache = rows * float64(keys) * float64(d) * 4
	k.WaitUs = k.rounds(t) * math.Ceil(float64(keys)/float64(parts)/float64(x.Simdgroups*keysAtOnce(x))) * t.LatencyUs
	return k
}

// batchedByRow is the pass over the keys that two batched products by row come to.
func batchedByRow(heads, tokens, keys, d int64, t *target.Target) Kernel {
	step := max(1, 512/d) // keys: a lane takes 8 elements, and two keys at once
	simds := rowSIMDs(heads*tokens, keys, d, step, t)
	k := Kernel{Groups: float64(heads * tokens), Threads: float64(simds * int64(t.Limits.SIMDWidth))}
	k.Flops = k.Groups * float64(keys) * float64(d) * 8
	k.Cache = k.Groups * float64(keys) * float64(d) * 4
	k.WaitUs = k.rounds(t) * math.Ceil(float64(keys)/float64(simds*step)) * t.LatencyUs
	return k
}

// batched returns the kernel of one batched product: half of a pass, in which each element
// of the result, or row of it, reads its own rows.
func (m *model) batched(k Kernel, as kernel.Kernel) []Kernel {
	if m.err != nil {
		return m.single(k)
	}
	if _, ok := task.BatchedOf(m.region); !ok {
		return m.single(k)
	}
	if as == nil {
		return []Kernel{k}
	}
	k.Threads = float64(as.Threads())
	return mainOf(batchedMains, as).deal(m, k, as)
}

// batchedBytes is the threadgroup memory of b in tiles.
func batchedBytes(b *task.Batched, k kernel.AttentionTiles) int {
	if b.Product.Op == ir.OpBmmNT {
		return k.ScoresBytes(b.Dim)
	}
	return k.WeightedBytes(b.Dim)
}

// halfPass adds to k half of what a pass over the keys costs.
func halfPass(k, pass Kernel) Kernel {
	k.Flops += pass.Flops / 4
	k.Cache += pass.Cache / 2
	return k
}

// byRows is the pass that two batched products by row of b come to.
func (m *model) byRows(b *task.Batched) Kernel {
	return batchedByRow(b.Heads, b.Rows.Eval(m.Env), b.Keys.Eval(m.Env), b.Dim, m.Target)
}

// attention returns a single pass, or parts with their merge.
func (m *model) attention(k Kernel, as kernel.Kernel) []Kernel {
	if m.err != nil {
		return m.single(k)
	}
	a, err := task.AttentionOf(m.region)
	if err != nil {
		return m.single(k)
	}
	return m.passes(k, a, as)
}

func (m *model) passes(k Kernel, a *task.Attention, as kernel.Kernel) []Kernel {
	tokens, keys := a.Rows.Eval(m.Env), a.Keys.Eval(m.Env)
	m.hide(&k, a.Scores.Args[1], keys, seenOf(keys, a.Window(), tokens))
	if as == nil {
		return []Kernel{k}
	}
	k.Flops = max(0, k.Flops-float64(4*a.Heads*tokens*keys)*float64(a.Dim))
	return mainOf(attentionMains, as).deal(m, k, as)
}

// mergedProduct returns attention in parts and the output projection that stands in the
// region behind it, with the merge before its main, however few parts there are.
func (m *model) mergedProduct(k Kernel, by kernel.MergedRows) []Kernel {
	a, _ := task.AttentionOf(m.region)
	ks := m.passes(k, a, by.Keys)
	k, partials := ks[0], ks[1].Cache
	// What the projection reads is the region's, so it is taken off the first.
	o := Kernel{Name: "merge_o", Flops: k.Flops}
	outs := m.region.Nodes(ir.OpMatmulNT)
	for _, p := range outs {
		for i, a := range p.Args[1:] {
			if a.Param == nil {
				continue
			}
			bytes := float64(readOf(p, i+1).Eval(m.Env))
			k.Memory -= bytes
			o.Memory += bytes
		}
	}
	o = m.overRows(o, by.ProductRows)[0]
	o.Flops = 2 * rowsOf(outs, m.Env) * float64(a.Heads*a.Rows.Eval(m.Env)) * float64(a.Dim)
	k.Flops -= min(k.Flops, o.Flops)
	o.PrologueCache += o.Groups * partials
	o.PrologueFlops += o.Groups * partials / 2
	o.PrologueSteps++
	return []Kernel{k, o}
}

// hide takes off what k reads the keys that no row sees, and their values.
func (m *model) hide(k *Kernel, of *ir.Value, keys, seen int64) {
	dim := of.Type.Shape.At(-1).Eval(m.Env)
	for of.Def != nil {
		of = of.Def.Args[0]
	}
	hidden := of.Type.DType.Bytes(of.Type.Shape.At(0).Eval(m.Env) * (keys - seen) * dim)
	k.Memory -= min(k.Memory, 2*float64(hidden))
}

// onePass is k, which has what attention reads and writes, with the grid of a pass over the
// keys among threadgroups of so many threads.
func onePass(k, pass Kernel, threads int) Kernel {
	k.Groups, k.Threads, k.Loads = pass.Groups, float64(threads), pass.Loads
	k.Flops += pass.Flops
	k.Cache += pass.Cache
	return k
}

// rowPass is onePass row by row, and the merge of parts where it has some.
func rowPass(k Kernel, a *task.Attention, as kernel.AttentionRows, e sym.Env, t *target.Target) []Kernel {
	tokens := a.Rows.Eval(e)
	k.Shared = as.Bytes(a.Dim)
	k = onePass(k, attentionByRow(as, a.Heads, tokens, seenOf(a.Keys.Eval(e), a.Window(), 1), a.Dim, t), as.Threads())
	if as.Parts == 0 {
		return []Kernel{k}
	}
	rows, dim := float64(a.Heads*tokens), float64(a.Dim)
	partials := float64(as.Parts) * rows * (dim + 2) * 4
	k.Cache += partials
	return []Kernel{k, {Name: "attention_merge", Cache: partials, Groups: rows, Threads: math.Ceil(dim/32) * 32}}
}
