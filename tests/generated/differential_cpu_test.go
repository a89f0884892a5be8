package generated

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/seeded"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
)

// trialsOnCPU runs trials of one target and context as entries of one plan, whose kernels are
// compiled together, and returns what is wrong with each, and how many results were not
// compared since they hang on a rounding. ok is false where there is no compiler.
func trialsOnCPU(t *testing.T, batch []*fuzzCase) (errs []error, undecided int, ok bool) {
	t.Helper()
	x, err := batch[0].machine()
	require.NoError(t, err)
	// A GPU runs threads, threadgroups and dispatches of a wave in any order.
	dev, err := cpu.Open(t.Context(), cpu.Options{OneRun: true, ThreadOrder: cpu.Order(batch[0].seed % 3), GroupOrder: cpu.Reversed,
		WaveOrder: cpu.Random, Seed: batch[0].seed})
	if !devicetest.Have(t, err) {
		return nil, 0, false
	}
	defer func() { require.NoError(t, dev.Close()) }()
	errs = make([]error, len(batch))
	var entries []metal.Entry
	weights := trialWeights{}
	for i, c := range batch {
		g := c.fused.Clone()
		name := fmt.Sprintf("g%d", i)
		for _, p := range g.Params {
			if p.Param.Kind == ir.Weight {
				weights[name+"."+p.Param.Name] = weightOf{seeded.Weights(c.graph, c.seed), p.Param.Name, p.Type}
			}
			p.Param.Name = name + "." + p.Param.Name
		}
		for j := range g.Results {
			g.Results[j].Name = name + "." + g.Results[j].Name
		}
		g.Name = name
		entries = append(entries, metal.Entry{Name: name, Graph: g})
	}
	run := func() error {
		p, err := metal.Compile(entries, batch[0].options(x))
		if err != nil {
			return err
		}
		if err := p.Check(); err != nil {
			return err
		}
		exec, err := runtime.New(t.Context(), dev, p, weights, nil)
		if err != nil {
			return err
		}
		defer func() { require.NoError(t, exec.Close()) }()
		in, err := exec.NewInstance()
		if err != nil {
			return err
		}
		defer func() { require.NoError(t, in.Close()) }()
		for i, c := range batch {
			n, err := c.compare(in, p, entries[i].Name)
			if err != nil {
				errs[i] = fault{"cpu", err}
			}
			undecided += n
		}
		return nil
	}
	if err := run(); err != nil {
		if len(batch) == 1 {
			return []error{fault{"cpu", err}}, 0, true
		}
		for i := range batch { // whose fault is it?
			one, n, _ := trialsOnCPU(t, batch[i:i+1])
			errs[i] = one[0]
			undecided += n
		}
		if !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
			t.Errorf("together they do not run: %v", err)
		}
	}
	return errs, undecided, true
}

// weightOf is a weight of a trial under the name that its graph gives it.
type weightOf struct {
	source interp.Source
	name   string
	is     ir.Type
}

// trialWeights hands the weights of many trials to a device.
type trialWeights map[string]weightOf

func (w trialWeights) Weight(b *plan.Buffer) ([]byte, error) {
	of := w[b.Weight.Tensor]
	x, err := of.source(of.name, of.is)
	return x.Stored, err
}

// compare runs the entry of the given name and holds its results to the bounds of their
// arithmetic. undecided are results of which a rounding decides.
func (c *fuzzCase) compare(in *runtime.Instance, p *plan.Plan, name string) (undecided int, err error) {
	want, err := c.values(c.graph, nil)
	if err != nil {
		return 0, err
	}
	bounds := map[string]interp.Bound{}
	eps := 0x1p-20 // of f32, some additions on
	for i, r := range c.graph.Results {
		bounds[r.Name] = resultBound(c.graph, i)
		if bounds[r.Name].NMSE >= 1e-6 {
			eps = 0x1p-11 // of halves
		}
	}
	for _, n := range c.graph.Nodes() {
		if n.Op == ir.OpSample { // sums of probabilities, each of them rounded
			eps = max(eps, 0x1p-16)
		}
	}
	spread, open, err := c.spread(want, eps)
	if err != nil {
		return 0, err
	}
	state := map[string]interp.Tensor{}
	if prog, err := interp.New(c.graph, seeded.Weights(c.graph, c.seed), interp.Float64); err != nil {
		return 0, err
	} else if s := prog.NewState(); seeded.FillState(s, c.seed) == nil {
		for _, n := range s.Names() {
			if state[n], err = s.Tensor(n); err != nil {
				return 0, err
			}
		}
	}
	for s, v := range state {
		if err := in.Write(name+"."+s, bytesOf(v)); err != nil {
			return 0, err
		}
	}
	for s, v := range seeded.Inputs(c.graph, c.env, c.seed) {
		if err := in.Write(name+"."+s, bytesOf(v)); err != nil {
			return 0, err
		}
	}
	buffers := map[string]string{}
	for s, w := range want {
		buffers[s] = name + "." + s
		b, err := p.ResultBuffer(name, name+"."+s)
		if err != nil {
			continue // a cache that no result names
		}
		buffers[s] = b.Name
		if _, cache := state[s]; !cache { // what no kernel writes shall be seen
			nothing := make([]byte, w.DType.Bytes(int64(w.Len())))
			for i := range nothing {
				nothing[i] = 0xff
			}
			if err := in.Write(b.Name, nothing); err != nil {
				return 0, err
			}
		}
	}
	if err := in.Run(context.Background(), name, c.env); err != nil {
		return 0, err
	}
	for s, w := range want {
		stored := make([]byte, w.DType.Bytes(int64(w.Len())))
		if err := in.Read(buffers[s], stored); err != nil {
			return 0, err
		}
		have, wanted := valuesOf(w.DType, stored), numbersOf(w)
		if w.I32 != nil {
			for i := range have {
				if have[i] != wanted[i] && !open[s][i] {
					return undecided, fmt.Errorf("result %s: element %d is %g, want %g", s, i, have[i], wanted[i])
				}
			}
			undecided += min(1, len(open[s]))
			continue
		}
		d := interp.Compare(have, wanted)
		b, known := bounds[s]
		if !known {
			b = interp.Bound{NMSE: interp.ModelF16}
		}
		if b.NMSE > 0 && 4*spread[s] > b.NMSE {
			b.NMSE = 4 * spread[s]
			undecided++
		}
		if !b.Admits(d) {
			return undecided, fmt.Errorf("result %s: %v, its bound is %+v, and as far off it is of inputs rounded: %g", s, d, b, spread[s])
		}
	}
	return undecided, nil
}

