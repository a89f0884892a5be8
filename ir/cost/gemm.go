package cost

import (
	"iter"
	"math"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

// matmul is a matrix product in numbers: x of tokens rows of cols, weights of rows
// rows that take bytes together. Unit rows stay together.
type matmul struct {
	tokens, rows, cols int64
	bytes              int64
	unit               int
	whole              int64   // rows that must meet in a threadgroup, those of a normed head; 0: none
	levels             bool    // the weights are levels with factors, all of them
	halves             bool    // the weights are f16 and reach tiles as they are, all of them
	copyable           float64 // weights that do where x is not copied
	perLoad            int     // weights of a row that one load reads
	scattered          bool    // rows of which no eight weights stand beside each other
	halfRows           bool    // halves of x, kept so and copied to tiles as they are
	parts              []*task.Part
	formats            []formatted // how many weights it has of each, in the order of the weights
}

// numbersOf returns p's numbers for so many tokens.
func numbersOf(p *task.Product, tokens int64) matmul {
	n := matmul{tokens: tokens, cols: p.Length, levels: true, halves: true, halfRows: p.HalfRows(), parts: p.Parts}
	n.rows, n.unit = p.WeightRows()
	n.whole = p.Whole()
	p.Weights(func(w *ir.Value) {
		t := p.Region.Lies(w)
		n.levels = n.levels && t.Quantised()
		n.halves = n.halves && p.Copyable(t)
		if p.Copyable(t) {
			n.copyable += float64(w.Type.Shape.At(0).C * p.Length)
		}
		n.perLoad = max(n.perLoad, t.WeightsPerRead())
		n.scattered = n.scattered || p.Region.Format(w).Scattered
		n.bytes += t.Bytes(w.Type.Shape.At(0).C * p.Length)
		n.add(t.Format(), float64(w.Type.Shape.At(0).C*p.Length))
	})
	return n
}

// formatted is how many weights a product has of a format, which tables of targets know by
// its name.
type formatted struct {
	format  string
	weights float64
}

func (p *matmul) add(format string, weights float64) {
	for i := range p.formats {
		if f := &p.formats[i]; f.format == format {
			f.weights += weights
			return
		}
	}
	p.formats = append(p.formats, formatted{format, weights})
}

// bestProduct returns how p is dealt out: over rows of its weights, or to tiles where
// they can take it and are predicted to be faster for as many tokens as the graph may
// have.
func bestProduct(p *task.Product, t *target.Target) kernel.Kernel {
	rows := bestRows(p, t)
	if !p.TakesTiles() {
		return rows
	}
	n := numbersOf(p, p.Tokens.Max(p.Region.Graph.Bounds))
	tiles, inTiles := n.bestTiles(t)
	units, inUnits := n.bestMatrices(t)
	var best kernel.Kernel = rows
	us := n.rowwise(rows, t).Us(t)
	switch {
	// Of equal blocks those in matrix units, which lanes bring no operands to. Rows are no
	// slower where both only wait for memory, as with one token.
	case inUnits <= inTiles && inUnits < us:
		best, us = units, inUnits
	case inTiles < us:
		best, us = tiles, inTiles
	}
	if once, v := bestOnce(p, t); v < us {
		best = once
	}
	return best
}

// bestRows returns how p is dealt out over rows of its weights: of the chunks that their
// format has, the one with which it is predicted to be fastest. Where few simdgroups run, a
// narrow chunk makes each lane's work less; a lane does that work worse (a chunk of 32 weights
// meets a vector that is staged in its order), so it must be half. At 0.5b on an H200, with
// chunks of 8 weights of q4_0 instead of 32: down 3.66 -> 2.36 us, o 2.52 -> 1.65. Of narrow
// chunks those are taken that leave no lane idle (fullDeals), where there are such. Behind
// three rounds of chunks others are on their way beside the work: at 7b down, of ten rounds,
// took 35.0 us by chunks of 16 weights of q6_k and 19.4 by 32, in q5_k 26.0 and 18.9. A staged
// vector that a simdgroup passes in one round keeps its chunks: QKV at 0.5b takes 1.35 us, and
// 1.97 by chunks of 8. Of staged vectors of two such rounds no full deal was measured.
func bestRows(p *task.Product, t *target.Target) kernel.ProductRows {
	best := productRows(p, t, 0)
	n := numbersOf(p, p.Tokens.Max(p.Region.Graph.Bounds))
	alone := n.alone(best, t)
	if alone == 0 || !n.levels {
		return best
	}
	rounds := roundsOf(p, best)
	unshared := rounds * int64(best.Share) // of a simdgroup
	if rounds > 3 || unshared == 1 && !best.Direct {
		return best
	}
	most, us, least := alone/2, n.rowwise(best, t).Us(t), 0.0
	consider := func(k kernel.ProductRows) {
		own := n.alone(k, t)
		if v := n.rowwise(k, t).Us(t); own <= most && (v < us || v == us && own < least) {
			best, us, least = k, v, own
		}
	}
	p.Weights(func(w *ir.Value) {
		for _, width := range p.Region.Format(w).Widths {
			if k := productRows(p, t, width); k.Width == width {
				consider(k)
			}
		}
	})
	if unshared > 2 || best.Direct {
		for _, k := range fullDeals(p, t) {
			consider(k)
		}
	}
	return best
}

// roundsOf is how often the lanes of k's teams load to pass a row of p.
func roundsOf(p *task.Product, k kernel.ProductRows) int64 {
	lanes := int64(k.Width) * k.Seats() * int64(k.Share)
	return (p.Length + lanes - 1) / lanes
}

// blocksOf returns how k is dealt out in blocks, where it is.
func blocksOf(k kernel.Kernel) (kernel.ProductTiles, bool) {
	switch k := k.(type) {
	case kernel.ProductTiles:
		return k, true
	case kernel.ProductMatrices:
		return k.ProductTiles, true
	}
	return kernel.ProductTiles{}, false
}

const (
	tileThreads = 256 // that keep a core's matrix units busy: while some load, others multiply
	// What operands cost on their way to a tile, in multiply-adds for each element:
	// of the tiles' units for each simdgroup that loads it, of the lanes to narrow it,
	// to copy it, or to expand it from another format.
	tileLoad   = 2
	tileNarrow = 4
	tileCopy   = 1
	tileExpand = 8
	tileSlot   = 1.7 // multiply-adds for each slot that a format's weight takes in rows, where that was counted
	tileHeld   = 32  // registers of a thread for blocks on their way
)

// tilings yields the blocks that a target's registers and threadgroup memory admit.
func (p matmul) tilings(t *target.Target) iter.Seq[kernel.ProductTiles] {
	return func(yield func(kernel.ProductTiles) bool) {
		for _, rows := range [...]int{32, 64, 128} {
			if rows > 32 && int64(rows)/2 >= p.tokens {
				continue // half the block would do
			}
			for _, columns := range [...]int{32, 64, 128, 256} {
				// Four simdgroups are the fewest that keep a core's matrix units busy.
				for _, simds := range [...][2]int{{2, 2}, {2, 4}} {
					m, n := rows/simds[0], columns/simds[1]
					if p.whole > 0 && (p.whole%kernel.HeadStep != 0 || int64(columns)%p.whole != 0) {
						continue // heads would cross blocks
					}
					if m%kernel.TileSide != 0 || n%(kernel.TileSide*p.unit) != 0 || m*n > t.TileFloats*t.Limits.SIMDWidth {
						continue
					}
					for _, depth := range [...]int{64, 32, 16} {
						x := kernel.ProductTiles{Rows: rows, Columns: columns, Depth: depth, Stages: 2, SIMDRows: simds[0], SIMDColumns: simds[1]}
						x.Copied, x.Expanded = p.halfRows && !p.scattered && p.cols%int64(depth) == 0, !p.halves
						if x.Copied || !x.Expanded {
							x.Stages = t.CopyStages
						}
						// Every thread expands what is read at once.
						if depth < p.perLoad || x.Expanded && columns*depth < p.perLoad*x.Threads() {
							continue
						}
						// Every thread stages at least four elements of a block of x. Deep
						// blocks ask less often; those in registers have no room for it.
						if rows*depth < 4*x.SIMDs()*t.Limits.SIMDWidth || depth > 32 && !x.Copied {
							continue
						}
						for x.Stages > 2 && p.threadgroup(x) > t.Limits.ThreadgroupBytes {
							x.Stages--
						}
						if p.threadgroup(x) > t.Limits.ThreadgroupBytes {
							continue
						}
						if x.Ahead = p.ahead(x, t); !yield(x) {
							return
						}
					}
				}
			}
		}
	}
}

// ahead returns how many blocks are on their way while one is multiplied: as many as
// a thread may hold, or as have a place.
func (p matmul) ahead(x kernel.ProductTiles, t *target.Target) int {
	if x.Copied && !x.Expanded {
		return x.Stages - 1
	}
	held := 0
	if !x.Copied {
		held += x.Rows * x.Depth
	}
	if x.Expanded {
		held += x.Columns * x.Depth / 2 // eight weights in some four registers
	}
	held /= x.SIMDs() * t.Limits.SIMDWidth
	n := 1
	for 2*n <= min(4, t.CopyStages-1) && 2*n*held <= tileHeld {
		n *= 2
	}
	return n
}

// bestTiles returns the blocks that are predicted to be fastest, and their time; an
// infinite one where no block is possible.
func (p matmul) bestTiles(t *target.Target) (best kernel.ProductTiles, us float64) {
	us, tile := math.Inf(1), 0.0
	for x := range p.tilings(t) {
		k := p.tiled(x, t)
		v := p.predicted(k, t)
		// Of equals, the one whose tiles load less, then whose stages leave more room.
		if v < us || v == us && (k.Tile < tile || k.Tile == tile && x.Halves() < best.Halves()) {
			best, us, tile = x, v, k.Tile
		}
	}
	return best, us
}

// predicted is the time of a kernel over blocks. Cores end together only where the last
// round is full; what threadgroups wait for, those of a core wait for together.
func (p matmul) predicted(k Kernel, t *target.Target) float64 {
	wait, rounds := k.WaitUs, max(1, k.Groups/float64(t.Cores))
	k.WaitUs = 0
	return max(wait, k.Us(t)*math.Ceil(rounds)/rounds)
}

// resident is how many threadgroups a core takes at once: as many as hold the
// accumulators that fill its registers, and have room for their threadgroup memory.
func (p matmul) resident(x kernel.ProductTiles, t *target.Target) float64 {
	return float64(max(1, min(t.TileFloats*tileThreads/(x.Rows*x.Columns), t.CoreBytes/p.threadgroup(x))))
}

// threadgroup is the threadgroup memory of the kernel over blocks.
func (p matmul) threadgroup(x kernel.ProductTiles) int { return x.Bytes(p.unit, p.whole > 0) }

// wait is the time that one threadgroup alone takes for its blocks: the exchange of
// places, and a load's latency for each block that is not already on its way, or the
// loads of its tiles one after the other.
func (p matmul) wait(x kernel.ProductTiles, t *target.Target) float64 {
	ahead := x.Ahead
	if x.Copied || !x.Expanded {
		ahead = min(ahead, x.Stages-1)
	}
	step := t.StepUs + max(t.LatencyUs/float64(ahead), t.TileStepUs*float64(x.Depth/kernel.TileSide))
	return math.Ceil(float64(p.cols)/float64(x.Depth)) * step
}

// expanding adds to k, which has expanding lanes, what these do: while they expand, they
// issue no products. Where the wait at a block was measured, threadgroups of the fullest core
// issue one after the other, and each block waits for as much as their threads do not hide.
// Elsewhere a threadgroup's own steps are what there is to wait for.
func (p matmul) expanding(k *Kernel, x kernel.ProductTiles, t *target.Target) {
	k.Tile += k.Flops * t.TileTFlops / t.TFlops
	k.Flops = 0
	issue := k.Tile / k.Groups * 1e-6 / (t.TileTFlops / float64(t.Cores))
	groups, resident := math.Ceil(k.Groups/float64(t.Cores)), p.resident(x, t)
	turns := math.Ceil(groups / resident)
	if t.ExpandStepUs == 0 {
		k.WaitUs = turns * issue
		return
	}
	steps := math.Ceil(float64(p.cols) / float64(x.Depth))
	bare := max(0, 1-min(resident, groups)*k.Threads/t.ExpandThreads)
	k.WaitUs = groups*issue + turns*steps*t.ExpandStepUs*bare
	k.Tile = 0
}

// copied is the share of the weights that reach the blocks x as they are.
func (p matmul) copied(x kernel.ProductTiles) float64 {
	switch {
	case p.halves:
		return 1
	case x.Copied:
		return 0
	}
	return p.copyable / float64(p.rows*p.cols)
}

// expansion is what lanes do to expand a weight, in multiply-adds; of halves beside others
// that are copied, nothing.
func (p matmul) expansion(x kernel.ProductTiles, t *target.Target) float64 {
	sum, all := 0.0, 0.0
	for _, f := range p.formats {
		if f.format == dtype.F16.Format() && p.copied(x) > 0 {
			continue
		}
		slots, counted := t.Slots[f.format]
		if !counted {
			return tileExpand
		}
		sum, all = sum+slots*f.weights, all+f.weights
	}
	if all == 0 {
		return tileExpand
	}
	return tileSlot * sum / all
}

// tiled returns the kernel over blocks, without its prologue.
func (p matmul) tiled(x kernel.ProductTiles, t *target.Target) Kernel {
	down := math.Ceil(float64(p.tokens) / float64(x.Rows))
	across := 0.0
	for _, part := range p.parts {
		across += math.Ceil(float64(part.Units()) / float64(x.Columns/part.RowsPerUnit()))
	}
	k := Kernel{Memory: float64(p.bytes), Groups: down * across, Threads: float64(x.SIMDs() * t.Limits.SIMDWidth), Tiled: true}
	rows, columns := float64(x.Rows), float64(x.Columns)
	copied := p.copied(x)
	weight := copied*tileCopy + (1-copied)*p.expansion(x, t)
	row, bytes, pieces := float64(tileNarrow), 4.0, copied*columns // pieces of lines a block
	if p.halfRows {
		bytes = 2
	}
	if x.Copied {
		row = tileCopy
		pieces += rows
	}
	steps := 2 * k.Groups * float64(p.cols)
	k.Tile = steps * (rows*columns + tileLoad*(rows*float64(x.SIMDColumns)+columns*float64(x.SIMDRows)))
	k.Flops = steps * (rows*row + columns*weight)
	k.Cache = k.Groups * (rows*float64(p.cols)*bytes + columns*float64(p.bytes)/float64(p.rows))
	k.LineParts = k.Groups * pieces * math.Ceil(float64(p.cols)/float64(x.Depth))
	k.WaitUs = math.Ceil(k.Groups/float64(t.Cores)/p.resident(x, t)) * p.wait(x, t)
	if x.Expanded {
		p.expanding(&k, x, t)
	}
	return k
}

// rowwise returns the kernel over rows of weights, without its prologue. Its lanes widen each weight once for a threadgroup's vectors and
// load each element of x once for the rows of weights that a simdgroup has.
func (p matmul) rowwise(k kernel.ProductRows, t *target.Target) Kernel {
	vectors := float64(min(p.tokens, int64(k.Vectors)))
	passes := math.Ceil(float64(p.tokens) / vectors)
	across := int64(0)
	for _, part := range p.parts {
		across += k.Groups(part.Units(), part.RowsPerUnit())
	}
	groups := float64(across) * passes
	rows := float64(k.PerTeam * k.Teams) // of a simdgroup
	exchanges := rows
	if k.Share > 1 {
		exchanges += exchangesOfShare
	}
	return Kernel{
		WaitUs: p.alone(k, t), Exchanges: exchanges, Loads: float64(k.PerTeam), // each of its rows at once
		Memory: float64(p.bytes), Flops: p.laneFlops(k, vectors, passes, rows, t),
		Groups: groups, Threads: float64(k.Threads()),
		Cache: (passes-1)*float64(p.bytes) + groups*vectors*float64(p.cols)*4,
	}
}

// alone is what a lane takes for its weights of a row where no other simdgroup's work hides
// it: their slots one after the other. Its rows' are done together. Of weights that are not
// counted, and where the target has no such time, it is nothing.
func (p matmul) alone(k kernel.ProductRows, t *target.Target) float64 {
	if len(p.formats) != 1 || k.Width == 0 || p.tokens > 1 {
		return 0
	}
	lanes := k.Seats() * int64(k.Share)
	rounds := (p.cols/int64(k.Width) + lanes - 1) / lanes
	return float64(rounds*int64(k.Width)) * t.Slots[p.formats[0].format] * t.SlotNs * 1e-3
}

// laneFlops is what lanes do for rows of weights, in operations of which a slot does two:
// the slots that were counted for one vector, and for each other one a multiply-add and its
// load. Of formats that were not counted a weight is widened and multiplied.
func (p matmul) laneFlops(k kernel.ProductRows, vectors, passes, rows float64, t *target.Target) float64 {
	slots := 0.0
	for _, f := range p.formats {
		n, counted := t.Slots[f.format]
		if !counted {
			return p.flops() * (1 + 1/vectors + 1/rows)
		}
		slots += f.weights * (n*p.narrowness(k) + (vectors-1)*(1+1/rows))
	}
	return 2 * slots * passes
}

// narrowness is how many times the slots of the widest chunk of levels a narrower one takes,
// whose factor is decoded for fewer weights: at 0.5b and 1.5b gate and up in q4_0 take 1.1
// times as long by chunks of 16 weights and 1.3 by chunks of 8.
func (p matmul) narrowness(k kernel.ProductRows) float64 {
	if !p.levels || k.Width == 0 {
		return 1
	}
	return 0.9 + 0.1*kernel.ChunkWeights/float64(k.Width)
}

func (p matmul) flops() float64 { return 2 * float64(p.tokens) * float64(p.rows) * float64(p.cols) }

// inTiles deals out a product in tiles.
func (m *model) inTiles(k Kernel, as kernel.ProductTiles) []Kernel {
	p, _ := task.ProductOf(m.region)
	n := numbersOf(p, p.Tokens.Eval(m.Env))
	n.halfRows = as.Copied
	k.Shared = n.threadgroup(as)
	return []Kernel{m.around(k, p, n, n.tiled(as, m.Target), int64(as.Rows))}
}

// inMatrices deals out a product in blocks for matrix units, behind the kernels that expand its
// weights where it has such.
func (m *model) inMatrices(k Kernel, as kernel.ProductMatrices) (out []Kernel) {
	p, _ := task.ProductOf(m.region)
	n := numbersOf(p, p.Tokens.Eval(m.Env))
	if as.Once {
		halves := numbersOf(p.ExpandedOnce(), n.tokens)
		k.Memory += float64(halves.bytes - n.bytes)
		n = halves
	}
	n.halfRows = as.Copied
	k.Shared = as.Bytes(n.unit, n.whole > 0)
	for _, e := range expansionsOf(p, as) {
		out = append(out, expansionKernel(e, m.Target))
	}
	return append(out, m.around(k, p, n, n.inMatrices(as, m.Target), int64(as.Rows)))
}

// overRows deals out a product over rows of its weights.
func (m *model) overRows(k Kernel, as kernel.ProductRows) []Kernel {
	p, _ := task.ProductOf(m.region)
	n := numbersOf(p, p.Tokens.Eval(m.Env))
	k.Shared = task.Rounds{Product: p, Rows: as, Room: m.Target.Limits.ThreadgroupBytes}.Bytes()
	return []Kernel{m.around(k, p, n, n.rowwise(as, m.Target), min(n.tokens, int64(as.Vectors)))}
}
