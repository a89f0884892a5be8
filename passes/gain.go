package passes

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/names"
)

// gain is what a fusion saves, by the cost model.
type gain struct {
	us            float64 // predicted time of the window around the site
	before, after float64
	dispatches    int
	waves         int
	bytes         int64 // bytes that are moved
}

// String is the gain as a reason for a fusion.
func (g gain) String() string {
	return fmt.Sprintf("%s and %s fewer, %s less moved, predicted %s",
		countNoun(g.dispatches, "dispatch", "dispatches"), countNoun(g.waves, "wave", "waves"), names.Bytes(g.bytes), g.change())
}

// lossReason is the gain as a reason against one.
func (g gain) lossReason() string {
	return fmt.Sprintf("predicted %s, though it saves %s, %s and %s",
		g.change(), countNoun(g.dispatches, "dispatch", "dispatches"), countNoun(g.waves, "wave", "waves"), names.Bytes(g.bytes))
}

// change is the difference in time, beside what it is of: small ones of long windows show.
func (g gain) change() string {
	if g.us < 0 {
		return names.Micros(-g.us) + " more than " + names.Micros(g.before)
	}
	return names.Micros(g.us) + " less than " + names.Micros(g.before)
}

// against says what g would save where less was taken.
func (g gain) against(less gain) string {
	verb, us := "save", g.us
	if us < 0 {
		verb, us = "lose", -us
	}
	return fmt.Sprintf("would %s %s, this saves %s", verb, names.Micros(us), names.Micros(less.us))
}

func countNoun(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// weigh predicts what the site's region saves: the waves of the nodes between
// its first and its last operation, which might run beside it, with and without
// the fusion. So a fusion that makes kernels wait which would have run side by
// side pays for it.
func (r *run) weigh(s *site) gain {
	window := r.window(s)
	before := r.predictTime(window, nil)
	replaced := make(map[*ir.Node]*ir.Node, len(s.holders))
	for _, n := range s.holders {
		replaced[n] = s.node
	}
	fused := slices.DeleteFunc(window, func(n *ir.Node) bool { return replaced[n] != nil })
	after := r.predictTime(append(fused, s.node), replaced)
	g := gain{us: before.us - after.us, before: before.us, after: after.us, dispatches: before.dispatches - after.dispatches, waves: before.waves - after.waves}
	for _, n := range s.holders {
		g.bytes += cost.Moved(n).Eval(r.env)
	}
	g.bytes -= cost.Moved(s.node).Eval(r.env)
	return g
}

// window returns the nodes of the graph from the first of the site's operations
// to the last.
func (r *run) window(s *site) []*ir.Node {
	f := r.view()
	lo, hi := s.extent()
	out := make([]*ir.Node, 0, hi-lo+1)
	for _, o := range f.ops[lo : hi+1] {
		if !slices.Contains(out, o.top) {
			out = append(out, o.top)
		}
	}
	return out
}

// stretchCost is the predicted time of some nodes.
type stretchCost struct {
	us         float64
	waves      int
	dispatches int
}

// predictTime predicts nodes, with those in replaced standing for what they map to.
func (r *run) predictTime(nodes []*ir.Node, replaced map[*ir.Node]*ir.Node) stretchCost {
	var out stretchCost
	waves := cost.Waves(nodes, replaced, r.kernels)
	for _, w := range waves {
		out.us += cost.Wave(w, r.target)
		out.dispatches += len(w)
	}
	out.waves = len(waves)
	return out
}

func (r *run) kernels(n *ir.Node) []cost.Kernel {
	return cost.Run{Target: r.target, Choices: r.choices, Bounds: r.graph.Bounds, Env: r.env}.Kernels(n)
}
