package metal

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/target"
)

// format is what lowering knows of a weight format: the widths its stage file
// offers and how rows divide.
type format struct {
	name    string
	widths  []int    // weights of one chunk, widest first; a row is a multiple of the width
	words   int      // 32-bit registers that a chunk of the widest form takes as loaded
	needs   []string // stage files that the format's own builds on
	offsets bool     // weights have an offset beside their factor
	params  string   // template arguments of the readers, where they have any
	sized   bool     // a reader's last argument is its width, which its name holds otherwise
	planes  bool     // of rows in planes
}

var (
	blocks  = []string{"prologue/blocks.metal"}
	planes  = []string{"prologue/blocks.metal", "prologue/planes.metal"}
	kblocks = []string{"prologue/blocks.metal", "prologue/k_scales.metal"}

	iq4blocks = []string{"prologue/blocks.metal", "prologue/iq4_levels.metal"}
)

// named are the formats with a stage file of their own.
var named = map[dtype.Type]format{
	dtype.F32:  {name: "f32", widths: []int{4, 1}, words: 4},
	dtype.F16:  {name: "f16", widths: []int{8, 4, 1}, words: 4},
	dtype.BF16: {name: "bf16", widths: []int{8, 4, 1}, words: 4},
	dtype.Q8_0: {name: "q8_0", widths: []int{8}, words: 3, needs: blocks},
	dtype.Q4_0: {name: "q4_0", widths: []int{8}, words: 2, needs: blocks},
	dtype.Q4_1: {name: "q4_1", widths: []int{8}, words: 2, needs: blocks, offsets: true},
	dtype.Q5_0: {name: "q5_0", widths: []int{8}, words: 3, needs: blocks},
	dtype.Q5_1: {name: "q5_1", widths: []int{8}, words: 3, needs: blocks, offsets: true},
	dtype.Q4_K: {name: "q4_k", widths: []int{32, 16}, words: 6, needs: kblocks, offsets: true},
	dtype.Q5_K: {name: "q5_k", widths: []int{32, 16}, words: 10, needs: kblocks, offsets: true},
	dtype.Q6_K: {name: "q6_k", widths: []int{16}, words: 5, needs: blocks},

	dtype.Q2_K:   {name: "q2_k", widths: []int{16}, words: 3, needs: blocks, offsets: true},
	dtype.Q3_K:   {name: "q3_k", widths: []int{16}, words: 4, needs: blocks},
	dtype.IQ4_NL: {name: "iq4_nl", widths: []int{8}, words: 2, needs: iq4blocks},
	dtype.IQ4_XS: {name: "iq4_xs", widths: []int{8}, words: 3, needs: iq4blocks},
}

// formatOf returns how weights of t are read; false where nothing reads them.
func formatOf(t dtype.Type) (format, bool) {
	a, affine := t.Affine()
	if !affine {
		f, ok := named[t]
		return f, ok
	}
	zeros := 0
	if a.Zeros {
		zeros = 1
	}
	f := format{name: "affine", widths: []int{32, 16}, words: a.Bits + 2, needs: blocks, offsets: true, sized: true}
	if a.Bits%2 != 0 {
		f.widths = f.widths[:1] // sixteen are no whole words
	}
	f.params = fmt.Sprintf("%du, %du, affine_%s, %du", a.Bits, a.Group, a.Scales, zeros)
	return f, true
}

// planed are the formats that have a stage file for rows in planes.
var planed = map[dtype.Type]format{
	dtype.Q8_0: {name: "q8_0_planes", widths: []int{32, 16}, words: 9, needs: blocks},
	dtype.Q4_0: {name: "q4_0_planes", widths: []int{32, 16}, words: 5, needs: planes},
	dtype.Q4_1: {name: "q4_1_planes", widths: []int{32, 16}, words: 5, needs: planes, offsets: true},
	dtype.Q5_0: {name: "q5_0_planes", widths: []int{32, 16}, words: 6, needs: planes},
	dtype.Q5_1: {name: "q5_1_planes", widths: []int{32, 16}, words: 6, needs: planes, offsets: true},
	dtype.Q6_K: {name: "q6_k_planes", widths: []int{32, 16}, words: 10, needs: blocks},
}

// inPlanes reports whether a weight of t lies in planes on a target: so it is where
// the target gains by it and the rows can.
func inPlanes(t ir.Type, x *target.Target) bool {
	cols, ok := t.Shape.At(-1).Const()
	return ok && x.HasPlanes(t.DType.String()) && t.DType.HasPlanes(cols)
}

// format returns how a param of the region that holds weights is read.
func (r *region) format(v *ir.Value) format {
	f, _ := formatIn(v.Type, r.operands[v.Index].planes)
	return f
}

// formatIn is formatOf for weights of t, whose rows may lie in planes.
func formatIn(t ir.Type, planes bool) (format, bool) {
	f, ok := formatOf(t.DType)
	if planes {
		f = planed[t.DType]
		f.params, f.sized, f.planes = fmt.Sprintf("%du", t.Shape.At(-1).C), true, true
	}
	return f, ok
}

// files returns the stage files that read weights of the format.
func (f format) files() []string {
	return append(slices.Clone(f.needs), "prologue/dequant_"+f.name+".metal")
}

// width picks the chunk for rows of n weights: the one with which the lanes of a
// simdgroup idle least, the widest of equals.
func (f format) width(n int64) int {
	best, cost := 0, int64(0)
	for _, w := range f.widths {
		if n%int64(w) != 0 || w == 1 && best > 0 {
			continue
		}
		lanes := 32
		if w == chunkWeights {
			lanes = 16 // teams of half a simdgroup take such chunks where they idle less
		}
		rounds := (n + int64(lanes*w) - 1) / int64(lanes*w) * int64(lanes*w) / 32
		// A narrow chunk moves the same bytes with more instructions.
		if c := rounds*8 + int64(8/w); best == 0 || c < cost {
			best, cost = w, c
		}
	}
	return best
}

// rowBytes is how far apart rows of n weights of type t start, read in the format.
func (f format) rowBytes(t dtype.Type, n int64) int64 {
	if f.planes {
		return t.PlaneBytes(n)
	}
	return t.Bytes(n)
}

// registers is how many 32-bit registers a chunk of the given width takes as loaded.
func (f format) registers(width int) int { return max(1, f.words*width/f.widths[0]) }

// four is the MSL function that reads four adjacent weights of a block format.
func (f format) four() string {
	if f.params != "" {
		return fmt.Sprintf("dequant4_%s<%s>", f.name, f.params)
	}
	return "dequant4_" + f.name
}

// reader is the MSL type that reads chunks of the given width.
func (f format) reader(width int) string {
	switch {
	case f.sized:
		return fmt.Sprintf("weight_%s<%s, %du>", f.name, f.params, width)
	case f.params != "":
		return fmt.Sprintf("weight_%s<%s>", f.name, f.params)
	case len(f.widths) == 1:
		return "weight_" + f.name
	}
	return fmt.Sprintf("weight_%s_%d", f.name, width)
}
