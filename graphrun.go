package foundry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"foundry/frontends/checkpoint"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/irgen"
	"foundry/ir/sym"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
)

// GraphOptions say how the graph of a .fir file is run.
type GraphOptions struct {
	Compile CompileOptions // Compile.Device says where
	CPU     cpu.Options
	T, P    int64             // tokens of the run and cached before it; T of 0 is the most the graph allows
	Inputs  string            // a safetensors file with every input by name, and weights and states that shall not be seeded
	Seed    uint64            // of what Inputs does not give
	Say     func(line string) // told what Auto took
}

// GraphResult is one result of a graph: a state's successor under its name too.
type GraphResult struct {
	Name  string     `json:"name"`
	DType dtype.Type `json:"dtype"`
	Shape []int      `json:"shape"`
	Mean  float64    `json:"mean"`
	RMS   float64    `json:"rms"`
	Min   float64    `json:"min"`
	Max   float64    `json:"max"`

	Tensor interp.Tensor `json:"-"`
}

// GraphRun is what `foundry eval --model FILE.fir --json` prints.
type GraphRun struct {
	Model   string        `json:"model"`
	Device  string        `json:"device"`
	Passes  string        `json:"passes"`
	T       int64         `json:"t"`
	P       int64         `json:"p"`
	Results []GraphResult `json:"results"`
}

// RunGraph runs the graph of a .fir file once.
func RunGraph(ctx context.Context, m *Model, o GraphOptions) (*GraphRun, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if m.Graph == nil {
		return nil, fmt.Errorf("%s is a language model; only a .fir graph runs on inputs by name", m.Name)
	}
	if _, _, err := deviceKind(o.Compile.Device); err != nil {
		return nil, err
	}
	b := m.Graph.Bounds
	env := sym.Env{T: o.T, P: o.P}
	if env.T == 0 {
		env.T = min(b.TMax, b.SMax-env.P)
	}
	if !b.Contains(env) {
		return nil, fmt.Errorf("%s: T=%d P=%d lies outside the graph's bounds T=%d..%d P=%d..%d S<=%d", m.Name, env.T, env.P, b.TMin, b.TMax, b.PMin, b.PMax, b.SMax)
	}
	if o.Compile.Device == Auto {
		o.Compile.Device = (&StartOptions{CPU: o.CPU, Say: o.Say}).auto()
	}
	g, err := Fuse(m, o.Compile)
	if err != nil {
		return nil, err
	}
	graph := g.Entries[0]
	in, err := newGraphValues(graph, env, o)
	if err != nil {
		return nil, err
	}
	var results map[string]interp.Tensor
	if o.Compile.Device == Ref {
		results, err = in.interpret(ctx)
	} else {
		results, err = in.execute(ctx, g, o)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", m.Name, err), in.close())
	}
	out := &GraphRun{Model: m.BaseName(), Device: o.Compile.Device, Passes: g.Options.Passes, T: env.T, P: env.P}
	for _, r := range graph.Results {
		out.Results = append(out.Results, summarise(r.Name, results[r.Name]))
	}
	return out, in.close()
}

// graphValues is what a graph is run on: from a file, or by seed.
type graphValues struct {
	graph   *ir.Graph
	env     sym.Env
	inputs  map[string]interp.Tensor
	weights interp.Source
	states  map[string][]float32 // that the file gives
	seed    uint64
	file    checkpoint.Source // nil: everything by seed
}

func newGraphValues(g *ir.Graph, env sym.Env, o GraphOptions) (*graphValues, error) {
	v := &graphValues{
		graph: g, env: env, seed: o.Seed, states: map[string][]float32{},
		inputs: irgen.Inputs(g, env, o.Seed), weights: irgen.Weights(g, o.Seed),
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

// interpret runs the graph on the reference.
func (v *graphValues) interpret(ctx context.Context) (map[string]interp.Tensor, error) {
	program, err := interp.New(v.graph, v.weights, interp.Float32)
	if err != nil {
		return nil, err
	}
	state, err := v.state(program)
	if err != nil {
		return nil, err
	}
	out, err := program.Run(ctx, interp.Run{Env: v.env, Inputs: v.inputs, State: state})
	if err != nil {
		return nil, err
	}
	for _, name := range state.Names() {
		if out[name], err = state.Tensor(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// state fills a program's caches: from the file, or by seed.
func (v *graphValues) state(program *interp.Program) (*interp.State, error) {
	state := program.NewState()
	if err := irgen.FillState(state, v.seed); err != nil {
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

// execute runs the graph's plan on a device that executes kernels.
func (v *graphValues) execute(ctx context.Context, g *Graphs, o GraphOptions) (_ map[string]interp.Tensor, err error) {
	c, err := g.Lower()
	if err != nil {
		return nil, err
	}
	dev, err := OpenDevice(o.Compile.Device, o.CPU)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	exec, err := runtime.New(ctx, dev, c.Plan, v, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, exec.Close()) }()
	in, err := exec.NewInstance()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := v.write(in); err != nil {
		return nil, err
	}
	if err := in.Run(ctx, v.graph.Name, v.env); err != nil {
		return nil, err
	}
	out := map[string]interp.Tensor{}
	for _, r := range v.graph.Results {
		t := r.Value.Type
		b := make([]byte, t.DType.Bytes(t.Shape.Elems(v.env)))
		buffer, err := c.Plan.ResultBuffer(v.graph.Name, r.Name)
		if err != nil {
			return nil, err
		}
		if err := in.Read(buffer.Name, b); err != nil {
			return nil, err
		}
		out[r.Name] = interp.Stored(t.DType, b, t.Shape.Eval(v.env)...)
	}
	return out, nil
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

func summarise(name string, t interp.Tensor) GraphResult {
	r := GraphResult{Name: name, DType: t.DType, Shape: t.Shape, Tensor: t, Min: math.Inf(1), Max: math.Inf(-1)}
	each := func(x float64) {
		r.Mean += x
		r.RMS += x * x
		r.Min, r.Max = min(r.Min, x), max(r.Max, x)
	}
	if t.DType == dtype.I32 {
		b := bytesOf(t)
		for i := 0; i < len(b); i += 4 {
			each(float64(int32(binary.LittleEndian.Uint32(b[i:]))))
		}
	} else {
		for _, x := range t.Float32s() {
			each(float64(x))
		}
	}
	n := float64(t.Len())
	r.Mean, r.RMS = r.Mean/n, math.Sqrt(r.RMS/n)
	return r
}

// Write writes every result by its name, as a safetensors file.
func (r *GraphRun) Write(w io.Writer) error {
	var out []checkpoint.Tensor
	for _, result := range r.Results {
		shape := make([]int64, len(result.Shape))
		for i, d := range result.Shape {
			shape[i] = int64(d)
		}
		out = append(out, checkpoint.Tensor{Name: result.Name, DType: result.DType, Shape: shape, Data: bytesOf(result.Tensor)})
	}
	return checkpoint.WriteSafetensors(w, out)
}
