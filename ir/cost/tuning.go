package cost

import (
	"slices"

	"foundry/ir/task"
)

// Tuning fixes constants of kernels that lowering chooses otherwise: the same text
// with another number in it. It serves measurement; a kernel that has no such
// constant, or whose shape does not divide, stays as it is. The zero value leaves
// every choice to lowering.
type Tuning struct {
	// Width is the elements that a lane loads at once, 1, 4 or 8: of weights in
	// rows of products, of all operands in kernels by element, rows and keys, which
	// know 1 and 4.
	Width int
	// Unroll is how many rounds of loads a lane has on their way before it uses the
	// first, in rows of products and over keys: Unroll1 or UnrollFull, all that its
	// shape says there are.
	Unroll Unroll
	// OwnTurns makes each thread of a kernel by element compute the cosines and sines
	// of its own pairs, where otherwise a threadgroup computes those of a position once
	// for all heads.
	OwnTurns bool
}

// Unroll is a choice of Tuning.
type Unroll int

// The choices.
const (
	Unroll1 Unroll = iota + 1
	UnrollFull
)

// Widths lists the elements a load that a kernel tries, the widest first but where
// one is asked for; four again for what lies in blocks, which are read by four.
func (t Tuning) Widths() []int {
	if t.Width == 1 {
		return []int{1, 4}
	}
	return []int{4, 1}
}

// WeightWidth is the width for rows of n weights of a format.
func (t Tuning) WeightWidth(f task.Format, n int64) int {
	if t.Width > 0 && slices.Contains(f.Widths, t.Width) && n%int64(t.Width) == 0 {
		return t.Width
	}
	return f.Width(n)
}

// Rounds is how many of left rounds are loaded together, where lowering would take
// chosen.
func (t Tuning) Rounds(chosen, left int) int {
	switch t.Unroll {
	case Unroll1:
		return 1
	case UnrollFull:
		return max(left, 1)
	}
	return chosen
}
