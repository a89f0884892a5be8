package metal

import (
	"fmt"
	"math"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// storage is a buffer of the plan in the making.
type storage struct {
	name   string
	class  plan.Class
	bytes  int64
	dtype  dtype.Type
	shape  ir.Shape
	role   plan.BufferRole
	cache  bool // a state that gets a row at each position
	planes bool // a quantised weight, levels and scales apart
	values []float32
	index  int   // the number in the plan, once there is one
	offset int64 // the place of a transient in the arena

	// Of a transient: the waves in which it is written first and read last.
	first, last int
	readers     map[int]int // dispatches that read it, by wave
	inside      *storage    // the storage whose place it takes
}

// transient returns new memory of the arena; close makes its name unique.
func (e *entry) transient(name string, t ir.Type) *storage {
	s := &storage{name: e.name + "." + name, class: plan.Transient, bytes: t.MaxBytes(e.g.Bounds), dtype: t.DType, shape: t.Shape, index: -1}
	e.transients = append(e.transients, s)
	return s
}

// resize gives a storage of f32 so many bytes.
func (s *storage) resize(bytes int64) {
	s.bytes, s.shape = bytes, ir.ShapeOf(sym.Const(bytes/4))
}

// reserve takes the names that hosts know params by.
func (c *compiler) reserve(g *ir.Graph) {
	c.buffers["step"] = 1
	for _, p := range g.Params {
		c.buffers[p.Param.Name] = 1
	}
}

// unique returns name, or name with a number where a buffer has it already.
func (c *compiler) unique(name string) string {
	out := name
	for c.buffers[out] > 0 {
		c.buffers[name]++
		out = fmt.Sprintf("%s.%d", name, c.buffers[name])
	}
	c.buffers[out] = 1
	return out
}

// countable is an error where a buffer has more elements than kernels, whose indices
// are uints, can tell apart.
func (s *storage) countable() error {
	per, size := s.dtype.Block()
	if n := s.bytes / int64(size) * int64(per); n > math.MaxUint32 {
		return fmt.Errorf("%s has up to %d elements; kernels count to %d", s.name, n, uint32(math.MaxUint32))
	}
	return nil
}

// sharing is what entries know a buffer by that they share.
type sharing struct {
	kind sharedKind
	name string
}

type sharedKind uint8

const (
	sharedInput sharedKind = iota
	sharedWeight
	sharedState
	sharedConst
	sharedOutput
	sharedPrepared // what the plan's preparation makes
)

var sharedKinds = [...]string{"input", "weight", "state", "const", "output", "prepared"}

func (k sharedKind) String() string { return sharedKinds[k] }

// share returns the buffer that all entries share, as large as the largest entry needs.
func (c *compiler) share(of sharing, class plan.Class, t ir.Type, b sym.Bounds) (*storage, error) {
	bytes := t.MaxBytes(b)
	planes := class == plan.Weight && task.InPlanes(t, c.o.Target)
	if cols, ok := t.Shape.At(-1).Const(); ok && planes {
		bytes = bytes / t.DType.Bytes(cols) * t.DType.PlaneBytes(cols)
	}
	s := c.shared[of]
	if s == nil {
		name := of.name
		if of.kind == sharedOutput {
			name = c.unique(name)
		}
		s = &storage{name: name, class: class, dtype: t.DType, planes: planes, index: len(c.plan.Buffers)}
		c.shared[of] = s
		c.plan.Buffers = append(c.plan.Buffers, plan.Buffer{})
	}
	// Inputs and outputs may have fewer rows in one entry than in another; what one
	// run leaves to the next must lie by the same strides.
	if s.dtype != t.DType || s.bytes > 0 && s.shape != t.Shape && of.kind != sharedInput && of.kind != sharedOutput {
		return nil, fmt.Errorf("%s %q is %s here and %s in another entry", of.kind, of.name, t, ir.Type{DType: s.dtype, Shape: s.shape})
	}
	if bytes > s.bytes {
		s.bytes, s.shape = bytes, t.Shape
	}
	return s, s.countable()
}

// step returns the step buffer.
func (c *compiler) step() *storage {
	s, _ := c.share(sharing{sharedState, "step"}, plan.State, ir.TypeOf(dtype.I32, sym.Const(plan.StepBytes/4)), sym.Bounds{})
	s.role = plan.StepBuffer
	c.store(s)
	return s
}

// store writes a shared storage into the plan's buffers.
func (c *compiler) store(s *storage) {
	b := plan.Buffer{Name: s.name, Class: s.class, Bytes: s.bytes, DType: s.dtype, Shape: s.shape.Slice(), Cache: s.cache, Role: s.role, Values: s.values}
	if s.class == plan.Weight {
		b.Weight = &plan.WeightRecipe{Tensor: s.name, Kind: c.recipeKind(s)}
	}
	if s.class == plan.Transient {
		b.Offset = s.offset
	}
	c.plan.Buffers[s.index] = b
}

// recipeKind says how a weight of the plan's dtype comes from a checkpoint's.
func (c *compiler) recipeKind(s *storage) string {
	switch {
	case s.planes:
		return plan.Planes
	case c.o.Stored != nil && c.o.Stored(s.name) == s.dtype || !s.dtype.CanQuantise():
		return "as_stored"
	case s.dtype.Quantised():
		return "quantise"
	}
	return "convert"
}

// paramKinds says what becomes of params.
var paramKinds = map[ir.ParamKind]struct {
	kind  sharedKind
	class plan.Class
}{
	ir.Input: {sharedInput, plan.Input}, ir.Weight: {sharedWeight, plan.Weight}, ir.State: {sharedState, plan.State}, ir.Const: {sharedConst, plan.Constant},
}

// params gives every param of the graph its buffer.
func (e *entry) params() error {
	for _, p := range e.g.Params {
		if t, ok := e.sessionInput(p); ok {
			e.values[p] = t
			continue
		}
		is, role := paramKinds[p.Param.Kind], plan.NoRole
		if p.Param.Kind == ir.Input && p.Param.Name == "ids" && p.Type.DType == dtype.I32 {
			is.class, role = plan.State, plan.IDsBuffer // the token of one run is the id of the next
		}
		s, err := e.c.share(sharing{is.kind, p.Param.Name}, is.class, p.Type, e.g.Bounds)
		if err != nil {
			return err
		}
		s.role, s.values = role, p.Param.Values
		e.c.store(s)
		l, ok := task.Contiguous(p.Type.Shape)
		if !ok {
			return fmt.Errorf("%s has strides with too many symbols", p)
		}
		e.values[p] = tensor{s, l}
	}
	return nil
}

// results decides which values are written straight into an output buffer: each
// value that a kernel makes, under the first name that it is returned by.
func (e *entry) results() (map[*ir.Value]*storage, error) {
	out := map[*ir.Value]*storage{}
	for _, r := range e.g.Results {
		v := r.Value
		if v.Def == nil || ir.StateRoot(v) != v || out[v] != nil {
			continue
		}
		s, err := e.output(r)
		if err != nil {
			return nil, err
		}
		out[v] = s
	}
	return out, nil
}

func (e *entry) output(r ir.Result) (*storage, error) {
	s, err := e.c.share(sharing{sharedOutput, r.Name}, plan.Output, r.Value.Type, e.g.Bounds)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Name == "logits" && s.dtype == dtype.F32:
		s.role = plan.LogitsBuffer
	case r.Name == "token" && s.dtype == dtype.I32:
		s.role = plan.TokenBuffer
	}
	e.c.store(s)
	return s, nil
}

