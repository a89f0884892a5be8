package dtype

import "encoding/binary"

// The K formats hold 256 elements: one f16 scale (and, for q2_k, q4_k and q5_k, one
// f16 minimum) for the whole block, and a small integer scale for each run of 32
// (q4_k, q5_k) or 16 (q2_k, q3_k, q6_k) elements.

// scaleMin reads the 6-bit scale and 6-bit minimum of run j (0 to 7) of a q4_k
// or q5_k block. Runs 0 to 3 lie whole in the low six bits of bytes 0-3 and
// 4-7; runs 4 to 7 have their low four bits in bytes 8-11 and their top two in
// the bits that the first runs left free.
func scaleMin(packed []byte, j int) (scale, min float32) {
	if j < 4 {
		return float32(packed[j] & 63), float32(packed[j+4] & 63)
	}
	return float32(packed[j+4]&15 | packed[j-4]>>6<<4),
		float32(packed[j+4]>>4 | packed[j]>>6<<4)
}

// q4_k: scale d, minimum m, 12 bytes of scales and minima, 128 bytes. Byte i
// of a run of 32 holds element i of run 2r in its low half and of run 2r+1 in
// its high half; value d*scale*q - m*min.
func dequantiseQ4_K(src []byte, dst []float32) {
	d, m, packed, qs := scale(src), scale(src[2:]), src[4:16], src[16:144]
	for r := range 4 {
		s0, m0 := scaleMin(packed, 2*r)
		s1, m1 := scaleMin(packed, 2*r+1)
		d0, d1, o0, o1 := d*s0, d*s1, m*m0, m*m1
		lo, hi := dst[64*r:64*r+32], dst[64*r+32:64*r+64]
		for i, q := range qs[32*r : 32*r+32] {
			lo[i] = float32(d0*float32(q&15)) - o0
			hi[i] = float32(d1*float32(q>>4)) - o1
		}
	}
}

// q5_k: as q4_k, with 32 bytes between scales and halves: bit j of byte i is
// the fifth bit of element i of run j.
func dequantiseQ5_K(src []byte, dst []float32) {
	d, m, packed, top, qs := scale(src), scale(src[2:]), src[4:16], src[16:48], src[48:176]
	for r := range 4 {
		s0, m0 := scaleMin(packed, 2*r)
		s1, m1 := scaleMin(packed, 2*r+1)
		d0, d1, o0, o1 := d*s0, d*s1, m*m0, m*m1
		lo, hi := dst[64*r:64*r+32], dst[64*r+32:64*r+64]
		for i, q := range qs[32*r : 32*r+32] {
			lo[i] = float32(d0*float32(q&15|top[i]>>(2*r)&1<<4)) - o0
			hi[i] = float32(d1*float32(q>>4|top[i]>>(2*r+1)&1<<4)) - o1
		}
	}
}

// q6_k: 128 bytes of low halves, 64 bytes of bit pairs, 16 signed scales, then
// d. Each half block of 128 elements is four runs of 32: their low halves are
// the low, low, high, high halves of 64 bytes, their top bit pairs lie at bits
// 0, 2, 4 and 6 of 32 bytes; value d*scale*(q-32), a scale for 16 elements.
func dequantiseQ6_K(src []byte, dst []float32) {
	d := scale(src[208:])
	for half := range 2 {
		low, top := src[64*half:64*half+64], src[128+32*half:128+32*half+32]
		scales, out := src[192+8*half:192+8*half+8], dst[128*half:128*half+128]
		for run := range 4 {
			bytes, shift := low[run%2*32:run%2*32+32], 4*(run/2)
			s := [2]float32{d * float32(int8(scales[2*run])), d * float32(int8(scales[2*run+1]))}
			o := out[32*run : 32*run+32]
			for i, b := range bytes {
				q := int(b>>shift&15|top[i]>>(2*run)&3<<4) - 32
				o[i] = s[i/16] * float32(q)
			}
		}
	}
}

// q2_k: 16 bytes of a 4-bit scale (low) and a 4-bit minimum (high) for 16 elements
// each, 64 bytes of bit pairs, d, m. Bit pair r of byte i of each 32 is element i of
// run r of 32; value d*scale*q - m*min.
func dequantiseQ2_K(src []byte, dst []float32) {
	d, m := scale(src[80:]), scale(src[82:])
	for half := range 2 {
		qs := src[16+32*half : 16+32*half+32]
		for run := range 4 {
			o := dst[128*half+32*run : 128*half+32*run+32]
			for i, q := range qs {
				packed := src[8*half+2*run+i/16]
				o[i] = float32(float32(d*float32(packed&15))*float32(q>>(2*run)&3)) - float32(m*float32(packed>>4))
			}
		}
	}
}

// q3_k: 32 bytes whose bit j is the third bit of element i of run j of 32, 64 bytes of
// bit pairs as in q2_k, 12 bytes of sixteen 6-bit scales less 32, d; value
// d*scale*(q-4), a scale for 16 elements. The scales' low halves lie in the low and
// then the high halves of the first 8 bytes, their upper pairs in the last 4: pair
// k of byte j belongs to scale 4k + j.
func dequantiseQ3_K(src []byte, dst []float32) {
	d, top, packed := scale(src[108:]), src[:32], src[96:108]
	var scales [16]float32
	for j := range scales {
		low := packed[j%8] >> (4 * (j / 8)) & 15
		scales[j] = d * float32(int(low|packed[8+j%4]>>(2*(j/4))&3<<4)-32)
	}
	for half := range 2 {
		qs := src[32+32*half : 32+32*half+32]
		for run := range 4 {
			o := dst[128*half+32*run : 128*half+32*run+32]
			for i, q := range qs {
				level := q>>(2*run)&3 | top[i]>>(4*half+run)&1<<2
				o[i] = scales[8*half+2*run+i/16] * float32(int(level)-4)
			}
		}
	}
}

// iq4Levels are the values that the 4-bit levels of iq4_nl and iq4_xs stand for.
var iq4Levels = [16]float32{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

// iq4_nl: scale d; 16 bytes as in q4_0; value d*level, of the table.
func dequantiseIQ4_NL(src []byte, dst []float32) { iq4(scale(src), src[2:18], dst) }

func iq4(d float32, qs []byte, dst []float32) {
	lo, hi := dst[:16], dst[16:32]
	for i, q := range qs {
		lo[i] = d * iq4Levels[q&15]
		hi[i] = d * iq4Levels[q>>4]
	}
}

// iq4_xs: d, 16 bits and 4 bytes of eight 6-bit scales less 32 (upper pairs, low
// halves), 128 bytes, 16 for each run of 32 as in iq4_nl; value d*scale*level.
func dequantiseIQ4_XS(src []byte, dst []float32) {
	d, upper := scale(src), binary.LittleEndian.Uint16(src[2:])
	for run := range 8 {
		s := src[4+run/2]>>(4*(run%2))&15 | byte(upper>>(2*run))&3<<4
		iq4(d*float32(int(s)-32), src[8+16*run:24+16*run], dst[32*run:32*run+32])
	}
}
