package plan

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"foundry/ir/names"
)

// The outcomes of a decision.
const (
	Matched      = "matched"
	Refused      = "refused"
	Taken        = "taken"        // another fusion holds operations of the site
	Unprofitable = "unprofitable" // the cost model predicts no gain
	NoSite       = "no site"      // the graph has nothing for the pass: one decision for all of it
)

// Group is a set of decisions that differ in their layer only.
type Group struct {
	Decision     // the first of them; Bytes and Waves are of one
	Count    int // sites
	Layers   []int
}

// Groups joins decisions of the same pass, pattern, outcome and reason whose
// nodes have the same name but for the layer, in order of first appearance.
func Groups(ds []Decision) []Group {
	type key struct{ pass, pattern, node, outcome, reason string }
	at := map[key]int{}
	var out []Group
	for _, d := range ds {
		k := key{d.Pass, d.Pattern, names.InLayer(d.Node), d.Outcome, d.Reason}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, Group{Decision: d})
		}
		out[i].Count++
		out[i].Layers = append(out[i].Layers, d.Layer)
	}
	return out
}

// Explain prints the decisions grouped, a line a group: how many sites, which,
// what was done and why.
func Explain(w io.Writer, ds []Decision) error {
	var b strings.Builder
	last, width := "", 0
	groups := Groups(ds)
	for _, g := range groups {
		width = max(width, len(siteName(g)))
	}
	for _, g := range groups {
		if g.Pass != last {
			names.Line(&b, "%s\n", g.Pass)
			last = g.Pass
		}
		names.Line(&b, "  %-12s %3d x %-*s  %s\n", g.Outcome, g.Count, width, siteName(g), g.Reason)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// siteName names the sites of a group: the node, and its layers.
func siteName(g Group) string {
	if g.Layers[0] < 0 {
		return g.Node
	}
	if g.Count == 1 {
		return g.Node
	}
	layers := slices.Clone(g.Layers)
	slices.Sort(layers)
	lo, hi := layers[0], layers[len(layers)-1]
	short := names.InLayer(g.Node)
	if hi-lo+1 == len(layers) {
		return fmt.Sprintf("layers.%d-%d.%s", lo, hi, short)
	}
	return fmt.Sprintf("layers.%d..%d.%s", lo, hi, short)
}
