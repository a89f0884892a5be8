package dtype

import "math"

// F16ToF32 widens an IEEE 754 binary16 bit pattern; exact, NaN payloads kept.
func F16ToF32(h uint16) float32 {
	u := uint32(h&0x7fff) << 13
	// Exponent and fraction in place; the product moves the bias from 15 to
	// 127, and makes subnormals normal.
	b := math.Float32bits(math.Float32frombits(u) * 0x1p112)
	if u >= 0x1f<<23 {
		b |= 0x7f800000 // infinity and NaN have the greatest exponent in both
	}
	return math.Float32frombits(b | uint32(h&0x8000)<<16)
}

// F32ToF16 narrows to binary16, rounding to nearest even; values beyond 65504
// become infinities, values below the subnormal range zero.
func F32ToF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN: keep it quiet, keep what fits of the payload
		return sign | 0x7e00 | uint16(b>>13)&0x3ff
	case b >= 0x477ff000: // rounds to 65536 or more
		return sign | 0x7c00
	case b < 0x33000001: // at most half of the least subnormal: ties go to even, zero
		return sign
	case b < 0x38800000: // subnormal result
		e := b >> 23
		man := b&0x7fffff | 0x800000
		shift := 126 - e // 14..24
		v := man >> shift
		rest, half := man&(1<<shift-1), uint32(1)<<(shift-1)
		if rest > half || rest == half && v&1 == 1 {
			v++
		}
		return sign | uint16(v)
	}
	b += 0xfff + b>>13&1 // round to nearest even on the 13 bits that go
	return sign | uint16((b-0x38000000)>>13)
}

// BF16ToF32 widens a bfloat16 bit pattern; exact.
func BF16ToF32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// F32ToBF16 narrows to bfloat16, rounding to nearest even.
func F32ToBF16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
