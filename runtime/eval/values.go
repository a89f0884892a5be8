package eval

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"foundry/frontends/checkpoint"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/seeded"
	"foundry/ir/sym"
	"foundry/lower/plan"
	"foundry/runtime"
)

// graphValues is what a graph is run on: from a file, or by seed.
type graphValues struct {
	graph   *ir.Graph
	env     sym.Env
	inputs  map[string]interp.Tensor
	weights interp.Source
	states  map[string][]float32 // caches that the file gives
	seed    uint64
	file    checkpoint.Source // nil: everything by seed
}

func newGraphValues(g *ir.Graph, env sym.Env, o GraphOptions) (*graphValues, error) {
	v := &graphValues{
		graph: g, env: env, seed: o.Seed, states: map[string][]float32{},
		inputs: seeded.Inputs(g, env, o.Seed), weights: seeded.Weights(g, o.Seed),
	}
	if o.Inputs == "" {
		return v, nil
	}
	var err error
	if v.file, err = checkpoint.Open(o.Inputs); err != nil {
		return nil, err
	}
	if err := v.fromFile(); err != nil {
		return nil, errors.Join(err, v.file.Close())
	}
	return v, nil
}

func (v *graphValues) close() error {
	if v.file == nil {
		return nil
	}
	return v.file.Close()
}

// fromFile takes every tensor of the file; a tensor that the graph does not name,
// and an input that the file lacks, are errors.
func (v *graphValues) fromFile() error {
	kinds := map[string]ir.ParamKind{}
	for _, p := range v.graph.Params {
		kinds[p.Param.Name] = p.Param.Kind
		t, have, err := v.tensor(p)
		switch {
		case err != nil:
			return err
		case !have && p.Param.Kind == ir.Input:
			return fmt.Errorf("%s: input %q is missing", v.file.Label(), p.Param.Name)
		case !have:
		case p.Param.Kind == ir.Input:
			v.inputs[p.Param.Name] = t
		case p.Param.Kind == ir.State:
			v.states[p.Param.Name] = t.Float32s()
		}
	}
	for _, name := range v.file.Names() {
		if _, known := kinds[name]; !known {
			return fmt.Errorf("%s: the graph has no param %q", v.file.Label(), name)
		}
	}
	seeded := v.weights
	v.weights = func(name string, t ir.Type) (interp.Tensor, error) {
		for _, p := range v.graph.Params {
			if p.Param.Name != name {
				continue
			}
			if out, have, err := v.tensor(p); have || err != nil {
				return out, err
			}
		}
		return seeded(name, t)
	}
	return nil
}

// tensor returns the file's tensor for a param, in the param's dtype.
func (v *graphValues) tensor(p *ir.Value) (t interp.Tensor, have bool, err error) {
	name := p.Param.Name
	info, have := v.file.Info(name)
	if !have {
		return t, false, nil
	}
	shape := p.Type.Shape.Eval(v.env)
	if !slices.EqualFunc(info.Shape, shape, func(a int64, b int) bool { return a == int64(b) }) {
		return t, true, fmt.Errorf("%s: tensor %q has shape %v, the graph wants %v", v.file.Label(), name, info.Shape, shape)
	}
	data, err := checkpoint.ReadAs(v.file, name, p.Type.DType, nil)
	return interp.Stored(p.Type.DType, data, shape...), true, err
}

// state fills a program's caches: from the file, or by seed.
func (v *graphValues) state(program *interp.Program) (*interp.State, error) {
	state := program.NewState()
	if err := seeded.FillState(state, v.seed); err != nil {
		return nil, err
	}
	for name, values := range v.states {
		if err := state.Set(name, values); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// Weight is runtime.WeightSource.
func (v *graphValues) Weight(b *plan.Buffer) ([]byte, error) {
	for _, p := range v.graph.Params {
		if p.Param.Kind == ir.Weight && p.Param.Name == b.Weight.Tensor {
			t, err := v.weights(p.Param.Name, p.Type)
			return bytesOf(t), err
		}
	}
	return nil, fmt.Errorf("the graph has no weight %q", b.Weight.Tensor)
}

// write fills an instance's inputs and states.
func (v *graphValues) write(in *runtime.Instance) error {
	for name, t := range v.inputs {
		if err := in.Write(name, bytesOf(t)); err != nil {
			return err
		}
	}
	// The interpreter makes the states, so that both start from the same.
	program, err := interp.New(v.graph, v.weights, interp.Float32)
	if err != nil {
		return err
	}
	state, err := v.state(program)
	if err != nil {
		return err
	}
	for _, name := range state.Names() {
		t, err := state.Tensor(name)
		if err != nil {
			return err
		}
		if err := in.Write(name, bytesOf(t)); err != nil {
			return err
		}
	}
	return nil
}

// bytesOf returns a tensor's elements as its dtype stores them.
func bytesOf(t interp.Tensor) []byte {
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
