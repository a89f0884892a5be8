package irgen

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"foundry/ir"
	"foundry/ir/dtype"
)

// Shrink returns a small graph for which fails still holds: it keeps making one
// change at a time (return one node's results only, drop a result, dissolve the
// regions, put a new input or an operand in place of a node, fix T, make a size half of
// what it is, a format f32) for as long as some change leaves a smaller graph that verifies and fails. g itself is not
// changed; fails must not change its argument, and must hold for g.
func Shrink(g *ir.Graph, fails func(*ir.Graph) bool) *ir.Graph {
	for {
		smaller := shrinkOnce(g, fails)
		if smaller == nil {
			return g
		}
		g = smaller
	}
}

// graphSize orders graphs; it falls with every change.
func graphSize(g *ir.Graph) int {
	regions := 0
	for _, n := range g.Nodes() {
		if n.Region != nil {
			regions++
		}
	}
	symbolic := 0
	if g.Bounds.TMin < g.Bounds.TMax {
		symbolic = 1
	}
	elements, formats := int64(0), 0
	for _, p := range g.Params {
		elements += min(1e6, p.Type.Shape.MaxElems(g.Bounds))
		if p.Type.DType != dtype.F32 {
			formats++
		}
	}
	size := ((regions*1e4+len(g.Nodes()))*1e3+len(g.Results))*2 + symbolic
	return (size*1e2+min(99, formats))*1e7 + int(min(1e7-1, elements))
}

// shrinkOnce returns the first change of g that still fails, or nil.
func shrinkOnce(g *ir.Graph, fails func(*ir.Graph) bool) *ir.Graph {
	limit := graphSize(g)
	try := func(c *ir.Graph, ok bool) *ir.Graph {
		if !ok {
			return nil
		}
		sweep(c)
		if graphSize(c) >= limit || ir.Verify(c) != nil || !fails(c) {
			return nil
		}
		return c
	}
	for i := range g.Results {
		c := g.Clone()
		if c := try(c, dropResult(c, i)); c != nil {
			return c
		}
	}
	for i := range g.Nodes() {
		for _, change := range []func(*ir.Graph, *ir.Node) bool{extractNode, cut, bypass, dissolve} {
			c := g.Clone()
			if c := try(c, change(c, c.Nodes()[i])); c != nil {
				return c
			}
		}
	}
	c, err := g.Specialise(g.Bounds.TMin)
	if c := try(c, err == nil); c != nil {
		return c
	}
	for _, text := range smaller(g) {
		c, err := ir.Parse("smaller", text)
		if c := try(c, err == nil); c != nil {
			return c
		}
	}
	return nil
}

var (
	sized  = regexp.MustCompile(`\[[^]"]*\]|(?:size|heads|times)=[0-9]+`)
	number = regexp.MustCompile(`[0-9]+`)
	format = regexp.MustCompile(`weight "([^"]*)" : ([a-z0-9_]+)\[`)
)

// smaller returns texts of g with one size of a param, and its multiples, half as large,
// or with a weight of f32. Most of them are no graphs.
func smaller(g *ir.Graph) (out []string) {
	text := g.String()
	sizes := map[int64]bool{}
	for _, p := range g.Params {
		for _, d := range p.Type.Shape.Slice() {
			if n, ok := d.Const(); ok && n > 1 {
				sizes[n] = true
			}
		}
	}
	for _, n := range slices.Backward(slices.Sorted(maps.Keys(sizes))) {
		for _, alike := range []bool{true, false} {
			out = append(out, sized.ReplaceAllStringFunc(text, func(part string) string {
				return number.ReplaceAllStringFunc(part, func(digits string) string {
					if v, err := strconv.ParseInt(digits, 10, 64); err == nil && v > 0 && (v == n || alike && v%n == 0) {
						return strconv.FormatInt(v/n*(n/2), 10)
					}
					return digits
				})
			}))
		}
	}
	for _, m := range format.FindAllStringSubmatchIndex(text, -1) {
		if text[m[4]:m[5]] != "f32" {
			out = append(out, text[:m[4]]+"f32"+text[m[5]:])
		}
	}
	return out
}

// only returns n's results and the caches written on the way to them.
func extractNode(g *ir.Graph, n *ir.Node) bool {
	old := g.Results
	g.Results = nil
	for _, r := range n.Results {
		if ir.StateRoot(r) == r {
			g.Return(fmt.Sprintf("only%d", len(g.Results)), r)
		}
	}
	if len(g.Results) == 0 {
		return false
	}
	sweep(g)
	for _, r := range old {
		if d := r.Value.Def; ir.StateRoot(r.Value) != r.Value && !d.Dead() {
			g.Results = append(g.Results, r)
		}
	}
	return true
}

func dropResult(g *ir.Graph, i int) bool {
	if len(g.Results) < 2 {
		return false
	}
	g.Results = append(g.Results[:i:i], g.Results[i+1:]...)
	return true
}

// cut puts a new input in place of each result of n, or of a cache's successor
// the cache.
func cut(g *ir.Graph, n *ir.Node) bool {
	for _, r := range n.Results {
		fresh := ir.StateRoot(r)
		if fresh == r {
			i := 0
			for hasParam(g, fmt.Sprintf("cut%d", i)) {
				i++
			}
			fresh = g.Param(ir.Input, fmt.Sprintf("cut%d", i), r.Type)
		}
		if g.ReplaceUses(r, fresh) != nil {
			return false
		}
	}
	return g.Erase(n) == nil
}

func hasParam(g *ir.Graph, name string) bool {
	for _, p := range g.Params {
		if p.Param.Name == name {
			return true
		}
	}
	return false
}

// bypass puts an operand of n's type in its place.
func bypass(g *ir.Graph, n *ir.Node) bool {
	if len(n.Results) != 1 || n.Op.Is(ir.WritesState) {
		return false
	}
	for _, a := range n.Args {
		if a.Type == n.Results[0].Type {
			return g.ReplaceUses(n.Results[0], a) == nil && g.Erase(n) == nil
		}
	}
	return false
}

// dissolve inlines every region.
func dissolve(g *ir.Graph, n *ir.Node) bool {
	if n.Region == nil {
		return false
	}
	g.InlineAll()
	return true
}

// sweep removes nodes without users and params without use.
func sweep(g *ir.Graph) {
	nodes := g.Nodes()
	for i := len(nodes) - 1; i >= 0; i-- {
		// An error means that the node is in use, and stays.
		_ = g.Erase(nodes[i])
	}
	g.DropParams()
}
