package metal

import (
	"fmt"
	"strings"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// region is what one node asks for: the graph of its primitive operations, and
// how each operand lies.
type region struct {
	asked    *task.Region
	g        *ir.Graph                // the graph of asked
	operands []task.Operand           // the operands of asked
	halves   []bool                   // results that are kept as halves
	scaled   []bool                   // results that are scaled by their range
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
	if r.halves[j] {
		return dtype.F16
	}
	return r.g.Results[j].Value.Type.DType
}

// asStored is value as result j holds it: scaled where that is so. A cache of halves whose
// values have no bound refuses what it cannot hold.
func (r *region) asStored(k *kernel, j int, value string) string {
	if !r.scaled[j] {
		if v := r.g.Results[j].Value; v.Def != nil && v.Def.Op == ir.OpKVWrite && v.Type.DType == dtype.F16 {
			k.use("epilogue/refuse.metal")
			k.line("refuse_large(%s, %s, %du);", value, k.slot(ref{kind: refRefused}, "refused", "atomic_uint", plan.Write), plan.ErrCache)
		}
		return value
	}
	if word.FindString(value) != value {
		value = "(" + value + ")"
	}
	return times(value, r.down(k, r.g.Results[j].Value))
}

// regionOf returns n's region with operands that lie row-major; a primitive node
// becomes a region of one operation.
func regionOf(n *ir.Node, bounds sym.Bounds, t *target.Target) (*region, error) {
	w, err := task.Of(n, bounds, t)
	if err != nil {
		return nil, err
	}
	r := &region{asked: w, g: w.Graph, operands: w.Operands, target: t, name: n.Op.String(), halves: make([]bool, len(n.Results)), scaled: make([]bool, len(n.Results))}
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

// lower picks the main stage for a region and writes its kernels.
func (r *region) lower() (*lowering, error) {
	if err := r.checkTypes(); err != nil {
		return nil, err
	}
	if r.token != tokenPlain && !r.has(ir.OpArgmax, ir.OpSample) {
		return nil, fmt.Errorf("the result token is made by %s, wants argmax or sample", r.name)
	}
	if err := cost.CheckPin(r.asked, r.target); err != nil {
		return nil, err
	}
	var l *lowering
	var err error
	switch {
	case r.has(ir.OpMatmulNT) && r.has(ir.OpBmmNT):
		l, err = r.lowerSplitProjection()
	case r.has(ir.OpMatmulNT):
		l, err = r.lowerGEMV()
	case r.has(ir.OpBmmNT) && r.has(ir.OpBmmNN):
		l, err = r.lowerAttention()
	case r.has(ir.OpBmmNT, ir.OpBmmNN):
		l, err = r.lowerBatched()
	case r.has(ir.OpSoftmax):
		l, err = r.lowerSoftmax()
	case r.has(ir.OpArgmax):
		l, err = r.lowerArgmax()
	case r.has(ir.OpSample):
		l, err = r.lowerSample()
	case r.has(ir.OpArange, ir.OpOnes, ir.OpRandomUniform):
		l, err = r.lowerCreate()
	case r.has(ir.OpRMSNorm) && r.has(ir.OpRope):
		l, err = r.lowerHeads()
	case r.has(ir.OpRMSNorm, ir.OpRMSScale):
		l, err = r.lowerRows()
	default:
		l, err = r.lowerPointwise()
	}
	if err != nil {
		return nil, err
	}
	for _, k := range l.kernels {
		if err := k.checkLimits(r.target.Limits); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// oneOf writes the first of the kernels that the region can get that write can: its
// alignment says how wide loads may be.
func (r *region) oneOf(write func(choice.Kernel) (*lowering, error)) (l *lowering, err error) {
	for chosen := range cost.Taken(r.asked, r.target) {
		if l, err = write(chosen); err == nil {
			return l, nil
		}
	}
	return nil, err
}

// alone is the lowering of one kernel.
func alone(k *kernel, err error) (*lowering, error) {
	if err != nil {
		return nil, err
	}
	return &lowering{kernels: []*kernel{k}}, nil
}

// checkTypes refuses weight and cache formats without a kernel.
func (r *region) checkTypes() error {
	for _, n := range r.g.Nodes() {
		switch n.Op {
		case ir.OpMatmulNT, ir.OpEmbedding:
			if err := r.checkWeight(n.Args[1].Type.DType); err != nil {
				return err
			}
		case ir.OpRMSNorm:
			if t := n.Args[0].Type.DType; t.Quantised() {
				if err := r.checkWeight(t); err != nil {
					return err
				}
			}
		case ir.OpKVWrite:
			if t := n.Args[0].Type.DType; !r.target.Limits.HasCache(t.String()) {
				return fmt.Errorf("no kernel for a %s cache, only for %s", t, strings.Join(r.target.Limits.Cache, ", "))
			}
		}
	}
	return nil
}

func (r *region) checkWeight(t dtype.Type) error {
	if _, ok := task.FormatOf(t); !ok || !r.target.Limits.HasWeights(t.Format()) {
		return fmt.Errorf("no kernel for %s weights, only for %s", t, strings.Join(r.target.Limits.Weights, ", "))
	}
	return nil
}

func (k *kernel) checkLimits(l target.Limits) error {
	slots := len(k.slots)
	if k.usesT || k.usesP {
		k.position()
		slots = len(k.slots)
	}
	bytes := 0
	for _, t := range k.shared {
		bytes += t.Bytes
	}
	switch {
	case slots > l.Slots:
		return fmt.Errorf("%d buffer slots > %d", slots, l.Slots)
	case bytes > l.ThreadgroupBytes:
		return fmt.Errorf("threadgroup memory %d > %d", bytes, l.ThreadgroupBytes)
	case k.threads > l.Threads:
		return fmt.Errorf("%d threads a threadgroup > %d", k.threads, l.Threads)
	}
	return nil
}
