package dtype

// The K formats hold 256 elements: one f16 scale (and, for q4_k and q5_k, one
// f16 minimum) for the whole block, and a small integer scale for each run of
// 32 (q4_k, q5_k) or 16 (q6_k) elements.

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
