package dtype

import (
	"encoding/binary"
	"math"
)

// The K formats have two levels of scales, and their published encoders search for
// them, each version in its way. Here a run's scale, and minimum, are those of the
// least squared error among a few: for each of some widths of the steps the values are
// rounded to levels, and the line through (level, value) is fitted to them. The runs'
// numbers are then rounded to the block's, and the levels taken anew from what can be
// stored.

// widths are by how much the steps of a first guess are narrower than the range
// divided by the number of levels.
var widths = [...]float32{-0.8, -0.4, -0.2, 0, 0.2, 0.4, 0.8, 1.2}

// fitLine fits values to scale*level + offset with levels 0 to top and an offset of at
// most zero.
func fitLine(x []float32, top float32) (scale, offset float32) {
	lowest, highest := min(x[0], 0), x[0]
	for _, v := range x {
		lowest, highest = min(lowest, v), max(highest, v)
	}
	if highest <= lowest {
		return 0, lowest
	}
	best := float32(math.Inf(1))
	n := float32(len(x))
	var v1, v2 float32 // sums of values and of their squares
	for _, v := range x {
		v1, v2 = v1+v, v2+v*v
	}
	for _, w := range widths {
		inverse := (top + w) / (highest - lowest)
		var q1, q2, qv float32 // sums of levels, of their squares and products with values
		for _, v := range x {
			q := roundWhole(min((v-lowest)*inverse, top))
			q1, q2, qv = q1+q, q2+q*q, qv+q*v
		}
		det := n*q2 - q1*q1 // 0 where all have one level
		s, o := (n*qv-q1*v1)/det, (q2*v1-q1*qv)/det
		if !(o <= 0) {
			s, o = qv/q2, 0
		}
		if e := v2 - 2*s*qv - 2*o*v1 + s*s*q2 + 2*s*o*q1 + n*o*o; s > 0 && e < best {
			best, scale, offset = e, s, o
		}
	}
	return scale, offset
}

// ratio fits values to scale*level with levels -half to half-1.
func ratio(x []float32, half float32) (scale float32) {
	var peak float32
	for _, v := range x {
		if abs(v) > abs(peak) {
			peak = v
		}
	}
	if peak == 0 {
		return 0
	}
	best := float32(0)
	for _, w := range widths {
		inverse := -(half + w) / peak
		var q2, qv float32
		for _, v := range x {
			q := roundWhole(min(max(v*inverse, -half), half-1))
			q2, qv = q2+q*q, qv+q*v
		}
		if s := qv / q2; q2 > 0 && s*qv > best { // what it takes off the squared error
			best, scale = s*qv, s
		}
	}
	return scale
}

// roundWhole rounds to a whole number, halves to the even one: what float32 holds of the
// sum with 1.5 * 2^23 are whole numbers, for any v up to 2^22.
func roundWhole(v float32) float32 {
	const raise = 3 << 22
	return float32(v+raise) - raise
}

// roundWithin is a value in steps, rounded and held within lo to hi; 0 where there is no step.
func roundWithin(v, step, lo, hi float32) float32 {
	if step == 0 {
		return 0
	}
	return min(max(roundEven(v/step), lo), hi)
}

func quantiseQ4_K(src []float32, dst []byte) {
	levels := stepped(src, dst, 15)
	for i := range 128 {
		at := 64*(i/32) + i%32
		dst[16+i] = levels[at] | levels[at+32]<<4
	}
}

func quantiseQ5_K(src []float32, dst []byte) {
	levels := stepped(src, dst, 31)
	top := dst[16:48]
	clear(top)
	for i := range 128 {
		run, at := i/32*2, 64*(i/32)+i%32
		low, high := levels[at], levels[at+32]
		dst[48+i] = low&15 | high<<4
		top[i%32] |= low>>4<<run | high>>4<<(run+1)
	}
}

// stepped writes the scale, the minimum and the runs' own of a q4_k or q5_k block, the
// first 16 bytes, and returns the elements' levels, 0 to top.
func stepped(src []float32, dst []byte, top float32) (levels [256]byte) {
	var scales, offsets [8]float32
	var scale, offset float32 // of largest magnitude
	for r := range 8 {
		scales[r], offsets[r] = fitLine(src[32*r:32*r+32], top)
		scale, offset = max(scale, scales[r]), min(offset, offsets[r])
	}
	putScale(dst, scale/63)
	putScale(dst[2:], -offset/63)
	d, m := F16ToF32(binary.LittleEndian.Uint16(dst)), F16ToF32(binary.LittleEndian.Uint16(dst[2:]))
	packed := dst[4:16]
	clear(packed)
	for r := range 8 {
		s, o := byte(roundWithin(scales[r], d, 0, 63)), byte(roundWithin(-offsets[r], m, 0, 63))
		if r < 4 {
			packed[r] |= s
			packed[r+4] |= o
		} else {
			packed[r+4] = s&15 | o<<4
			packed[r-4] |= s >> 4 << 6
			packed[r] |= o >> 4 << 6
		}
		step, below := d*float32(s), m*float32(o)
		for i, v := range src[32*r : 32*r+32] {
			levels[32*r+i] = byte(roundWithin(v+below, step, 0, top))
		}
	}
	return levels
}

func quantiseQ6_K(src []float32, dst []byte) {
	var scales [16]float32
	var peak float32
	for r := range scales {
		scales[r] = ratio(src[16*r:16*r+16], 32)
		if abs(scales[r]) > abs(peak) {
			peak = scales[r]
		}
	}
	clear(dst[:192])
	putScale(dst[208:], peak/-128)
	d := F16ToF32(binary.LittleEndian.Uint16(dst[208:]))
	for r, s := range scales {
		small := roundWithin(s, d, -128, 127)
		dst[192+r] = byte(int8(small))
		half, run := r/8, r%8/2 // of 128 and 32 elements
		for i, v := range src[16*r : 16*r+16] {
			q, at := byte(roundWithin(v, d*small, -32, 31)+32), r%2*16+i
			dst[64*half+run%2*32+at] |= q & 15 << (run / 2 * 4)
			dst[128+32*half+at] |= q >> 4 << (2 * run)
		}
	}
}