// longGraph is how many nodes make a graph whose errors meet as in a whole model.
const longGraph = 16

// resultBound is the bound of result i of g, of all that it depends on.
func resultBound(g *ir.Graph, i int) interp.Bound {
	alone := g.ForResult(i)
	b := interp.GraphBound(alone)
	if len(alone.Nodes()) > longGraph && b.NMSE > 0 {
		model := interp.ModelF32
		if b.NMSE >= 1e-6 {
			model = interp.ModelF16
		}
		b.NMSE = max(b.NMSE, model)
	}
	return b
}

// perturbation changes the floats that a graph is given by up to eps of their size: by as
// much as a device's arithmetic might. nil changes nothing.
type perturbation struct {
	eps  float64
	seed uint64
}

func (p *perturbation) floats(name string, values []float32) {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := rand.New(rand.NewPCG(p.seed, h.Sum64()))
	for i, v := range values {
		values[i] = v + float32(p.eps*(2*r.Float64()-1))*v
	}
}

func (p *perturbation) source(of interp.Source) interp.Source {
	if p == nil {
		return of
	}
	return func(name string, t ir.Type) (interp.Tensor, error) {
		x, err := of(name, t)
		if err != nil || !t.DType.Float() {
			return x, err
		}
		values := slices.Clone(x.Float32s())
		p.floats(name, values)
		data := make([]byte, len(x.Stored))
		dtype.Quantise(t.DType, values, data)
		return interp.Stored(t.DType, data, x.Shape...), nil
	}
}

func (p *perturbation) inputs(of map[string]interp.Tensor) map[string]interp.Tensor {
	if p == nil {
		return of
	}
	for name, x := range of {
		if x.DType.Float() {
			values := slices.Clone(x.Float32s())
			p.floats(name, values)
			data := make([]byte, len(x.Stored))
			dtype.Quantise(x.DType, values, data)
			of[name] = interp.Stored(x.DType, data, x.Shape...)
		}
	}
	return of
}

func (p *perturbation) state(s *interp.State) error {
	if p == nil {
		return nil
	}
	for _, name := range s.Names() {
		x, err := s.Tensor(name)
		if err != nil {
			return err
		}
		values := slices.Clone(x.Float32s())
		p.floats(name, values)
		if err := s.Set(name, values); err != nil {
			return err
		}
	}
	return nil
}

// spread returns how far each result is off where what the graph is given is, by up to
// eps of its size, and which whole numbers are others then.
func (c *fuzzCase) spread(want map[string]interp.Tensor, eps float64) (map[string]float64, map[string]map[int]bool, error) {
	out, open := map[string]float64{}, map[string]map[int]bool{}
	for k := range uint64(3) {
		near, err := c.values(c.graph, &perturbation{eps, c.seed + k})
		if err != nil {
			return nil, nil, err
		}
		for name, w := range want {
			have, wanted := numbersOf(near[name]), numbersOf(w)
			if d := interp.Compare(have, wanted); !(d.NMSE <= out[name]) {
				out[name] = d.NMSE
			}
			if math.IsNaN(out[name]) {
				out[name] = math.Inf(1)
			}
			for i := range have {
				if w.I32 != nil && have[i] != wanted[i] {
					if open[name] == nil {
						open[name] = map[int]bool{}
					}
					open[name][i] = true
				}
			}
		}
	}
	return out, open, nil
}
