// Package kernel says in numbers how the work of a node is dealt out to threads: the
// kernel as a value, before there is any text. What the work is, package task tells;
// which kernel it gets, package cost decides; package lower/metal writes it.
package kernel

// Kernel is one of the types of this package.
type Kernel interface {
	// Threads returns how many threads a threadgroup has.
	Threads() int
	// String returns its numbers in words, the main first: what a graph's text pins.
	String() string
}

// lanes are those of a simdgroup, on every target.
const lanes = 32

// ProductRows is a matrix product over rows of its weights, for few vectors: a team of lanes
// sums up rows of its own, or a share of them.
type ProductRows struct {
	PerTeam    int   // rows of a team
	Teams      int   // teams of a simdgroup
	Share      int   // simdgroups that share the chunks of their rows
	Simdgroups int   // simdgroups of a threadgroup
	Vectors    int   // vectors of a threadgroup
	Width      int   // weights that a lane loads at once, where the format has that; 0: what each format takes by itself
	Loads      int   // registers of a lane for chunks on their way in main
	Held       int   // registers of a lane for chunks across the prologue
	Segment    int64 // elements of a vector that are staged at once
	Direct     bool  // vectors read where they lie
	Chunked    bool  // vectors staged in the order of chunks
}

// Threads returns how many threads a threadgroup has.
func (r ProductRows) Threads() int { return r.Simdgroups * lanes }

// ChunkWeights is the weights of a chunk in whose order vectors can be staged.
const ChunkWeights = 32

// Seats returns the lanes of a team.
func (r ProductRows) Seats() int64 { return lanes / int64(r.Teams) }

// Staged returns the length of a staged vector of n elements, in floats: whole pairs of
// quads, or chunks with a gap behind each.
func (r ProductRows) Staged(n int64) int64 {
	if r.Chunked {
		return n / ChunkWeights * (ChunkWeights + 4)
	}
	return (n + 7) / 8 * 8
}

// Groups returns the threadgroups that units of so many rows take, for one set of
// vectors.
func (r ProductRows) Groups(units int64, rowsPerUnit int) int64 {
	per := int64(r.Owners() * r.PerTeam / rowsPerUnit)
	return (units + per - 1) / per
}

// Owners returns the teams, or groups of them, that own rows of their own.
func (r ProductRows) Owners() int { return r.Simdgroups / r.Share * r.Teams }

// MergedRows is a product over rows of its weights whose vectors are merged from parts of an
// attention: those of Keys, in a kernel before it.
type MergedRows struct {
	ProductRows
	Keys AttentionRows
}

// ProductTiles is how a product of many rows is dealt out. A threadgroup makes a block of
// Rows rows of x by Columns rows of the weights, Depth of their columns at a time.
// Blocks of weights that are f16 go straight to one of Stages places in threadgroup
// memory, and so do blocks of x where it is Copied: one is multiplied while the
// others are on their way. What must be narrowed, as x of f32, or Expanded, as weights
// of other formats, waits in registers, Ahead blocks of it, and has two places. The
// simdgroups share the block SIMDRows by SIMDColumns.
type ProductTiles struct {
	Rows, Columns, Depth, Stages, Ahead int
	SIMDRows, SIMDColumns               int
	Copied, Expanded                    bool
}

// Threads returns how many threads a threadgroup has.
func (t ProductTiles) Threads() int { return t.SIMDs() * lanes }

// SIMDs returns the simdgroups of a threadgroup.
func (t ProductTiles) SIMDs() int { return t.SIMDRows * t.SIMDColumns }

// Places returns how many blocks of x and of the weights have room at once.
func (t ProductTiles) Places() (x, weights int) {
	x, weights = 2, 2
	if t.Copied {
		x = t.Stages
	}
	if !t.Expanded {
		weights = t.Stages
	}
	return x, weights
}

// Halves returns the threadgroup memory of the stages, in f16 elements.
func (t ProductTiles) Halves() int {
	x, weights := t.Places()
	return (x*t.Rows + weights*t.Columns) * t.Depth
}

// TileSide is the rows and the columns of a tile, which simdgroups multiply.
const TileSide = 16

// CopiedHalves is how many halves beside each other are copied to a stage at once.
const CopiedHalves = 8

