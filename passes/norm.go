package passes

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/names"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// sumRun is how many elements one partial sum of squares covers at most: rows that
// must meet in one threadgroup of the product before it. It covers fewer where the sums
// are still few enough for the threads of the product behind, which add up some three each: with
// four elements for eight, products of 1,536 rows may be dealt out in smaller threadgroups,
// and a step at 1.5b on an H200 takes 581 us for 625 in q4_0, 695 for 802 in q6_k.
const (
	sumRun   = 8
	mostSums = 384
)

// splitNorm replaces a norm of x by the sums of squares of x and a scaling by
// them, where x is a residual's sum or an embedding, whose kernel can leave the
// sums, and where only products take the norm, whose prologue can finish it.
func splitNorm(r *run) error {
	found := false
	for _, n := range r.graph.Nodes() {
		if n.Op != ir.OpRMSNorm {
			continue
		}
		found = true
		d := plan.Decision{Node: n.Label, Layer: n.Layer(), Outcome: plan.Refused}
		size, why := splitLength(n)
		if why == "" {
			sums, refusal, err := r.split(n, size)
			if err != nil {
				return err
			}
			if why = refusal; why == "" {
				x := sums.Args[0]
				d.Outcome = plan.Matched
				d.Reason = fmt.Sprintf("%s can leave %s sums of %d squares, which each threadgroup of the next product adds up instead of squaring %s elements",
					names.InLayer(x.Def.Label), sums.Result().Type.Shape.At(-1), size, x.Type.Shape.At(-1))
			}
		}
		if why != "" {
			d.Reason = why
		}
		r.logDecision(d)
	}
	if !found {
		r.logNoSite("the graph has no rms_norm")
	}
	return nil
}

// split puts sum_squares and rms_scale in the place of the norm n. It returns the
// sums, or why the target cannot have them in the kernels before and after; the
// graph is then as before.
func (r *run) split(n *ir.Node, size int64) (sums *ir.Node, refusal string, err error) {
	x, w := n.Args[0], n.Args[1]
	s, err := r.graph.InsertBefore(n, ir.OpSumSquares, n.Label, ir.Attr{Size: sym.Const(size)}, x)
	if err != nil {
		return nil, "", err
	}
	y, err := r.graph.InsertBefore(n, ir.OpRMSScale, n.Label, ir.Attr{Eps: n.Attr.Eps}, x, s, w)
	if err != nil {
		return nil, "", err
	}
	old := n.Result()
	if err := r.graph.ReplaceUses(old, y); err != nil {
		return nil, "", err
	}
	before := []*ir.Node{s.Def, x.Def}
	if product := productOf(x.Def); product != nil {
		before = append(before, product)
	}
	for _, side := range [...]struct {
		where string
		nodes []*ir.Node
	}{{"leaves the sums", before}, {"finishes the norm", append([]*ir.Node{y.Def}, y.Users()...)}} {
		kernel, err := r.graph.FusedNode(side.nodes, "", n.Label)
		if err == nil {
			err = r.lowerable(kernel)
		}
		if err != nil {
			refusal = fmt.Sprintf("%s cannot run a kernel that %s: %v", r.target.Name, side.where, err)
			break
		}
	}
	if refusal == "" && !r.Fuel.take(r.call.Pass.Name+" "+n.Label) {
		refusal = "the fuel is spent"
	}
	gone := []*ir.Node{n}
	if refusal != "" {
		if err := r.graph.ReplaceUses(y, old); err != nil {
			return nil, "", err
		}
		gone = []*ir.Node{y.Def, s.Def}
	} else {
		r.noteEdit()
	}
	for _, g := range gone {
		if err := r.graph.Erase(g); err != nil {
			return nil, "", err
		}
	}
	return s.Def, refusal, nil
}

