package kernel

// Rounded is how much threadgroup memory an array of so many bytes takes.
func Rounded(bytes int) int { return (bytes + 15) / 16 * 16 }

// ScratchTiles is how many tiles beside each other a simdgroup spreads at once for the
// epilogue: whole units of unit rows, at least two where it has them.
func (t ProductTiles) ScratchTiles(unit int) int {
	return min(t.Columns/t.SIMDColumns/TileSide, max(2, unit))
}

// ScratchStride is the length of a row of a simdgroup's scratch: half a row more than the
// tiles, so that four rows of a tile meet all banks once.
func (t ProductTiles) ScratchStride(unit int) int { return TileSide*t.ScratchTiles(unit) + 8 }

// StageBytes is the memory that the stages and, behind them, the scratch of the epilogue
// share.
func (t ProductTiles) StageBytes(unit int) int {
	return max(2*t.Halves(), 4*TileSide*t.ScratchStride(unit)*t.SIMDs())
}

// Bytes is the threadgroup memory of a product whose units have unit rows; heads are normed.
func (t ProductTiles) Bytes(unit int, heads bool) int {
	bytes := Rounded(t.StageBytes(unit))
	if heads {
		bytes += Rounded(t.HeadBytes())
	}
	return bytes
}

// Bytes is the threadgroup memory of attention with heads of dim elements.
func (a AttentionRows) Bytes(dim int64) int { return Rounded(4 * a.Simdgroups * int(dim+2)) }

// Bytes is the threadgroup memory of a batched product.
func (b BatchedColumns) Bytes() int { return Rounded(4 * b.Threads()) }

// Bytes is the threadgroup memory of a norm.
func (n RowNorm) Bytes() int { return Rounded(4 * n.Threads() / lanes) }

// BestBytes is the threadgroup memory in which threads find the best of what they hold:
// values and places, each simdgroup's.
func BestBytes(threads int) int { return 2 * Rounded(4*threads/lanes) }

// ScoresBytes is the threadgroup memory of scores in tiles, of rows of dim elements: two
// blocks of whole rows, and behind them what is spread of a tile's row.
func (a AttentionTiles) ScoresBytes(dim int64) int {
	return Rounded(max(a.StageBytes(dim), 4*TileSide*ScoresStride*a.Simdgroups))
}

// WeightedBytes is the threadgroup memory of weighted values in tiles, of rows of dim
// elements, WeightedDepth of them at a time: weights and values.
func (a AttentionTiles) WeightedBytes(dim int64) int {
	return Rounded(a.WeightsBytes()) + Rounded(a.ValuesBytes(dim))
}

// WeightsBytes is the part of them for weights.
func (a AttentionTiles) WeightsBytes() int { return 2 * a.Queries() * WeightedDepth }

// ValuesBytes is the part for rows of dim elements.
func (a AttentionTiles) ValuesBytes(dim int64) int {
	return a.StageBytes(dim) / a.Queries() / 2 * WeightedDepth
}

// ScoresStride is the length of a row of scores that a simdgroup spreads, in floats: of two
// tiles and half a row more, so that four rows meet all banks once.
const ScoresStride = 2*TileSide + 8

// WeightedDepth is how many rows of values are weighed at once in tiles.
const WeightedDepth = 32
