package metal_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/seeded"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
)

// Graphs, plans and texts are made by the hundred and dropped: a collector that waits until
// the heap is five times what lives takes a fifth of the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// device is one CPU device for all tests, in the fast mode; checkedDevice looks at
// every access.
var device = sync.OnceValues(func() (*cpu.Device, error) { return cpu.Open(context.Background(), cpu.Options{OneRun: true}) })
var checkedDevice = sync.OnceValues(func() (*cpu.Device, error) {
	return cpu.Open(context.Background(), cpu.Options{Checked: true, OneRun: true})
})

func openDevice(t testing.TB, checked bool) *cpu.Device {
	t.Helper()
	open := device
	if checked {
		open = checkedDevice
	}
	d, err := open()
	devicetest.Need(t, err)
	return d
}

func m3Pro(t testing.TB) *target.Target { return targetNamed(t, target.Default) }

func targetNamed(t testing.TB, name string) *target.Target {
	t.Helper()
	x, err := target.Find(name)
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

type weights struct {
	source interp.Source
	types  map[string]ir.Type
}

func (w weights) Weight(b *plan.Buffer) ([]byte, error) {
	x, err := w.source(b.Weight.Tensor, w.types[b.Weight.Tensor])
	return x.Stored, err
}

// batch is graphs compiled into one plan, on a device, beside the interpreter's
// programs. Names of params and results get the graph's name in front, so that
// graphs share nothing; "ids" and "token" stay where share is set.
type batch struct {
	graphs   []*ir.Graph
	programs []*interp.Program
	plan     *plan.Plan
	exec     *runtime.Executable
}

func newBatch(t testing.TB, graphs []*ir.Graph, checked bool) *batch {
	t.Helper()
	return newBatchFor(t, graphs, checked, m3Pro(t))
}

// newBatchFor is newBatch with kernels chosen for x.
func newBatchFor(t testing.TB, graphs []*ir.Graph, checked bool, x *target.Target) *batch {
	t.Helper()
	return newBatchOn(t, graphs, openDevice(t, checked), x)
}

// newBatchOn is newBatchFor on a device of one's own, of other stage files where files are
// given.
func newBatchOn(t testing.TB, graphs []*ir.Graph, d *cpu.Device, x *target.Target, files ...fs.FS) *batch {
	t.Helper()
	b := &batch{graphs: graphs}
	w := weights{types: map[string]ir.Type{}}
	sources := map[string]interp.Source{}
	var in []metal.Entry
	context := int64(0)
	for _, g := range graphs {
		in = append(in, metal.Entry{Name: g.Name, Graph: g})
		context = max(context, g.Bounds.SMax)
		source := seeded.Weights(g, 1)
		for _, p := range g.Params {
			w.types[p.Param.Name], sources[p.Param.Name] = p.Type, source
		}
		program, err := interp.New(g, source, interp.Float64)
		require.NoError(t, err, g.Name)
		b.programs = append(b.programs, program)
	}
	w.source = func(name string, ty ir.Type) (interp.Tensor, error) { return sources[name](name, ty) }
	var err error
	o := metal.Options{
		Target: x, Model: plan.Model{Name: "test", Layers: 100, Context: int(context)},
		Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16},
	}
	for _, f := range files {
		o.Shaders = f
	}
	b.plan, err = metal.Compile(in, o)
	require.NoError(t, err)
	b.exec, err = runtime.New(background, d, b.plan, w, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.exec.Close()) })
	return b
}

var background = context.Background()

// alone renames params and results so that graphs in one plan share nothing.
func alone(g *ir.Graph, name string) *ir.Graph {
	g.Name = name
	for _, p := range g.Params {
		p.Param.Name = name + "." + p.Param.Name
	}
	for i := range g.Results {
		g.Results[i].Name = name + "." + g.Results[i].Name
	}
	return g
}

// run runs graph i at env on both and compares every result and state.
func (b *batch) run(t testing.TB, i int, env sym.Env, seed uint64) {
	t.Helper()
	g, program := b.graphs[i], b.programs[i]
	in, err := b.exec.NewInstance()
	require.NoError(t, err)
	defer in.Close()
	state := program.NewState()
	require.NoError(t, seeded.FillState(state, seed))
	inputs := seeded.Inputs(g, env, seed)
	for _, name := range state.Names() {
		x, err := state.Tensor(name)
		require.NoError(t, err)
		require.NoError(t, in.Write(name, stored(x)))
	}
	for name, x := range inputs {
		require.NoError(t, in.Write(name, stored(x)))
	}
	want, err := program.Run(background, interp.Run{Env: env, Inputs: inputs, State: state})
	require.NoError(t, err)
	require.NoError(t, in.Run(background, g.Name, env))
	for _, name := range state.Names() {
		want[name], err = state.Tensor(name)
		require.NoError(t, err)
	}
	bound := loosest(g)
	for _, r := range g.Results {
		w := want[r.Name]
		have := make([]byte, w.DType.Bytes(int64(w.Len())))
		require.NoError(t, in.Read(r.Name, have))
		compare(t, fmt.Sprintf("%s at T=%d P=%d", r.Name, env.T, env.P), bound, w, have)
	}
}

// loosest returns the bound of a graph: that of all its nodes together, or the whole
// model's where errors of many meet.
func loosest(g *ir.Graph) interp.Bound {
	out := interp.GraphBound(g)
	if len(g.Nodes()) > 8 {
		out.NMSE = max(out.NMSE, interp.ModelF16)
	}
	return out
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
