package passes

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/names"
)

// forecast is what a stretch of the graph should come to once the rest of the
// pipeline has run over it.
type forecast struct {
	us                float64
	dispatches, waves int
	bytes             int64    // bytes that are moved
	patterns          []string // patterns of the regions that stand there then, in order
}

// comparison is the forecast of a stretch with a site taken and without; contested is
// false where no rival wants any of the site's operations. others are what would come
// of it with a rival for the same heart that the passes to come leave aside, for people
// to compare: nothing where no log asks.
type comparison struct {
	contested     bool
	with, without forecast
	others        []forecast
	refusal       string // the reason why there is no with; "": there is
}

// gain is what the stretch saves with the site.
func (v comparison) gain() gain {
	a, b := v.without, v.with
	return gain{us: a.us - b.us, before: a.us, after: b.us, dispatches: a.dispatches - b.dispatches, waves: a.waves - b.waves, bytes: a.bytes - b.bytes}
}

// instead says what would come of a stretch without the site.
func (v comparison) instead() string {
	texts := []string{v.without.String()}
	for _, o := range v.others {
		if text := o.String(); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, " or ")
}

// weighAgainst compares taking site s now with leaving its operations to the
// passes still to come. Only where one of them matches at an operation of s is there
// anything to compare.
func (r *run) weighAgainst(s *site) (out comparison, err error) {
	if len(r.rest) == 0 {
		return out, nil
	}
	key := r.rivalKey(s)
	if out, ok := r.memo.comparisons[key]; ok {
		return out, nil
	}
	defer func() { r.memo.comparisons[key] = out }()
	nodes, twins := r.contested(s)
	if nodes == nil {
		return out, nil
	}
	out.contested = true
	around := newStretch(r.graph.Extract(withBetween(nodes)))
	if out.without, err = r.forecast(around, r.rest); err != nil {
		return out, err
	}
	this := Call{Pass: r.call.Pass}
	for _, g := range s.with {
		this.Options = append(this.Options, Setting{g, "true"})
	}
	for _, g := range s.without {
		this.Options = append(this.Options, Setting{g, "false"})
	}
	if out.with, err = r.forecast(around, append(Pipeline{this}, r.rest...)); err != nil {
		return out, err
	}
	for _, c := range twins {
		if slices.Contains(out.without.patterns, c.Pass.fusion.Name) {
			continue
		}
		always := Call{c.Pass, slices.DeleteFunc(slices.Clone(c.Options), func(s Setting) bool { return s.Name == "when" })}
		o, err := r.forecast(around, append(Pipeline{always}, r.rest...))
		if err != nil {
			return out, err
		}
		out.others = append(out.others, o)
	}
	return out, nil
}

// contested returns the nodes of s, of its rivals, which are the matches of passes to come
// that hold an operation of s, and of the rivals of these, to which they may lose it; nil where
// s has none. twins are the calls of rivals that start from the same operation as s.
func (r *run) contested(s *site) (nodes []*ir.Node, twins Pipeline) {
	var rivals, others []*site
	for i, c := range r.rest {
		if c.Pass.fusion == nil {
			continue
		}
		for t := range r.matchesNear(s, c) {
			if !t.shares(s) {
				others = append(others, t)
				continue
			}
			rivals = append(rivals, t)
			if t.anchor == s.anchor && r.Log != nil {
				twins = append(twins, r.rest[i])
			}
		}
	}
	if rivals == nil {
		return nil, nil
	}
	nodes = slices.Clone(s.holders)
	for _, t := range rivals {
		nodes = append(nodes, t.holders...)
	}
	for _, t := range others {
		if slices.ContainsFunc(rivals, t.shares) {
			nodes = append(nodes, t.holders...)
		}
	}
	return nodes, twins
}

// matchesNear yields what call c would take around s: at each anchor its largest form.
func (r *run) matchesNear(s *site, c Call) iter.Seq[*site] {
	return func(yield func(*site) bool) {
		lo, hi := s.extent()
		p := c.Pass.fusion
		forms, anchors := p.allowed(c), p.anchors(r.view())
		first, _ := slices.BinarySearchFunc(anchors, lo-r.reach, func(o *op, at int) int { return o.index - at })
		for _, anchor := range anchors[first:] {
			if anchor.index > hi+r.reach {
				return
			}
			for _, f := range forms {
				t, _, _ := r.locate(p, f, anchor, true)
				if t == nil {
					continue
				}
				if !yield(t) {
					return
				}
				break
			}
		}
	}
}

// shares reports whether an operation stands in both sites.
func (s *site) shares(t *site) bool {
	return slices.ContainsFunc(t.members, func(m *op) bool { return slices.Contains(s.members, m) })
}

