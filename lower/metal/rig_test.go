package metal_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/irgen"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
)

// device is one CPU device for all tests, in the fast mode; checkedDevice looks at
// every access.
var device = sync.OnceValues(func() (*cpu.Device, error) { return cpu.Open(cpu.Options{}) })
var checkedDevice = sync.OnceValues(func() (*cpu.Device, error) { return cpu.Open(cpu.Options{Checked: true}) })

func openDevice(t testing.TB, checked bool) *cpu.Device {
	t.Helper()
	open := device
	if checked {
		open = checkedDevice
	}
	d, err := open()
	if err != nil {
		t.Skip(err)
	}
	return d
}

func m3Pro(t testing.TB) *target.Target {
	t.Helper()
	x, err := target.Find(target.Default)
	require.NoError(t, err)
	return x
}

// parse reads a graph; the text stands between the header and the brace.
func parse(t testing.TB, bounds, body string) *ir.Graph {
	t.Helper()
	g, err := ir.Parse("test.fir", "graph @g ("+bounds+") {\n"+body+"\n}\n")
	require.NoError(t, err)
	require.NoError(t, ir.Verify(g))
	return g
}

// fuse outlines all nodes of g but the views of states, as one region.
func fuse(t testing.TB, g *ir.Graph, pattern string) *ir.Graph {
	t.Helper()
	var members []*ir.Node
	for _, n := range g.Nodes() {
		if !strings.HasPrefix(n.Label, "out.") {
			members = append(members, n)
		}
	}
	_, err := g.Outline(members, pattern, pattern)
	require.NoError(t, err)
	require.NoError(t, ir.Verify(g))
	return g
}

// compile lowers g to a plan of one entry that has passed all checks.
func compile(t testing.TB, g *ir.Graph) *plan.Plan {
	t.Helper()
	p, err := metal.Compile([]metal.Entry{{Name: g.Name, Graph: g}}, metal.Options{
		Target: m3Pro(t), Model: plan.Model{Name: "test", Layers: 100, Context: int(g.Bounds.SMax)},
		Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16},
	})
	require.NoError(t, err)
	require.NoError(t, p.Check(), g.String())
	return p
}

type weights struct {
	source interp.Source
	types  map[string]ir.Type
}

func (w weights) Weight(b *plan.Buffer) ([]byte, error) {
	x, err := w.source(b.Weight.Tensor, w.types[b.Weight.Tensor])
	return x.Stored, err
}

// bench is a compiled graph on a device beside the interpreter's.
type bench struct {
	g       *ir.Graph
	plan    *plan.Plan
	program *interp.Program
	exec    *runtime.Executable
}

func newBench(t testing.TB, g *ir.Graph, checked bool) *bench {
	t.Helper()
	b := &bench{g: g, plan: compile(t, g)}
	var err error
	b.program, err = interp.New(g, irgen.Weights(g, 1), interp.Float64)
	require.NoError(t, err)
	w := weights{irgen.Weights(g, 1), map[string]ir.Type{}}
	for _, p := range g.Params {
		w.types[p.Param.Name] = p.Type
	}
	b.exec, err = runtime.New(context.Background(), openDevice(t, checked), b.plan, w, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.exec.Close()) })
	return b
}

// run runs the graph at env on both and compares every result and state.
func (b *bench) run(t testing.TB, env sym.Env, seed uint64) {
	t.Helper()
	in, err := b.exec.NewInstance()
	require.NoError(t, err)
	defer in.Close()
	state := b.program.NewState()
	require.NoError(t, irgen.FillState(state, seed))
	inputs := irgen.Inputs(b.g, env, seed)
	for _, name := range state.Names() {
		x, err := state.Tensor(name)
		require.NoError(t, err)
		require.NoError(t, in.Write(name, stored(x)))
	}
	for name, x := range inputs {
		require.NoError(t, in.Write(name, stored(x)))
	}
	want, err := b.program.Run(context.Background(), interp.Run{Env: env, Inputs: inputs, State: state})
	require.NoError(t, err)
	require.NoError(t, in.Run(context.Background(), b.g.Name, env))
	for _, name := range state.Names() {
		want[name], err = state.Tensor(name)
		require.NoError(t, err)
	}
	for _, r := range b.g.Results {
		w := want[r.Name]
		have := make([]byte, w.DType.Bytes(int64(w.Len())))
		require.NoError(t, in.Read(r.Name, have))
		compare(t, fmt.Sprintf("%s at T=%d P=%d", r.Name, env.T, env.P), b.bound(r), w, have)
	}
}

func (b *bench) bound(r ir.Result) interp.Bound {
	n := r.Value.Def
	if n == nil {
		return interp.Bound{}
	}
	return interp.BoundOf(n)
}

func compare(t testing.TB, what string, bound interp.Bound, want interp.Tensor, have []byte) {
	t.Helper()
	if want.DType == dtype.I32 {
		for i, w := range want.I32 {
			require.Equal(t, w, int32(binary.LittleEndian.Uint32(have[4*i:])), "%s, element %d", what, i)
		}
		return
	}
	values := make([]float32, want.Len())
	dtype.Dequantise(want.DType, have, values)
	d := interp.Compare(values, want.Float64s())
	require.True(t, bound.Admits(d), "%s: %s, bound %+v", what, d, bound)
}

// stored returns the elements as a device holds them.
func stored(x interp.Tensor) []byte {
	if x.Stored != nil {
		return x.Stored
	}
	var out []byte
	if x.I32 != nil {
		for _, v := range x.I32 {
			out = binary.LittleEndian.AppendUint32(out, uint32(v))
		}
		return out
	}
	for _, v := range x.Float32s() {
		switch x.DType {
		case dtype.F16:
			out = binary.LittleEndian.AppendUint16(out, dtype.F32ToF16(v))
		case dtype.BF16:
			out = binary.LittleEndian.AppendUint16(out, dtype.F32ToBF16(v))
		default:
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
	}
	return out
}
