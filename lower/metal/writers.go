package metal

import choice "foundry/ir/kernel"

// writer writes the kernels of a region that gets the chosen one; nil where it is another
// writer's.
type writer func(r *region, chosen choice.Kernel) *lowering

// of is the writer of kernels of type K.
func of[K choice.Kernel](write func(*region, K) *lowering) writer {
	return func(r *region, chosen choice.Kernel) *lowering {
		if k, ok := chosen.(K); ok {
			return write(r, k)
		}
		return nil
	}
}

// writers are those of all mains.
var writers = [...]writer{
	of((*region).productRows), of((*region).mergedRows), of((*region).productTiles), of((*region).productMatrices),
	of((*region).attentionRows), of((*region).attentionTiles), of((*region).attentionMatrices),
	of((*region).batchedElements), of((*region).batchedColumns),
	of((*region).softmaxRow), of((*region).softmaxSegments),
	of((*region).argmaxRow), of((*region).argmaxParts),
	of((*region).rowNorm),
	of((*region).pointwise), of((*region).positions), of((*region).runs),
	of((*region).normedHeads), of((*region).sample), of((*region).create),
}

// lower writes the kernels of a region that gets the chosen one.
func (r *region) lower(chosen choice.Kernel) *lowering {
	for _, write := range writers {
		if l := write(r, chosen); l != nil {
			return l
		}
	}
	return nil
}

// alone is the lowering of one kernel.
func alone(k *kernel) *lowering { return &lowering{kernels: []*kernel{k}} }
