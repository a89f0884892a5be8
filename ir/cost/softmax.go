package cost

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
)

// SoftmaxForm says how a softmax alone is dealt out to threadgroups.
type SoftmaxForm struct {
	Segment int64 // elements of a row that one threadgroup takes; 0: the whole row
}

// String names the form.
func (f SoftmaxForm) String() string {
	if f.Segment == 0 {
		return "a threadgroup a row (vector)"
	}
	return fmt.Sprintf("segments of %d (block)", f.Segment)
}

// SoftmaxRows are the rows of a softmax in a typical run.
type SoftmaxRows struct {
	Rows, Length int64
	Most         int64   // elements of the longest row of any run
	Bytes        float64 // bytes of the rows as stored
	Stored       bool    // rows that memory holds, not the cache
}

// SoftmaxOf returns the rows of the softmax n under the bounds b.
func SoftmaxOf(n *ir.Node, b sym.Bounds) SoftmaxRows { return softmaxOf(n, b, Typical(b)) }

func softmaxOf(n *ir.Node, b sym.Bounds, e sym.Env) SoftmaxRows {
	x := n.Args[0]
	length := max(1, x.Type.Shape.At(-1).Eval(e))
	return SoftmaxRows{
		Rows: x.Type.Shape.Elems(e) / length, Length: length, Most: x.Type.Shape.At(-1).Max(b),
		Bytes: float64(bytesOf(x.Type).Eval(e)), Stored: !transient(x),
	}
}

// Segments returns how many segments the longest row has.
func (r SoftmaxRows) Segments(f SoftmaxForm) int64 {
	if f.Segment == 0 {
		return 1
	}
	return (r.Most + softmaxChunk - 1 + f.Segment - 1) / f.Segment
}

const (
	softmaxChunk = 4   // elements that a thread reads at once; a row may begin in the middle of such
	softmaxLeast = 128 // elements of the shortest segment: one chunk for each lane
)

// Threads returns how many threads a threadgroup of the form has: the fewest of
// those that are predicted to be fastest.
func (r SoftmaxRows) Threads(f SoftmaxForm, t *target.Target) int {
	best, us := 0, 0.0
	for n := t.Limits.SIMDWidth; n <= min(t.Limits.Threads, t.Limits.SIMDWidth*t.Limits.SIMDWidth); n *= 2 {
		if x := r.us(f, n, t); best == 0 || x < us {
			best, us = n, x
		}
		if int64(n*softmaxChunk) >= r.taken(f) {
			break // more would have nothing to do
		}
	}
	return best
}

// taken is how many elements one threadgroup takes.
func (r SoftmaxRows) taken(f SoftmaxForm) int64 {
	if f.Segment == 0 {
		return r.Length
	}
	return min(f.Segment, r.Length)
}

// Us returns the predicted time of the form.
func (r SoftmaxRows) Us(f SoftmaxForm, t *target.Target) float64 { return r.us(f, r.Threads(f, t), t) }

func (r SoftmaxRows) us(f SoftmaxForm, threads int, t *target.Target) float64 {
	us := 0.0
	for _, k := range r.kernels(f, threads, t) {
		us += Wave([]Kernel{k}, t)
	}
	return us
}

// Cuts returns the ways to cut rows into segments, none where a row is too short.
func (r SoftmaxRows) Cuts() []SoftmaxForm {
	var out []SoftmaxForm
	for s := int64(softmaxLeast); s < r.Most; s *= 2 {
		out = append(out, SoftmaxForm{Segment: s})
	}
	return out
}

// kernels returns the dispatches of the form. A row is read twice, the second time
// where the first has left it: for its maximum and sum, and to write.
func (r SoftmaxRows) kernels(f SoftmaxForm, threads int, t *target.Target) []Kernel {
	elems := float64(r.Rows * r.Length)
	first := Kernel{Name: "softmax", Groups: float64(r.Rows), Threads: float64(threads), Shared: kernel.Rounded(8 * threads / t.Limits.SIMDWidth), Flops: 5 * elems, PrologueSteps: 1}
	r.touch(&first, r.Bytes, r.Stored, t)
	last := Kernel{Name: "softmax_merge", Groups: float64(r.Rows), Threads: float64(threads), Shared: first.Shared, Flops: 3 * elems, PrologueSteps: 1}
	r.touch(&last, r.Bytes, false, t)
	r.touch(&last, 4*elems, false, t)
	if f.Segment == 0 {
		first.Flops += last.Flops
		first.Memory += last.Memory
		first.Cache += last.Cache
		return []Kernel{first}
	}
	active := float64((r.Length + f.Segment - 1) / f.Segment)
	partials := 8 * float64(r.Rows) * active
	first.Groups *= active
	first.Cache += partials
	last.Groups *= active
	last.PrologueCache = partials * active // every threadgroup of a row merges its segments
	return []Kernel{first, last}
}

func (r SoftmaxRows) touch(k *Kernel, bytes float64, stored bool, t *target.Target) {
	if stored || bytes > float64(t.CacheBytes)/4 {
		k.Memory += bytes
		return
	}
	k.Cache += bytes
}
