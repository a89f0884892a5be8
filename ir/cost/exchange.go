package cost

import (
	"math"

	"foundry/ir"
)

// Where threads are emulated, one runs until it needs a value of another; then all of
// them are run that far. So every exchange among the threads of a simdgroup or a
// threadgroup costs each thread something, which on a GPU is part of LatencyUs and
// of the bandwidths. What follows counts exchanges in the stages' text.
const (
	exchangesOfReduction = 3 // simdgroup, barrier, simdgroup: shaders/common/reduce.metal
	exchangesOfShare     = 3 // of simdgroups that share a row: the sums' way through threadgroup memory
	exchangesOfSums      = 2 // an epilogue that leaves sums of squares
	exchangesOfProduct   = 4 // weighted values over the simdgroups of a row
)

// exchanges counts those of the node's first kernel, but for its main product.
func (m *model) exchanges() float64 {
	n := 0.0
	var scores, values *ir.Node
	for _, o := range m.ops {
		switch o.Op {
		case ir.OpRMSNorm, ir.OpRMSScale, ir.OpArgmax:
			n += exchangesOfReduction
		case ir.OpSumSquares:
			n += exchangesOfSums
		case ir.OpSoftmax:
			if len(m.ops) == 1 {
				n += 2 * exchangesOfReduction
			}
		case ir.OpBmmNT:
			scores = o
		case ir.OpBmmNN:
			values = o
		}
	}
	switch {
	case scores != nil && values != nil:
		n += attentionExchanges(scores.Results[0].Type.Shape.At(-1).Eval(m.Env), values.Results[0].Type.Shape.At(-1).Eval(m.Env))
	case values != nil:
		n += exchangesOfProduct
	case scores != nil:
		n++
	}
	return n
}

// attentionExchanges are those of one row of attention, whose keys are dealt out over
// the slots of 16 simdgroups, 8 lanes a key: three a round of keys, what the lanes of
// two folds have of the result, and one weight a simdgroup.
func attentionExchanges(keys, dim int64) float64 {
	const simds, slots = 16, 4
	rounds := math.Ceil(float64(keys) / (simds * slots))
	return 3*rounds + 2*(2+float64(dim)/8) + exchangesOfReduction + simds
}
