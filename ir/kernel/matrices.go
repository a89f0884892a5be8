package kernel

// ProductMatrices is a product in blocks that a GPU's matrix units multiply: all
// simdgroups of a threadgroup together, a block of K at a time. How the sums lie among
// threads is the GPU's own, so the epilogue takes them by their coordinates: PassRows
// rows at once go to threadgroup memory, where each simdgroup finishes its share.
// SIMDColumns is 1. Where weights of other formats are Once they lie as halves that kernels
// of their own, Expansion, have made of them.
type ProductMatrices struct {
	ProductTiles
	Once bool
}

// passRows is how many rows of a pass each simdgroup finishes.
const passRows = 4

// PassRows returns how many rows of sums lie in threadgroup memory at once.
func (m ProductMatrices) PassRows() int { return passRows * m.SIMDs() }

// SpreadStride is the length of a row of sums there, in floats: eight more than the block
// has, so that four rows meet all banks once.
func (m ProductMatrices) SpreadStride() int { return m.Columns + 8 }

// StageBytes is the memory that the stages and, behind them, a pass's sums share, and that of
// what undoes the ranges of rows, which rows that are copied do not have.
func (m ProductMatrices) StageBytes(int) int {
	if m.Copied {
		return m.UpsAt()
	}
	return m.UpsAt() + 4*m.Rows
}

// UpsAt is where in that memory what undoes the ranges of rows has room, in bytes.
func (m ProductMatrices) UpsAt() int { return max(2*m.Halves(), 4*m.PassRows()*m.SpreadStride()) }

// HeadBytes is the threadgroup memory of the sums of squares of a pass's heads.
func (m ProductMatrices) HeadBytes() int { return 4 * m.PassRows() * m.HeadSteps() }

// Bytes is the threadgroup memory of the product; heads are normed.
func (m ProductMatrices) Bytes(unit int, heads bool) int {
	bytes := Rounded(m.StageBytes(unit))
	if heads {
		bytes += Rounded(m.HeadBytes())
	}
	return bytes
}

// String is such as "matrices 64x64x32 simdgroups=4x1 stages=2 ahead=1 copied",
// and "once" behind it.
func (m ProductMatrices) String() string {
	return "matrices " + m.numbers() + word(m.Once, " once", "")
}
