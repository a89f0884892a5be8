package cost

import (
	"iter"
	"math"

	"foundry/ir/dtype"
	"foundry/ir/target"
)

// TakesTiles reports whether weights of t may become the f16 operand of tiles;
// products of f32 weights stay in f32.
func TakesTiles(t dtype.Type) bool { return t != dtype.F32 }

// Product is a matrix product in numbers: x of Tokens rows of Cols, weights of
// Rows rows that take Bytes together. Unit rows stay together, as GEMV's do.
type Product struct {
	Tokens, Rows, Cols int64
	Bytes              int64
	Unit               int
	Halves             bool // the weights are f16 and reach tiles as they are
	Together           int  // weights of a row that are always read at once
	HalfRows           bool // x is kept as halves and reaches tiles as it is
}

// Tiles is how a product of many rows is dealt out. A threadgroup makes a block of
// Rows rows of x by Columns rows of the weights, Depth of their columns at a time.
// Blocks of weights that are f16 go straight to one of Stages places in threadgroup
// memory, and where it is Copied blocks of x with them: one is multiplied while the
// others are on their way. What must be narrowed or expanded waits in registers,
// Ahead blocks of it, and has two places. The simdgroups share the block SIMDRows by
// SIMDColumns.
type Tiles struct {
	Rows, Columns, Depth, Stages, Ahead int
	SIMDRows, SIMDColumns               int
	Copied                              bool
}

// SIMDs returns the simdgroups of a threadgroup.
func (t Tiles) SIMDs() int { return t.SIMDRows * t.SIMDColumns }

// Halves returns the threadgroup memory of the stages, in f16 elements: two blocks
// of x, or where it is copied as many as of the weights, and Stages of these.
func (t Tiles) Halves() int {
	if t.Copied {
		return t.Stages * (t.Rows + t.Columns) * t.Depth
	}
	return (2*t.Rows + t.Stages*t.Columns) * t.Depth
}

const (
	tileSide    = 16  // of a tile
	tileThreads = 256 // that keep a core's matrix units busy: while some load, others multiply
	// What operands cost on their way to a tile, in multiply-adds for each element:
	// of the tiles' units for each simdgroup that loads it, of the lanes to narrow it,
	// to copy it, or to expand it from another format.
	tileLoad   = 2
	tileNarrow = 4
	tileCopy   = 1
	tileExpand = 8
	tileHeld   = 32 // registers of a thread for blocks on their way
)

