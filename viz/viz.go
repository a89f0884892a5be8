// Package viz turns graphs, pass traces and plans into pictures and one report.
//
// Graph and Plan return DOT for Graphviz; Render draws it with the system's Graphviz or
// with the one in viz/graphviz, which needs nothing installed; WritePage writes a single
// page, with a script, of the graph after every pass, the fusion decisions and the plan
// with its kernels. Equal input gives byte-identical output.
//
// A picture is made in four moves, one file each: graph.go and plan.go read
// what there is into a scene (scene.go), collapse.go folds equal layers and
// layer.go cuts one layer out, draw.go gives the scene its look (style.go).
//
// Read next: cmd/foundry, whose dot command is flags around this package.
package viz

import (
	"foundry/ir"
	"foundry/lower/plan"
)

// AllLayers as Options.Layer draws the whole model.
const AllLayers = -1

// Options chooses what a picture shows.
type Options struct {
	Title    string             // first line of the picture; empty: the graph's or the entry's name
	Layer    int                // the only layer to draw, with its neighbours as dashed stubs; AllLayers for all
	Collapse bool               // one picture for a run of equal layers, with its count; ignored with a Layer
	Weights  bool               // weights and constants as boxes of their own
	Times    map[string]float64 // microseconds by label of a node or dispatch
	Ids      bool               // ids of an SVG's elements: "u-" and the unit's label
	Source   *ir.Graph          // Plan: the graph it was lowered from, which gives a dispatch's operations their shapes and edges
	sides    bool               // two pictures stand side by side: barriers are no lines across
}

// barrierClass is what linesAcross looks for.
func (o *Options) barrierClass() string {
	if o.sides {
		return "side"
	}
	return "barrier"
}

// Graph draws g as DOT text: a box an operation, a cluster a region, an edge for each value
// that passes through memory, labelled with its type and bytes. The error names
// a layer that g does not have.
func Graph(g *ir.Graph, o Options) (string, error) { return picture(readGraph(g, o), o) }

// Plan draws the entry named entry of p as DOT text: a cluster a dispatch with its
// operations, a rank a wave, a line a barrier, an edge for each byte range that
// a dispatch reads from an earlier one. The error names an entry or layer that
// p does not have.
func Plan(p *plan.Plan, entry string, o Options) (string, error) {
	s, err := readPlan(p, entry, o)
	if err != nil {
		return "", err
	}
	return picture(s, o)
}

func picture(s *scene, o Options) (string, error) {
	switch {
	case o.Layer != AllLayers:
		if err := s.cutLayer(o.Layer); err != nil {
			return "", err
		}
	case o.Collapse:
		s.collapse()
	}
	return draw(s, o).String(), nil
}