// RowsAtOnce is how many rows of x a simdgroup reads together for the scales of their norm.
const RowsAtOnce = 4

// EachOf returns how many of n a thread has at most, where threads take turns.
func (t ProductTiles) EachOf(n int) int { return (n + t.Threads() - 1) / t.Threads() }

// RowElements returns how many elements of a block of x each thread brings.
func (t ProductTiles) RowElements() int { return t.Rows * t.Depth / t.Threads() }

// HeadStep is how many columns of a block are squared and added up at once where heads
// are normed: what is spread of a tile's row in the epilogue, two tiles.
const HeadStep = 32

// HeadSteps returns how many such runs of columns a block has.
func (t ProductTiles) HeadSteps() int { return t.Columns / HeadStep }

// HeadBytes returns the threadgroup memory of their sums.
func (t ProductTiles) HeadBytes() int { return 4 * t.Rows * t.HeadSteps() }

// AttentionRows is attention with a threadgroup a head and row, or a part of its keys.
type AttentionRows struct {
	Width      int   // elements a load
	Lanes      int   // lanes that share a key
	Simdgroups int   // simdgroups of a threadgroup
	Ahead      int   // keys that a lane loads before it uses the first
	Early      int   // keys of a lane that are loaded before the ready point
	Parts      int64 // parts of the keys, each a threadgroup, merged by a second kernel; 0 for a single pass
}

// Threads returns how many threads a threadgroup has.
func (a AttentionRows) Threads() int { return a.Simdgroups * lanes }

// LeastKeys is how many keys a part of the cache is given at least: with fewer, parts are
// left without keys and end at once.
const LeastKeys = 256

// MergeThreads returns how many threads merge the parts of a row of attention of dim
// elements: one an element.
func MergeThreads(dim int64) int { return int((dim + lanes - 1) / lanes * lanes) }

// AttentionTiles is attention of many rows in tiles: a threadgroup takes a head and a
// block of its queries, 16 a simdgroup, Keys keys at a time.
type AttentionTiles struct {
	Simdgroups int
	Keys       int
}

// Threads returns how many threads a threadgroup has.
func (a AttentionTiles) Threads() int { return a.Simdgroups * lanes }

// Queries returns the rows of a block.
func (a AttentionTiles) Queries() int { return TileSide * a.Simdgroups }

// KeysWidth is how many elements of keys and values are brought to tiles or to the blocks of
// matrix units at once.
const KeysWidth = 8

// StageBytes returns the memory of a block of keys and one of values of rows of dim
// elements, which hold the queries before.
func (a AttentionTiles) StageBytes(dim int64) int {
	depth := int(dim)
	if chunks := depth / 8; chunks&(chunks-1) != 0 {
		depth += 8 // see common/tile.metal
	}
	return 2 * depth * max(2*a.Keys, a.Queries())
}

// Registers returns how many registers of 32 bits a thread is expected to have for heads
// of dim elements: its part of the queries, as halves, of the result and of a block's
// scores, of a block of keys or values on its way, and 24 for all else. NVRTC 13 makes 124
// of 64 elements and 64 keys (expected 120), 166 of 128 and 32 (152), 212 of 128 and 64 (184).
func (a AttentionTiles) Registers(dim int64) int {
	d := int(dim)
	return d/4 + d/2 + a.Keys/2 + a.Keys*d/(2*a.Threads()) + 24
}

// Bytes returns the threadgroup memory of attention with heads of dim elements.
func (a AttentionTiles) Bytes(dim int64) int {
	return Rounded(a.StageBytes(dim))
}

// BatchedElements is a batched product with a thread for each element of the result,
// which loads Width elements of each row at once.
type BatchedElements struct{ Width int }

// Threads returns how many threads a threadgroup has.
func (BatchedElements) Threads() int { return 64 }

// BatchedColumns is a batched product whose lanes sum up a column each; the simdgroups of
// a threadgroup share its rows.
type BatchedColumns struct{}

// Threads returns how many threads a threadgroup has.
func (b BatchedColumns) Threads() int { return b.Simdgroups() * lanes }

// Simdgroups returns those of a threadgroup.
func (BatchedColumns) Simdgroups() int { return 8 }

// Columns returns how many columns a threadgroup makes.
func (BatchedColumns) Columns() int { return lanes }
