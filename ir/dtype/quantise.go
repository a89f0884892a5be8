package dtype

import (
	"encoding/binary"
	"math"
)

// CanQuantise reports whether Quantise writes type t. The other K and IQ formats are
// read only, and so are affine formats with zero points: who makes those calibrates
// them on a text.
func (t Type) CanQuantise() bool {
	a, affine := t.Affine()
	return t.Float() || t >= Q8_0 && t <= Q6_K || affine && !a.Zeros
}

// Quantise writes the elements of src to dst as type t, with the rounding of
// GGML's reference quantisers in plain float32 arithmetic, or MLX's for an affine
// type; q4_k, q5_k and q6_k as kquantise.go says; f16 and bf16 round to nearest even.
// Values must be finite for a block format: a block with an infinity or a NaN has no
// meaningful scale.
//
// len(src) must be a multiple of the block's element count and dst must hold
// exactly t.Bytes(len(src)) bytes; anything else, and a type for which
// CanQuantise is false, is a caller's mistake and panics.
func Quantise(t Type, src []float32, dst []byte) {
	if !t.CanQuantise() {
		panic("dtype: cannot quantise to " + t.String())
	}
	checkLengths("quantise", t, len(src), len(dst))
	switch t {
	case F32:
		for i, v := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		}
	case F16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], F32ToF16(v))
		}
	case BF16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], F32ToBF16(v))
		}
	default:
		elems, bytes := t.Block()
		var block func(src []float32, dst []byte)
		if a, affine := t.Affine(); affine {
			block = a.quantise
		} else {
			block = quantisers[t]
		}
		for len(src) > 0 {
			block(src[:elems:elems], dst[:bytes:bytes])
			src, dst = src[elems:], dst[bytes:]
		}
	}
}

// quantisers holds, by block format, the function that writes one block.
var quantisers = [firstAffine]func(src []float32, dst []byte){
	Q8_0: quantiseQ8_0,
	Q4_0: quantiseQ4_0,
	Q4_1: quantiseQ4_1,
	Q5_0: quantiseQ5_0,
	Q5_1: quantiseQ5_1,
	Q4_K: quantiseQ4_K,
	Q5_K: quantiseQ5_K,
	Q6_K: quantiseQ6_K,
}

func putScale(b []byte, v float32) { binary.LittleEndian.PutUint16(b, F32ToF16(v)) }

// inverse is 1/d, and 0 where that is no number: then d is zero in f16 too and
// the block's elements read as zero (or the minimum) whatever they hold.
func inverse(d float32) float32 {
	if id := 1 / d; !math.IsInf(float64(id), 0) {
		return id
	}
	return 0
}

// truncateLevel truncates v to an integer within 0..top.
func truncateLevel(v float32, top int) byte {
	return byte(max(0, min(top, int(v))))
}

// symmetric returns the scale that maps the value of greatest magnitude to
// -half, the end of the range that has one more level, and its inverse.
func symmetric(src []float32, half float32) (d, id float32) {
	var peak, magnitude float32
	for _, v := range src {
		if a := math.Float32frombits(math.Float32bits(v) &^ (1 << 31)); a > magnitude {
			peak, magnitude = v, a
		}
	}
	d = peak / -half
	return d, inverse(d)
}

// affine returns the scale that spreads lowest..highest over 0..top, its
// inverse, and the lowest value.
func affine(src []float32, top float32) (d, id, lowest float32) {
	lowest, highest := src[0], src[0]
	for _, v := range src[1:] {
		if v < lowest {
			lowest = v
		}
		if v > highest {
			highest = v
		}
	}
	d = (highest - lowest) / top
	return d, inverse(d), lowest
}

func quantiseQ8_0(src []float32, dst []byte) {
	var peak uint32 // magnitudes order as their bit patterns do
	for _, v := range src {
		peak = max(peak, math.Float32bits(v)&^(1<<31))
	}
	d := math.Float32frombits(peak) / 127
	id := inverse(d)
	putScale(dst, d)
	for i, v := range src {
		// Rounds halves away from zero. Values in a block lie within 127 and a
		// rounding error of it, so the result fits a byte.
		dst[2+i] = byte(int8(math.Round(float64(v * id))))
	}
}

func quantiseQ4_0(src []float32, dst []byte) {
	d, id := symmetric(src, 8)
	putScale(dst, d)
	for i := range 16 {
		lo := truncateLevel(float32(src[i]*id)+8.5, 15)
		hi := truncateLevel(float32(src[i+16]*id)+8.5, 15)
		dst[2+i] = lo | hi<<4
	}
}

func quantiseQ4_1(src []float32, dst []byte) {
	d, id, lowest := affine(src, 15)
	putScale(dst, d)
	putScale(dst[2:], lowest)
	for i := range 16 {
		lo := truncateLevel(float32((src[i]-lowest)*id)+0.5, 15)
		hi := truncateLevel(float32((src[i+16]-lowest)*id)+0.5, 15)
		dst[4+i] = lo | hi<<4
	}
}

func quantiseQ5_0(src []float32, dst []byte) {
	d, id := symmetric(src, 16)
	putScale(dst, d)
	var top uint32
	for i := range 16 {
		lo := truncateLevel(float32(src[i]*id)+16.5, 31)
		hi := truncateLevel(float32(src[i+16]*id)+16.5, 31)
		dst[6+i] = lo&15 | hi<<4
		top |= uint32(lo>>4)<<i | uint32(hi>>4)<<(i+16)
	}
	binary.LittleEndian.PutUint32(dst[2:], top)
}

func quantiseQ5_1(src []float32, dst []byte) {
	d, id, lowest := affine(src, 31)
	putScale(dst, d)
	putScale(dst[2:], lowest)
	var top uint32
	for i := range 16 {
		lo := truncateLevel(float32((src[i]-lowest)*id)+0.5, 31)
		hi := truncateLevel(float32((src[i+16]-lowest)*id)+0.5, 31)
		dst[8+i] = lo&15 | hi<<4
		top |= uint32(lo>>4)<<i | uint32(hi>>4)<<(i+16)
	}
	binary.LittleEndian.PutUint32(dst[4:], top)
}