// splitLength returns the length of the runs whose squares are summed, or why n
// stays whole.
func splitLength(n *ir.Node) (size int64, why string) {
	x := n.Args[0]
	if x.Def == nil {
		return 0, fmt.Sprintf("%s is made by no kernel", x)
	}
	if !leavesSums(x.Def) {
		return 0, fmt.Sprintf("%s %s is neither a product with its residual nor an embedding, so no kernel could leave the sums", names.InLayer(x.Def.Label), x.Def.Op)
	}
	for _, u := range n.Result().Users() {
		if u.Op != ir.OpMatmulNT {
			return 0, fmt.Sprintf("%s %s takes the norm, and only a product can finish it", names.InLayer(u.Label), u.Op)
		}
	}
	cols, ok := x.Type.Shape.At(-1).Const()
	for n := int64(sumRun); ok && n > 1; n /= 2 {
		if cols%n == 0 && (size == 0 || cols/n <= mostSums) {
			size = n
		}
	}
	if size > 0 {
		return size, ""
	}
	return 0, fmt.Sprintf("runs of 2 to %d elements do not divide rows of %s", sumRun, x.Type.Shape.At(-1))
}

// leavesSums reports whether the kernel that makes n's result can leave sums of
// its squares.
func leavesSums(n *ir.Node) bool {
	if n.Op == ir.OpEmbedding {
		return true
	}
	return productOf(n) != nil
}

// productOf returns the product that the sum n may be the epilogue of, or nil.
func productOf(n *ir.Node) *ir.Node {
	if n.Op != ir.OpAdd || n.Args[0].Type != n.Args[1].Type {
		return nil
	}
	for _, a := range n.Args {
		if a.Def != nil && a.Def.Op == ir.OpMatmulNT && len(a.Users()) == 1 {
			return a.Def
		}
	}
	return nil
}

// joinNorms undoes splitNorm where a sum of squares would be a dispatch of its
// own: the scalings that take it become norms again.
func (r *run) joinNorms() error {
	for _, n := range r.graph.Nodes() {
		if n.Op != ir.OpSumSquares || r.graph.Returned(n.Result()) {
			continue
		}
		joined := true
		for _, u := range append([]*ir.Node(nil), n.Result().Users()...) {
			ok, err := joinIn(r.graph, u, n)
			if err != nil {
				return err
			}
			joined = joined && ok
		}
		if !joined {
			continue
		}
		if err := r.graph.Erase(n); err != nil {
			return err
		}
		r.noteEdit()
		r.Log.add(plan.Decision{Pass: r.call.String(), Pattern: "split-norm", Node: n.Label, Layer: n.Layer(), Outcome: plan.Refused,
			Reason: "joined again: no kernel took up the sums, which would cost a dispatch of their own"})
	}
	return nil
}

// joinIn makes the rms_scale u, or those in the region u, norms of what sums
// sums up. It reports whether sums is used there no more.
func joinIn(g *ir.Graph, u, sums *ir.Node) (bool, error) {
	if u.Region == nil {
		if u.Op != ir.OpRMSScale || u.Args[0] != sums.Args[0] {
			return false, nil
		}
		_, err := joinScale(g, u)
		return true, err
	}
	x, at := slices.Index(u.Args, sums.Args[0]), slices.Index(u.Args, sums.Result())
	if x < 0 {
		return false, nil
	}
	param := u.Region.Params[at]
	for _, m := range append([]*ir.Node(nil), param.Users()...) {
		if m.Op != ir.OpRMSScale || m.Args[0] != u.Region.Params[x] || m.Args[1] != param {
			return false, nil
		}
		if _, err := joinScale(u.Region, m); err != nil {
			return false, err
		}
	}
	return true, u.DropOperand(at)
}

// joinScale replaces the rms_scale n of g by the rms_norm of its first operand, which it
// returns.
func joinScale(g *ir.Graph, n *ir.Node) (*ir.Node, error) {
	v, err := g.InsertBefore(n, ir.OpRMSNorm, n.Label, ir.Attr{Eps: n.Attr.Eps}, n.Args[0], n.Args[2])
	if err != nil {
		return nil, err
	}
	if err := g.ReplaceUses(n.Result(), v); err != nil {
		return nil, err
	}
	return v.Def, g.Erase(n)
}
