package metal_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/irgen"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime/devicetest"
	"foundry/runtime/msl/gate"
	"foundry/runtime/msl/strict"
)

// candidates lists the kernels that n can get in g.
func candidates(g *ir.Graph, n *ir.Node, x *target.Target) []kernel.Kernel {
	run := metal.NewChoices(x).Finished(g, cost.Typical(g.Bounds))
	return slices.Collect(run.Candidates(n))
}

// pinLast gives n the last of its kernels that words take.
func pinLast(g *ir.Graph, n *ir.Node, x *target.Target, words kernel.Pin) {
	for _, k := range candidates(g, n, x) {
		if words.Takes(k) {
			n.Attr.Kernel = k.String()
		}
	}
}

// choices returns a graph for each kernel that a node of g can get, others as they are.
func choices(g *ir.Graph, x *target.Target) (out []*ir.Graph) {
	for i, n := range g.Nodes() {
		for j, k := range candidates(g, n, x) {
			if err := cost.CheckPin(kernel.Pin(k.String()), operationsOf(n)...); err != nil {
				panic(err) // a word that pipelines would refuse
			}
			c := g.Clone()
			c.Nodes()[i].Attr.Kernel = k.String()
			out = append(out, alone(c, fmt.Sprintf("%s_%d_%d", g.Name, i, j)))
		}
	}
	return out
}

// operationsOf tells which operations stand in a region such as n; nothing for a single one,
// of which pipelines know none.
func operationsOf(n *ir.Node) (out []func(...ir.Op) bool) {
	if n.Region == nil {
		return nil
	}
	return append(out, func(ops ...ir.Op) bool {
		return slices.ContainsFunc(n.Region.Nodes(), func(m *ir.Node) bool { return slices.Contains(ops, m.Op) })
	})
}

// Every kernel that an operation can get is written and computes what the operation
// means, for one row and for several; its words are printed and read again.
func TestEveryChoiceComputes(t *testing.T) {
	cases := opCases()
	var graphs []*ir.Graph
	for i, name := range []string{"matmul_nt f16 896", "rope", "rms_norm 896", "sum_squares", "bmm_nt", "bmm_nn", "add", "argmax", "argmax short"} {
		graphs = append(graphs, choices(alone(parse(t, "T=1..9, P=0..64, S<=73", cases[name]), fmt.Sprintf("g%d", i)), m3Pro(t))...)
	}
	graphs = append(graphs, choices(alone(parse(t, "T=1..1, P=0..72, S<=73", cases["matmul_nt f16 896"]), "row"), m3Pro(t))...)
	var printed []*ir.Graph
	for _, g := range graphs {
		c, err := ir.Parse("printed", g.String())
		require.NoError(t, err, g.String())
		require.Contains(t, g.String(), "kernel=")
		printed = append(printed, c)
	}
	b := newBatch(t, printed, false)
	for i, g := range graphs {
		b.run(t, i, sym.Env{T: 1, P: 3}, 7)
		if g.Bounds.TMax > 1 {
			b.run(t, i, sym.Env{T: 9, P: 40}, 8)
		}
	}
	require.Greater(t, len(b.plan.Kernels), 30, "choices differ in their texts")
}

