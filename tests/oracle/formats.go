package oracle

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
)

// Format is how the elements of a matrix are stored. The blocks are GGML's.
type Format string

// The formats.
const (
	F32  Format = "f32"
	F16  Format = "f16"
	BF16 Format = "bf16"
	Q8_0 Format = "q8_0"
	Q4_0 Format = "q4_0"
	Q4_1 Format = "q4_1"
	Q5_0 Format = "q5_0"
	Q5_1 Format = "q5_1"
	Q4_K Format = "q4_k"
	Q5_K Format = "q5_k"
	Q6_K Format = "q6_k"
	Q2_K Format = "q2_k"
	Q3_K Format = "q3_k"

	IQ4_NL Format = "iq4_nl"
	IQ4_XS Format = "iq4_xs"
)

// Plain and Blocks list the formats of single numbers and those of blocks.
var (
	Plain  = [...]Format{F32, F16, BF16}
	Blocks = [...]Format{Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K, Q2_K, Q3_K, IQ4_NL, IQ4_XS}
)

// number is a floating-point type.
type number struct {
	bytes           int
	digits          int     // digits of the significand, the leading one included
	least, greatest float64 // the least and the greatest of the normal numbers, above zero
	read            func(b []byte) float64
	write           func(b []byte, v float64) // for a v that the type has
}

var (
	single = number{4, 24, 0x1p-126, math.MaxFloat32,
		func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) },
		func(b []byte, v float64) { binary.LittleEndian.PutUint32(b, math.Float32bits(float32(v))) }}
	brain = number{2, 8, 0x1p-126, 0x1.fep127,
		func(b []byte) float64 {
			return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16))
		},
		func(b []byte, v float64) {
			binary.LittleEndian.PutUint16(b, uint16(math.Float32bits(float32(v))>>16))
		}}
	half = number{2, 11, 0x1p-14, 65504, readHalf, writeHalf}
)

// put writes v without the digits that the type does not have. Generated numbers are
// normal; another one is a fault of the generator.
func (n number) put(b []byte, v float64) {
	fraction, exponent := math.Frexp(v)
	v = math.Ldexp(math.Trunc(math.Ldexp(fraction, n.digits)), exponent-n.digits)
	if !n.normal(v) {
		panic(fmt.Sprintf("oracle: %g is not normal in %d bytes", v, n.bytes))
	}
	n.write(b, v)
}

// normal reports whether v is a normal number of the type, or zero.
func (n number) normal(v float64) bool {
	a := math.Abs(v)
	return a == 0 || a >= n.least && a <= n.greatest
}

func readHalf(b []byte) float64 {
	bits := uint64(binary.LittleEndian.Uint16(b))
	sign, exponent, fraction := bits>>15<<63, bits>>10&31, bits&1023
	switch exponent {
	case 0:
		return math.Copysign(float64(fraction)*0x1p-24, math.Float64frombits(sign))
	case 31: // infinity and NaN
		return math.Float64frombits(sign | 0x7ff<<52 | fraction<<42)
	}
	return math.Float64frombits(sign | (exponent+1023-15)<<52 | fraction<<42)
}

// writeHalf takes zeros and the values that are normal halves.
func writeHalf(b []byte, v float64) {
	var bits uint16
	if v != 0 {
		fraction, exponent := math.Frexp(math.Abs(v)) // fraction in [1/2, 1)
		bits = uint16(exponent+14)<<10 | uint16(math.Ldexp(fraction, 11))&1023
	}
	if math.Signbit(v) {
		bits |= 1 << 15
	}
	binary.LittleEndian.PutUint16(b, bits)
}

// format describes blocks: of one element for the plain formats.
type format struct {
	elems, bytes int
	number       number // the element's type, or that of the block's scales
	scales       []int  // places of those scales
	ggml         uint32 // GGML's number for the format
	spread       float64
	offset       float64 // second scale over the first that makes random levels' mean zero
	value        func(block []byte, i int) float64
	minima       func(r *rand.Rand, block []byte) // a draw of small scales with minima close to them; nil: there are none
}

// format looks a format up.
func (f Format) format() format {
	if a, ok := affines[f]; ok {
		return a.format()
	}
	return formats[f]
}

