package dtype

import "fmt"

// scaleBytes is the f16 scale at the head of a block that Planes moves.
const scaleBytes = 2

// HasPlanes reports whether rows of n elements of t can lie in planes: blocks are a
// scale and whole bytes of levels, and the rows' bytes keep a multiple of eight.
func (t Type) HasPlanes(n int64) bool { return t == Q8_0 && n > 0 && n%128 == 0 }

// Planes returns rows of n elements of t each with its levels first and its scales
// behind them, both in the order of the blocks. A row keeps its length, so the
// result is as long as rows. It panics where HasPlanes(n) is false or rows is not a
// number of whole rows.
func (t Type) Planes(rows []byte, n int64) []byte {
	if !t.HasPlanes(n) || int64(len(rows))%t.Bytes(n) != 0 {
		panic(fmt.Sprintf("dtype: no planes of %d bytes of %v in rows of %d", len(rows), t, n))
	}
	_, block := t.Block()
	size := int(t.Bytes(n))
	out := make([]byte, 0, len(rows))
	for ; len(rows) > 0; rows = rows[size:] {
		for b := 0; b < size; b += block {
			out = append(out, rows[b+scaleBytes:b+block]...)
		}
		for b := 0; b < size; b += block {
			out = append(out, rows[b:b+scaleBytes]...)
		}
	}
	return out
}