// Words that no kernel has are an error that names those there are.
func TestPinnedToNothing(t *testing.T) {
	cases := opCases()
	for words, want := range map[string]string{
		"tiles 1x1x1":      `kernel="tiles 1x1x1": none of its kernels has these words; there are rows per-team=`,
		"rows per-team=77": `and `,
		"lines":            `none of its kernels has these words`,
	} {
		g := parse(t, "T=1..9, P=0..64, S<=73", cases["matmul_nt f16 896"])
		g.Nodes()[0].Attr.Kernel = words
		_, err := metal.Compile([]metal.Entry{{Name: "g", Graph: g}}, metal.Options{Target: m3Pro(t), Model: plan.Model{Context: 73}})
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
	g := parse(t, "T=1..9, P=0..64, S<=73", cases["ones"])
	g.Nodes()[0].Attr.Kernel = "rows"
	_, err := metal.Compile([]metal.Entry{{Name: "g", Graph: g}}, metal.Options{Target: m3Pro(t), Model: plan.Model{Context: 73}})
	require.ErrorContains(t, err, "there is one kernel for it, and nothing to choose")
}

// randomChoices calls visit with every kernel that a node of each of count random graphs
// can get, behind the passes of fewest, those of a graph at once. A hundred graphs are a
// subtest, so that processes can share them.
func randomChoices(t *testing.T, count uint64, visit func(t *testing.T, seed uint64, choices []*ir.Graph)) {
	const piece = 100
	for from := uint64(0); from < count; from += piece {
		t.Run(fmt.Sprintf("seeds_%d", from), func(t *testing.T) {
			choicesOfSeeds(t, from, min(from+piece, count), visit)
		})
	}
}

func choicesOfSeeds(t *testing.T, from, to uint64, visit func(t *testing.T, seed uint64, choices []*ir.Graph)) {
	x := m3Pro(t)
	for seed := from; seed < to; seed++ {
		g := irgen.Graph(seed)
		p, err := passes.Parse(pipelineFewest)
		require.NoError(t, err)
		if err := p.Run(g, &passes.Context{Target: x, Lowerable: metal.NewChoices(x).Lowerable}); err != nil {
			require.ErrorContains(t, err, "cannot become a kernel", "seed %d", seed)
			continue // an operation that has none
		}
		g.Name = fmt.Sprintf("r%d", seed)
		visit(t, seed, choices(g, x))
	}
}

// Every kernel that a node of a random graph can get is written, in a plan that verifies,
// and the gate admits it, each text once. FOUNDRY_COMPLETE=1 takes ten thousand graphs, and
// of every fiftieth asks the strict check, too.
func TestRandomChoicesAreWritten(t *testing.T) {
	const sampled = 50
	count, clang := uint64(20), ""
	if complete {
		var err error
		count = 10_000
		clang, err = strict.Find()
		devicetest.Need(t, err)
	}
	written, strictly := 0, 0
	seen := map[[sha256.Size]byte]bool{} // of texts
	randomChoices(t, count, func(t *testing.T, seed uint64, graphs []*ir.Graph) {
		if len(graphs) == 0 {
			return // no node has a kernel to choose
		}
		var in []metal.Entry
		context := int64(0)
		for _, g := range graphs {
			in = append(in, metal.Entry{Name: g.Name, Graph: g})
			context = max(context, g.Bounds.SMax)
		}
		p, err := metal.Compile(in, metal.Options{
			Target: m3Pro(t), Model: plan.Model{Name: "test", Layers: 100, Context: int(context)}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
		require.NoError(t, err, "seed %d", seed)
		require.NoError(t, p.Check(), "seed %d", seed)
		fresh := slices.DeleteFunc(slices.Clone(p.Kernels), func(k plan.Kernel) bool {
			sum := sha256.Sum256([]byte(strings.ReplaceAll(k.Source, k.Name, "KERNEL")))
			known := seen[sum]
			seen[sum] = true
			return known
		})
		require.NoError(t, gate.Check(fresh), "seed %d", seed)
		if clang != "" && seed%sampled == 0 {
			require.NoError(t, strict.CheckAll(background, clang, fresh), "seed %d", seed)
			strictly += len(fresh)
		}
		written += len(graphs)
	})
	t.Logf("%d choices written, %d texts, %d of them compiled strictly", written, len(seen), strictly)
}

// Every third of them computes what the graph means, of the first graph.
// FOUNDRY_COMPLETE=1 runs all of 200 graphs: a sample of the ten thousand that are written.
func TestRandomChoicesCompute(t *testing.T) {
	count, step := uint64(1), 3
	if complete {
		count, step = 200, 1
	}
	randomChoices(t, count, func(t *testing.T, seed uint64, all []*ir.Graph) {
		var choices []*ir.Graph
		for i := 0; i < len(all); i += step {
			choices = append(choices, all[i])
		}
		b := newBatch(t, choices, false)
		for i, g := range choices {
			b.run(t, i, irgen.Env(g, seed), seed)
		}
	})
}

var complete = os.Getenv("FOUNDRY_COMPLETE") != ""
