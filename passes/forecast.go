package passes

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/names"
)

// forecast is what a stretch of the graph should come to once the rest of the
// pipeline has run over it.
type forecast struct {
	us       float64
	patterns []string // patterns of the regions that stand there then, in order
}

// comparison is the forecast of a stretch with a site taken and without; contested is
// false where no rival wants any of the site's operations. others are what would come
// of it with a rival for the same heart that the passes to come leave aside, for people
// to compare.
type comparison struct {
	contested     bool
	with, without forecast
	others        []forecast
}

// instead says what would come of a stretch without the site.
func (v comparison) instead() string {
	text := v.without.String()
	for _, o := range v.others {
		text += " or " + o.String()
	}
	return text
}

// weighAgainst compares taking site s now with leaving its operations to the
// passes still to come. Only where one of the pattern's rivals is among them and
// matches there is there anything to compare.
func (r *run) weighAgainst(s *site) (out comparison, err error) {
	if len(s.pattern.Rivals) == 0 {
		return out, nil
	}
	if r.restText == "" {
		r.restText = r.rest.String()
	}
	key := rivalKey{r.keyOf(s, 2*reach), r.restText}
	if out, ok := r.memo.comparisons[key]; ok {
		return out, nil
	}
	defer func() { r.memo.comparisons[key] = out }()
	nodes, twins := r.contested(s)
	if nodes == nil {
		return out, nil
	}
	out.contested = true
	nodes = withBetween(nodes)
	stretch := r.graph.Extract(nodes)
	if out.without, err = r.forecast(stretch, r.rest); err != nil {
		return out, err
	}
	this := Call{Pass: r.call.Pass}
	for _, g := range s.with {
		this.Options = append(this.Options, Setting{g, "true"})
	}
	for _, g := range s.without {
		this.Options = append(this.Options, Setting{g, "false"})
	}
	if out.with, err = r.forecast(stretch, append(Pipeline{this}, r.rest...)); err != nil {
		return out, err
	}
	for _, c := range twins {
		if slices.Contains(out.without.patterns, c.Pass.fusion.Name) {
			continue
		}
		always := Call{c.Pass, slices.DeleteFunc(slices.Clone(c.Options), func(s Setting) bool { return s.Name == "when" })}
		o, err := r.forecast(stretch, append(Pipeline{always}, r.rest...))
		if err != nil {
			return out, err
		}
		out.others = append(out.others, o)
	}
	return out, nil
}

// contested returns the nodes of s and of the matches of its rivals, or nil where
// no rival to come matches any of s's operations. twins are the calls of those that
// start from the same operation as s.
func (r *run) contested(s *site) (nodes []*ir.Node, twins Pipeline) {
	lo, hi := s.extent()
	for _, name := range s.pattern.Rivals {
		i := slices.IndexFunc(r.rest, func(c Call) bool { return c.Pass.fuses(name) })
		if i < 0 {
			continue
		}
		rival := r.rest[i].Pass.fusion
		forms := rival.allowed(r.rest[i])
		anchors := rival.anchors(r.view())
		first, _ := slices.BinarySearchFunc(anchors, lo-reach, func(o *op, at int) int { return o.index - at })
		for _, o := range anchors[first:] {
			if o.index > hi+reach {
				break
			}
			for _, f := range forms {
				t, _, _ := r.locate(rival, f, o)
				if t == nil {
					continue
				}
				if slices.ContainsFunc(t.members, func(m *op) bool { return slices.Contains(s.members, m) }) {
					nodes = append(nodes, t.holders...)
					if o == s.anchor {
						twins = append(twins, r.rest[i])
					}
				}
				break
			}
		}
	}
	if nodes == nil {
		return nil, nil
	}
	return append(nodes, s.holders...), twins
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

// reach is how many operations from a site the anchor of a rival may stand.
const reach = 12

// extent returns the first and the last place of s's operations.
func (s *site) extent() (lo, hi int) {
	lo, hi = s.members[0].index, s.members[0].index
	for _, o := range s.members {
		lo, hi = min(lo, o.index), max(hi, o.index)
	}
	return lo, hi
}

// forecast runs calls over a copy of stretch and predicts its time.
func (r *run) forecast(stretch *ir.Graph, calls Pipeline) (forecast, error) {
	g := stretch.Clone()
	child := &run{Context: &Context{Target: r.target, Lowerable: r.Lowerable}, graph: g, target: r.target, choices: r.choices, env: r.env,
		memo: r.memo, matchers: make(map[*form]*matcher)}
	for i := range calls {
		if calls[i].Pass.fusion == nil {
			continue // what edits a whole graph has no say in a stretch of one
		}
		if err := child.runPass(calls, i); err != nil {
			return forecast{}, err
		}
	}
	o := forecast{us: cost.Summarise(g, r.choices, r.env).Us}
	for _, n := range g.Nodes() {
		if n.Region != nil {
			o.patterns = append(o.patterns, n.Attr.Pattern)
		}
	}
	return o, nil
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
