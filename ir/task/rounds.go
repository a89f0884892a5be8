package task

import (
	"math"

	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/sym"
)

// Rounds says how often the lanes of a product over rows load chunks before they use the
// first, and what threadgroup memory that takes.
type Rounds struct {
	Product *Product
	Rows    kernel.ProductRows
	Room    int // threadgroup memory that a target has, bytes
}

// mostPreloaded is the most rounds held across the prologue: with all seven of 0.5b's
// gate/up there, nothing is on its way while they are multiplied, and it takes 5.8 us on an
// H200 instead of 4.9.
const mostPreloaded = 4

// FixedWeights reports whether no dispatch of the step writes a weight.
func (g *Product) FixedWeights() bool {
	for _, p := range g.Parts {
		for _, q := range p.Products {
			if !g.Region.Operands[q.Args[1].Index].Fixed {
				return false
			}
		}
	}
	return true
}

// LoadsEarly reports whether a lane of rows loads what its epilogue needs around the ready
// point: it has one row's, which registers hold.
func (g *Product) LoadsEarly() bool { return g.Tokens == sym.Const(1) }

// FormatOf returns how weights of t are read; those of one dtype lie alike.
func (g *Product) FormatOf(t dtype.Type) Format {
	for _, p := range g.Parts {
		for _, q := range p.Products {
			if q.Args[1].Type.DType == t {
				return g.Region.Format(q.Args[1])
			}
		}
	}
	f, _ := FormatIn(t, false)
	return f
}

// Width is how many weights of t a lane loads at once.
func (r Rounds) Width(t dtype.Type) int {
	return r.Product.FormatOf(t).WidthOr(r.Rows.Width, r.Product.Length)
}

// Lanes is how many lanes share the chunks of a row.
func (r Rounds) Lanes() int64 { return r.Rows.Seats() * int64(r.Rows.Share) }

// Sliced reports whether simdgroups bring what their chunks meet from device memory
// to threadgroup memory of their own.
func (r Rounds) Sliced() bool {
	return r.Rows.Direct && r.Rows.Chunked && r.Product.Tokens == sym.Const(1) && r.Product.FixedWeights() && r.sliceRounds() > 0
}

// SliceBytes is the threadgroup memory that a round of chunks takes in a slice.
func (r Rounds) SliceBytes() int64 { return r.Rows.Seats() * 4 * (kernel.ChunkWeights + 4) }

// SlicesBytes is the threadgroup memory of a simdgroup's slices, of so many rounds at once: those
// that are held across the prologue, or those that are loaded ahead.
func (r Rounds) SlicesBytes(rounds int) int64 { return int64(rounds) * r.SliceBytes() }

// most is how many rounds of chunks can be loaded together besides what registers hold:
// those that have room for their slices.
func (r Rounds) most() int {
	if !r.Sliced() {
		return math.MaxInt
	}
	return r.sliceRounds()
}

// sliceRounds is how many rounds' slices have room in threadgroup memory, beside the
// shares and the squares of rows.
func (r Rounds) sliceRounds() int {
	room := r.Room - 8*r.Rows.Simdgroups*r.Rows.Teams*r.Rows.PerTeam - 256
	return room / r.Rows.Simdgroups / int(r.SliceBytes())
}

// Preloaded is how many rounds are held across the prologue; none where weights have
// several formats or a dispatch of the step writes them.
func (r Rounds) Preloaded() int {
	t, same := r.Product.SameFormat()
	if !same || !r.Product.FixedWeights() {
		return 0
	}
	f, w := r.Product.FormatOf(t), r.Width(t)
	chunks := r.Rows.Segment / int64(w)
	return min(int((chunks+r.Lanes()-1)/r.Lanes()), mostPreloaded, r.most(), max(1, r.Rows.Held/(f.Registers(w)*r.Rows.PerTeam)))
}

// Ahead is how many rounds of chunks of weights of t a lane loads before it uses the first,
// of size elements of which preload rounds are there already: what its registers hold,
// evenly over the rounds that are left.
func (r Rounds) Ahead(t dtype.Type, size int64, preload int) int {
	w := r.Width(t)
	left := (size/int64(w)+r.Lanes()-1)/r.Lanes() - int64(preload)
	most := int64(min(max(1, r.Rows.Loads/(r.Product.FormatOf(t).Registers(w)*r.Rows.PerTeam)), r.most()))
	if left < 1 || r.Rows.Vectors > 1 {
		return 1
	}
	batches := (left + most - 1) / most
	return min(int((left+batches-1)/batches), r.most())
}

// mostGammas is the most loads of a norm's weights that a thread holds across the ready
// point. Longer vectors belong to longer kernels, which have other work then and need the
// registers.
const mostGammas = 2

// GammasHeld returns how many loads of the norm's weights, width elements each, a thread
// holds across the ready point: all of a vector's, where that is staged whole and no
// dispatch of the step writes the weights. 0: they are loaded where they are needed.
func (r Rounds) GammasHeld(width int) int64 {
	g, k := r.Product, r.Rows
	_, gamma := NormOperands(g.Norm)
	n, _ := kernel.TurnsOf(g.Length, k.Threads(), width)
	if !g.LoadsEarly() || n > mostGammas || k.Segment < g.Length || gamma.Param == nil || !g.Region.Operands[gamma.Index].Fixed {
		return 0
	}
	return n
}

// Bytes is the threadgroup memory of the kernel: staged vectors and the sums of their
// norm, shares, slices, squares of rows and of heads, and the best of each simdgroup.
func (r Rounds) Bytes() int {
	g, k := r.Product, r.Rows
	total := 0
	take := func(floats int) { total += kernel.Rounded(4 * floats) }
	if !k.Direct {
		take(int(k.Staged(k.Segment)) * k.Vectors)
		if g.Norm != nil {
			take(k.Simdgroups * k.Vectors)
		}
	}
	if k.Share > 1 {
		take(k.Simdgroups * k.Teams * k.Vectors * k.PerTeam)
	}
	if r.Sliced() {
		t, _ := g.SameFormat()
		preload := r.Preloaded()
		take(int(r.SlicesBytes(max(preload, r.Ahead(t, k.Segment, preload)))) / 4 * k.Simdgroups)
	}
	heads := false
	for _, p := range g.Parts {
		units := k.PerTeam / p.RowsPerUnit()
		for range p.Sums {
			take(k.Owners() * units * k.Vectors)
		}
		if p.HeadNorm != nil && !heads {
			heads = true
			take(k.Owners() * units * k.Vectors)
		}
		for range p.Best {
			take(k.Simdgroups)
			take(k.Simdgroups)
		}
	}
	return total
}
