package dtype

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Dequantise reads len(dst) consecutive elements of type t from src into dst.
// The plain floats f32, f16 and bf16 count as blocks of one element, so one
// call widens any weight. Block formats follow GGML's published layouts, and
// every product and sum is rounded to float32 (no fused multiply-add), so the
// result is the same on every machine.
//
// len(dst) must be a multiple of the block's element count and src must hold
// exactly t.Bytes(len(dst)) bytes; anything else, and a type that is no float
// format, is a caller's mistake and panics.
func Dequantise(t Type, src []byte, dst []float32) {
	checkLengths("dequantise", t, len(dst), len(src))
	switch t {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = F16ToF32(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = BF16ToF32(binary.LittleEndian.Uint16(src[2*i:]))
		}
	default:
		elems, bytes := t.Block()
		var block func(src []byte, dst []float32)
		if a, affine := t.Affine(); affine {
			block = a.dequantise
		} else {
			block = dequantisers[t]
		}
		for len(dst) > 0 {
			block(src[:bytes:bytes], dst[:elems:elems])
			src, dst = src[bytes:], dst[elems:]
		}
	}
}

// dequantisers holds, by block format, the function that reads one block.
var dequantisers = [firstAffine]func(src []byte, dst []float32){
	Q8_0: dequantiseQ8_0,
	Q4_0: dequantiseQ4_0,
	Q4_1: dequantiseQ4_1,
	Q5_0: dequantiseQ5_0,
	Q5_1: dequantiseQ5_1,
	Q4_K: dequantiseQ4_K,
	Q5_K: dequantiseQ5_K,
	Q6_K: dequantiseQ6_K,

	Q2_K:   dequantiseQ2_K,
	Q3_K:   dequantiseQ3_K,
	IQ4_NL: dequantiseIQ4_NL,
	IQ4_XS: dequantiseIQ4_XS,
}

func checkLengths(verb string, t Type, elems, bytes int) {
	if !t.Float() && !t.Quantised() {
		panic(fmt.Sprintf("dtype: cannot %s %v", verb, t))
	}
	if per, _ := t.Block(); elems%per != 0 || int64(bytes) != t.Bytes(int64(elems)) {
		panic(fmt.Sprintf("dtype: cannot %s %d elements of %v in %d bytes", verb, elems, t, bytes))
	}
}

// scale reads the f16 number at the start of b.
func scale(b []byte) float32 { return F16ToF32(binary.LittleEndian.Uint16(b)) }

// q8_0: scale d; 32 signed bytes q; value d*q.
func dequantiseQ8_0(src []byte, dst []float32) {
	d := scale(src)
	for i, q := range src[2:34] {
		dst[i] = d * float32(int8(q))
	}
}

// q4_0: scale d; 16 bytes, element i in the low half of byte i, element i+16
// in its high half; value d*(q-8).
func dequantiseQ4_0(src []byte, dst []float32) {
	d := scale(src)
	lo, hi := dst[:16], dst[16:32]
	for i, q := range src[2:18] {
		lo[i] = d * float32(int(q&15)-8)
		hi[i] = d * float32(int(q>>4)-8)
	}
}

// q4_1: scale d, minimum m; 16 bytes as in q4_0; value d*q + m.
func dequantiseQ4_1(src []byte, dst []float32) {
	d, m := scale(src), scale(src[2:])
	lo, hi := dst[:16], dst[16:32]
	for i, q := range src[4:20] {
		lo[i] = float32(d*float32(q&15)) + m
		hi[i] = float32(d*float32(q>>4)) + m
	}
}

// q5_0: scale d; a 32-bit word whose bit i is the fifth bit of element i; 16
// bytes as in q4_0; value d*(q-16).
func dequantiseQ5_0(src []byte, dst []float32) {
	d := scale(src)
	top := binary.LittleEndian.Uint32(src[2:])
	lo, hi := dst[:16], dst[16:32]
	for i, q := range src[6:22] {
		lo[i] = d * float32(int(uint32(q&15)|top>>i&1<<4)-16)
		hi[i] = d * float32(int(uint32(q>>4)|top>>(i+16)&1<<4)-16)
	}
}

// q5_1: scale d, minimum m; fifth bits and halves as in q5_0; value d*q + m.
func dequantiseQ5_1(src []byte, dst []float32) {
	d, m := scale(src), scale(src[2:])
	top := binary.LittleEndian.Uint32(src[4:])
	lo, hi := dst[:16], dst[16:32]
	for i, q := range src[8:24] {
		lo[i] = float32(d*float32(uint32(q&15)|top>>i&1<<4)) + m
		hi[i] = float32(d*float32(uint32(q>>4)|top>>(i+16)&1<<4)) + m
	}
}
