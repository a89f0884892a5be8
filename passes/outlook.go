package passes

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/cost"
)

// outlook is what a stretch of the graph should come to once the rest of the
// pipeline has run over it.
type outlook struct {
	us      float64
	regions string // the patterns that stand there then
}

// rivalry is the outlook of a stretch with a site taken and without; contested is
// false where no rival wants any of the site's operations.
type rivalry struct {
	contested     bool
	with, without outlook
}

// weighAgainst compares taking site s now with leaving its operations to the
// passes still to come. Only where one of the pattern's rivals is among them and
// matches there is there anything to compare.
func (r *run) weighAgainst(s *site) (out rivalry, err error) {
	if len(s.pattern.Rivals) == 0 {
		return out, nil
	}
	if r.restText == "" {
		r.restText = r.rest.String()
	}
	key := rivalKey{r.key(s, 2*reach), r.restText}
	if out, ok := r.known.rivalries[key]; ok {
		return out, nil
	}
	defer func() { r.known.rivalries[key] = out }()
	nodes := r.contested(s)
	if nodes == nil {
		return out, nil
	}
	out.contested = true
	nodes = withBetween(nodes)
	stretch := r.graph.Extract(nodes)
	if out.without, err = r.outlook(stretch, r.rest); err != nil {
		return out, err
	}
	this := Call{Pass: r.call.Pass}
	for _, g := range s.with {
		this.Options = append(this.Options, Setting{g, "true"})
	}
	for _, g := range s.without {
		this.Options = append(this.Options, Setting{g, "false"})
	}
	out.with, err = r.outlook(stretch, append(Pipeline{this}, r.rest...))
	return out, err
}

// contested returns the nodes of s and of the matches of its rivals, or nil where
// no rival to come matches any of s's operations.
func (r *run) contested(s *site) []*ir.Node {
	var nodes []*ir.Node
	lo, hi := s.extent()
	for _, name := range s.pattern.Rivals {
		i := slices.IndexFunc(r.rest, func(c Call) bool { return c.Pass.pattern == name })
		if i < 0 {
			continue
		}
		rival := compilePatterns()[name]
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
					nodes = append(nodes, t.tops...)
				}
				break
			}
		}
	}
	if nodes == nil {
		return nil
	}
	return append(nodes, s.tops...)
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

// outlook runs calls over a copy of stretch and predicts its time.
func (r *run) outlook(stretch *ir.Graph, calls Pipeline) (outlook, error) {
	g := stretch.Clone()
	child := &run{Context: &Context{Target: r.target, Lowerable: r.Lowerable}, graph: g, target: r.target, env: r.env,
		works: make(map[*ir.Node][]cost.Kernel), known: r.known, matchers: make(map[*form]*matcher)}
	for i := range calls {
		if calls[i].Pass.pattern == "" {
			continue // what edits a whole graph has no say in a stretch of one
		}
		if err := child.one(calls, i); err != nil {
			return outlook{}, err
		}
	}
	return outlook{us: cost.Of(g, r.target, r.env).Us, regions: regionsOf(g)}, nil
}

// regionsOf names the patterns of g's regions in their order: "qkv and 3 bias".
func regionsOf(g *ir.Graph) string {
	var patterns []string
	counts := map[string]int{}
	for _, n := range g.Nodes() {
		if n.Region == nil {
			continue
		}
		if counts[n.Attr.Pattern] == 0 {
			patterns = append(patterns, n.Attr.Pattern)
		}
		counts[n.Attr.Pattern]++
	}
	for i, p := range patterns {
		if counts[p] > 1 {
			patterns[i] = fmt.Sprintf("%d %s", counts[p], p)
		}
	}
	return strings.Join(patterns, " and ")
}

// String says what it comes to.
func (o outlook) String() string {
	if o.regions == "" {
		return fmt.Sprintf("%.1f us unfused", o.us)
	}
	return fmt.Sprintf("%.1f us with %s", o.us, o.regions)
}
