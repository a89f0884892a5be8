package cost

import (
	"cmp"
	"iter"
	"slices"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

const (
	softmaxChunk    = 4    // elements that a thread reads at once; a row may begin in the middle of such
	softmaxShortest = 128  // elements of the shortest segment: one chunk for each lane
	softmaxAlways   = 1024 // segments up to so many can be pinned for rows that are shorter, too
)

// softmaxRows are the rows of a softmax that stands alone, in one run.
type softmaxRows struct {
	rows, length int64
	most         int64   // elements of the longest row of any run
	bytes        float64 // bytes of the rows as stored
	stored       bool    // rows that memory holds, not the cache
}

func softmaxOf(n *ir.Node, b sym.Bounds, e sym.Env, stored bool) softmaxRows {
	x := n.Args[0]
	length := max(1, x.Type.Shape.At(-1).Eval(e))
	return softmaxRows{
		rows: x.Type.Shape.Elems(e) / length, length: length, most: x.Type.Shape.At(-1).Max(b),
		bytes: float64(bytesOf(x.Type).Eval(e)), stored: stored,
	}
}

// softmaxCandidates yields the softmax that w is with a threadgroup a row, and in segments that are
// shorter than the longest row, those predicted to be fastest in a typical run first, then
// in further segments; nothing where w is more than that.
func softmaxCandidates(w *task.Region, t *target.Target) iter.Seq[kernel.Kernel] {
	if len(w.Graph.Nodes()) > 1 {
		return none[kernel.Kernel]
	}
	b := w.Graph.Bounds
	r := softmaxOf(w.Graph.Nodes()[0], b, Typical(b), w.Operands[0].Fixed)
	us := map[kernel.Kernel]float64{}
	add := func(out []kernel.Kernel, segment int64) []kernel.Kernel {
		k, took := r.deal(segment, t)
		us[k] = took
		return append(out, k)
	}
	likely, others := add(nil, 0), []kernel.Kernel(nil)
	for s := int64(softmaxShortest); s < max(r.most, softmaxAlways+1); s *= 2 {
		if s < r.most {
			likely = add(likely, s)
		} else {
			others = add(others, s)
		}
	}
	slices.SortStableFunc(likely, func(a, b kernel.Kernel) int { return cmp.Compare(us[a], us[b]) })
	return slices.Values(append(likely, others...))
}

// deal returns how rows are dealt out in segments of so many elements, 0 for whole rows, and
// what that should take: with the fewest threads of those that are predicted to be fastest.
func (r softmaxRows) deal(segment int64, t *target.Target) (best kernel.Kernel, us float64) {
	segments := int64(0)
	taken := r.length
	if segment > 0 {
		segments = (r.most + softmaxChunk - 1 + segment - 1) / segment
		taken = min(segment, r.length)
	}
	for n := 1; n <= min(t.Limits.Threads/t.Limits.SIMDWidth, t.Limits.SIMDWidth); n *= 2 {
		k := kernel.Kernel(kernel.SoftmaxRow{Simdgroups: n})
		if segment > 0 {
			k = kernel.SoftmaxSegments{Segment: segment, Segments: segments, Simdgroups: n}
		}
		took := 0.0
		for _, x := range r.kernels(k, t) {
			took += Wave([]Kernel{x}, t)
		}
		if best == nil || took < us {
			best, us = k, took
		}
		if int64(k.Threads()*softmaxChunk) >= taken {
			break // more would have nothing to do
		}
	}
	return best, us
}

// kernels returns the dispatches of k. A row is read twice, the second time where the
// first has left it: for its maximum and sum, and to write.
func (r softmaxRows) kernels(k kernel.Kernel, t *target.Target) []Kernel {
	elems, threads := float64(r.rows*r.length), k.Threads()
	first := Kernel{Name: "softmax", Groups: float64(r.rows), Threads: float64(threads), Shared: kernel.SoftmaxBytes(threads), Flops: 5 * elems, PrologueSteps: 1}
	first.touch(r.bytes, r.stored, t)
	last := Kernel{Name: "softmax_merge", Groups: float64(r.rows), Threads: float64(threads), Shared: first.Shared, Flops: 3 * elems, PrologueSteps: 1}
	last.touch(r.bytes, false, t)
	last.touch(4*elems, false, t)
	cut, ok := k.(kernel.SoftmaxSegments)
	if !ok {
		first.Flops += last.Flops
		first.Memory += last.Memory
		first.Cache += last.Cache
		return []Kernel{first}
	}
	active := float64((r.length + cut.Segment - 1) / cut.Segment)
	partials := 8 * float64(r.rows) * active
	first.Idle = first.Groups * (float64(cut.Segments) - active) // of segments without keys in this run
	first.Groups *= active
	first.Cache += partials
	last.Groups, last.Idle = first.Groups, first.Idle
	last.PrologueCache = partials * active // every threadgroup of a row merges its segments
	return []Kernel{first, last}
}