// tilings yields the blocks that a target's registers and threadgroup memory admit.
func (p Product) tilings(t *target.Target) iter.Seq[Tiles] {
	stages := 2
	if p.Halves {
		stages = t.CopyStages
	}
	return func(yield func(Tiles) bool) {
		for _, rows := range [...]int{32, 64, 128} {
			if rows > 32 && int64(rows)/2 >= p.Tokens {
				continue // half the block would do
			}
			for _, columns := range [...]int{32, 64, 128, 256} {
				// Four simdgroups are the fewest that keep a core's matrix units busy.
				for _, simds := range [...][2]int{{2, 2}, {2, 4}} {
					m, n := rows/simds[0], columns/simds[1]
					if m%tileSide != 0 || n%(tileSide*p.Unit) != 0 || m*n > t.TileFloats*t.Limits.SIMDWidth {
						continue
					}
					for _, depth := range [...]int{64, 32, 16} {
						if depth < p.Together {
							continue
						}
						x := Tiles{Rows: rows, Columns: columns, Depth: depth, Stages: stages, SIMDRows: simds[0], SIMDColumns: simds[1]}
						x.Copied = p.Halves && p.HalfRows && p.Cols%int64(depth) == 0
						// Every thread stages at least four elements of a block of x. Deep
						// blocks ask less often; those in registers have no room for it.
						if rows*depth < 4*x.SIMDs()*t.Limits.SIMDWidth || depth > 32 && !x.Copied {
							continue
						}
						for x.Stages > 2 && 2*x.Halves() > t.Limits.ThreadgroupBytes {
							x.Stages--
						}
						if 2*x.Halves() > t.Limits.ThreadgroupBytes {
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
func (p Product) ahead(x Tiles, t *target.Target) int {
	if x.Copied {
		return x.Stages - 1
	}
	held := x.Rows * x.Depth
	if !p.Halves {
		held += x.Columns * x.Depth / 2 // eight weights in some four registers
	}
	held /= x.SIMDs() * t.Limits.SIMDWidth
	n := 1
	for 2*n <= min(4, t.CopyStages-1) && 2*n*held <= tileHeld {
		n *= 2
	}
	return n
}

// GEMM returns how p is dealt out to tiles, and whether that is predicted to be
// faster than a GEMV that takes a few rows of x at a time.
func GEMM(p Product, t *target.Target) (best Tiles, faster bool) {
	us, tile := math.Inf(1), 0.0
	for x := range p.tilings(t) {
		k := p.tiled(x, t)
		// Cores end together only where the last round is full; what threadgroups
		// wait for, those of a core wait for together.
		wait, rounds := k.WaitUs, max(1, k.Groups/float64(t.Cores))
		k.WaitUs = 0
		v := max(wait, k.Us(t)*math.Ceil(rounds)/rounds)
		// Of equals, the one whose tiles load less, then whose stages leave more room.
		if v < us || v == us && (k.Tile < tile || k.Tile == tile && x.Halves() < best.Halves()) {
			best, us, tile = x, v, k.Tile
		}
	}
	return best, us < p.rowwise(t).Us(t)
}

// resident is how many threadgroups a core takes at once: as many as hold the
// accumulators that fill its registers, and have room for their stages.
func (x Tiles) resident(t *target.Target) float64 {
	return float64(max(1, min(t.TileFloats*tileThreads/(x.Rows*x.Columns), t.CoreBytes/(2*x.Halves()))))
}

// wait is the time that one threadgroup alone takes for its blocks: the exchange of
// places, and a load's latency for each block that is not already on its way, or the
// loads of its tiles one after the other.
func (p Product) wait(x Tiles, t *target.Target) float64 {
	ahead := x.Ahead
	if p.Halves && !x.Copied {
		ahead = min(ahead, x.Stages-1)
	}
	step := t.StepUs + max(t.LatencyUs/float64(ahead), t.TileStepUs*float64(x.Depth/tileSide))
	return math.Ceil(float64(p.Cols)/float64(x.Depth)) * step
}

// tiled returns the kernel over blocks, without its prologue.
func (p Product) tiled(x Tiles, t *target.Target) Kernel {
	down := math.Ceil(float64(p.Tokens) / float64(x.Rows))
	across := math.Ceil(float64(p.Rows) / float64(x.Columns))
	k := Kernel{Memory: float64(p.Bytes), Groups: down * across, Threads: float64(x.SIMDs() * t.Limits.SIMDWidth), Tiled: true}
	rows, columns := float64(x.Rows), float64(x.Columns)
	row, weight, bytes, pieces := float64(tileNarrow), float64(tileExpand), 4.0, 0.0 // pieces of lines a block
	if p.Halves {
		weight = tileCopy
		pieces += columns
	}
	if p.HalfRows {
		bytes = 2
	}
	if x.Copied {
		row = tileCopy
		pieces += rows
	}
	steps := 2 * k.Groups * float64(p.Cols)
	k.Tile = steps * (rows*columns + tileLoad*(rows*float64(x.SIMDColumns)+columns*float64(x.SIMDRows)))
	k.Flops = steps * (rows*row + columns*weight)
	k.Cache = k.Groups * (rows*float64(p.Cols)*bytes + columns*float64(p.Bytes)/float64(p.Rows))
	k.Pieces = k.Groups * pieces * math.Ceil(float64(p.Cols)/float64(x.Depth))
	k.WaitUs = math.Ceil(k.Groups/float64(t.Cores)/x.resident(t)) * p.wait(x, t)
	return k
}

// rowwise returns the kernel that takes gemvVectors rows of x at a time, without
// its prologue. Its lanes widen each weight once for those rows and load each
// element of x once for the rows of weights that a simdgroup has.
func (p Product) rowwise(t *target.Target) Kernel {
	d := GEMV(p.Rows, p.Unit, (p.Cols+8*int64(t.Limits.SIMDWidth)-1)/(8*int64(t.Limits.SIMDWidth)), 1, false, t)
	vectors := float64(min(p.Tokens, gemvVectors))
	passes := math.Ceil(float64(p.Tokens) / vectors)
	across := float64(d.Groups(p.Rows))
	exchanges := float64(d.PerSimd)
	if d.Share > 1 {
		exchanges += exchangesOfShare
	}
	return Kernel{
		Exchanges: exchanges,
		Memory:    float64(p.Bytes), Flops: p.flops() * (1 + 1/vectors + 1/float64(d.PerSimd)),
		Groups: across * passes, Threads: float64(d.Simds * t.Limits.SIMDWidth),
		Cache: (passes-1)*float64(p.Bytes) + across*passes*vectors*float64(p.Cols)*4,
	}
}

func (p Product) flops() float64 { return 2 * float64(p.Tokens) * float64(p.Rows) * float64(p.Cols) }

// A threadgroup of attention in tiles takes TileQueries rows of queries through
// the keys, TileKeys at a time.
const (
	TileQueries = 64
	TileKeys    = 64
)

// RowSIMDs is how many simdgroups share the keys of a row of attention of d
// elements, where there are groups rows and each simdgroup loads step keys at once:
// more while they fill no more than three quarters of the machine and there are keys
// to share. Of 1,024 threads each would have too few registers for what it loads ahead.
func RowSIMDs(groups, keys, d, step int64, t *target.Target) int64 {
	simds := (d + 31) / 32
	room := int64(t.Cores * t.CoreThreads / t.Limits.SIMDWidth)
	for simds*2 <= int64(t.Limits.Threads)/64 && groups*simds*2 <= room*3/4 && simds*step < keys &&
		4*2*simds*(d+2) <= int64(t.Limits.ThreadgroupBytes) {
		simds *= 2
	}
	return simds
}

// Seen is how many of the keys are read for a block of successive rows of queries, each
// of which sees the last window of those before it; all of them where window is 0.
func Seen(keys, window, rows int64) int64 {
	if window == 0 {
		return keys
	}
	return min(keys, window+rows-1)
}

// InTiles reports whether attention of heads query heads of d elements, tokens
// rows over up to keys keys in f16, or over the last window of them where that is not
// 0, is predicted to be faster in tiles, a block of queries a threadgroup, than row by
// row.
func InTiles(heads, tokens, keys, window, d int64, t *target.Target) bool {
	return tiledAttention(heads, tokens, blockSeen(keys, window), d, t).Us(t) < rowAttention(heads, tokens, Seen(keys, window, 1), d, t).Us(t)
}

// blockSeen is Seen of a threadgroup's tiles, which read whole blocks of keys.
func blockSeen(keys, window int64) int64 { return Seen(keys, window, TileQueries+TileKeys) }

func tiledAttention(heads, tokens, keys, d int64, t *target.Target) Kernel {
	k := Kernel{Groups: float64(heads) * math.Ceil(float64(tokens)/TileQueries), Threads: TileQueries / tileSide * float64(t.Limits.SIMDWidth), Tiled: true}
	k.Tile = k.Groups * TileQueries * float64(keys) * float64(d) * 4
	k.Cache = k.Groups * float64(keys) * float64(d) * 4
	resident := math.Max(1, float64(t.TileFloats*tileThreads)/float64(TileQueries*(TileKeys+d)))
	// The simdgroups wait for a block of keys, then for its values.
	k.WaitUs = math.Ceil(k.Groups/float64(t.Cores)/resident) * math.Ceil(float64(keys)/TileKeys) * 2 * t.LatencyUs
	return k
}

// rowAttention: every lane multiplies as much again for shuffles and weights.
func rowAttention(heads, tokens, keys, d int64, t *target.Target) Kernel {
	step := max(1, 512/d) // keys: a lane takes 8 elements, and two keys at once
	simds := RowSIMDs(heads*tokens, keys, d, step, t)
	k := Kernel{Groups: float64(heads * tokens), Threads: float64(simds * int64(t.Limits.SIMDWidth))}
	k.Flops = k.Groups * float64(keys) * float64(d) * 8
	k.Cache = k.Groups * float64(keys) * float64(d) * 4
	k.WaitUs = k.rounds(t) * math.Ceil(float64(keys)/float64(simds*step)) * t.LatencyUs
	return k
}
