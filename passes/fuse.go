package passes

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/names"
	"foundry/lower/plan"
)

// site is a match of a form: what would become one region.
type site struct {
	*form
	pattern *compiled
	anchor  *op
	members []*op      // the region's ops
	holders []*ir.Node // the nodes of the graph that hold them
	kernel  string     // words of what the region gets
	node    *ir.Node   // the fused node, where it was formed beside the graph
	gain    gain
	larger  string // a larger form that matched, and why it was not taken
	instead string // the regions that the passes to come would have made
}

// fuse is the pass that forms the regions of a pattern. A site is refused with
// the reason where the pattern nearly matches, where the region cannot be formed
// or lowered, and where the cost model says that it loses; where less of the pattern
// is there than its core, in the places that are a site in other layers.
func fuse(p *compiled) func(*run) error {
	return func(r *run) error {
		forms := p.allowed(r.call)
		places := map[string]bool{} // that have been a site, by label behind the layer
		var others []incompleteAnchor
		pin := Pinned{Pass: r.call.String(), Words: r.call.option("kernel")}
		for _, anchor := range p.anchors(r.view()) {
			s, refusal, far, err := r.consider(p, forms, anchor)
			if err != nil {
				return err
			}
			if s == nil && refusal == nil {
				if far.why != nil {
					others = append(others, incompleteAnchor{anchor, far.why})
				}
				continue
			}
			places[names.InLayer(anchor.node.Label)] = true
			switch {
			case s != nil || refusal.Outcome == plan.Unprofitable:
				pin.Served++
			case far.lacks:
				if pin.Lacking++; pin.Lacking == 1 {
					pin.Why = fmt.Sprintf("%s: %s", anchor.node.Label, refusal.Reason)
				}
			}
			if refusal == nil && !r.Fuel.take(r.call.Pass.Name+" "+anchor.node.Label) {
				refusal = &plan.Decision{Outcome: plan.Refused, Reason: "the fuel is spent"}
			}
			if refusal != nil {
				r.logAt(p, anchor, *refusal)
				continue
			}
			d, err := r.apply(s)
			if err != nil {
				return err
			}
			r.logAt(p, anchor, d)
		}
		r.Log.addPin(pin)
		for _, o := range others {
			if label := names.InLayer(o.anchor.node.Label); label != "" && places[label] {
				r.logAt(p, o.anchor, plan.Decision{Outcome: plan.Refused, Reason: o.why()})
			}
		}
		if len(places) == 0 && r.Log != nil {
			r.Log.add(plan.Decision{Pass: r.call.String(), Pattern: p.Name, Node: "graph " + r.graph.Name, Layer: -1, Outcome: plan.NoSite,
				Reason: p.whyAbsent(r.view())})
		}
		return nil
	}
}

// incompleteAnchor is an anchor with less around it than the pattern's core.
type incompleteAnchor struct {
	anchor *op
	why    func() string
}

func (r *run) logAt(p *compiled, anchor *op, d plan.Decision) {
	d.Pass, d.Pattern, d.Node, d.Layer = r.call.String(), p.Name, anchor.node.Label, anchor.node.Layer()
	r.Log.add(d)
}

// allowed returns the forms whose optional groups the call admits.
func (p *compiled) allowed(c Call) []*form {
	var out []*form
	for _, f := range p.forms {
		if !slices.ContainsFunc(f.with, func(g string) bool { return c.option(g) == "false" }) {
			out = append(out, f)
		}
	}
	return out
}

// anchors returns the ops that may be the pattern's anchor, in order.
func (p *compiled) anchors(f *flatGraph) []*op {
	first := p.forms[0]
	kinds := first.nodes[first.steps[0].node].ops
	if len(kinds) == 1 {
		return f.byOp[kinds[0]]
	}
	var out []*op
	for _, k := range kinds {
		out = append(out, f.byOp[k]...)
	}
	slices.SortFunc(out, func(a, b *op) int { return a.index - b.index })
	return out
}

// whyAbsent says what f has not that the pattern starts from.
func (p *compiled) whyAbsent(f *flatGraph) string {
	var names []string
	split := false
	for _, n := range p.forms[len(p.forms)-1].nodes {
		if n.core {
			names = append(names, n.opNames())
			split = split || slices.Contains(n.ops, ir.OpRMSNorm) && len(f.byOp[ir.OpRMSNorm]) == 0 && len(f.byOp[ir.OpRMSScale]) > 0
		}
	}
	switch {
	case split:
		return fmt.Sprintf("split-norm has made all %d rms_norm two steps, so that no norm is left to be taken whole", len(f.byOp[ir.OpRMSScale]))
	case len(names) == 1:
		return "the graph has no " + names[0]
	}
	return "nowhere in the graph do " + strings.Join(names, ", ") + " stand together"
}

