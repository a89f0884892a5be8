package task

import (
	"foundry/ir/dtype"
	"foundry/ir/kernel"
)

// Staging says how weights and the operand of a product in blocks come to the stages: what
// follows from the product, how its weights lie, and the kernel.
type Staging struct {
	Product *Product
	Tiles   kernel.ProductTiles
}

// Chunk is the weights of t that a thread brings at once: the most that divide a row and,
// where they are expanded, leave every thread a chunk of a block. The factors of a chunk are
// decoded once.
func (s Staging) Chunk(t dtype.Type) int {
	widths := s.Product.FormatOf(t).Widths
	for _, w := range widths {
		if w <= s.Tiles.Depth && s.Product.Length%int64(w) == 0 && (t == dtype.F16 || s.Tiles.Columns*s.Tiles.Depth >= w*s.Tiles.Threads()) {
			return w
		}
	}
	return widths[len(widths)-1]
}

// Chunks is how many chunks of weights of t a thread brings of a block.
func (s Staging) Chunks(t dtype.Type) int {
	return s.Tiles.EachOf(s.Tiles.Columns * s.Tiles.Depth / s.Chunk(t))
}

// Copies reports whether weights of t reach their stage as they are stored: not beside
// others that are expanded while x is copied, since those have two places.
func (s Staging) Copies(t dtype.Type) bool {
	return s.Product.Copyable(t) && !(s.Tiles.Copied && s.Tiles.Expanded)
}

// Copyable reports whether weights of t can reach a stage as they are stored: halves in whole
// runs of those that are copied at once.
func (g *Product) Copyable(t dtype.Type) bool {
	return t == dtype.F16 && g.Length%kernel.CopiedHalves == 0
}

// FactorEach reports whether each of a thread's chunks of weights of t needs a factor of its
// own. Otherwise all of them are of one product, since the thread's stage rows lie as far
// apart as the units of all products repeat.
func (s Staging) FactorEach(t dtype.Type) bool {
	for _, p := range s.Product.Parts {
		if len(p.Products) > 1 && s.Tiles.Threads()*s.Chunk(t)/s.Tiles.Depth%(kernel.TileSide*p.RowsPerUnit()) != 0 {
			return true
		}
	}
	return false
}
