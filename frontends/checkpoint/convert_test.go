package checkpoint

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"foundry/ir/dtype"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Every bf16 pattern, at each of the four places of a word, converts as the
// scalar functions do, to f16 and to f32, and the counts are right.
func TestBF16IsExhaustivelyRight(t *testing.T) {
	src := make([]byte, 0, 4*4*2<<16)
	var want Narrowing
	for h := range 1 << 16 {
		for place := range 4 {
			word := [4]uint16{0x3f80, 0xbf80, 0x3f80, 0xbf80}
			word[place] = uint16(h)
			for _, v := range word {
				src = binary.LittleEndian.AppendUint16(src, v)
				f := dtype.BF16ToF32(v)
				g := dtype.F16ToF32(dtype.F32ToF16(f))
				want.Values++
				want.countNonFinite([]float32{f})
				if f != 0 && g == 0 {
					want.Flushed++
				}
				if math.IsInf(float64(g), 0) && !math.IsInf(float64(f), 0) {
					want.Overflowed++
				}
			}
		}
	}
	dst := make([]byte, len(src))
	var got Narrowing
	require.NoError(t, Convert(dtype.F16, dst, dtype.BF16, src, &got))
	for i := 0; i < len(src); i += 2 {
		h := binary.LittleEndian.Uint16(src[i:])
		if g := binary.LittleEndian.Uint16(dst[i:]); g != dtype.F32ToF16(dtype.BF16ToF32(h)) {
			t.Fatalf("%#04x became %#04x", h, g)
		}
	}
	require.Equal(t, want, got)
	require.NotZero(t, got.Flushed)
	require.NotZero(t, got.Overflowed)

	wide, values := make([]byte, 2*len(src)), make([]float32, len(src)/2)
	dtype.Dequantise(dtype.BF16, src, values)
	got = Narrowing{}
	require.NoError(t, Convert(dtype.F32, wide, dtype.BF16, src, &got))
	for i, v := range values {
		if bits := binary.LittleEndian.Uint32(wide[4*i:]); bits != math.Float32bits(v) {
			t.Fatalf("%#08x became %#08x", math.Float32bits(v), bits)
		}
	}
	require.Equal(t, Narrowing{Values: want.Values, NaN: want.NaN, Infinite: want.Infinite}, got)
}

// Between plain floats, conversion is element by element what dtype says, for
// any length and any value, and the counts are what the values show.
func TestConvertPlain(t *testing.T) {
	plain := []dtype.Type{dtype.F32, dtype.F16, dtype.BF16}
	rapid.Check(t, func(rt *rapid.T) {
		from := rapid.SampledFrom(plain).Draw(rt, "from")
		to := rapid.SampledFrom(plain).Draw(rt, "to")
		src := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(rt, "src")
		_, size := from.Block()
		src = src[:len(src)/size*size]
		n := len(src) / size
		dst := make([]byte, to.Bytes(int64(n)))
		var got Narrowing
		require.NoError(rt, Convert(to, dst, from, src, &got))
		before, after := floats(src, from), floats(dst, to)
		want := Narrowing{Values: int64(n)}
		wantBytes := make([]byte, len(dst))
		dtype.Quantise(to, before, wantBytes)
		if from == to {
			wantBytes = src
		}
		require.Equal(rt, wantBytes, dst)
		for i := range before {
			if math.IsNaN(float64(before[i])) {
				want.NaN++
			}
			if math.IsInf(float64(before[i]), 0) {
				want.Infinite++
			}
			if before[i] != 0 && after[i] == 0 {
				want.Flushed++
			}
			if math.IsInf(float64(after[i]), 0) && !math.IsInf(float64(before[i]), 0) {
				want.Overflowed++
			}
		}
		require.Equal(rt, want, got)
	})
}

