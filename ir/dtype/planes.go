package dtype

import (
	"encoding/binary"
	"fmt"
)

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
	Q4_K: {{16, 144}, {0, 16}},
	Q5_K: {{48, 176}, {16, 48}, {0, 16}},
	Q6_K: {{0, 128}, {128, 192}, {192, 208}, {208, 210}},
}

// dealt are the formats whose levels, or small numbers too, are dealt out anew before a block
// is cut: to is a copy of the block, and only they are written. Then what lanes read at once
// is adjacent in the row.
var dealt = [numTypes]func(block, to []byte){Q4_K: dealQ4_K, Q5_K: dealQ5_K, Q6_K: dealQ6_K}

// dealQ4_K makes runs of 32 levels of a block whose bytes hold levels of two runs, each with
// 16 bytes as in dealQ6_K, and deals the scales and minima, six bits each: byte r of the first
// eight has the scale of run r above the low two bits of its minimum, half r of the four bytes
// behind them the minimum's other four.
func dealQ4_K(block, to []byte) {
	dealRuns(block[16:144], to[16:144])
	dealScales(block[4:16], to[4:16])
}

// dealQ5_K is dealQ4_K for blocks with fifth bits, which are 32 of a run then: bit
// 8 i + 4 + w is that of level 4 w + i, bit (8 i + 8 + w) mod 32 that of level 16 + 4 w + i,
// for w and i from 0 to 3. Turned by w they stand above the halves that word w of the run's
// 16 bytes has: above the low half of each byte, and above the high one.
func dealQ5_K(block, to []byte) {
	dealRuns(block[48:176], to[48:176])
	dealScales(block[4:16], to[4:16])
	for run := range 8 {
		var word uint32
		for w := range 4 {
			for i := range 4 {
				low := uint32(block[16+4*w+i]>>run) & 1
				high := uint32(block[32+4*w+i]>>run) & 1
				word |= low<<(8*i+4+w) | high<<((8*i+8+w)%32)
			}
		}
		binary.LittleEndian.PutUint32(to[16+4*run:], word)
	}
}

func dealRuns(halves, to []byte) {
	clear(to)
	for k := range 256 {
		run, i := k/32, k%32
		level := halves[run/2*32+i] >> (run % 2 * 4) & 15
		to[16*run+i%16] |= level << (i / 16 * 4)
	}
}

func dealScales(packed, to []byte) {
	clear(to)
	for run := range 8 {
		scale, minimum := scaleMin(packed, run)
		s, m := byte(scale), byte(minimum)
		to[run] = s<<2 | m&3
		to[8+run/2] |= m >> 2 << (run % 2 * 4)
	}
}

// dealQ6_K makes runs of 32 levels of a block whose halves hold levels 64 apart: 16 bytes
// of low halves a run, levels 0 to 15 in the low ones of bytes 0 to 15, 16 to 31 in the
// high ones; and 8 bytes of bit pairs. The pairs of levels 4 q to 4 q + 3 stand in bytes 0
// to 3 of those where q is 0, 1, 4 or 5, from bit 0, 2, 4 or 6 on, and so in bytes 4 to 7
// where q is 2, 3, 6 or 7.
func dealQ6_K(block, to []byte) {
	low, top := to[:128], to[128:192]
	clear(to[:192])
	for i := range 256 {
		half, run, in := i/128, i%128/32, i%32
		nibble := block[64*half+32*(run%2)+in] >> (4 * (run / 2)) & 15
		pair := block[128+32*half+in] >> (2 * run) & 3
		low[i/32*16+in%16] |= nibble << (in / 16 * 4)
		q := in / 4
		top[i/32*8+q/2%2*4+in%4] |= pair << (2 * (q%2 + q/4*2))
	}
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
	var anew []byte
	for out := all; len(rows) > 0; rows, out = rows[size:], out[stride:] {
		row := rows[:size]
		if deal := dealt[t]; deal != nil {
			anew = append(anew[:0], row...)
			for b := 0; b < size; b += block {
				deal(row[b:b+block], anew[b:b+block])
			}
			row = anew
		}
		at := 0
		for _, s := range planes[t] {
			for b := 0; b < size; b += block {
				at += copy(out[at:], row[b+s.from:b+s.to])
			}
		}
	}
	return all
}
