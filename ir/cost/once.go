package cost

import (
	"iter"
	"math"
	"slices"

	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

// mostOnce is the most memory that the weights of a node may take as halves, in bytes: gate
// and up of 72b take 0.97 GB, the head of 7b, for rows that nobody samples, 1.09.
const mostOnce = 1 << 30

// Where several blocks of rows meet a weight, each of them expands it anew, and while its
// lanes do, the matrix units of its threadgroup wait. Expanded once, by kernels of their
// own, weights cost two ways through memory, and then are halves that blocks copy.

// expansionsOf lists what is expanded ahead of a product by the kernel k.
func expansionsOf(p *task.Product, k kernel.ProductMatrices) []task.Expansion {
	if !k.Once {
		return nil
	}
	out, _ := p.Expansions()
	return out
}

// expansionKernel returns the kernel that makes halves of e's weights. It waits for memory:
// what its lanes do, they do meanwhile.
func expansionKernel(e task.Expansion, t *target.Target) Kernel {
	x := e.Kernel()
	k := Kernel{Name: "expand", Early: true, Threads: float64(x.Threads()), Shared: x.Bytes()}
	for _, w := range e.Weights {
		rows, cols := w.Type.Shape.At(0).C, w.Type.Shape.At(1).C
		k.Groups += float64(x.Groups(rows, cols))
		k.Memory += float64(w.Type.DType.Bytes(rows * cols))
		k.touch(float64(2*rows*cols), false, t)
	}
	return k
}

// onceBlocks yields the blocks for p's weights as halves, and what they take together with
// the expansion.
func onceBlocks(p *task.Product, t *target.Target) iter.Seq2[kernel.ProductMatrices, matrixTime] {
	return func(yield func(kernel.ProductMatrices, matrixTime) bool) {
		expansions, can := p.Expansions()
		if !can || t.MatrixTFlops == 0 {
			return
		}
		before, bytes := 0.0, int64(0)
		for _, e := range expansions {
			before += expansionKernel(e, t).Us(t) + t.DispatchUs
			for _, w := range e.Weights {
				bytes += 2 * w.Type.Shape.At(0).C * w.Type.Shape.At(1).C
			}
		}
		if bytes > mostOnce {
			return
		}
		n := numbersOf(p.ExpandedOnce(), p.Tokens.Max(p.Region.Graph.Bounds))
		for x := range n.matrixBlocks(t) {
			took := n.matrixTime(x, t)
			took.us += before
			if x.Once = true; !yield(x, took) {
				return
			}
		}
	}
}

// bestOnce returns the blocks for weights that are expanded once that are predicted to be
// fastest, and their time with the expansion; an infinite one where none is possible.
func bestOnce(p *task.Product, t *target.Target) (best kernel.ProductMatrices, us float64) {
	least := matrixTime{us: math.Inf(1)}
	for x, v := range onceBlocks(p, t) {
		if v.compare(least) < 0 {
			best, least = x, v
		}
	}
	return best, least.us
}

// onceCandidates lists the blocks for weights that are expanded once, those predicted to be
// fastest first.
func onceCandidates(p *task.Product, t *target.Target) (out []kernel.ProductMatrices) {
	times := map[kernel.ProductMatrices]matrixTime{}
	for x, v := range onceBlocks(p, t) {
		times[x] = v
		out = append(out, x)
	}
	slices.SortStableFunc(out, func(a, b kernel.ProductMatrices) int { return times[a].compare(times[b]) })
	return out
}