// The thresholds of the counts, at the last value on either side.
func TestCountsAtTheEdges(t *testing.T) {
	for _, c := range []struct {
		to    dtype.Type
		value float32
		want  Narrowing
	}{
		{dtype.F16, 0x1p-25, Narrowing{Values: 1, Flushed: 1}},
		{dtype.F16, math.Nextafter32(0x1p-25, 1), Narrowing{Values: 1}},
		{dtype.F16, 0, Narrowing{Values: 1}},
		{dtype.F16, 65520, Narrowing{Values: 1, Overflowed: 1}},
		{dtype.F16, math.Nextafter32(65520, 0), Narrowing{Values: 1}},
		{dtype.F16, float32(math.Inf(-1)), Narrowing{Values: 1, Infinite: 1}},
		{dtype.BF16, 0x1p-134, Narrowing{Values: 1, Flushed: 1}},
		{dtype.BF16, math.Nextafter32(0x1p-134, 1), Narrowing{Values: 1}},
		{dtype.BF16, math.Float32frombits(0x7f7f8000), Narrowing{Values: 1, Overflowed: 1}}, // the middle of the largest and the next
		{dtype.BF16, math.Float32frombits(0x7f7f7fff), Narrowing{Values: 1}},
		{dtype.BF16, math.MaxFloat32, Narrowing{Values: 1, Overflowed: 1}},
		{dtype.BF16, float32(math.NaN()), Narrowing{Values: 1, NaN: 1}},
	} {
		for _, v := range []float32{c.value, -c.value} {
			src, dst := make([]byte, 4), make([]byte, 2)
			dtype.Quantise(dtype.F32, []float32{v}, src)
			var got Narrowing
			require.NoError(t, Convert(c.to, dst, dtype.F32, src, &got))
			require.Equal(t, c.want, got, "%g to %v", v, c.to)
		}
	}
}

func TestConvertBlocks(t *testing.T) {
	const n = 3*convertGrain + 256 // several goroutines' shares and a rest
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	f32 := make([]byte, 4*n)
	dtype.Quantise(dtype.F32, values, f32)
	for _, block := range dtype.All() {
		if !block.Quantised() {
			continue
		}
		q := make([]byte, block.Bytes(n))
		if block.CanQuantise() {
			require.NoError(t, Convert(block, q, dtype.F32, f32, nil))
			want := make([]byte, len(q))
			dtype.Quantise(block, values, want)
			require.Equal(t, want, q, "%v", block)
		} else {
			require.EqualError(t, Convert(block, q, dtype.F32, f32, nil), "cannot convert f32 to "+block.String())
			_, size := block.Block()
			for i := range q {
				if q[i] = byte(rng.Uint32()); i%size == 1 || i%size == 3 || i%size == size-1 {
					q[i] &= 0x3f // scales stay finite
				}
			}
		}
		back := make([]byte, 2*n)
		require.NoError(t, Convert(dtype.F16, back, block, q, nil))
		want := make([]byte, 2*n)
		dtype.Quantise(dtype.F16, floats(q, block), want)
		require.Equal(t, want, back, "%v", block)
	}
}

func TestBlockLossIsCounted(t *testing.T) {
	src := make([]byte, 4*96)
	values := make([]float32, 96) // a zero block, a huge one, a tiny one
	values[40], values[70], values[71] = 1e9, 1e-9, -1e-10
	dtype.Quantise(dtype.F32, values, src)
	var got Narrowing
	require.NoError(t, Convert(dtype.Q8_0, make([]byte, 3*34), dtype.F32, src, &got))
	require.Equal(t, Narrowing{Values: 96, Overflowed: 32, Flushed: 2}, got)
}

// A group under an infinite scale or bias is counted whole, whatever type those have.
func TestAffineLossIsCounted(t *testing.T) {
	src := make([]byte, 4*96)
	values := make([]float32, 96)
	values[40], values[70] = 1e9, 1e-9
	dtype.Quantise(dtype.F32, values, src)
	for name, overflowed := range map[string]int64{"affine4_g32_f16": 32, "affine4_g32_bf16": 0, "affine3_g32_f32": 0} {
		typ, err := dtype.Parse(name)
		require.NoError(t, err)
		var got Narrowing
		require.NoError(t, Convert(typ, make([]byte, typ.Bytes(96)), dtype.F32, src, &got))
		require.Equal(t, Narrowing{Values: 96, Overflowed: overflowed}, got, name)
	}
}

func TestConvertRefuses(t *testing.T) {
	require.EqualError(t, Convert(dtype.F16, make([]byte, 2), dtype.BF16, make([]byte, 3), nil), "3 bytes are no whole number of bf16 blocks")
	require.EqualError(t, Convert(dtype.Q8_0, make([]byte, 34), dtype.BF16, make([]byte, 2), nil), "cannot convert 1 elements of bf16 to q8_0 in 34 bytes")
	require.EqualError(t, Convert(dtype.F32, make([]byte, 4), dtype.I32, make([]byte, 4), nil), "cannot convert i32 to f32")
}

