package task

import (
	"math"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/target"
)

// Format is how weights of a type are read: in what chunks, and how rows lie.
type Format struct {
	Widths  []int // weights of one chunk, widest first; a row is a multiple of the width
	Words   int   // 32-bit registers that a chunk of the widest form takes as loaded
	Offsets bool  // weights have an offset beside their factor
	Planes  bool  // rows lie in planes

	Scattered bool // a chunk's weights stand by four in the row, no eight beside each other
}

// inBlocks are the formats that are no affine types.
var inBlocks = map[dtype.Type]Format{
	dtype.F32:    {Widths: []int{4, 1}, Words: 4},
	dtype.F16:    {Widths: []int{8, 4, 1}, Words: 4},
	dtype.BF16:   {Widths: []int{8, 4, 1}, Words: 4},
	dtype.Q8_0:   {Widths: []int{8}, Words: 3},
	dtype.Q4_0:   {Widths: []int{8}, Words: 2, Scattered: true},
	dtype.Q4_1:   {Widths: []int{8}, Words: 2, Offsets: true, Scattered: true},
	dtype.Q5_0:   {Widths: []int{8}, Words: 3, Scattered: true},
	dtype.Q5_1:   {Widths: []int{8}, Words: 3, Offsets: true, Scattered: true},
	dtype.Q4_K:   {Widths: []int{32, 16}, Words: 6, Offsets: true},
	dtype.Q5_K:   {Widths: []int{32, 16}, Words: 10, Offsets: true},
	dtype.Q6_K:   {Widths: []int{16}, Words: 5, Scattered: true},
	dtype.Q2_K:   {Widths: []int{16}, Words: 3, Offsets: true, Scattered: true},
	dtype.Q3_K:   {Widths: []int{16}, Words: 4, Scattered: true},
	dtype.IQ4_NL: {Widths: []int{8}, Words: 2, Scattered: true},
	dtype.IQ4_XS: {Widths: []int{8}, Words: 3, Scattered: true},
}

// inPlanes are the formats of rows in planes.
var inPlanes = map[dtype.Type]Format{
	dtype.Q8_0: {Widths: []int{32, 16, 8}, Words: 9, Planes: true},
	dtype.Q4_0: {Widths: []int{32, 16, 8}, Words: 5, Planes: true},
	dtype.Q4_1: {Widths: []int{32, 16, 8}, Words: 5, Offsets: true, Planes: true},
	dtype.Q5_0: {Widths: []int{32, 16}, Words: 6, Planes: true},
	dtype.Q5_1: {Widths: []int{32, 16}, Words: 6, Offsets: true, Planes: true},
	dtype.Q4_K: {Widths: []int{32, 16}, Words: 6, Offsets: true, Planes: true},
	dtype.Q5_K: {Widths: []int{32, 16}, Words: 7, Offsets: true, Planes: true},
	dtype.Q6_K: {Widths: []int{32, 16}, Words: 8, Planes: true},
}

// FormatOf returns how weights of t are read; false where nothing reads them.
func FormatOf(t dtype.Type) (Format, bool) {
	a, affine := t.Affine()
	if !affine {
		f, ok := inBlocks[t]
		return f, ok
	}
	f := Format{Widths: []int{32, 16}, Words: a.Bits + 2, Offsets: true}
	if a.Bits%2 != 0 {
		f.Widths = f.Widths[:1] // sixteen are no whole words
	}
	return f, true
}

// FormatIn is FormatOf for weights of t, whose rows may lie in planes.
func FormatIn(t dtype.Type, planes bool) (Format, bool) {
	if planes {
		f, ok := inPlanes[t]
		return f, ok
	}
	return FormatOf(t)
}

// Format returns how a param of the region that holds weights is read.
func (r *Region) Format(v *ir.Value) Format {
	f, _ := FormatIn(r.Lies(v), r.Operands[v.Index].Planes)
	return f
}

// InPlanes reports whether a weight of t lies in planes on a target: so it is where
// the target gains by it and the rows can.
func InPlanes(t ir.Type, x *target.Target) bool {
	cols, ok := t.Shape.At(-1).Const()
	return ok && x.HasPlanes(t.DType.String()) && t.DType.HasPlanes(cols)
}

// Width picks the chunk for rows of n weights: the one with which the lanes of a
// simdgroup idle least, the widest of equals. In planes a chunk of eight is for those who
// ask for it, where few simdgroups run and each lane's own work is what takes time.
func (f Format) Width(n int64) int {
	best, cost := 0, int64(math.MaxInt64)
	for _, w := range f.Widths {
		if n%int64(w) != 0 || w == 1 && best > 0 || w == 8 && f.Planes {
			continue
		}
		lanes := 32
		if w == kernel.ChunkWeights {
			lanes = 16 // teams of half a simdgroup take such chunks where they idle less
		}
		// A narrow chunk moves the same bytes with more instructions: the widest, which stand
		// first, win a draw.
		if c := (n + int64(lanes*w) - 1) / int64(lanes*w) * int64(lanes*w); c < cost {
			best, cost = w, c
		}
	}
	return best
}

// WidthOr is want where the format has chunks of so many weights and rows of n divide
// into them, otherwise Width(n).
func (f Format) WidthOr(want int, n int64) int {
	if slices.Contains(f.Widths, want) && n%int64(want) == 0 {
		return want
	}
	return f.Width(n)
}

// Registers is how many 32-bit registers a chunk of the given width takes as loaded.
func (f Format) Registers(width int) int { return max(1, f.Words*width/f.Widths[0]) }
