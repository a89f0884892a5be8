package viz

import (
	"fmt"
	"slices"
	"strings"

	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/names"
	"foundry/lower/compile"
	"foundry/passes"
)

// Draw returns a picture of the model as DOT text. point is "input" (as the
// frontend made the graph), "after:PASS", "fused" (behind all passes) or "plan";
// entry is "decode" or "prefill" and has no meaning for a .fir graph.
func Draw(m *model.Model, o compile.Options, point, entry string, picture Options) (string, error) {
	pass, after := strings.CutPrefix(point, "after:")
	if !after && !slices.Contains([]string{"input", "fused", "plan"}, point) {
		points := []string{"input", "after:PASS", "fused", "plan"}
		return "", fmt.Errorf("the pipeline has no point %q, want one of %s%s", point, strings.Join(points, ", "), names.DidYouMean(point, points))
	}
	if point == "input" {
		pass, after = point, true
	}
	var snapshot *ir.Graph
	if m.Graph != nil {
		entry = m.Graph.Name
	}
	if after {
		o.AfterPass = func(have string, g *ir.Graph) {
			if have == pass && g.Name == entry {
				snapshot = g.Clone()
			}
		}
	}
	g, err := compile.Fuse(m, o)
	if err != nil {
		return "", err
	}
	graph, err := g.Entry(entry)
	if err != nil {
		return "", err
	}
	picture.Title = fmt.Sprintf("%s %s, %s", m.BaseName(), entry, point)
	switch {
	case after && snapshot == nil:
		p, err := g.Options.PipelineOf(entry)
		if err != nil {
			return "", err
		}
		return "", fmt.Errorf("the pipeline %s has no pass %q%s", p, pass, names.DidYouMean(pass, passNames(p)))
	case after:
		graph = snapshot
	case point == "plan":
		c, err := g.Lower()
		if err != nil {
			return "", err
		}
		picture.Source = graph
		return Plan(c.Plan, entry, picture)
	}
	return Graph(graph, picture)
}

// passNames lists the passes of a pipeline without their options.
func passNames(p passes.Pipeline) []string {
	var out []string
	for _, c := range p {
		out = append(out, c.Pass.Name)
	}
	return out
}