// finish adds copies for results that no kernel writes by themselves (a param, or
// a value returned twice) and lists where all results are.
func (e *entry) finish(outputs map[*ir.Value]*storage) ([]plan.Result, error) {
	var list []plan.Result
	for _, r := range e.g.Results {
		s := outputs[r.Value]
		switch {
		case ir.StateRoot(r.Value) != r.Value:
			s = e.values[r.Value].s
		case s == nil || s != e.c.shared[sharing{sharedOutput, r.Name}]:
			var err error
			if s, err = e.output(r); err != nil {
				return nil, err
			}
			if err := e.copy(r, s); err != nil {
				return nil, fmt.Errorf("result %q: %w", r.Name, err)
			}
		}
		list = append(list, plan.Result{Name: r.Name, Buffer: s.index})
	}
	return list, nil
}

// copy dispatches an element-by-element copy of a value into an output.
func (e *entry) copy(r ir.Result, to *storage) error {
	g := ir.NewGraph("", e.g.Bounds)
	x := g.Param(ir.Arg, "", r.Value.Type)
	v, err := g.Add(ir.OpReshape, "copy."+r.Name, ir.Attr{Shape: r.Value.Type.Shape}, x)
	if err != nil {
		return err
	}
	n := v.Def
	e.values[x] = e.values[r.Value]
	e.bounds.known[x] = e.bounds.of(r.Value, nil)
	return e.node(n, map[*ir.Value]*storage{v: to})
}