// spread is the standard deviation of random blocks whose first scale is 1; a plain
// format's is 1.
var formats = map[Format]format{
	F32:  {1, 4, single, []int{0}, 0, 1, 0, func(b []byte, _ int) float64 { return single.read(b) }, nil},
	F16:  {1, 2, half, []int{0}, 1, 1, 0, func(b []byte, _ int) float64 { return half.read(b) }, nil},
	BF16: {1, 2, brain, []int{0}, 30, 1, 0, func(b []byte, _ int) float64 { return brain.read(b) }, nil},

	Q8_0: {32, 34, half, []int{0}, 8, 74, 0, func(b []byte, i int) float64 {
		return half.read(b) * float64(int8(b[2+i]))
	}, nil},
	Q4_0: {32, 18, half, []int{0}, 2, 4.6, 0, func(b []byte, i int) float64 {
		return half.read(b) * (nibble(b[2:], i, 16) - 8)
	}, nil},
	Q4_1: {32, 20, half, []int{0, 2}, 3, 4.6, -7.5, func(b []byte, i int) float64 {
		return half.read(b)*nibble(b[4:], i, 16) + half.read(b[2:])
	}, nil},
	Q5_0: {32, 22, half, []int{0}, 6, 9.2, 0, func(b []byte, i int) float64 {
		return half.read(b) * (nibble(b[6:], i, 16) + 16*bit(b[2:], i) - 16)
	}, nil},
	Q5_1: {32, 24, half, []int{0, 2}, 7, 9.2, -15.5, func(b []byte, i int) float64 {
		return half.read(b)*(nibble(b[8:], i, 16)+16*bit(b[4:], i)) + half.read(b[2:])
	}, nil},
	Q4_K: {256, 144, half, []int{0, 2}, 12, 170, 7.5, func(b []byte, i int) float64 {
		scale, least := sixBits(b[4:], i/32)
		return half.read(b)*scale*nibble(b[16+i/64*32:], i%64, 32) - half.read(b[2:])*least
	}, sixBitMinima},
	Q5_K: {256, 176, half, []int{0, 2}, 13, 340, 15.5, func(b []byte, i int) float64 {
		scale, least := sixBits(b[4:], i/32)
		level := nibble(b[48+i/64*32:], i%64, 32) + 16*float64(b[16+i%32]>>(i/32)&1)
		return half.read(b)*scale*level - half.read(b[2:])*least
	}, sixBitMinima},
	Q6_K: {256, 210, half, []int{208}, 14, 1370, 0, func(b []byte, i int) float64 {
		run, at := i%128/32, i%32 // four runs of 32 in each half of a block
		low := b[i/128*64+run%2*32+at] >> (run / 2 * 4) & 15
		high := b[128+i/128*32+at] >> (2 * run) & 3
		return half.read(b[208:]) * float64(int8(b[192+i/16])) * (float64(low) + 16*float64(high) - 32)
	}, nil},
	Q2_K: {256, 84, half, []int{80, 82}, 10, 9.8, 1.5, func(b []byte, i int) float64 {
		scales := b[i/16]
		return half.read(b[80:])*float64(scales&15)*twoBits(b[16:], i) - half.read(b[82:])*float64(scales>>4)
	}, fourBitMinima},
	Q3_K: {256, 110, half, []int{108}, 11, 43, 0, func(b []byte, i int) float64 {
		scale := b[96+i/16%8]>>(i/128*4)&15 + b[104+i/16%4]>>(i/64*2)&3*16
		level := twoBits(b[32:], i) + 4*float64(b[i%32]>>(i/32)&1) - 4
		return half.read(b[108:]) * (float64(scale) - 32) * level
	}, nil},
	IQ4_NL: {32, 18, half, []int{0}, 20, 67, 0, func(b []byte, i int) float64 {
		return half.read(b) * unevenLevels[int(nibble(b[2:], i, 16))]
	}, nil},
	IQ4_XS: {256, 136, half, []int{0}, 23, 1240, 0, func(b []byte, i int) float64 {
		j := i / 32
		scale := b[4+j/2]>>(j%2*4)&15 + b[2+j/4]>>(j%4*2)&3*16
		return half.read(b) * (float64(scale) - 32) * unevenLevels[int(nibble(b[8+16*j:], i%32, 16))]
	}, nil},
}

// unevenLevels are those of the iq4 formats.
var unevenLevels = [16]float64{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

// nibble is element i of bytes that hold n elements in their low halves and the next
// n in their high ones.
func nibble(b []byte, i, n int) float64 { return float64(b[i%n] >> (i / n * 4) & 15) }

// twoBits is element i of the 256 of a q2_k or q3_k block: 32 bytes hold four runs of 32.
func twoBits(b []byte, i int) float64 {
	return float64(b[i/128*32+i%32] >> (i % 128 / 32 * 2) & 3)
}

func bit(b []byte, i int) float64 { return float64(b[i/8] >> (i % 8) & 1) }

// sixBits reads scale and minimum of run j of a q4_k or q5_k block: eight and eight
// numbers of six bits, in 12 bytes.
func sixBits(b []byte, j int) (scale, least float64) {
	if j < 4 {
		return float64(b[j] & 63), float64(b[j+4] & 63)
	}
	return float64(b[j+4]&15 + b[j-4]>>6*16), float64(b[j+4]>>4 + b[j]>>6*16)
}

// Random levels have the mean that a minimum takes off again. Minima that were random,
// too, would leave rows whose mean is far from zero, and scores so large that float32 is
// no longer enough for the rows behind.

// sixBitMinima writes what sixBits reads.
func sixBitMinima(r *rand.Rand, block []byte) {
	var scales, least [8]byte
	for j := range scales {
		scales[j] = byte(r.IntN(64))
		least[j] = byte(max(0, min(63, int(scales[j])+r.IntN(9)-4)))
	}
	b := block[4:]
	for j := range 4 {
		b[j] = scales[j] + scales[j+4]>>4<<6
		b[j+4] = least[j] + least[j+4]>>4<<6
		b[j+8] = scales[j+4]&15 + least[j+4]<<4
	}
}

// fourBitMinima writes the 16 scales of a q2_k block, and minima equal to them.
func fourBitMinima(r *rand.Rand, block []byte) {
	for j := range 16 {
		block[j] = byte(r.IntN(16)) * 17
	}
}
