package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync/atomic"

	"foundry/ir/dtype"
)

// Narrowing counts what conversions to narrower types did to values, and the values
// that were not finite before. One count may be shared by concurrent conversions.
type Narrowing struct {
	Values     int64 // values converted
	NaN        int64 // values stored as NaN
	Infinite   int64 // values stored as an infinity
	Overflowed int64 // values finite before, infinite after (a block: every value under an infinite scale)
	Flushed    int64 // values not zero before, zero after (a block: every value under a zero scale)
}

// Add adds m's counts; nil takes none.
func (n *Narrowing) Add(m Narrowing) {
	if n == nil {
		return
	}
	atomic.AddInt64(&n.Values, m.Values)
	atomic.AddInt64(&n.NaN, m.NaN)
	atomic.AddInt64(&n.Infinite, m.Infinite)
	atomic.AddInt64(&n.Overflowed, m.Overflowed)
	atomic.AddInt64(&n.Flushed, m.Flushed)
}

// Note says on a line what the user should know of the counts; "" where that is
// nothing.
func (n Narrowing) Note() string {
	if n.Flushed == 0 {
		return ""
	}
	return fmt.Sprintf("of %d weights converted to narrower types %d became zero", n.Values, n.Flushed)
}

// convertGrain is how many elements one goroutine converts at a time: a
// multiple of every block, and small enough for its float32 form to stay in a
// core's cache.
const convertGrain = 1 << 13

// Convert writes the elements of src, of type from, to dst as type to, on all
// cores. Plain floats round to nearest even; block formats round as GGML's
// reference quantisers do. report, which may be nil, is added to.
//
// The lengths must agree with a whole number of blocks of both types, and `to`
// must be f32, f16, bf16 or a block format that can be written; i32 converts
// to itself only.
func Convert(to dtype.Type, dst []byte, from dtype.Type, src []byte, report *Narrowing) error {
	n, err := elementCount(from, len(src))
	if err != nil {
		return err
	}
	per, size := to.Block()
	switch {
	case to == from && len(dst) == len(src):
		copy(dst, src)
		report.Add(countStored(from, src, n))
		return nil
	case !to.CanQuantise() || !from.Float() && !from.Quantised():
		return fmt.Errorf("cannot convert %v to %v", from, to)
	case n%per != 0 || len(dst) != n/per*size:
		return fmt.Errorf("cannot convert %d elements of %v to %v in %d bytes", n, from, to, len(dst))
	}
	parallel(n, convertGrain, func(lo, hi int) {
		d := dst[to.Bytes(int64(lo)):to.Bytes(int64(hi))]
		s := src[from.Bytes(int64(lo)):from.Bytes(int64(hi))]
		report.Add(convertRange(to, d, from, s, hi-lo))
	})
	return nil
}

func elementCount(t dtype.Type, bytes int) (int, error) {
	per, size := t.Block()
	if size == 0 || bytes%size != 0 {
		return 0, fmt.Errorf("%d bytes are no whole number of %v blocks", bytes, t)
	}
	return bytes / size * per, nil
}

func convertRange(to dtype.Type, dst []byte, from dtype.Type, src []byte, n int) Narrowing {
	switch {
	case from == dtype.BF16 && to == dtype.F16:
		return bf16ToF16(dst, src)
	case from == dtype.BF16 && to == dtype.F32:
		return bf16ToF32(dst, src)
	}
	var wide [convertGrain]float32
	values := wide[:n]
	dtype.Dequantise(from, src, values)
	lost := narrow(to, dst, values)
	lost.countNonFinite(values)
	return lost
}

// countStored counts n stored values, of which none is lost, on all cores.
func countStored(t dtype.Type, src []byte, n int) Narrowing {
	out := Narrowing{}
	if !t.Float() && !t.Quantised() {
		out.Values = int64(n)
		return out
	}
	parallel(n, convertGrain, func(lo, hi int) {
		out.Add(countPart(t, src[t.Bytes(int64(lo)):t.Bytes(int64(hi))], hi-lo))
	})
	return out
}

func countPart(t dtype.Type, src []byte, n int) Narrowing {
	if t == dtype.BF16 {
		return countBF16(src)
	}
	var wide [convertGrain]float32
	dtype.Dequantise(t, src, wide[:n])
	out := Narrowing{Values: int64(n)}
	out.countNonFinite(wide[:n])
	return out
}

// countNonFinite adds the values that are NaN or infinite.
func (n *Narrowing) countNonFinite(values []float32) {
	for _, v := range values {
		switch b := math.Float32bits(v) &^ (1 << 31); {
		case b < 0x7f800000:
		case b == 0x7f800000:
			n.Infinite++
		default:
			n.NaN++
		}
	}
}

// narrow encodes values and counts what that lost.
func narrow(to dtype.Type, dst []byte, values []float32) Narrowing {
	dtype.Quantise(to, values, dst)
	switch to {
	case dtype.F32:
		return Narrowing{Values: int64(len(values))}
	case dtype.F16:
		return countLoss(values, 0x33000000, 0x477ff000)
	case dtype.BF16:
		return countLoss(values, 0x00008000, 0x7f7f8000)
	}
	return countBlockLoss(to, dst, values)
}