// consider finds the region of the pattern to form at anchor: the largest that
// can be lowered, or, where the call asks for gains, the one that saves most. It
// returns neither a site nor a refusal where the pattern has nothing to do there; far
// is then how far its core came. Beside a refusal far says whether a kernel is what lacks.
func (r *run) consider(p *compiled, forms []*form, anchor *op) (s *site, refusal *plan.Decision, far miss, err error) {
	careful := r.call.weighsGains()
	var best, largest *site
	var nearest miss // of the form that came furthest, the smaller of equals
	unrunnable := ""
	for _, f := range forms {
		s, done, missed := r.locate(p, f, anchor, r.Log == nil)
		if done {
			taker := s.holders[0].Attr.Pattern
			if taker == p.Name {
				return nil, nil, miss{}, nil
			}
			return nil, &plan.Decision{Outcome: plan.Taken, Reason: fmt.Sprintf("%s has taken %s already", taker, s.memberCounts())}, miss{}, nil
		}
		if s == nil {
			switch {
			case missed.why == nil:
			case missed.core < f.core:
				if far.why == nil || missed.depth >= far.depth {
					far = missed
				}
			case missed.depth >= nearest.depth:
				nearest = missed
			}
			continue
		}
		a := r.assess(s)
		if a.refusal != "" {
			nearest = miss{depth: len(f.steps), core: f.core, why: func() string { return a.refusal }}
			continue
		}
		if a.unrunnable != nil {
			if unrunnable == "" {
				unrunnable = fmt.Sprintf("%s cannot make one kernel of %s: %v", r.target.Name, s.memberCounts(), a.unrunnable)
			}
			continue
		}
		s.gain, s.larger = a.gain, unrunnable
		if !careful {
			return s, nil, miss{}, nil
		}
		if largest == nil {
			largest = s
		}
		if best == nil || s.gain.us > best.gain.us {
			best = s
		}
	}
	if best == nil {
		if unrunnable == "" && nearest.why == nil {
			return nil, nil, far, nil
		}
		outcome, lacks := plan.Refused, unrunnable != ""
		if !lacks {
			unrunnable = nearest.why()
			if nearest.taken {
				outcome = plan.Taken
			}
		}
		return nil, &plan.Decision{Outcome: outcome, Reason: unrunnable}, miss{lacks: lacks}, nil
	}
	if best != largest && best.larger == "" {
		best.larger = largest.memberCounts() + " " + largest.gain.against(best.gain)
	}
	rivals, err := r.weighAgainst(best)
	if err != nil {
		return nil, nil, miss{}, err
	}
	switch {
	case rivals.contested && rivals.with.us > rivals.without.us:
		return nil, &plan.Decision{Outcome: plan.Unprofitable, Reason: fmt.Sprintf("predicted %s, against %s", rivals.with, rivals.instead())}, miss{}, nil
	case rivals.contested:
		best.instead = rivals.instead()
	case best.gain.us <= 0:
		return nil, &plan.Decision{Outcome: plan.Unprofitable, Reason: best.gain.lossReason()}, miss{}, nil
	}
	return best, nil, miss{}, nil
}

// assessment is what is known of a site by itself.
type assessment struct {
	refusal    string // the reason why its region cannot be formed
	unrunnable error  // the reason why the target has no kernel for it
	gain       gain
}

// assess forms the site's region beside the graph, asks whether it can be lowered
// and weighs it, unless a site like it was assessed before.
func (r *run) assess(s *site) assessment {
	key := r.keyOf(s, 0)
	if a, ok := r.memo.sites[key]; ok {
		return a
	}
	var a assessment
	node, err := s.region(r.graph)
	if err != nil {
		a.refusal = err.Error() // names this site's nodes, so it is not kept
		return a
	}
	s.node = node
	if a.unrunnable = r.lowerable(node); a.unrunnable == nil {
		a.gain = r.weigh(s)
	}
	r.memo.sites[key] = a
	return a
}

// region forms the site's region beside the graph.
func (s *site) region(g *ir.Graph) (*ir.Node, error) {
	n, err := g.FusedNode(s.holders, s.pattern.Name, s.label())
	if err == nil {
		n.Attr.Kernel = s.kernel
	}
	return n, err
}

