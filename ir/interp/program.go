package interp

import (
	"context"
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// engine is a graph laid out for one precision: regions dissolved into one list
// of steps over numbered slots, params in the first ones.
type engine[F real] struct {
	meanings map[ir.Op]meaning[F]
	params   []*ir.Value
	fixed    []value[F] // values of weights and consts; empty for other params
	steps    []step
	slots    int
	results  []result
	pool     pool[F]
}

// step runs one primitive node.
type step struct {
	node   *ir.Node
	args   []int
	result int
	dead   []int // slots of nodes that nothing reads after this step
}

type result struct {
	name string
	slot int
}

func newEngine[F real](g *ir.Graph, weights Source, k map[ir.Op]meaning[F]) (*engine[F], error) {
	e := &engine[F]{meanings: k, params: g.Params}
	slot := make(map[*ir.Value]int, len(g.Params)+len(g.Nodes()))
	for _, p := range g.Params {
		slot[p] = e.newSlot()
	}
	e.flatten(g, slot)
	for _, r := range g.Results {
		if root := ir.StateRoot(r.Value); root != r.Value {
			continue // a state's successor stays in the state
		}
		e.results = append(e.results, result{r.Name, slot[r.Value]})
	}
	e.markDead()
	return e, e.load(weights)
}

func (e *engine[F]) newSlot() int {
	e.slots++
	return e.slots - 1
}

// flatten appends g's nodes as steps; slot knows g's params.
func (e *engine[F]) flatten(g *ir.Graph, slot map[*ir.Value]int) {
	for _, n := range g.Nodes() {
		args := make([]int, len(n.Args))
		for i, a := range n.Args {
			args[i] = slot[a]
		}
		if n.Region == nil {
			slot[n.Results[0]] = e.newSlot()
			e.steps = append(e.steps, step{node: n, args: args, result: slot[n.Results[0]]})
			continue
		}
		inner := make(map[*ir.Value]int, len(args)+len(n.Region.Nodes()))
		for i, p := range n.Region.Params {
			inner[p] = args[i]
		}
		e.flatten(n.Region, inner)
		for i, r := range n.Region.Results {
			slot[n.Results[i]] = inner[r.Value]
		}
	}
}

// markDead notes after which step each slot of a node is read no more.
func (e *engine[F]) markDead() {
	last := make([]int, e.slots)
	for i := range last {
		last[i] = -1
	}
	for i, s := range e.steps {
		last[s.result] = i
		for _, a := range s.args {
			last[a] = i
		}
	}
	for _, r := range e.results {
		last[r.slot] = -1
	}
	for slot := len(e.params); slot < e.slots; slot++ {
		if i := last[slot]; i >= 0 {
			e.steps[i].dead = append(e.steps[i].dead, slot)
		}
	}
}

// load fetches weights and consts. A weight that is only the table of an
// embedding or the matrix of a product stays as stored, others are widened.
func (e *engine[F]) load(weights Source) error {
	wide := make([]bool, e.slots)
	for _, s := range e.steps {
		for i, a := range s.args {
			wide[a] = wide[a] || !readsStored(s.node.Op, i)
		}
	}
	for _, r := range e.results {
		wide[r.slot] = true
	}
	e.fixed = make([]value[F], len(e.params))
	for i, p := range e.params {
		var t Tensor
		var err error
		switch p.Param.Kind {
		case ir.Const:
			t = Floats(p.Param.Values, p.Type.Shape.Eval(sym.Env{})...)
		case ir.Weight:
			if weights == nil {
				return fmt.Errorf("%s: no source of weights was given", p)
			}
			if t, err = weights(p.Param.Name, p.Type); err != nil {
				return fmt.Errorf("weight %q: %w", p.Param.Name, err)
			}
		default:
			continue
		}
		if err := t.check(fmt.Sprintf("%s %q", p.Param.Kind, p.Param.Name), p.Type, sym.Env{}); err != nil {
			return err
		}
		e.fixed[i] = toValue[F](t, wide[i])
	}
	return nil
}

// readsStored reports whether op takes operand i in stored form.
func readsStored(op ir.Op, i int) bool {
	return i == 1 && (op == ir.OpMatmulNT || op == ir.OpEmbedding)
}

// toValue makes a tensor a value, in place where the forms agree; wide asks for
// the floats of a stored tensor. Quantised tensors always stay as stored.
func toValue[F real](t Tensor, wide bool) value[F] {
	v := dense[F](t.DType, t.Shape)
	if t.DType == dtype.I32 {
		v.ints = t.ints()
		return v
	}
	v.stored = t.Stored
	if t.Stored != nil && (t.DType.Quantised() || !wide && !(t.DType == dtype.F32 && isF32[F]())) {
		return v
	}
	switch data := any(&v.data).(type) {
	case *[]float32:
		*data = t.Float32s()
	case *[]float64:
		*data = t.Float64s()
	}
	return v
}

func isF32[F real]() bool {
	var f F
	_, ok := any(f).(float32)
	return ok
}

// machine is one run under way.
type machine[F real] struct {
	*engine[F]
	ctx   context.Context
	env   sym.Env
	slots []value[F]
	dying []bool      // operands, a flag each, whose buffer nothing reads after the step
	temps []*block[F] // buffers that the step may leave behind
}

func (e *engine[F]) run(ctx context.Context, r *Run) (map[string]Tensor, error) {
	m := &machine[F]{engine: e, ctx: ctx, env: r.Env, slots: make([]value[F], e.slots)}
	if err := m.bind(r); err != nil {
		return nil, err
	}
	for i := range e.steps {
		if err := m.step(&e.steps[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", e.steps[i].node, err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if r.Watch != nil {
			m.showResult(&e.steps[i], r.Watch)
		}
		for _, slot := range e.steps[i].dead {
			m.release(slot)
		}
	}
	return m.collect(), nil
}

// bind fills the slots of params.
func (m *machine[F]) bind(r *Run) error {
	for i, p := range m.params {
		switch p.Param.Kind {
		case ir.Input:
			t, ok := r.Inputs[p.Param.Name]
			if !ok {
				return fmt.Errorf("input %q is missing", p.Param.Name)
			}
			if err := t.check(fmt.Sprintf("input %q", p.Param.Name), p.Type, m.env); err != nil {
				return err
			}
			m.slots[i] = toValue[F](t, true)
		case ir.State:
			m.slots[i] = toValue[F](r.State.caches[p.Param.Name], true)
		default:
			m.slots[i] = m.fixed[i]
		}
	}
	for name := range r.Inputs {
		if !m.hasInput(name) {
			return fmt.Errorf("the graph has no input %q", name)
		}
	}
	return nil
}

func (m *machine[F]) hasInput(name string) bool {
	for _, p := range m.params {
		if p.Param.Kind == ir.Input && p.Param.Name == name {
			return true
		}
	}
	return false
}

func (m *machine[F]) step(s *step) error {
	args := make([]value[F], len(s.args))
	m.dying = make([]bool, len(s.args))
	for i, a := range s.args {
		args[i] = m.slots[a]
		if b := args[i].buf; b != nil && b.refs == 1 {
			for _, d := range s.dead {
				m.dying[i] = m.dying[i] || d == a
			}
		}
	}
	out, err := m.meanings[s.node.Op](m, s.node, args)
	if err != nil {
		return err
	}
	if out.buf != nil {
		out.buf.refs++
	}
	m.slots[s.result] = out
	for _, b := range m.temps {
		if b.refs == 0 {
			m.pool.put(b)
		}
	}
	m.temps = m.temps[:0]
	return nil
}

func (m *machine[F]) release(slot int) {
	if b := m.slots[slot].buf; b != nil {
		if b.refs--; b.refs == 0 {
			m.pool.put(b)
		}
	}
	m.slots[slot] = value[F]{}
}

// alloc returns a dense f32 value with any content.
func (m *machine[F]) alloc(shape []int) value[F] {
	v := dense[F](dtype.F32, shape)
	v.buf = m.pool.get(v.len())
	v.data = v.buf.data
	return v
}

// resultLike returns a place for a result with the shape of operand i: the operand's
// own storage where nothing else reads it.
func (m *machine[F]) resultLike(args []value[F], i int) value[F] {
	if a := args[i]; m.dying[i] && a.isDense() && a.dtype == dtype.F32 {
		return a
	}
	return m.alloc(args[i].shape)
}

// packed returns v with its elements in row-major order.
func (m *machine[F]) packed(v value[F]) value[F] {
	if v.data == nil || v.isDense() {
		return v
	}
	out := m.alloc(v.shape)
	out.dtype = v.dtype
	m.temps = append(m.temps, out.buf)
	m.gather(out.data, v)
	return out
}

// withRows returns v with contiguous rows.
func (m *machine[F]) withRows(v value[F]) value[F] {
	if v.hasRows() {
		return v
	}
	return m.packed(v)
}

// vector returns the elements of a value of one dim.
func (m *machine[F]) vector(v value[F]) []F {
	v = m.withRows(v)
	return v.row(0)
}

// gather copies the elements of a view, which is no scalar, in row-major order.
func (m *machine[F]) gather(dst []F, v value[F]) {
	cols, step := v.cols(), v.stride[len(v.stride)-1]
	m.parallel(v.rows(), cols, func() func(lo, hi int) {
		return func(lo, hi int) {
			for r := lo; r < hi; r++ {
				pos, out := v.at(r), dst[r*cols:(r+1)*cols]
				if step == 1 {
					copy(out, v.data[pos:pos+cols])
					continue
				}
				for i := range out {
					out[i] = v.data[pos+i*step]
				}
			}
		}
	})
}

// tensor returns v as a tensor that shares its storage where v is dense.
func (m *machine[F]) tensor(v value[F]) Tensor {
	t := Tensor{DType: v.dtype, Shape: v.shape}
	switch {
	case v.ints != nil && v.isDense():
		t.I32 = v.ints[v.offset : v.offset+v.len()]
	case v.ints != nil:
		t.I32 = make([]int32, v.len())
		for i := range t.I32 {
			t.I32[i] = v.ints[v.element(i)]
		}
	case v.data == nil:
		t.Stored = v.stored
	default:
		v = m.packed(v)
		switch data := any(v.data[v.offset : v.offset+v.len()]).(type) {
		case []float32:
			t.F32 = data
		case []float64:
			t.F64 = data
		}
	}
	return t
}

func (m *machine[F]) showResult(s *step, watch func(*ir.Node, Tensor)) {
	watch(s.node, m.tensor(m.slots[s.result]))
	for _, b := range m.temps {
		m.pool.put(b)
	}
	m.temps = m.temps[:0]
}

// collect hands the results over: a buffer that only one result uses as it is,
// everything else as a copy.
func (m *machine[F]) collect() map[string]Tensor {
	out := make(map[string]Tensor, len(m.results))
	for _, r := range m.results {
		v := m.slots[r.slot]
		t := m.tensor(v)
		if v.buf == nil || v.buf.refs > 1 {
			t = t.clone()
		}
		out[r.name] = t
	}
	return out
}
