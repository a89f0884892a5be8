package eval

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/engine"
)

// GraphOptions say how the graph of a .fir file is run.
type GraphOptions struct {
	Device   string          // the place to run, such as engine.Auto
	Compile  compile.Options // options of the compiler; engine.Defaults fill what they leave open
	CPU      cpu.Options
	T, P     int64  // tokens of the run and cached before it; T of 0 is the most the graph allows
	Inputs   string // a safetensors file with every input by name, and weights and states that shall not be seeded
	Seed     uint64 // the seed of what Inputs does not give
	Progress runtime.Progress
	Say      func(line string) // a taker of notes on what Auto took
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

// MarshalJSON writes numbers that JSON lacks as the strings "NaN", "+Inf" and "-Inf":
// graphs may hold and make them.
func (r GraphResult) MarshalJSON() ([]byte, error) {
	number := func(v float64) any {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
		return v
	}
	type fields GraphResult
	return json.Marshal(struct {
		fields
		Mean any `json:"mean"`
		RMS  any `json:"rms"`
		Min  any `json:"min"`
		Max  any `json:"max"`
	}{fields(r), number(r.Mean), number(r.RMS), number(r.Min), number(r.Max)})
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
func RunGraph(ctx context.Context, m *model.Model, o GraphOptions) (_ *GraphRun, err error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if m.Graph == nil {
		return nil, fmt.Errorf("%s is a language model; only a .fir graph runs on inputs by name", m.Name)
	}
	if _, _, err := engine.ParseDevice(o.Device); err != nil {
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
	if o.Device, err = engine.Choose(ctx, o.Device, o.CPU, o.Say); err != nil {
		return nil, err
	}
	g, err := compile.Fuse(m, engine.Defaults(o.Device, o.Compile))
	if err != nil {
		return nil, err
	}
	var p *plan.Plan
	if o.Device != engine.Ref {
		c, err := g.Lower()
		if err != nil {
			return nil, err
		}
		p = c.Plan
	}
	l, err := LoadGraph(ctx, g.Entries[0], p, env, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.Run(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	results, err := l.results()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	out := &GraphRun{Model: m.BaseName(), Device: o.Device, Passes: g.Options.Passes, T: env.T, P: env.P}
	for _, r := range l.values.graph.Results {
		out.Results = append(out.Results, summarise(r.Name, results[r.Name]))
	}
	return out, nil
}

// LoadedGraph is a graph with its values, ready to run on the reference or on a
// device. Every run starts from what the last one left in the states.
type LoadedGraph struct {
	Emulation bool // times that say nothing of a GPU

	values *graphValues

	// On the reference:
	program *interp.Program
	state   *interp.State
	out     map[string]interp.Tensor

	// On a device:
	plan     *plan.Plan
	dev      runtime.Device
	exec     *runtime.Executable
	instance *runtime.Instance
}

// LoadGraph makes a graph ready to run at env on o.Device, by its plan p unless that
// is the reference.
func LoadGraph(ctx context.Context, g *ir.Graph, p *plan.Plan, env sym.Env, o GraphOptions) (_ *LoadedGraph, err error) {
	v, err := newGraphValues(g, env, o)
	if err != nil {
		return nil, err
	}
	l := &LoadedGraph{values: v, plan: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if o.Device == engine.Ref {
		l.Emulation = true
		if l.program, err = interp.New(g, v.weights, interp.Float32); err != nil {
			return nil, err
		}
		l.state, err = v.state(l.program)
		return l, err
	}
	if l.dev, err = engine.OpenDevice(ctx, o.Device, o.CPU); err != nil {
		return nil, err
	}
	l.Emulation = l.dev.Info().Emulation
	if l.exec, err = runtime.New(ctx, l.dev, p, v, o.Progress); err != nil {
		return nil, err
	}
	if l.instance, err = l.exec.NewInstance(); err != nil {
		return nil, err
	}
	return l, v.write(l.instance)
}

// Run runs the graph once.
func (l *LoadedGraph) Run(ctx context.Context) (err error) {
	v := l.values
	if l.instance != nil {
		return l.instance.Run(ctx, v.graph.Name, v.env)
	}
	l.out, err = l.program.Run(ctx, interp.Run{Env: v.env, Inputs: v.inputs, State: l.state})
	return err
}

// results reads what the last run left, by the results' names.
func (l *LoadedGraph) results() (map[string]interp.Tensor, error) {
	v := l.values
	if l.instance == nil {
		for _, name := range l.state.Names() {
			var err error
			if l.out[name], err = l.state.Tensor(name); err != nil {
				return nil, err
			}
		}
		return l.out, nil
	}
	out := map[string]interp.Tensor{}
	for _, r := range v.graph.Results {
		t := r.Value.Type
		b := make([]byte, t.DType.Bytes(t.Shape.Elems(v.env)))
		buffer, err := l.plan.ResultBuffer(v.graph.Name, r.Name)
		if err != nil {
			return nil, err
		}
		if err := l.instance.Read(buffer.Name, b); err != nil {
			return nil, err
		}
		out[r.Name] = interp.Stored(t.DType, b, t.Shape.Eval(v.env)...)
	}
	return out, nil
}

// Close gives back what is open: values, kernels, device.
func (l *LoadedGraph) Close() error {
	var errs []error
	if l.instance != nil {
		errs = append(errs, l.instance.Close())
	}
	if l.exec != nil {
		errs = append(errs, l.exec.Close())
	}
	if l.dev != nil {
		errs = append(errs, l.dev.Close())
	}
	return errors.Join(append(errs, l.values.close())...)
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