// withBetween adds the nodes that lie on a path from one of nodes to another.
func withBetween(nodes []*ir.Node) []*ir.Node {
	first := nodes[0]
	depends := make(map[*ir.Node]bool, 2*len(nodes))
	for _, n := range nodes {
		depends[n] = true
		if n.Before(first) {
			first = n
		}
	}
	var visit func(n *ir.Node) bool
	visit = func(n *ir.Node) bool {
		if n == nil || n.Before(first) {
			return false
		}
		if d, known := depends[n]; known {
			return d
		}
		found := false
		for _, a := range n.Args {
			found = visit(a.Def) || found
		}
		depends[n] = found
		if found {
			nodes = append(nodes, n)
		}
		return found
	}
	for _, n := range slices.Clone(nodes) {
		for _, a := range n.Args {
			visit(a.Def)
		}
	}
	return nodes
}

// reach is how many operations from a site the anchor of a rival may stand. It keeps the
// search for rivals from growing with the graph. In models the farthest stands 11 away, a
// product's residual and norm from the rotation that anchors the next layer's qkv-rope-kv;
// of what is seen so no operation is more than 2*reach away, which is where keys of what
// sites are weighed against end. Rivals of rivals beyond it are not seen.
const reach = 12

// extent returns the first and the last place of s's operations.
func (s *site) extent() (lo, hi int) {
	lo, hi = s.members[0].index, s.members[0].index
	for _, o := range s.members {
		lo, hi = min(lo, o.index), max(hi, o.index)
	}
	return lo, hi
}

// stretch is some nodes of a graph by themselves, as Extract gives them.
type stretch struct {
	graph *ir.Graph
	key   string // what stretches share that come to the same
	has   []bool // kinds of operations of which one is there
}

func newStretch(g *ir.Graph) *stretch {
	s := &stretch{graph: g, has: make([]bool, len(ir.Ops())+1)}
	b := s.graph.AppendKey(nil)
	for _, p := range s.graph.Params {
		b = append(b, byte(p.Param.Kind))
	}
	for _, n := range s.graph.Nodes() {
		b = append(append(b, n.Attr.Kernel...), 0xff)
		s.has[n.Op] = true
		if n.Region != nil {
			for _, m := range n.Region.Nodes() {
				s.has[m.Op] = true
			}
		}
	}
	s.key = string(b)
	return s
}

// holds reports whether the operations of a form of the pattern are there.
func (s *stretch) holds(p *compiled) bool {
	return slices.ContainsFunc(p.forms, func(f *form) bool {
		return !slices.ContainsFunc(f.nodes, func(n formNode) bool {
			return !slices.ContainsFunc(n.ops, func(o ir.Op) bool { return s.has[o] })
		})
	})
}

// forecast predicts the time of a stretch behind calls. What edits a whole graph has no say
// in a stretch of one.
func (r *run) forecast(around *stretch, calls Pipeline) (forecast, error) {
	calls = slices.DeleteFunc(slices.Clone(calls), func(c Call) bool { return c.Pass.fusion == nil || !around.holds(c.Pass.fusion) })
	key := forecastKey{around.key, calls.String()}
	if out, ok := r.memo.forecasts[key]; ok {
		return out, nil
	}
	g := around.graph.Clone()
	child := &run{Context: &Context{Target: r.target, Lowerable: r.Lowerable}, graph: g, target: r.target, choices: r.choices, env: r.env, reach: r.reach,
		memo: r.memo, matchers: make(map[*form]*matcher)}
	for i := range calls {
		if err := child.runPass(calls, i); err != nil {
			return forecast{}, err
		}
	}
	sum := cost.Summarise(g, r.choices, r.env)
	out := forecast{us: sum.Us, dispatches: sum.Dispatches, waves: sum.Waves, bytes: sum.Moved}
	for _, n := range g.Nodes() {
		if n.Region != nil {
			out.patterns = append(out.patterns, n.Attr.Pattern)
		}
	}
	r.memo.forecasts[key] = out
	return out, nil
}

// String says what it comes to: "3.9 us with qkv and 3 bias".
func (o forecast) String() string {
	if len(o.patterns) == 0 {
		return names.Micros(o.us) + " unfused"
	}
	return fmt.Sprintf("%s with %s", names.Micros(o.us), strings.Join(countEqual(o.patterns), " and "))
}

// countEqual puts equal words together, in the order in which they come: "qkv", "3 bias".
func countEqual(words []string) []string {
	var out []string
	counts := map[string]int{}
	for _, w := range words {
		if counts[w]++; counts[w] == 1 {
			out = append(out, w)
		}
	}
	for i, w := range out {
		if counts[w] > 1 {
			out[i] = fmt.Sprintf("%d %s", counts[w], w)
		}
	}
	return out
}
