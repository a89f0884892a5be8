package generated

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/irgen"
	"foundry/ir/seeded"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/tests/covering"
)

// complete asks for every subset and every random graph instead of a covering
// array and the first few.
const complete = "FOUNDRY_COMPLETE"

func isComplete() bool { return os.Getenv(complete) != "" }

// smallModel is a small model, as decode or as prefill of up to three tokens, with a
// context long enough for attention in two parts.
func smallModel(t testing.TB, tokens int) *ir.Graph {
	t.Helper()
	c := decoder.Config{Arch: qwen25.Family.Arch, Layers: 2, Hidden: 64, Intermediate: 96, Heads: 2, KVHeads: 1, HeadDim: 32, Vocab: 80, MaxPositions: 520, NormEps: 1e-6, RopeTheta: 1e6}
	g, err := decoder.Build(c, decoder.BuildOptions{Context: 520, Chunk: tokens, Weights: dtype.F16, Cache: dtype.F16})
	require.NoError(t, err)
	if tokens == 1 {
		g, err = g.Specialise(1)
		require.NoError(t, err)
	}
	return g
}

func defaultTarget(t testing.TB) *target.Target {
	t.Helper()
	x, err := target.Find(target.Default)
	require.NoError(t, err)
	return x
}

// Every legal subset of the fusions gives the graph's results on ref, compiles, and
// gives a plan that is valid and has every barrier it needs. Of the two-layer model
// decode and prefill are fused; a graph that several subsets give counts once. On
// cpu run the plans of a covering array, with FOUNDRY_COMPLETE all distinct ones.
func TestEverySubset(t *testing.T) {
	t.Parallel()
	all, err := passes.BuiltIn().Subsets(&passes.Context{}, smallModel(t, 1), smallModel(t, 3))
	require.NoError(t, err)
	subsets := covering.Pairs(all, func(s passes.Subset) []string { return s.Names })
	if isComplete() {
		subsets = all
	} else {
		t.Logf("a covering array of %d of %d legal subsets; %s=1 takes them all", len(subsets), len(all), complete)
	}
	for _, tokens := range []int{1, 3} {
		t.Run(fmt.Sprintf("T=%d", tokens), func(t *testing.T) {
			origin := smallModel(t, tokens)
			x := defaultTarget(t)
			met, graphs := 0, map[[sha256.Size]byte]bool{}
			e := equivalence{origin: origin, env: sym.Env{T: int64(tokens), P: 300}, seed: 1, plans: map[string]bool{}}
			for batch := range slices.Chunk(subsets, 2048) {
				outcomes, err := passes.Enumerate(origin, &passes.Context{Target: x, Lowerable: metal.NewChoices(x).Lowerable}, batch,
					func(g *ir.Graph) *ir.Graph { return g })
				require.NoError(t, err)
				var fresh []*ir.Graph
				for _, o := range outcomes {
					met += len(o.Members)
					hash := sha256.Sum256([]byte(o.Of.Canonical()))
					if graphs[hash] {
						continue
					}
					graphs[hash] = true
					g := o.Of.Clone()
					g.Name = o.String()
					fresh = append(fresh, g)
				}
				e.check(t, fresh)
			}
			require.Equal(t, len(subsets), met)
			t.Logf("%d subsets, %d distinct graphs, %d distinct plans, %d of them run on cpu", len(subsets), len(graphs), len(e.plans), e.ran)
		})
	}
}

