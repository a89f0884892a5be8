package passes

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/irgen"
)

// setsOf are the sets of t that are legal for a graph.
func setsOf(t *testing.T, table *Table, g *ir.Graph) map[string]Subset {
	t.Helper()
	all, err := table.Subsets(&Context{}, g)
	require.NoError(t, err)
	out := map[string]Subset{}
	for _, s := range all {
		out[s.String()] = s
	}
	require.Len(t, out, len(all), "names are apart")
	return out
}

// Two patterns that can take the same operation are rivals where they do, and nowhere else:
// of one's own, too, and of graphs that nobody has thought of.
func TestRivalsAreThoseThatOverlap(t *testing.T) {
	table, err := BuiltIn().With([]Pattern{
		{Name: "silu-mul", Text: "@s = silu x\n@m = mul s y"},
		{Name: "mul-add", Text: "@m = mul x y\n@a = add m z"},
		{Name: "add-cast", Text: "@a = add x y\n@c = cast a"},
	}, nil)
	require.NoError(t, err)
	const chain = "%s = silu %x\n%m = mul %s, %y\n%a = add %m, %x\n"
	for text, want := range map[string][]string{
		chain + "%r = cast %a {to=f16}": {"unfused", "fuse-silu-mul", "fuse-mul-add", "fuse-add-cast", "fuse-silu-mul+fuse-add-cast", "swiglu", "fuse-add-cast+swiglu"},
		// A second product leaves mul-add something behind silu-mul, which comes before it,
		// but it leaves nothing to swiglu, which comes behind.
		chain + "%n = mul %y, %z\n%b = add %n, %x\n%r = mul %a, %b": {"unfused", "fuse-silu-mul", "fuse-mul-add", "fuse-silu-mul+fuse-mul-add", "swiglu"},
		"%r = add %x, %y": {"unfused"},
	} {
		g, err := ir.Parse("own.fir", "graph @g (T=1..4, P=0..0, S<=4) {\n%x = input \"x\" : f32[T, 64]\n%y = input \"y\" : f32[T, 64]\n%z = input \"z\" : f32[T, 64]\n"+text+"\nreturn r=%r\n}")
		require.NoError(t, err)
		have := setsOf(t, table, g)
		require.ElementsMatch(t, want, slices.Collect(maps.Keys(have)), text)
	}
}

// What sets a graph has is what comes of running them: of random layers, any choices
// drawn give a graph that one of its sets gives, and those that are a set each form a
// region that stays.
func TestSubsetsAreWhatRunsGive(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 8))
	looked := 0
	for seed := range uint64(20) {
		g := irgen.Layers(rand.New(rand.NewPCG(seed, 1)))
		if len(g.Nodes()) > 20 {
			continue // thousands of sets
		}
		sets := setsOf(t, BuiltIn(), g)
		looked++
		e := newEnumeration(&Context{})
		graphOf := func(p Pipeline) *ir.Graph { return e.after(t, g, p) }
		given := map[string]bool{}
		for range 20 {
			var names, calls []string
			var passes []*Pass
			for _, c := range choices {
				p, err := Parse(c.calls)
				require.NoError(t, err)
				if r.IntN(3) == 0 && !slices.Contains(passes, p[0].Pass) {
					names, calls, passes = append(names, c.name), append(calls, c.calls), append(passes, p[0].Pass)
				}
			}
			p, err := Parse(strings.Join(slices.Concat([]string{prepare}, calls, []string{finish}), ","))
			require.NoError(t, err)
			drawn := Subset{Names: names}.String()
			made := graphOf(p)
			if s, is := sets[drawn]; is {
				require.Equal(t, s.Pipeline.String(), p.String())
				for i, pass := range passes {
					require.True(t, pass.fusion == nil || slices.ContainsFunc(made.Nodes(), func(n *ir.Node) bool { return n.Attr.Pattern == pass.fusion.Name }),
						"seed %d: %s has no region of %s", seed, drawn, names[i])
				}
				continue
			}
			if len(given) == 0 {
				all := slices.SortedFunc(maps.Values(sets), func(a, b Subset) int { return strings.Compare(a.Pipeline.String(), b.Pipeline.String()) })
				require.NoError(t, e.walk(g, all, func(_ int, g *ir.Graph) { given[g.Canonical()] = true }))
			}
			require.True(t, given[made.Canonical()], "seed %d: no set gives what %s gives", seed, drawn)
		}
		t.Logf("seed %d: %d sets", seed, len(sets))
	}
	require.Greater(t, looked, 4)
}
