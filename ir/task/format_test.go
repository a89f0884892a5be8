package task_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

// A chunk takes the words of its levels, and those of its factors and offsets.
func TestChunksOfFormats(t *testing.T) {
	for _, c := range []struct {
		t                         dtype.Type
		planes                    bool
		widest, bits, other       int
		offsets, scattered, plain bool
	}{
		{t: dtype.F32, widest: 4, bits: 32}, {t: dtype.F16, widest: 8, bits: 16}, {t: dtype.BF16, widest: 8, bits: 16},
		{t: dtype.Q8_0, widest: 8, bits: 8, other: 1},
		{t: dtype.Q4_0, widest: 8, bits: 4, other: 1, scattered: true}, {t: dtype.Q4_1, widest: 8, bits: 4, other: 1, offsets: true, scattered: true}, // two halves are a word
		{t: dtype.Q5_0, widest: 8, bits: 4, other: 2, scattered: true}, {t: dtype.Q5_1, widest: 8, bits: 4, other: 2, offsets: true, scattered: true}, // the fifth bits of 32 are a word
		{t: dtype.IQ4_NL, widest: 8, bits: 4, other: 1, scattered: true}, {t: dtype.IQ4_XS, widest: 8, bits: 4, other: 2, scattered: true},
		{t: dtype.Q4_K, widest: 32, bits: 4, other: 2, offsets: true}, {t: dtype.Q5_K, widest: 32, bits: 8, other: 2, offsets: true}, // four bits, and as many words for the fifth
		{t: dtype.Q6_K, widest: 16, bits: 8, other: 1, scattered: true}, {t: dtype.Q2_K, widest: 16, bits: 4, other: 1, offsets: true, scattered: true}, {t: dtype.Q3_K, widest: 16, bits: 4, other: 2, scattered: true},
		{t: dtype.Q8_0, planes: true, widest: 32, bits: 8, other: 1}, {t: dtype.Q4_0, planes: true, widest: 32, bits: 4, other: 1}, {t: dtype.Q4_1, planes: true, widest: 32, bits: 4, other: 1, offsets: true},
		{t: dtype.Q5_0, planes: true, widest: 32, bits: 5, other: 1}, {t: dtype.Q5_1, planes: true, widest: 32, bits: 5, other: 1, offsets: true}, {t: dtype.Q6_K, planes: true, widest: 32, bits: 6, other: 2},
		{t: dtype.Q4_K, planes: true, widest: 32, bits: 4, other: 2, offsets: true}, {t: dtype.Q5_K, planes: true, widest: 32, bits: 5, other: 2, offsets: true},
	} {
		f, ok := task.FormatIn(c.t, c.planes)
		require.True(t, ok, "%s", c.t)
		require.Equal(t, c.widest, f.Widths[0], "%s", c.t)
		require.Equal(t, c.bits*c.widest/32+c.other, f.Words, "%s, planes %t", c.t, c.planes)
		require.Equal(t, [3]bool{c.offsets, c.scattered, c.planes}, [3]bool{f.Offsets, f.Scattered, f.Planes}, "%s", c.t)
		for _, w := range f.Widths {
			require.Zero(t, w&(w-1), "%s: chunks of a power of two", c.t)
		}
		require.Equal(t, f.Words, f.Registers(c.widest))
		require.Equal(t, max(1, f.Words/2), f.Registers(c.widest/2))
		require.Equal(t, 1, f.Registers(0), "a register at least")
	}
	_, ok := task.FormatIn(dtype.F16, true)
	require.False(t, ok)
	_, ok = task.FormatOf(dtype.I32)
	require.False(t, ok)
}

// The chunk of a row is the one with which lanes idle least: a round of 32 lanes, of 16 for
// chunks of 32 weights, counts whole.
func TestChunksOfRows(t *testing.T) {
	format := func(d dtype.Type) task.Format {
		f, ok := task.FormatOf(d)
		require.True(t, ok)
		return f
	}
	for _, c := range []struct {
		t    dtype.Type
		n    int64
		want int
	}{
		{dtype.F16, 1024, 8}, // four rounds of 256 weights, eight of 128
		{dtype.F16, 896, 4},  // seven rounds of 128, but four of 256
		{dtype.F16, 12, 4}, {dtype.F16, 7, 1}, {dtype.F16, 8, 4}, {dtype.F16, 256, 8},
		{dtype.F32, 256, 4}, {dtype.F32, 6, 1},
		{dtype.Q4_K, 256, 32}, {dtype.Q4_K, 3584, 32}, {dtype.Q4_K, 48, 16}, {dtype.Q8_0, 32, 8},
	} {
		require.Equal(t, c.want, format(c.t).Width(c.n), "%s, %d", c.t, c.n)
	}
	f := format(dtype.F16)
	require.Equal(t, 4, f.WidthOr(4, 1024), "as it is asked for")
	require.Equal(t, 8, f.WidthOr(0, 1024))
	require.Equal(t, 8, f.WidthOr(2, 1024), "no chunk of the format")
	require.Equal(t, 4, f.WidthOr(8, 12), "no chunk of the row")
	require.Equal(t, 1, f.WidthOr(1, 1024))
	for bits, want := range map[dtype.Type][]int{affine(t, "affine4_g64_f16"): {32, 16}, affine(t, "affine5_g64_f16"): {32}, affine(t, "affine3_g64_f16"): {32}} {
		f := format(bits)
		a, _ := bits.Affine()
		require.Equal(t, want, f.Widths)
		require.True(t, f.Offsets)
		require.Equal(t, a.Bits+2, f.Words, "32 weights of so many bits, a factor and an offset")
	}
}

func affine(t *testing.T, name string) dtype.Type {
	t.Helper()
	d, err := dtype.Parse(name)
	require.NoError(t, err)
	return d
}

// Weights lie in planes where a target gains by it and rows can.
func TestPlanesOfTargets(t *testing.T) {
	h100, err := target.Find("h100")
	require.NoError(t, err)
	m3, err := target.Find(target.Default)
	require.NoError(t, err)
	rows := func(d dtype.Type, cols sym.Dim) ir.Type { return ir.TypeOf(d, sym.Const(8), cols) }
	require.True(t, task.InPlanes(rows(dtype.Q8_0, sym.Const(256)), h100))
	require.False(t, task.InPlanes(rows(dtype.Q8_0, sym.Const(256)), m3))
	require.False(t, task.InPlanes(rows(dtype.Q2_K, sym.Const(256)), h100))
	require.False(t, task.InPlanes(rows(dtype.Q8_0, sym.T), h100))
}
