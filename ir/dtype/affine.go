package dtype

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Affine is a weight format in which each group of a row's elements has a scale and
// a bias, or a scale and a zero point: the format of MLX, GPTQ and AWQ. Element i of
// a group reads scale*q[i] + bias, or scale*(q[i] - zero).
//
// A block is one group: the scale, the bias or zero point, both of type Scales, then
// the levels q as a bit stream of Bits bits each, lowest bits first, in bytes. Its
// size is a multiple of four bytes. The zero point is stored as a number, which all
// of 0 to 256 are exactly in every one of the types; a bias of -scale*zero would not
// be exact.
type Affine struct {
	Bits   int  // bits of a level: 2, 3, 4, 5, 6 or 8
	Group  int  // elements of a group: 32, 64 or 128
	Scales Type // F16, BF16 or F32
	Zeros  bool // an integer zero point instead of a bias
}

// What an affine format may be made of.
var (
	affineBits   = [...]int{2, 3, 4, 5, 6, 8}
	affineGroups = [...]int{32, 64, 128}
	affineScales = [...]Type{F16, BF16, F32}
)

// WeightsPerRead returns how many consecutive weights of t are always read at once: 32 of an
// affine type with an odd number of bits, whose levels only then end with a word,
// otherwise 16 at most.
func (t Type) WeightsPerRead() int {
	if a, ok := t.Affine(); ok && a.Bits%2 != 0 {
		return 32
	}
	return 16
}

const affineTypes = 6 * 3 * 3 * 2

// Affines lists the affine types, "affine4_g64_bf16" and, with zero points,
// "affine4_g64_bf16_zero": by bits, then group, scales and zero form.
func Affines() []Type { return typesFrom(firstAffine, numTypes) }

// withAffine completes a table of the named types.
func withAffine(table [numTypes]info) [numTypes]info {
	for i := range affineTypes {
		a := affineAt(i)
		scales := table[a.Scales]
		name := fmt.Sprintf("affine%d_g%d_%s", a.Bits, a.Group, scales.name)
		if a.Zeros {
			name += "_zero"
		}
		table[int(firstAffine)+i] = info{name, a.Group, 2*scales.bytes + a.Group*a.Bits/8}
	}
	return table
}

// affineAt returns the affine type of number i.
func affineAt(i int) Affine {
	zeros, i := i%2 == 1, i/2
	scales, i := affineScales[i%len(affineScales)], i/len(affineScales)
	group, i := affineGroups[i%len(affineGroups)], i/len(affineGroups)
	return Affine{affineBits[i], group, scales, zeros}
}

// Type returns the type of the format; false where there is none.
func (a Affine) Type() (Type, bool) {
	bits := slices.Index(affineBits[:], a.Bits)
	group := slices.Index(affineGroups[:], a.Group)
	scales := slices.Index(affineScales[:], a.Scales)
	if bits < 0 || group < 0 || scales < 0 {
		return Invalid, false
	}
	i := (bits*len(affineGroups)+group)*len(affineScales) + scales
	i *= 2
	if a.Zeros {
		i++
	}
	return firstAffine + Type(i), true
}

// Affine returns what an affine type is made of; false for every other type.
func (t Type) Affine() (Affine, bool) {
	if t < firstAffine || t >= numTypes {
		return Affine{}, false
	}
	return affineAt(int(t - firstAffine)), true
}

// Format returns the name of the format without what its kernels take as parameters:
// "affine4" for every affine type of four bits, the name for every other type.
func (t Type) Format() string {
	name, _, _ := strings.Cut(t.String(), "_g")
	return name
}

// ParseWeights returns the type that a user names for weights: a name that Parse
// takes, or an affine one without its group, which is 64 then, or without its
// scales, bf16 then: "affine4", "affine8_g32".
func ParseWeights(name string) (Type, error) {
	for _, rest := range []string{"", "_bf16", "_g64_bf16"} {
		if t, err := Parse(name + rest); err == nil {
			return t, nil
		}
	}
	return Parse(name)
}

