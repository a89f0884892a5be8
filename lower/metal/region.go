package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// region is what one node asks for: the graph of its primitive operations, and
// how each operand lies.
type region struct {
	asked    *task.Region
	g        *ir.Graph                // the graph of asked
	operands []task.Operand           // the operands of asked
	bound    func(v *ir.Value) *bound // the bound of a value of the region; nil where nobody knows
	name     string                   // pattern or op, for the kernel's name
	inParts  *attention               // the attention whose parts a prologue merges
	token    tokenKind                // the use of the token that it chooses
	target   *target.Target
}

// operandType is the dtype in which operand i lies in memory.
func (r *region) operandType(i int) dtype.Type {
	if r.operands[i].Halves {
		return dtype.F16
	}
	return r.g.Params[i].Type.DType
}

// resultType is the dtype in which result j lies in memory.
func (r *region) resultType(j int) dtype.Type {
	if r.asked.Kept[j].Halves {
		return dtype.F16
	}
	return r.g.Results[j].Value.Type.DType
}

// asStored is value as result j holds it: scaled where that is so. A cache of halves whose
// values have no bound refuses what it cannot hold.
func (r *region) asStored(k *kernel, j int, value *msl.Value) *msl.Value {
	if !r.asked.Kept[j].Scaled {
		if v := r.g.Results[j].Value; v.Def != nil && v.Def.Op == ir.OpKVWrite && v.Type.DType == dtype.F16 {
			k.use("epilogue/refuse.metal")
			k.do(msl.Call("refuse_large", value, k.refused(), u(plan.ErrCache)))
		}
		return value
	}
	return times(grouped(value), r.storedDown(k, j))
}

// storedDown is the factor by which result j is scaled where it is stored.
func (r *region) storedDown(k *kernel, j int) *msl.Value {
	if !r.asked.Kept[j].Scaled {
		return one
	}
	return r.down(k, r.g.Results[j].Value)
}

// regionOf returns n's region with operands that lie row-major; a primitive node
// becomes a region of one operation.
func regionOf(n *ir.Node, bounds sym.Bounds, t *target.Target) (*region, error) {
	w, err := task.Of(n, bounds, t)
	if err != nil {
		return nil, err
	}
	r := &region{asked: w, g: w.Graph, operands: w.Operands, target: t, name: n.Op.String()}
	w.Kept = make([]task.Kept, len(n.Results))
	if n.Region != nil {
		r.name = n.Attr.Pattern
	}
	w.Unbounded = func(v *ir.Value) bool { return r.narrowing(v) == unbounded }
	return r, nil
}

func (r *region) nodes(op ir.Op) []*ir.Node { return r.asked.Nodes(op) }
func (r *region) has(ops ...ir.Op) bool     { return r.asked.Has(ops...) }

// lowering is the kernels of a region, in the order they run, and the memory
// between them.
type lowering struct {
	kernels []*kernel
	scratch []scratch
}

type scratch struct {
	name string
	typ  ir.Type
}

// checkToken is an error where r cannot choose the plan's token.
func (r *region) checkToken() error {
	if r.token == tokenPlain {
		return nil
	}
	if !r.has(ir.OpArgmax, ir.OpSample) {
		return fmt.Errorf("the result token is made by %s, wants argmax or sample", r.name)
	}
	for _, m := range append(r.nodes(ir.OpArgmax), r.nodes(ir.OpSample)...) {
		if rows := m.Args[0].Type.Shape.At(0); rows != sym.Const(1) {
			return fmt.Errorf("the token of %s rows is ambiguous", rows)
		}
	}
	return nil
}