// countLoss counts the values whose magnitude, as float32 bits, is at most
// zeroTo (they became zero) or at least infFrom (they became infinite).
func countLoss(values []float32, zeroTo, infFrom uint32) Narrowing {
	var overflowed, flushed int64
	for _, v := range values {
		b := math.Float32bits(v) &^ (1 << 31)
		if b-1 < zeroTo { // 0 wraps around and is not counted
			flushed++
		} else if b-infFrom < 0x7f800000-infFrom {
			overflowed++
		}
	}
	return Narrowing{Values: int64(len(values)), Overflowed: overflowed, Flushed: flushed}
}

// countBlockLoss looks at the scale that opens every writable block, an f16 unless
// the type is affine, and at the minimum or bias behind it in the formats that have
// one.
func countBlockLoss(t dtype.Type, blocks []byte, values []float32) Narrowing {
	n := Narrowing{Values: int64(len(values))}
	per, size := t.Block()
	if a, ok := t.Affine(); ok {
		_, scale := a.Scales.Block()
		var ends [2]float32
		for ; len(blocks) > 0; blocks = blocks[size:] {
			dtype.Dequantise(a.Scales, blocks[:2*scale], ends[:])
			if ends[0]-ends[0] != 0 || ends[1]-ends[1] != 0 {
				n.Overflowed += int64(per)
			}
		}
		return n
	}
	affine := t == dtype.Q4_1 || t == dtype.Q5_1
	isInf := func(b []byte) bool { return binary.LittleEndian.Uint16(b)&0x7fff == 0x7c00 }
	for len(values) > 0 {
		switch scale := binary.LittleEndian.Uint16(blocks); {
		case isInf(blocks) || affine && isInf(blocks[2:]):
			n.Overflowed += int64(per)
		case scale&0x7fff == 0 && !affine:
			for _, v := range values[:per] {
				if v != 0 {
					n.Flushed++
				}
			}
		}
		blocks, values = blocks[size:], values[per:]
	}
	return n
}

// bf16ToF16 is the conversion of a published checkpoint. Its seven fraction
// bits fit f16's ten, so within f16's normal range only the exponent's bias
// changes, which takes four values at once in a 64-bit word.
func bf16ToF16(dst, src []byte) Narrowing {
	const (
		lanes = 0x0001_0001_0001_0001
		signs = 0x8000 * lanes
		low   = 0x3880 // 2^-14, the least normal f16, as bf16
		high  = 0x477f // 65280, the greatest bf16 below f16's infinity
	)
	n := Narrowing{Values: int64(len(src) / 2)}
	for ; len(src) >= 8 && len(dst) >= 8; src, dst = src[8:], dst[8:] {
		x := binary.LittleEndian.Uint64(src)
		m := x &^ signs
		// A lane's top bit stays set where m >= low and m <= high.
		if ((m|signs)-low*lanes)&((signs|high*lanes)-m)&signs == signs {
			binary.LittleEndian.PutUint64(dst, x&signs|(m-0x3800*lanes)<<3)
			continue
		}
		bf16ToF16Each(dst[:8], src[:8], &n)
	}
	bf16ToF16Each(dst, src, &n)
	return n
}

// bf16ToF16Each converts and counts any values, one by one.
func bf16ToF16Each(dst, src []byte, n *Narrowing) {
	for i := 0; i < len(src); i += 2 {
		h := binary.LittleEndian.Uint16(src[i:])
		g := dtype.F32ToF16(dtype.BF16ToF32(h))
		binary.LittleEndian.PutUint16(dst[i:], g)
		switch {
		case g&0x7fff == 0 && h&0x7fff != 0:
			n.Flushed++
		case h&0x7fff > 0x7f80:
			n.NaN++
		case h&0x7fff == 0x7f80:
			n.Infinite++
		case g&0x7fff == 0x7c00:
			n.Overflowed++
		}
	}
}

func bf16ToF32(dst, src []byte) Narrowing {
	n := countBF16(src)
	for ; len(src) >= 8 && len(dst) >= 16; src, dst = src[8:], dst[16:] {
		x := binary.LittleEndian.Uint64(src)
		binary.LittleEndian.PutUint64(dst, x<<16&0xffff0000|x>>16<<48)
		binary.LittleEndian.PutUint64(dst[8:], x>>16&0xffff0000|x>>48<<48)
	}
	for ; len(src) >= 2; src, dst = src[2:], dst[4:] {
		binary.LittleEndian.PutUint32(dst, uint32(binary.LittleEndian.Uint16(src))<<16)
	}
	return n
}

// countBF16 counts the values that are NaN or infinite, four at a time: an exponent that
// is all ones shows in a carry into the lane's top bit.
func countBF16(src []byte) Narrowing {
	const lanes = 0x0001_0001_0001_0001
	n := Narrowing{Values: int64(len(src) / 2)}
	for len(src) >= 2 {
		if len(src) >= 8 {
			x := binary.LittleEndian.Uint64(src)
			if (x&(0x7f80*lanes)+0x0080*lanes)&(0x8000*lanes) == 0 {
				src = src[8:]
				continue
			}
		}
		switch h := binary.LittleEndian.Uint16(src) & 0x7fff; {
		case h == 0x7f80:
			n.Infinite++
		case h > 0x7f80:
			n.NaN++
		}
		src = src[2:]
	}
	return n
}
