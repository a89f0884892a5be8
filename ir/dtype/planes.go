package dtype

import "fmt"

// planeAlign is what a row in planes starts at a multiple of, in bytes: the widest
// load of a lane.
const planeAlign = 16

// section is a range of the bytes of a block.
type section struct{ from, to int }

// planes holds, by format, the sections of a block that become planes of a row, in
// the order of the planes: levels, what is left of their bits, scales. Formats whose
// blocks are whole loads have none.
var planes = [numTypes][]section{
	Q8_0: {{2, 34}, {0, 2}},
	Q4_0: {{2, 18}, {0, 2}},
	Q4_1: {{4, 20}, {0, 4}},
	Q5_0: {{6, 22}, {2, 6}, {0, 2}},
	Q5_1: {{8, 24}, {4, 8}, {0, 4}},
	Q6_K: {{0, 128}, {128, 192}, {192, 208}, {208, 210}},
}

// HasPlanes reports whether rows of n elements of t can lie in planes.
func (t Type) HasPlanes(n int64) bool {
	block, _ := t.Block()
	return t < numTypes && planes[t] != nil && n > 0 && n%int64(block) == 0
}

// PlaneBytes is the length of a row of n elements of t in planes: that of its
// blocks, made up to a multiple of 16.
func (t Type) PlaneBytes(n int64) int64 {
	return (t.Bytes(n) + planeAlign - 1) / planeAlign * planeAlign
}

// Planes returns rows of n elements of t, each PlaneBytes(n) long: the sections of
// its blocks one behind the other, each of all blocks in their order. It panics where
// HasPlanes(n) is false or rows is not a number of whole rows.
func (t Type) Planes(rows []byte, n int64) []byte {
	if !t.HasPlanes(n) || int64(len(rows))%t.Bytes(n) != 0 {
		panic(fmt.Sprintf("dtype: no planes of %d bytes of %v in rows of %d", len(rows), t, n))
	}
	_, block := t.Block()
	size, stride := int(t.Bytes(n)), int(t.PlaneBytes(n))
	all := make([]byte, len(rows)/size*stride)
	for out := all; len(rows) > 0; rows, out = rows[size:], out[stride:] {
		at := 0
		for _, s := range planes[t] {
			for b := 0; b < size; b += block {
				at += copy(out[at:], rows[b+s.from:b+s.to])
			}
		}
	}
	return all
}
