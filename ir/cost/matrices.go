package cost

import (
	"cmp"
	"iter"
	"math"
	"slices"

	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

const (
	matrixUnits    = 32 // units of a block at least, so that a simdgroup's lanes all finish some
	matrixColumns  = 32 // columns of four simdgroups at least
	matrixResident = 2  // threadgroups of a core at most for which stages leave room
)

// matrixBlocks yields the blocks that a target's matrix units can take.
func (p matmul) matrixBlocks(t *target.Target) iter.Seq[kernel.ProductMatrices] {
	return func(yield func(kernel.ProductMatrices) bool) {
		if t.MatrixTFlops == 0 {
			return
		}
		for _, rows := range [...]int{32, 64, 128} {
			if rows%t.MatrixRows != 0 || rows > t.MatrixRows && int64(rows)/2 >= p.tokens {
				continue // half the block would do
			}
			for _, columns := range [...]int{32, 64, 128} {
				if p.whole > 0 && (p.whole%kernel.HeadStep != 0 || int64(columns)%p.whole != 0) {
					continue // heads would cross blocks
				}
				if rows*columns < t.MatrixRows*matrixColumns*t.MatrixGroup/4 {
					continue // groups of four simdgroups share rows, and then columns
				}
				if columns < matrixUnits*p.unit || rows*columns > t.MatrixFloats*t.MatrixGroup*t.Limits.SIMDWidth {
					continue
				}
				for _, depth := range [...]int{64, 32, 16} {
					last := 0
					for groups := matrixResident; groups > 0; groups-- {
						x, ok := p.matrixBlock(rows, columns, depth, min(t.Limits.MatrixBytes, t.CoreBytes/groups), t)
						if ok && x.Stages != last && !yield(x) {
							return
						}
						last = x.Stages
					}
				}
			}
		}
	}
}

// matrixBlock returns the kernel over such blocks with as many stages as have room, and
// whether it fits.
func (p matmul) matrixBlock(rows, columns, depth, room int, t *target.Target) (kernel.ProductMatrices, bool) {
	x := kernel.ProductMatrices{ProductTiles: kernel.ProductTiles{Rows: rows, Columns: columns, Depth: depth, Stages: 2, SIMDRows: t.MatrixGroup, SIMDColumns: 1}}
	x.Copied, x.Expanded = p.halfRows && !p.scattered && p.cols%int64(depth) == 0, !p.halves
	if x.Copied || !x.Expanded {
		x.Stages = t.CopyStages
	}
	if depth < p.perLoad || x.Expanded && columns*depth < p.perLoad*x.Threads() || rows*depth < 4*x.Threads() || depth > 32 && !x.Copied {
		return x, false // as with tiles: threads that have nothing to bring, or no room for it
	}
	for x.Stages > 2 && x.Bytes(p.unit, p.whole > 0) > room {
		x.Stages--
	}
	x.Ahead = p.ahead(x.ProductTiles, t)
	return x, x.Bytes(p.unit, p.whole > 0) <= room
}

// bestMatrices returns the blocks that are predicted to be fastest, and their time; an
// infinite one where there are no matrix units, or no block is possible.
func (p matmul) bestMatrices(t *target.Target) (best kernel.ProductMatrices, us float64) {
	least := matrixTime{us: math.Inf(1)}
	for x := range p.matrixBlocks(t) {
		if v := p.matrixTime(x, t); v.compare(least) < 0 {
			best, least = x, v
		}
	}
	return best, least.us
}

// matrixTime is what is predicted of blocks. Of those that take as long, the one that waits
// less is better, though it be hidden.
type matrixTime struct{ us, wait float64 }

func (p matmul) matrixTime(x kernel.ProductMatrices, t *target.Target) matrixTime {
	k := p.inMatrices(x, t)
	return matrixTime{p.predicted(k, t), k.WaitUs}
}

func (a matrixTime) compare(b matrixTime) int {
	return cmp.Or(cmp.Compare(a.us, b.us), cmp.Compare(a.wait, b.wait))
}

// inMatrices returns the kernel over blocks in matrix units, without its prologue: that of
// tiles, whose products the units make. Lanes that expand weights leave the units of their
// threadgroup idle.
func (p matmul) inMatrices(x kernel.ProductMatrices, t *target.Target) Kernel {
	blocks := x.ProductTiles
	blocks.Expanded = false
	k := p.tiled(blocks, t)
	k.Tile = 0
	k.Matrix = 2 * k.Groups * float64(p.cols) * float64(x.Rows) * float64(x.Columns)
	if x.Expanded {
		k.Matrix += k.Flops * t.MatrixTFlops / t.TFlops
		k.Flops = 0
	}
	resident := float64(max(1, min(t.MatrixFloats*tileThreads/(x.Rows*x.Columns), t.CoreBytes/x.Bytes(p.unit, p.whole > 0))))
	k.WaitUs = math.Ceil(k.Groups/float64(t.Cores)/resident) * p.matrixWait(x, t)
	return k
}

// matrixWait is the time that one threadgroup alone takes for its blocks, as wait has it;
// there are no tiles to load.
func (p matmul) matrixWait(x kernel.ProductMatrices, t *target.Target) float64 {
	ahead := x.Ahead
	if x.Copied || !x.Expanded {
		ahead = min(ahead, x.Stages-1)
	}
	return math.Ceil(float64(p.cols)/float64(x.Depth)) * (t.StepUs + t.LatencyUs/float64(ahead))
}

// matrixCandidates lists the blocks for matrix units, those predicted to be fastest first.
func matrixCandidates(p *task.Product, t *target.Target) (out []kernel.ProductMatrices) {
	n := numbersOf(p, p.Tokens.Max(p.Region.Graph.Bounds))
	times := map[kernel.ProductMatrices]matrixTime{}
	for x := range n.matrixBlocks(t) {
		times[x] = n.matrixTime(x, t)
		out = append(out, x)
	}
	slices.SortStableFunc(out, func(a, b kernel.ProductMatrices) int { return times[a].compare(times[b]) })
	return out
}