func BenchmarkConvert(b *testing.B) {
	const n = 1 << 20
	values := make([]float32, n)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range values {
		values[i] = float32(rng.NormFloat64() * 0.02)
	}
	for _, c := range []struct{ from, to dtype.Type }{
		{dtype.BF16, dtype.F16}, {dtype.BF16, dtype.F32}, {dtype.F32, dtype.F16}, {dtype.F16, dtype.F32},
		{dtype.BF16, dtype.Q8_0}, {dtype.BF16, dtype.Q4_0}, {dtype.Q8_0, dtype.F16},
	} {
		b.Run(c.from.String()+"-"+c.to.String(), func(b *testing.B) {
			src, dst := make([]byte, c.from.Bytes(n)), make([]byte, c.to.Bytes(n))
			dtype.Quantise(c.from, values, src)
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if err := Convert(c.to, dst, c.from, src, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Nothing that cannot stand in the wanted type gets there; what is not finite in the
// file is counted, by tensor, whether it is converted or not.
func TestWhatNarrowTypesCannotHold(t *testing.T) {
	values := make([]float32, 64)
	for i := range values {
		values[i] = float32(i) / 8
	}
	source := func(at int, v float32) Source {
		x := slices.Clone(values)
		x[at] = v
		data := make([]byte, 4*len(x))
		dtype.Quantise(dtype.F32, x, data)
		return &store{label: "m", tensors: map[string]stored{"w": {Info{dtype.F32, []int64{2, 32}, int64(len(data))}, data}}}
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, c := range []struct {
		to    dtype.Type
		value float32
		want  string
	}{
		{dtype.F16, 1e5, `m: tensor "w": 1 of 64 values are too large for f16; take wider weights (--weights bf16 or f32)`},
		{dtype.BF16, math.MaxFloat32, `m: tensor "w": 1 of 64 values are too large for bf16; take wider weights (--weights bf16 or f32)`},
		{dtype.Q8_0, 1e9, `m: tensor "w": 32 of 64 values are too large for q8_0; take wider weights (--weights bf16 or f32)`},
		{dtype.Q4_0, nan, `m: tensor "w": 1 of 64 values are NaN and 0 infinite, which no q4_0 block holds`},
		{dtype.Q5_1, inf, `m: tensor "w": 0 of 64 values are NaN and 1 infinite, which no q5_1 block holds`},
		{dtype.F16, nan, ""},
		{dtype.BF16, inf, ""},
		{dtype.F32, inf, ""},
	} {
		s := source(40, c.value)
		var n Narrowing
		_, err := ReadAs(s, "w", c.to, &n)
		if c.want != "" {
			require.EqualError(t, err, c.want)
			require.Zero(t, n, "what failed counts for nothing")
		} else {
			require.NoError(t, err)
		}
		found, err := Scan(context.Background(), s, nil)
		require.NoError(t, err)
		switch {
		case c.value-c.value == 0:
			require.Empty(t, found)
		case c.value != c.value:
			require.Equal(t, []Finding{{"w", dtype.F32, 64, 1, 0}}, found)
		default:
			require.Equal(t, []Finding{{"w", dtype.F32, 64, 0, 1}}, found)
		}
	}
	require.Equal(t, `tensor "w": 1 of 64 values are NaN and 2 infinite`, Finding{"w", dtype.F32, 64, 1, 2}.String())
	var told [][2]int
	_, err := Scan(context.Background(), source(0, 0), func(done, of int) { told = append(told, [2]int{done, of}) })
	require.NoError(t, err)
	require.Equal(t, [][2]int{{1, 1}}, told)
	ended, end := context.WithCancel(context.Background())
	end()
	_, err = Scan(ended, source(0, 0), nil)
	require.ErrorIs(t, err, context.Canceled)
}

// What is not finite is counted in whichever of four lanes it stands, alone among zeros.
func TestNonFiniteInEachLane(t *testing.T) {
	for lane := range 5 {
		for bits, want := range map[uint16]Narrowing{0x7f80: {Values: 5, Infinite: 1}, 0xff80: {Values: 5, Infinite: 1}, 0x7fc0: {Values: 5, NaN: 1}, 0x7f82: {Values: 5, NaN: 1}, 0x7f7e: {Values: 5}} {
			src := make([]byte, 10)
			binary.LittleEndian.PutUint16(src[2*lane:], bits)
			require.Equal(t, want, countBF16(src), "%x in lane %d", bits, lane)
			wide := want
			dst := make([]byte, 20)
			require.Equal(t, wide, bf16ToF32(dst, src))
			require.Equal(t, uint32(bits)<<16, binary.LittleEndian.Uint32(dst[4*lane:]))
			if bits == 0x7f7e { // finite, and too large for f16
				wide.Overflowed = 1
			}
			require.Equal(t, wide, bf16ToF16(make([]byte, 10), src), "%x in lane %d", bits, lane)
		}
	}
}