// locate seeks one form at anchor. done says that the operations stand in one
// region already; quiet, that nobody asks why there is none.
func (r *run) locate(p *compiled, f *form, anchor *op, quiet bool) (s *site, done bool, missed miss) {
	m := r.matchers[f]
	if m == nil {
		m = newMatcher(f)
		r.matchers[f] = m
	}
	bound, why := m.match(anchor, quiet)
	if why != nil {
		return nil, false, *why
	}
	s = &site{form: f, pattern: p, anchor: anchor, kernel: r.call.option("kernel"), members: make([]*op, 0, len(bound))}
	for i, o := range bound {
		if !f.nodes[i].context {
			s.members = append(s.members, o)
		}
	}
	if o := s.close(r.view(), p); o != (obstacle{}) {
		return nil, false, miss{depth: len(f.steps), core: f.core, why: o.String, taken: o.taken()}
	}
	return s, len(s.holders) == 1, miss{}
}

// close collects the nodes that hold the members. A region that stands already is
// taken whole or not at all; one of a growing pattern is taken whole.
func (s *site) close(f *flatGraph, p *compiled) obstacle {
	s.holders = make([]*ir.Node, 0, len(s.members))
	for i := 0; i < len(s.members); i++ {
		o := s.members[i]
		if slices.Contains(s.holders, o.top) {
			continue
		}
		if pin := o.top.Attr.Kernel; pin != "" {
			return obstacle{at: o, pin: pin}
		}
		s.holders = append(s.holders, o.top)
		for _, other := range f.in[o.top] {
			if slices.Contains(s.members, other) {
				continue
			}
			if !p.Grow || o.top.Attr.Pattern != p.Name {
				return obstacle{at: o, taker: o.top.Attr.Pattern, with: other}
			}
			s.members = append(s.members, other)
		}
		if len(s.members) > mostOps {
			return obstacle{size: len(s.members)}
		}
	}
	return obstacle{}
}

// obstacle is what stands against a region; the zero one, nothing.
type obstacle struct {
	at    *op // operation that its node does not give
	pin   string
	taker string // pattern of a region that holds it
	with  *op    // another operation there
	size  int    // operations, too many; 0: not that
}

// taken reports whether a node that stands already is what is in the way.
func (o obstacle) taken() bool { return o.at != nil }

func (o obstacle) String() string {
	switch {
	case o.size > 0:
		return fmt.Sprintf("the region would have %d operations; a kernel takes %d", o.size, mostOps)
	case o.pin != "":
		return fmt.Sprintf("%s is to have kernel=%q, which a fusion would take from it", o.at.name(), o.pin)
	}
	return fmt.Sprintf("%s has taken %s already, with %s", o.taker, o.at.name(), o.with.name())
}

// mostOps is the number of operations in a region that grows by one at a time, each
// time looked at whole: without it a chain of n operations costs the square of n, and
// more. What it costs is a dispatch for every so many operations of a longer chain.
const mostOps = 64

// label names the fused node: the layer's prefix and the pattern's name for it.
func (s *site) label() string {
	l := s.anchor.node.Label
	if s.pattern.Label == "" {
		return l
	}
	return l[:len(l)-len(names.InLayer(l))] + s.pattern.Label
}

// apply replaces the site's nodes by the fused node.
func (r *run) apply(s *site) (plan.Decision, error) {
	if s.node == nil {
		var err error
		if s.node, err = s.region(r.graph); err != nil {
			return plan.Decision{}, err
		}
	}
	if err := r.graph.InsertFused(s.node, s.holders); err != nil {
		return plan.Decision{}, err
	}
	r.view().regroup(s.members, s.node)
	r.rewrites++
	if r.Log == nil {
		return plan.Decision{}, nil
	}
	reason := fmt.Sprintf("%s: %d nodes become one, %s", s.memberCounts(), len(s.holders), s.gain)
	if s.instead != "" {
		reason += "; instead of " + s.instead
	}
	if s.larger != "" {
		reason += "; not more: " + s.larger
	}
	return plan.Decision{Outcome: plan.Matched, Reason: reason, Bytes: s.gain.bytes, Waves: s.gain.waves}, nil
}

// memberCounts names the members by kind: "rms_norm, 3 matmul_nt".
func (s *site) memberCounts() string {
	kinds := make([]string, len(s.members))
	for i, o := range s.members {
		kinds[i] = o.node.Op.String()
	}
	return strings.Join(countEqual(kinds), ", ")
}