// 500 random graphs, each as it is and behind the variants that people use: the same
// results on ref, valid plans, and the same results on cpu. The quick form takes the
// first 100, two of them on cpu.
func TestRandomGraphsEverywhere(t *testing.T) {
	t.Parallel()
	count, onCPU := 100, 2
	if isComplete() {
		count, onCPU = 500, 500
	} else {
		t.Logf("%d random graphs, %d of them on cpu; %s=1 takes 500 everywhere", count, onCPU, complete)
	}
	x := defaultTarget(t)
	cx := &passes.Context{Target: x, Lowerable: metal.NewChoices(x).Lowerable}
	forms, plans, ran, unplanned := 0, 0, 0, 0
	for seed := range uint64(count) {
		origin := irgen.Graph(seed)
		e := equivalence{origin: origin, env: irgen.Env(origin, seed), seed: seed, plans: map[string]bool{}, refOnly: int(seed) >= onCPU}
		var graphs []*ir.Graph
		own := cx
		for _, variant := range []string{"unfused", "per-layer-6", "fewest", "default"} {
			p, err := passes.Variant(variant)
			require.NoError(t, err)
			g := origin.Clone()
			err = p.Run(g, own)
			if err != nil && variant == "unfused" {
				// Lowering has no kernel for an operation as it stands: ref only.
				require.ErrorContains(t, err, "cannot become a kernel", "seed %d", seed)
				own, e.noPlan = &passes.Context{Target: x}, true
				g = origin.Clone()
				err = p.Run(g, own)
			}
			require.NoError(t, err, "seed %d: %s", seed, variant)
			g.Name = fmt.Sprintf("seed%d_%s", seed, variant)
			graphs = append(graphs, g)
		}
		e.check(t, graphs)
		forms, plans, ran = forms+len(graphs), plans+len(e.plans), ran+e.ran
		if e.noPlan {
			unplanned++
		}
	}
	require.Less(t, 10*unplanned, count)
	t.Logf("%d random graphs in %d forms, %d distinct plans, %d of them run on cpu; %d graphs have what no plan can and were compared on ref only", count, forms, plans, ran, unplanned)
}

// equivalence checks forms of one graph against it.
type equivalence struct {
	origin  *ir.Graph
	env     sym.Env
	seed    uint64
	refOnly bool            // nothing runs on cpu
	noPlan  bool            // the graph is none that can be compiled
	plans   map[string]bool // digests of what was compiled
	ran     int             // on cpu
}

// check compiles graphs into one plan, whose entries they are, and compares their
// results with those of the origin: on ref in float64, and of each plan not met
// before on cpu, where that is.
func (e *equivalence) check(t *testing.T, graphs []*ir.Graph) {
	t.Helper()
	want := e.interpret(t, e.origin)
	have := make([]map[string]interp.Tensor, len(graphs))
	var group errgroup.Group
	group.SetLimit(2)
	for i, g := range graphs {
		group.Go(func() error {
			have[i] = e.interpret(t, g)
			return nil
		})
	}
	require.NoError(t, group.Wait())
	var entries []metal.Entry
	for i, g := range graphs {
		for name, w := range want {
			// A norm in two steps adds the same squares in another order.
			requireClose(t, fmt.Sprintf("%s on ref: %s", g.Name, name), w, numbersOf(have[i][name]), 1e-26)
		}
		entries = append(entries, metal.Entry{Name: g.Name, Graph: g})
	}
	if e.noPlan {
		return
	}
	o := metal.Options{
		Target: defaultTarget(t), Model: plan.Model{Name: "test", Layers: 100, Context: int(e.origin.Bounds.SMax)},
		Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16},
	}
	p, err := metal.Compile(entries, o)
	if err != nil {
		// What cannot be a plan fused must not be one as it is: a fusion loses nothing.
		_, plain := metal.Compile(entries[:1], o)
		require.Error(t, plain, "only a fused form is refused: %v", err)
		e.noPlan = true
		return
	}
	require.NoError(t, p.Check())
	var fresh []string
	for i := range p.Entries {
		if d := p.Digest(&p.Entries[i]); !e.plans[d] {
			e.plans[d] = true
			fresh = append(fresh, p.Entries[i].Name)
		}
	}
	if !e.refOnly {
		e.device(t, p, fresh, want)
	}
}

// interpret returns a graph's results and its caches after.
func (e *equivalence) interpret(t *testing.T, g *ir.Graph) map[string]interp.Tensor {
	p, err := interp.New(g, seeded.Weights(e.origin, e.seed), interp.Float64)
	require.NoError(t, err, g.Name)
	state := p.NewState()
	require.NoError(t, seeded.FillState(state, e.seed))
	out, err := p.Run(context.Background(), interp.Run{Inputs: seeded.Inputs(e.origin, e.env, e.seed), Env: e.env, State: state})
	require.NoError(t, err, g.Name)
	for _, name := range state.Names() {
		out[name], err = state.Tensor(name)
		require.NoError(t, err)
	}
	return out
}

