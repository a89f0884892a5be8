package metal

import (
	"fmt"
	"slices"

	"foundry/ir/dtype"
)

// format is what lowering knows of a weight format: the widths its stage file
// offers and how rows divide.
type format struct {
	name   string
	widths []int    // weights of one chunk, widest first; a row is a multiple of the width
	words  int      // 32-bit registers that a chunk of the widest form takes as loaded
	needs  []string // stage files that the format's own builds on
}

var (
	blocks  = []string{"prologue/blocks.metal"}
	kblocks = []string{"prologue/blocks.metal", "prologue/k_scales.metal"}
)

// formats are the weight formats that have a stage file.
var formats = map[dtype.Type]format{
	dtype.F32:  {"f32", []int{4, 1}, 4, nil},
	dtype.F16:  {"f16", []int{8, 4, 1}, 4, nil},
	dtype.BF16: {"bf16", []int{8, 4, 1}, 4, nil},
	dtype.Q8_0: {"q8_0", []int{8}, 3, blocks},
	dtype.Q4_0: {"q4_0", []int{8}, 2, blocks},
	dtype.Q4_1: {"q4_1", []int{8}, 2, blocks},
	dtype.Q5_0: {"q5_0", []int{8}, 3, blocks},
	dtype.Q5_1: {"q5_1", []int{8}, 3, blocks},
	dtype.Q4_K: {"q4_k", []int{16}, 4, kblocks},
	dtype.Q5_K: {"q5_k", []int{16}, 6, kblocks},
	dtype.Q6_K: {"q6_k", []int{16}, 5, blocks},
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
		rounds := (n + int64(32*w) - 1) / int64(32*w) * int64(w)
		// A narrow chunk moves the same bytes with more instructions.
		if c := rounds*8 + int64(8/w); best == 0 || c < cost {
			best, cost = w, c
		}
	}
	return best
}

// reader is the MSL type that reads chunks of the given width.
func (f format) reader(width int) string {
	if len(f.widths) == 1 {
		return "weight_" + f.name
	}
	return fmt.Sprintf("weight_%s_%d", f.name, width)
}
