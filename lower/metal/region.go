package metal

import (
	"fmt"
	"strings"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/plan"
)

// region is what one node asks for: the graph of its primitive operations, and
// how each operand lies.
type region struct {
	g        *ir.Graph
	operands []operand
	halves   []bool                   // results that are kept as halves
	scaled   []bool                   // results that are scaled by their range
	bound    func(v *ir.Value) *bound // of a value of the region; nil where nobody knows
	name     string                   // pattern or op, for the kernel's name
	merged   *attention               // whose parts a prologue merges
	token    tokenKind                // what becomes of the token that it chooses
	target   *target.Target
	tuning   Tuning
}

// operand is one param of a region.
type operand struct {
	layout  layout
	fixed   bool // no dispatch of the step writes it
	settled bool // no dispatch of the step writes its rows below P: a cache
	planes  bool // quantised rows lie with levels and scales apart
	halves  bool // f32 that is kept as halves, which is what its readers make of it
	scaled  bool // by its range
}

// operandType is the dtype in which operand i lies in memory.
func (r *region) operandType(i int) dtype.Type {
	if r.operands[i].halves {
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

// kept is value as result j holds it: scaled where that is so. A cache of halves whose
// values have no bound refuses what it cannot hold.
func (r *region) kept(k *kernel, j int, value string) string {
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

// settled reports whether v is a cache of which this run writes rows from P on, seen
// through views that keep the rows in their places.
func settled(v *ir.Value) bool {
	for v.Param == nil {
		n := v.Def
		switch {
		case n.Op == ir.OpSlice && n.Attr.Start == sym.Const(0):
			v = n.Args[0]
			continue
		case n.Region != nil:
			inner := n.Region.Results[v.Index].Value
			for inner.Def != nil && writesFromP(inner.Def) {
				inner = inner.Def.Args[0]
			}
			if inner.Param == nil {
				return false
			}
			v = n.Args[inner.Index]
			continue
		case writesFromP(n):
			v = n.Args[0]
			continue
		}
		return false
	}
	return v.Param.Kind == ir.State
}

func writesFromP(n *ir.Node) bool { return n.Op == ir.OpKVWrite && n.Attr.Start == sym.P }

// regionOf returns n's region with operands that lie row-major; a primitive node
// becomes a region of one operation.
func regionOf(n *ir.Node, bounds sym.Bounds, t *target.Target) (*region, error) {
	r := &region{g: n.Region, target: t, name: n.Op.String(), operands: make([]operand, len(n.Args)), halves: make([]bool, len(n.Results)), scaled: make([]bool, len(n.Results))}
	if n.Region != nil {
		r.name = n.Attr.Pattern
	} else {
		r.g = ir.NewGraph("", bounds)
		args := make([]*ir.Value, len(n.Args))
		for i, a := range n.Args {
			args[i] = r.g.Param(ir.Arg, "", a.Type)
		}
		v, err := r.g.Add(n.Op, n.Label, n.Attr, args...)
		if err != nil {
			return nil, err
		}
		r.g.Return("", v)
	}
	for i, p := range r.g.Params {
		l, ok := contiguous(p.Type.Shape)
		if !ok {
			return nil, fmt.Errorf("operand %d has %s, whose strides have too many symbols", i, p.Type)
		}
		root := ir.StateRoot(n.Args[i])
		weight := root.Param != nil && root.Param.Kind == ir.Weight
		r.operands[i] = operand{
			layout: l, fixed: weight || root.Param != nil && root.Param.Kind == ir.Const,
			settled: settled(n.Args[i]), planes: weight && inPlanes(p.Type, t),
		}
	}
	return r, nil
}

func (r *region) nodes(op ir.Op) []*ir.Node {
	var out []*ir.Node
	for _, n := range r.g.Nodes() {
		if n.Op == op {
			out = append(out, n)
		}
	}
	return out
}

func (r *region) has(ops ...ir.Op) bool {
	for _, n := range r.g.Nodes() {
		for _, op := range ops {
			if n.Op == op {
				return true
			}
		}
	}
	return false
}

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
	if _, ok := formatOf(t); !ok || !r.target.Limits.HasWeights(t.Format()) {
		return fmt.Errorf("no kernel for %s weights, only for %s", t, strings.Join(r.target.Limits.Weights, ", "))
	}
	return nil
}

func (k *kernel) checkLimits(l target.Limits) error {
	slots := len(k.slots)
	if k.usesT || k.usesP {
		k.slot(ref{kind: refPosition}, "step", "Position", plan.Read)
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