// device runs the named entries of p on cpu.
func (e *equivalence) device(t *testing.T, p *plan.Plan, names []string, want map[string]interp.Tensor) {
	t.Helper()
	if len(names) == 0 {
		return
	}
	dev, err := cpu.Open(t.Context(), cpu.Options{OneRun: true})
	if !devicetest.Have(t, err) {
		return
	}
	defer func() { require.NoError(t, dev.Close()) }()
	types := map[string]ir.Type{}
	for _, v := range e.origin.Params {
		types[v.Param.Name] = v.Type
	}
	exec, err := runtime.New(context.Background(), dev, p, storedWeights{seeded.Weights(e.origin, e.seed), types}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, exec.Close()) }()
	in, err := exec.NewInstance()
	require.NoError(t, err)
	defer func() { require.NoError(t, in.Close()) }()

	origin, err := interp.New(e.origin, seeded.Weights(e.origin, e.seed), interp.Float64)
	require.NoError(t, err)
	state := origin.NewState()
	require.NoError(t, seeded.FillState(state, e.seed))
	for _, name := range names {
		for _, s := range state.Names() {
			x, err := state.Tensor(s)
			require.NoError(t, err)
			require.NoError(t, in.Write(s, bytesOf(x)))
		}
		for s, x := range seeded.Inputs(e.origin, e.env, e.seed) {
			require.NoError(t, in.Write(s, bytesOf(x)))
		}
		require.NoError(t, in.Run(context.Background(), name, e.env), name)
		for s, w := range want {
			stored := make([]byte, w.DType.Bytes(int64(w.Len())))
			buffer := s // a state's
			if b, err := p.ResultBuffer(name, s); err == nil {
				buffer = b.Name
			}
			require.NoError(t, in.Read(buffer, stored))
			requireClose(t, fmt.Sprintf("%s on cpu: %s", name, s), w, valuesOf(w.DType, stored), interp.ModelF16)
		}
		e.ran++
	}
}

// storedWeights hands made-up weights to a device.
type storedWeights struct {
	source interp.Source
	types  map[string]ir.Type
}

func (w storedWeights) Weight(b *plan.Buffer) ([]byte, error) {
	x, err := w.source(b.Weight.Tensor, w.types[b.Weight.Tensor])
	return x.Stored, err
}

// requireClose compares values with want: whole numbers exactly, others to an NMSE.
func requireClose(t *testing.T, what string, want interp.Tensor, have []float64, bound float64) {
	t.Helper()
	if want.I32 != nil {
		bound = 0
	}
	d := interp.Compare(have, numbersOf(want))
	require.LessOrEqual(t, d.NMSE, bound, "%s: %v", what, d)
}

func numbersOf(x interp.Tensor) []float64 {
	if x.I32 == nil {
		return x.Float64s()
	}
	out := make([]float64, len(x.I32))
	for i, v := range x.I32 {
		out[i] = float64(v)
	}
	return out
}

// bytesOf returns a tensor's elements as a device holds them.
func bytesOf(x interp.Tensor) []byte {
	if x.Stored != nil {
		return x.Stored
	}
	var out []byte
	for _, v := range x.I32 {
		out = binary.LittleEndian.AppendUint32(out, uint32(v))
	}
	if x.I32 == nil {
		out = make([]byte, x.DType.Bytes(int64(x.Len())))
		dtype.Quantise(x.DType, x.Float32s(), out)
	}
	return out
}

// valuesOf reads elements as a device holds them.
func valuesOf(d dtype.Type, b []byte) []float64 {
	if d == dtype.I32 {
		out := make([]float64, len(b)/4)
		for i := range out {
			out[i] = float64(int32(binary.LittleEndian.Uint32(b[4*i:])))
		}
		return out
	}
	narrow := make([]float32, int64(len(b))/d.Bytes(1))
	dtype.Dequantise(d, b, narrow)
	out := make([]float64, len(narrow))
	for i, v := range narrow {
		out[i] = float64(v)
	}
	return out
}
