package kernel

import "fmt"

// AttentionMatrices is attention of many rows whose products a GPU's matrix units make: a
// threadgroup takes a head and a block of Rows of its queries, Keys keys at a time.
type AttentionMatrices struct{ Rows, Keys, Simdgroups int }

// HeadPart is how many elements of a head an operand of the matrix units has, and FlashPass
// how many rows of the result lie in threadgroup memory at once, FlashStride floats apart.
const (
	HeadPart    = 64
	FlashPass   = 16
	FlashStride = HeadPart + 8
)

// Threads returns how many threads a threadgroup has.
func (a AttentionMatrices) Threads() int { return a.Simdgroups * lanes }

// Lanes returns how many lanes share a row.
func (a AttentionMatrices) Lanes() int { return a.Threads() / a.Rows }

// ScoresAt is where the scores lie in threadgroup memory, in bytes: behind queries, keys,
// values of dim elements and weights. ShrinksAt is where a float a row lies behind them.
func (a AttentionMatrices) ScoresAt(dim int64) int {
	return 2 * ((a.Rows+2*a.Keys)*int(dim) + a.Rows*a.Keys)
}

// ShrinksAt is ScoresAt for the rows' floats.
func (a AttentionMatrices) ShrinksAt(dim int64) int {
	return a.ScoresAt(dim) + 4*a.Rows*(a.Keys+2*a.Lanes())
}

// Bytes returns the threadgroup memory of attention with heads of dim elements.
func (a AttentionMatrices) Bytes(dim int64) int { return Rounded(a.ShrinksAt(dim) + 4*a.Rows) }

// Registers returns how many registers a thread is expected to have for heads of dim
// elements: its sums of scores and of the result, its scores, and 48 for all else.
func (a AttentionMatrices) Registers(dim int64) int {
	return (2*a.Keys+int(dim))*a.Rows/a.Threads() + 48
}

// String is such as "attention-matrices 64x32 simdgroups=4 one-pass": queries by keys.
func (a AttentionMatrices) String() string {
	return fmt.Sprintf("attention-matrices %dx%d simdgroups=%d %s", a.Rows, a.Keys, a.Simdgroups, OnePass)
}
