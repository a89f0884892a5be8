package task

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Attention is a region of scores, softmax and weighted values.
type Attention struct {
	Region           *Region
	Scores, Weighted *ir.Node
	Softmax          *ir.Node
	Heads, Dim       int64
	Rows, Keys       sym.Dim
}

// AttentionOf finds the three operations, or says why they are no attention.
func AttentionOf(r *Region) (*Attention, error) {
	nt, soft, nn := r.Nodes(ir.OpBmmNT), r.Nodes(ir.OpSoftmax), r.Nodes(ir.OpBmmNN)
	if len(nt) != 1 || len(soft) != 1 || len(nn) != 1 || soft[0].Args[0].Def != nt[0] || nn[0].Args[0].Def != soft[0] {
		return nil, fmt.Errorf("attention wants bmm_nt, softmax and bmm_nn in a chain")
	}
	a := &Attention{Region: r, Scores: nt[0], Softmax: soft[0], Weighted: nn[0]}
	out := nn[0].Results[0].Type.Shape
	q := nt[0].Args[0].Type.Shape
	var ok [3]bool
	a.Heads, ok[0] = out.At(0).Const()
	a.Dim, ok[1] = q.At(2).Const()
	dv, okv := out.At(2).Const()
	ok[2] = okv && dv == a.Dim
	if ok != [3]bool{true, true, true} {
		return nil, fmt.Errorf("attention wants keys and values of one constant head_dim, has %s and %s", q.At(2), out.At(2))
	}
	a.Rows, a.Keys = q.At(1), nt[0].Results[0].Type.Shape.At(2)
	return a, nil
}

// Window returns how many keys a row sees, the last of them; 0: all.
func (a *Attention) Window() int64 { return int64(a.Softmax.Attr.Window) }

// Cache returns the operand whose rows are keys or values x, each in its place, where
// earlier runs wrote those below P; otherwise nil.
func (a *Attention) Cache(x *ir.Value) *ir.Value {
	for x.Param == nil {
		if x.Def.Op != ir.OpRepeatKV && (x.Def.Op != ir.OpSlice || x.Def.Attr.Start != sym.Const(0)) {
			return nil
		}
		x = x.Def.Args[0]
	}
	if !a.Region.Operands[x.Index].Settled {
		return nil
	}
	return x
}

// TakesTiles reports whether attention can be made of tiles: keys and values are f16,
// and their rows whole tiles.
func (a *Attention) TakesTiles() bool {
	return a.Scores.Args[1].Type.DType == dtype.F16 && a.Weighted.Args[1].Type.DType == dtype.F16 && a.Dim%16 == 0
}

// Batched is one batched product alone: attention in separate steps.
type Batched struct {
	Region     *Region
	Product    *ir.Node
	Heads, Dim int64 // Dim: elements of a row of keys, or of values
	Rows, Keys sym.Dim
}

// BatchedOf returns the batched product that the region is, with Dim and Keys as
// attention would have them; false where it is none.
func BatchedOf(r *Region) (*Batched, bool) {
	n := r.Graph.Nodes()[0]
	if len(r.Graph.Nodes()) != 1 || n.Op != ir.OpBmmNT && n.Op != ir.OpBmmNN {
		return nil, false
	}
	out := n.Results[0].Type.Shape
	dim, keys := n.Args[0].Type.Shape.At(2), out.At(2)
	if n.Op == ir.OpBmmNN {
		dim, keys = keys, dim
	}
	return &Batched{Region: r, Product: n, Heads: out.At(0).C, Dim: dim.C, Rows: out.At(1), Keys: keys}, dim.IsConst()
}

// TakesTiles reports whether the product can be made of tiles.
func (b *Batched) TakesTiles() bool {
	return b.Product.Args[1].Type.DType == dtype.F16 && b.Dim%16 == 0
}
