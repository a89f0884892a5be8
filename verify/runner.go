package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/seeded"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/runtime"
)

// input is what one run of a graph is given, and its caches before the run.
type input struct {
	env    sym.Env
	inputs map[string]interp.Tensor
	caches map[string][]float32
}

// runner runs graphs somewhere; the results hold the caches' successors too.
type runner interface {
	run(ctx context.Context, g *ir.Graph, in input) (map[string]interp.Tensor, error)
	close() error
}

// interpreter runs graphs in ir/interp.
type interpreter struct {
	precision interp.Precision
	weights   func(*ir.Graph) interp.Source
	programs  map[*ir.Graph]*interp.Program
}

func newInterpreter(p interp.Precision, weights func(*ir.Graph) interp.Source) *interpreter {
	return &interpreter{p, weights, map[*ir.Graph]*interp.Program{}}
}

// program returns g made ready, once.
func (r *interpreter) program(g *ir.Graph) (p *interp.Program, err error) {
	if p = r.programs[g]; p == nil {
		p, err = interp.New(g, r.weights(g), r.precision)
		r.programs[g] = p
	}
	return p, err
}

func (r *interpreter) run(ctx context.Context, g *ir.Graph, in input) (map[string]interp.Tensor, error) {
	p, err := r.program(g)
	if err != nil {
		return nil, err
	}
	state := p.NewState()
	for name, values := range in.caches {
		if err := state.Set(name, values); err != nil {
			return nil, err
		}
	}
	out, err := p.Run(ctx, interp.Run{Env: in.env, Inputs: in.inputs, State: state})
	if err != nil {
		return nil, err
	}
	for _, r := range g.Results {
		if inState(r.Value) {
			if out[r.Name], err = state.Tensor(r.Name); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (r *interpreter) close() error { return nil }

// device runs graphs as entries of a plan on a device.
type device struct {
	plan *plan.Plan
	exec *runtime.Executable
	in   *runtime.Instance
}

// weightSource yields the weights of many graphs by name.
type weightSource map[string]func() (interp.Tensor, error)

func (w weightSource) add(g *ir.Graph, source interp.Source) {
	for _, p := range g.Params {
		if p.Param.Kind == ir.Weight {
			w[p.Param.Name] = func() (interp.Tensor, error) { return source(p.Param.Name, p.Type) }
		}
	}
}

// Weight is runtime.WeightSource.
func (w weightSource) Weight(b *plan.Buffer) ([]byte, error) {
	t, err := w[b.Weight.Tensor]()
	return stored(t), err
}

// lower compiles graphs of one context into a plan.
func lower(graphs []*ir.Graph, t *target.Target, stages fs.FS) (*plan.Plan, error) {
	var entries []metal.Entry
	layers := 0
	for _, g := range graphs {
		entries = append(entries, metal.Entry{Name: g.Name, Graph: g})
		layers = max(layers, g.Layers())
	}
	p, err := metal.Compile(entries, metal.Options{
		Target: t, Model: plan.Model{Name: "verify", Layers: layers, Context: int(graphs[0].Bounds.SMax), Chunk: 1},
		Meta: plan.Options{Target: t.Name, Weights: dtype.F16, Cache: dtype.F16}, Shaders: stages,
	})
	if err != nil {
		return nil, err
	}
	return p, p.Check()
}

func newDevice(ctx context.Context, dev runtime.Device, p *plan.Plan, w weightSource, progress runtime.Progress) (*device, error) {
	exec, err := runtime.New(ctx, dev, p, w, progress)
	if err != nil {
		return nil, err
	}
	in, err := exec.NewInstance()
	if err != nil {
		return nil, errors.Join(err, exec.Close())
	}
	return &device{p, exec, in}, nil
}

func (d *device) run(ctx context.Context, g *ir.Graph, in input) (map[string]interp.Tensor, error) {
	for name, t := range in.inputs {
		if err := d.in.Write(name, stored(t)); err != nil {
			return nil, err
		}
	}
	for _, p := range g.Params {
		if p.Param.Kind == ir.State {
			t := interp.Floats(in.caches[p.Param.Name])
			t.DType = p.Type.DType
			if err := d.in.Write(p.Param.Name, stored(t)); err != nil {
				return nil, err
			}
		}
	}
	results, buffers := map[string]ir.Type{}, map[string]string{}
	for _, r := range g.Results {
		b, err := d.plan.ResultBuffer(g.Name, r.Name)
		if err != nil {
			return nil, err
		}
		results[r.Name], buffers[r.Name] = r.Value.Type, b.Name
		if !inState(r.Value) { // what no kernel writes shall be seen
			if err := d.in.Write(b.Name, poison(int(bytesOf(r.Value.Type, in.env)))); err != nil {
				return nil, err
			}
		}
	}
	if err := d.in.PoisonArena(); err != nil {
		return nil, err
	}
	if err := d.in.Run(ctx, g.Name, in.env); err != nil {
		return nil, err
	}
	out := map[string]interp.Tensor{}
	for name, t := range results {
		b := make([]byte, bytesOf(t, in.env))
		if err := d.in.Read(buffers[name], b); err != nil {
			return nil, err
		}
		out[name] = interp.Stored(t.DType, b, t.Shape.Eval(in.env)...)
	}
	return out, nil
}

// inState reports whether a result lies in a state; other params that are returned are copied.
func inState(v *ir.Value) bool {
	root := ir.StateRoot(v)
	return root.Param != nil && root.Param.Kind == ir.State
}

func bytesOf(t ir.Type, e sym.Env) int64 { return t.DType.Bytes(t.Shape.Elems(e)) }

// poison is bytes that no result consists of: NaN as a float of any width.
func poison(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xff
	}
	return b
}

func (d *device) close() error { return errors.Join(d.in.Close(), d.exec.Close()) }

// stored returns a tensor's elements as a device holds them.
func stored(t interp.Tensor) []byte {
	if t.Stored != nil {
		return t.Stored
	}
	var out []byte
	if t.DType == dtype.I32 {
		for _, x := range t.I32 {
			out = binary.LittleEndian.AppendUint32(out, uint32(x))
		}
		return out
	}
	for _, x := range t.Float32s() {
		switch t.DType {
		case dtype.F16:
			out = binary.LittleEndian.AppendUint16(out, dtype.F32ToF16(x))
		case dtype.BF16:
			out = binary.LittleEndian.AppendUint16(out, dtype.F32ToBF16(x))
		default:
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
		}
	}
	return out
}

// weightsOf returns the weights of a probe's graphs: irgen's numbers of the flat
// graph, and the probe's own.
func (s *trial) weights(*ir.Graph) interp.Source {
	seeded := seeded.Weights(s.flatGraph, 1)
	return func(name string, t ir.Type) (interp.Tensor, error) {
		if v, own := s.values(name); own {
			data := make([]byte, t.DType.Bytes(int64(len(v))))
			dtype.Quantise(t.DType, v, data)
			return interp.Stored(t.DType, data, t.Shape.Eval(sym.Env{})...), nil
		}
		return seeded(name, t)
	}
}

// values returns what the probe gives a param.
func (s *trial) values(param string) ([]float32, bool) {
	v, own := s.probe.values[param[len(s.flatGraph.Name)+1:]]
	return v, own
}

// input makes the operands of a run; program is the flat graph's.
func (s *trial) input(program *interp.Program, e sym.Env, seed uint64) (input, error) {
	in := input{env: e, inputs: seeded.Inputs(s.flatGraph, e, seed), caches: map[string][]float32{}}
	for name, t := range in.inputs {
		if v, own := s.values(name); own {
			in.inputs[name] = probeValues(v, t)
			continue
		}
		if by := s.probe.gain[name[len(s.flatGraph.Name)+1:]]; by != 0 {
			values := t.Float32s()
			for i := range values {
				values[i] *= by
			}
			in.inputs[name] = interp.Floats(values, t.Shape...)
		}
	}
	state := program.NewState()
	if err := seeded.FillState(state, seed); err != nil {
		return in, err
	}
	for _, name := range state.Names() {
		t, err := state.Tensor(name)
		if err != nil {
			return in, err
		}
		in.caches[name] = t.Float32s()
	}
	return in, nil
}

// probeValues is the values of a probe as a tensor like t.
func probeValues(values []float32, t interp.Tensor) interp.Tensor {
	if t.DType != dtype.I32 {
		return interp.Floats(values, t.Shape...)
	}
	ids := make([]int32, len(values))
	for i, v := range values {
		ids[i] = int32(v)
	}
	return interp.Ints(ids, t.Shape...)
}

func (in input) nudged(name string, by float32) input {
	out := in
	out.inputs = map[string]interp.Tensor{}
	for n, t := range in.inputs {
		out.inputs[n] = t
	}
	t := in.inputs[name]
	values := make([]float32, t.Len())
	for i, v := range t.Float32s() {
		values[i] = min(max(v+by, 0), 1-0x1p-24)
	}
	out.inputs[name] = interp.Floats(values, t.Shape...)
	return out
}

// check says how the flat graph's param types allow what a probe gives.
func (s *trial) check() error {
	known := map[string]bool{}
	for _, p := range s.flatGraph.Params {
		known[p.Param.Name[len(s.flatGraph.Name)+1:]] = true
	}
	for name := range s.probe.values {
		if !known[name] {
			return fmt.Errorf("the probe gives %q, which its graph does not have", name)
		}
	}
	return nil
}
