package verify

import "foundry/lower/plan"

// preparationKind is a kind of kernels that a plan's preparation dispatches. It stands
// for no operation, so that no probe has its result; a test proves it.
type preparationKind struct {
	name, logic, proof, ideas string
	main                      plan.Main
}

var preparations = [...]preparationKind{
	{
		name: "sizes of a weight", main: plan.WeightSizes,
		logic: "the longest row, times a norm's factors where one stands before, and the largest element: a simdgroup a row, 64 threadgroups, each of which leaves two numbers; any float or block format",
		proof: "`TestPreparation` in lower/metal: with the ranges, in ten formats, read in blocks and in planes",
		ideas: "none: it runs once, when weights are loaded",
	},
	{
		name: "range from bounds", main: plan.RangeFromBounds,
		logic: "sums and products of what was measured bound a value, and the power of two that takes the bound below 2^15 is its range, beside its reciprocal",
		proof: "`TestPreparation`: the power of two that float64 gives, exact",
		ideas: "none: it runs once, when weights are loaded",
	},
}

// preparationOf returns the kind of a dispatch by its kernel's main, nil for none.
func preparationOf(main plan.Main) *preparationKind {
	for i := range preparations {
		if preparations[i].main == main {
			return &preparations[i]
		}
	}
	return nil
}
