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

// weighAgainst compares taking site s now with leaving its operations to the
// passes still to come. Only where one of the pattern's rivals is among them and
// matches there is there anything to compare; ok is false otherwise.
func (r *run) weighAgainst(s *site) (with, without outlook, ok bool, err error) {
	nodes := r.contested(s)
	if nodes == nil {
		return with, without, false, nil
	}
	stretch, err := r.graph.Form(nodes, "", "")
	if err != nil {
		return with, without, false, nil // the rivals' operations do not lie together
	}
	if without, err = r.outlook(stretch, r.rest); err != nil {
		return with, without, false, err
	}
	this := Call{Pass: r.call.Pass}
	for _, g := range s.with {
		this.Options = append(this.Options, Setting{g, "true"})
	}
	for _, g := range s.without {
		this.Options = append(this.Options, Setting{g, "false"})
	}
	with, err = r.outlook(stretch, append(Pipeline{this}, r.rest...))
	return with, without, true, err
}

// contested returns the nodes of s and of the matches of its rivals, or nil where
// no rival to come matches any of s's operations.
func (r *run) contested(s *site) []*ir.Node {
	var nodes []*ir.Node
	for _, name := range s.pattern.Rivals {
		i := slices.IndexFunc(r.rest, func(c Call) bool { return c.Pass.pattern == name })
		if i < 0 {
			continue
		}
		rival := compilePatterns()[name]
		first := rival.forms[0]
		kinds := first.nodes[first.steps[0].node].ops
		for _, o := range s.members {
			if !slices.Contains(kinds, o.node.Op) {
				continue
			}
			for _, f := range rival.allowed(r.rest[i]) {
				if t, _, _ := r.find(rival, f, o); t != nil {
					nodes = append(nodes, t.tops...)
					break
				}
			}
		}
	}
	if nodes == nil {
		return nil
	}
	return append(nodes, s.tops...)
}

// outlook runs calls over a copy of what stretch holds and predicts its time.
func (r *run) outlook(stretch *ir.Node, calls Pipeline) (outlook, error) {
	key := calls.String() + stretch.Key()
	if o, ok := r.known.outlooks[key]; ok {
		return o, nil
	}
	g := stretch.Region.Clone()
	for i, p := range g.Params {
		p.Param.Kind = ir.State
		if cost.Transient(stretch.Args[i]) {
			p.Param.Kind = ir.Input
		}
	}
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
	o := outlook{us: cost.Of(g, r.target, r.env).Us}
	var names []string
	for _, n := range g.Nodes() {
		if n.Region != nil {
			names = append(names, n.Attr.Pattern)
		}
	}
	o.regions = strings.Join(names, " and ")
	r.known.outlooks[key] = o
	return o, nil
}

// better says what the pipeline would do instead.
func (o outlook) String() string {
	if o.regions == "" {
		return fmt.Sprintf("%.1f us unfused", o.us)
	}
	return fmt.Sprintf("%.1f us with %s", o.us, o.regions)
}