// dequantise reads one block.
func (a Affine) dequantise(src []byte, dst []float32) {
	scale, second, levels := a.Split(src)
	s, b := a.readScale(scale), a.readScale(second)
	a.unpack(levels, dst)
	if a.Zeros {
		for i, q := range dst {
			dst[i] = s * (q - b)
		}
		return
	}
	for i, q := range dst {
		dst[i] = float32(s*q) + b
	}
}

// Split returns the parts of one block: scale, bias or zero point, levels.
func (a Affine) Split(block []byte) (scale, second, levels []byte) {
	_, n := a.Scales.Block()
	return block[:n:n], block[n : 2*n : 2*n], block[2*n:]
}

// readScale reads a scale, bias or zero point.
func (a Affine) readScale(b []byte) float32 {
	switch a.Scales {
	case F32:
		return math.Float32frombits(binary.LittleEndian.Uint32(b))
	case BF16:
		return BF16ToF32(binary.LittleEndian.Uint16(b))
	}
	return F16ToF32(binary.LittleEndian.Uint16(b))
}

// unpack reads the levels of a block as floats, eight at a time: their bits are
// Bits whole bytes.
func (a Affine) unpack(levels []byte, dst []float32) {
	switch a.Bits {
	case 8:
		for i, b := range levels {
			dst[i] = float32(b)
		}
		return
	case 4:
		for i, b := range levels {
			dst[2*i], dst[2*i+1] = float32(b&15), float32(b>>4)
		}
		return
	}
	mask := uint64(1)<<a.Bits - 1
	for ; len(levels) > 0; levels, dst = levels[a.Bits:], dst[8:] {
		var word uint64
		for i, b := range levels[:a.Bits] {
			word |= uint64(b) << (8 * i)
		}
		for i := range dst[:8] {
			dst[i] = float32(word & mask)
			word >>= a.Bits
		}
	}
}

// pack writes whole numbers of 0 to 2^Bits-1, eight at a time, as levels.
func (a Affine) pack(q []float32, levels []byte) {
	for ; len(q) > 0; levels, q = levels[a.Bits:], q[8:] {
		var word uint64
		for i, v := range q[:8] {
			word |= uint64(v) << (i * a.Bits)
		}
		for i := range levels[:a.Bits] {
			levels[i] = byte(word >> (8 * i))
		}
	}
}

// quantise writes one block with biases, as mx.quantize of MLX does it to an array of
// type Scales: the values are rounded to that type first; the end of their range
// that is farther from zero is met exactly, and zero is a level where the range holds
// it. All arithmetic is float32; levels round halves to even.
func (a Affine) quantise(src []float32, dst []byte) {
	var room [128]float32
	w := room[:len(src)]
	for i, v := range src {
		w[i] = a.round(v)
	}
	lowest, highest := w[0], w[0]
	for _, v := range w[1:] {
		lowest, highest = min(lowest, v), max(highest, v)
	}
	const least = 1e-7 // the scale of a group of equal values
	top := float32(int(1)<<a.Bits - 1)
	scale := max((highest-lowest)/top, least)
	edge := lowest
	if abs(lowest) <= abs(highest) {
		scale, edge = -scale, highest
	}
	bias := float32(0)
	if q := roundEven(edge / scale); q != 0 {
		scale, bias = edge/q, edge
	}
	for i, v := range w {
		q := roundEven((v - bias) / scale)
		if q != q { // of an infinite scale
			q = 0
		}
		w[i] = min(max(q, 0), top)
	}
	s, b, levels := a.Split(dst)
	a.putScale(s, scale)
	a.putScale(b, bias)
	a.pack(w, levels)
}

func abs(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }

// roundEven rounds to a whole number, halves to the even one.
func roundEven(v float32) float32 { return float32(math.RoundToEven(float64(v))) }

// round returns v as Scales can hold it.
func (a Affine) round(v float32) float32 {
	switch a.Scales {
	case F16:
		return F16ToF32(F32ToF16(v))
	case BF16:
		return BF16ToF32(F32ToBF16(v))
	}
	return v
}

func (a Affine) putScale(b []byte, v float32) {
	switch a.Scales {
	case F16:
		binary.LittleEndian.PutUint16(b, F32ToF16(v))
	case BF16:
		binary.LittleEndian.PutUint16(b, F32ToBF16(v))
	default:
		binary.LittleEndian.PutUint32(b, math.Float32bits(v))
	}
}
