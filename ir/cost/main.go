package cost

import (
	"iter"
	"math"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

// main is a way to deal out the work of a kind of region, such as a product over rows: a
// row of its kind's mains. A new one is a row there, a type in package kernel and its
// writer in lower/metal.
type main struct {
	words      []kernel.Kernel // kernels whose texts have all of its words between them
	is         func(kernel.Kernel) bool
	candidates func(*task.Region, *target.Target) iter.Seq[kernel.Kernel] // what is likely to be fastest first
	fits       func(*task.Region, kernel.Kernel) error                    // the reason why a candidate cannot be written
	groups     func(*task.Region, kernel.Kernel, *target.Target) []group  // what the threadgroups of its kernels take, in order
	deal       func(*model, Kernel, kernel.Kernel) []Kernel               // what all kernels of the node have in common, dealt out
	halved     func(*task.Region) []*ir.Value                             // values that it makes halves of; nil: none
	units      bool                                                       // kernels that use matrix units, whose threadgroup memory has a limit of its own
}

// way is a main whose kernels are of type K.
type way[K kernel.Kernel] struct {
	words      []K
	candidates func(*task.Region, *target.Target) iter.Seq[K]
	fits       func(*task.Region, K) error
	groups     func(*task.Region, K, *target.Target) []group
	deal       func(*model, Kernel, K) []Kernel
	halved     func(*task.Region) []*ir.Value
	units      bool
}

// main is w for kernels of any type.
func (w way[K]) main() main {
	m := main{
		is: func(k kernel.Kernel) bool { _, is := k.(K); return is },
		candidates: func(r *task.Region, t *target.Target) iter.Seq[kernel.Kernel] {
			return func(yield func(kernel.Kernel) bool) {
				w.candidates(r, t)(func(k K) bool { return yield(k) })
			}
		},
		fits:   func(r *task.Region, k kernel.Kernel) error { return w.fits(r, k.(K)) },
		groups: func(r *task.Region, k kernel.Kernel, t *target.Target) []group { return w.groups(r, k.(K), t) },
		deal:   func(m *model, k Kernel, as kernel.Kernel) []Kernel { return w.deal(m, k, as.(K)) },
		halved: w.halved, units: w.units,
	}
	for _, k := range w.words {
		m.words = append(m.words, k)
	}
	return m
}

// kind is a kind of region, and the mains that it can get.
type kind struct {
	mains []main
	// best is what the model chooses; where there is no such function, or it says nil, the
	// mains' predicted times tell, and earlier mains are taken before later ones that are no
	// faster.
	best func(*task.Region, *target.Target) kernel.Kernel
	// wants is the reason why the region gets no kernel, whichever; of a kind with one
	// kernel, and nothing to choose, all that must hold.
	wants func(*task.Region, *target.Target) error
	first bool // what the model chooses is taken or nothing
	one   bool // one kernel and nothing to choose: it is no candidate
	// deal deals out what the mains have in common, and asks the main of the kernel that was
	// chosen, which may be none; nil where the main deals out all.
	deal func(*model, Kernel, kernel.Kernel) []Kernel
}

// of returns the main that k is of.
func (x kind) of(k kernel.Kernel) main { return mainOf(x.mains, k) }

func mainOf(mains []main, k kernel.Kernel) main {
	for _, m := range mains {
		if m.is(k) {
			return m
		}
	}
	return main{}
}

// candidates yields the kernels of all mains for r, what the model chooses first, whether
// they fit or not; nothing where there is nothing to choose.
func (x kind) candidates(r *task.Region, t *target.Target) iter.Seq[kernel.Kernel] {
	if x.one {
		return none[kernel.Kernel]
	}
	return func(yield func(kernel.Kernel) bool) {
		best := x.chosen(r, t)
		if best == nil || !yield(best) {
			return
		}
		for _, m := range x.mains {
			for k := range m.candidates(r, t) {
				if k != best && !yield(k) {
					return
				}
			}
		}
	}
}

// chosen returns what the model chooses of the mains' kernels, nil where they have none.
func (x kind) chosen(r *task.Region, t *target.Target) kernel.Kernel {
	if x.best != nil {
		if k := x.best(r, t); k != nil {
			return k
		}
	}
	type rival struct {
		main
		k kernel.Kernel
	}
	var rivals []rival
	for _, m := range x.mains {
		for k := range m.candidates(r, t) {
			rivals = append(rivals, rival{m, k})
			break
		}
	}
	if len(rivals) == 0 {
		return nil
	}
	best, least := rivals[0].k, math.Inf(1)
	for _, v := range rivals {
		if len(rivals) == 1 || v.fits(r, v.k) != nil {
			continue
		}
		if us := v.predicted(r, v.k, t); us < least {
			best, least = v.k, us
		}
	}
	return best
}

// predicted is the time of k's kernels in a typical run, one behind the other.
func (m main) predicted(r *task.Region, k kernel.Kernel, t *target.Target) (us float64) {
	b := r.Graph.Bounds
	work := &model{Run: Run{Target: t, Bounds: b, Env: Typical(b)}, region: r, ops: r.Graph.Nodes()}
	for _, k := range m.deal(work, work.common(), k) {
		us += Wave([]Kernel{k}, t)
	}
	return us
}

// common is what all kernels of a region move and compute, by the region alone.
func (m *model) common() Kernel {
	k := Kernel{Threads: kernel.EachThreads}
	for _, n := range m.ops {
		k.Flops += float64(Flops(n).Eval(m.Env))
	}
	for i, p := range m.region.Graph.Params {
		k.touch(float64(readOfParam(p).Eval(m.Env)), m.region.Operands[i].Fixed, m.Target)
	}
	for _, r := range m.region.Graph.Results {
		if r.Value.Def != nil {
			k.touch(float64(written(r.Value.Def).Eval(m.Env)), false, m.Target)
		}
	}
	return k
}
