package passes

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"foundry/lower/plan"
)

// The outcomes of a decision.
const (
	Matched      = "matched"
	Refused      = "refused"
	Unprofitable = "unprofitable"
)

// Log collects the decisions of a run, one a site, in the order they were made.
type Log struct{ Decisions []plan.Decision }

func (l *Log) add(d plan.Decision) {
	if l != nil {
		l.Decisions = append(l.Decisions, d)
	}
}

// Group is a set of decisions that differ in their layer only.
type Group struct {
	plan.Decision     // the first of them; Bytes and Waves are of one
	Count         int // sites
	Layers        []int
}

// Groups joins decisions of the same pass, pattern, outcome and reason whose
// nodes have the same name but for the layer, in order of first appearance.
func Groups(ds []plan.Decision) []Group {
	type key struct{ pass, pattern, node, outcome, reason string }
	at := map[key]int{}
	var out []Group
	for _, d := range ds {
		k := key{d.Pass, d.Pattern, shortLabel(d.Node), d.Outcome, d.Reason}
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
func Explain(w io.Writer, ds []plan.Decision) error {
	var b strings.Builder
	last, width := "", 0
	groups := Groups(ds)
	for _, g := range groups {
		width = max(width, len(siteName(g)))
	}
	for _, g := range groups {
		if g.Pass != last {
			fmt.Fprintf(&b, "%s\n", g.Pass)
			last = g.Pass
		}
		fmt.Fprintf(&b, "  %-12s %3d x %-*s  %s\n", g.Outcome, g.Count, width, siteName(g), g.Reason)
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
	name := shortLabel(g.Node)
	if hi-lo+1 == len(layers) {
		return fmt.Sprintf("layers.%d-%d.%s", lo, hi, name)
	}
	return fmt.Sprintf("layers.%d..%d.%s", lo, hi, name)
}

// shortLabel cuts "layers.N." and what stands before it off a label.
func shortLabel(s string) string {
	const word = "layers."
	i := strings.Index(s, word)
	if i < 0 || i > 0 && s[i-1] != '.' {
		return s
	}
	rest := s[i+len(word):]
	digits := strings.TrimLeft(rest, "0123456789")
	if len(digits) == len(rest) || !strings.HasPrefix(digits, ".") {
		return s
	}
	return digits[1:]
}
