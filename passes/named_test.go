package passes

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/target"
)

// Every graph that a named variant makes of one layer is what some subset gives, and so
// is what default takes on machines of every family: a search finds whatever a name
// would have given. Which norms are whole is no part of a set: where default joins some
// again, it is what a set gives that does so at the same point.
func TestSubsetsHaveNamedVariants(t *testing.T) {
	sets := map[string]map[string]bool{}
	for _, size := range []string{"0.5b", "7b"} {
		sets[size] = map[string]bool{}
		all, err := BuiltIn().Subsets(&Context{}, oneLayer(t, size)...)
		require.NoError(t, err)
		for _, s := range all {
			sets[size][s.String()] = true
		}
	}
	look := func(size, x string, variants ...string) {
		tgt, err := target.Find(x)
		require.NoError(t, err)
		for _, g := range oneLayer(t, size) {
			e := newEnumeration(&Context{Target: tgt, Lowerable: cost.NewChoices(tgt, nil).Lowerable})
			for _, v := range variants {
				p, err := Variant(v)
				require.NoError(t, err)
				want := e.after(t, g, p)
				require.NotEmpty(t, e.subsetFor(t, g, p, want, sets[size]), "no subset gives %s on %s, %s, of %s, which has %q", v, x, g.Name, size, regions(want))
			}
		}
	}
	look("0.5b", target.Default, slices.Concat(Ladder(), LeaveOneOut(), []string{"per-layer-6"})...)
	for _, x := range []string{"apple-m1", "apple-m2-pro", target.Default, "apple-m3-ultra", "apple-m4-max", "apple-m5", "h100", "h200", "cpu"} {
		for _, size := range []string{"0.5b", "7b"} {
			look(size, x, "default")
		}
	}
}

// oneLayer returns the graphs of a size with one layer, prefill and decode.
func oneLayer(t *testing.T, size string) []*ir.Graph {
	t.Helper()
	c, err := qwen25.Family.Preset(size)
	require.NoError(t, err)
	c.Layers = 1
	prefill, err := decoder.Build(c, decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16})
	require.NoError(t, err)
	decode, err := prefill.Specialise(1)
	require.NoError(t, err)
	decode.Name = "decode"
	return []*ir.Graph{prefill, decode}
}

// after returns a copy of g behind p.
func (e *enumeration) after(t *testing.T, g *ir.Graph, p Pipeline) *ir.Graph {
	t.Helper()
	for i := range p {
		var err error
		g, err = e.advance(g, p, i)
		require.NoError(t, err)
	}
	return g
}

// subsetFor returns the names of the subset of sets that makes want of g, "" where there is
// none; p made it of g. A choice that changes nothing, or forms a region which want has not, is not followed
// further.
func (e *enumeration) subsetFor(t *testing.T, g *ir.Graph, p Pipeline, want *ir.Graph, sets map[string]bool) string {
	t.Helper()
	wanted := regions(want)
	steps := choices[:]
	join := slices.IndexFunc(p, func(c Call) bool { return c.Pass.Name == "join-norm" })
	if join >= 0 {
		behind := slices.IndexFunc(steps, func(c choice) bool { return c.name == "swiglu" }) + 1
		steps = slices.Insert(slices.Clone(steps), behind, choice{calls: "join-norm"})
	}
	run := func(g *ir.Graph, calls string) *ir.Graph {
		p, err := Parse(calls)
		require.NoError(t, err)
		return e.after(t, g, p)
	}
	var descend func(g *ir.Graph, from int, taken []string) string
	descend = func(g *ir.Graph, from int, taken []string) string {
		if from == len(steps) {
			if s := (Subset{Names: taken}).String(); sets[s] && e.withKernels(run(g, finish)) == e.withKernels(want) {
				return s
			}
			return ""
		}
		if steps[from].name == "" {
			joined, err := e.advance(g, p[join:], 0) // weighed against what p goes on with
			require.NoError(t, err)
			return descend(joined, from+1, taken)
		}
		next := run(g, steps[from].calls)
		if next != g && !slices.ContainsFunc(regions(next), func(r string) bool { return !slices.Contains(wanted, r) }) {
			if s := descend(next, from+1, append(slices.Clone(taken), steps[from].name)); s != "" {
				return s
			}
		}
		return descend(g, from+1, taken)
	}
	return descend(run(g, prepare), 0, nil)
}

// withKernels is the text of g with the kernels that its attention gets, pinned or not.
func (e *enumeration) withKernels(g *ir.Graph) string {
	g = g.Clone()
	costs := cost.Run{Target: e.context.Target, Bounds: g.Bounds, Env: cost.Typical(g.Bounds)}
	for _, n := range g.Nodes() {
		if n.Region == nil || n.Attr.Pattern != "attention" {
			continue
		}
		for k := range costs.Candidates(n) {
			if kernel.Pin(n.Attr.Kernel).Takes(k) {
				n.Attr.Kernel = k.String()
				break
			}
		}
	}
	return g.Canonical()
}

// regions names the regions of g by pattern and the labels of what they hold, which
// legalize does not change.
func regions(g *ir.Graph) []string {
	var out []string
	for _, n := range g.Nodes() {
		if n.Region == nil {
			continue
		}
		names := []string{n.Attr.Pattern}
		for _, m := range n.Region.Nodes() {
			names = append(names, m.Label)
		}
		out = append(out, strings.Join(names, " "))
	}
	return out
}
