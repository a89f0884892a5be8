package passes

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/frontends/qwen3"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/lower/plan"
)

// rivalsInModels lists for each pattern those that can take one of its operations: in a graph
// of a model, as it is or with norms split, or in one whose gate and up have biases.
func rivalsInModels(t *testing.T) map[string][]string {
	t.Helper()
	var fusions []parsedChoice
	for _, p := range builtIn().passes {
		if p.fusion != nil {
			fusions = append(fusions, parsedChoice{call: Call{Pass: p}})
		}
	}
	out := map[string][]string{}
	look := func(g *ir.Graph) {
		for _, edits := range []string{prepare + ",drop-repeat-kv", prepare + ",drop-repeat-kv,split-norm"} {
			p, err := Parse(edits)
			require.NoError(t, err)
			edited := g.Clone()
			require.NoError(t, p.Run(edited, &Context{}))
			r, err := newRun(edited, &Context{})
			require.NoError(t, err)
			claimed := map[int][]string{} // patterns by operation
			for i, places := range r.claims(fusions).places {
				for _, claim := range slices.Concat(places...) {
					for _, o := range claim {
						claimed[o] = append(claimed[o], fusions[i].call.Pass.fusion.Name)
					}
				}
			}
			for _, names := range claimed {
				for _, a := range names {
					for _, b := range names {
						if a != b && !slices.Contains(out[a], b) {
							out[a] = append(out[a], b)
						}
					}
				}
			}
		}
	}
	small, err := qwen25.Family.Preset("0.5b")
	require.NoError(t, err)
	normed, err := qwen3.Family.Preset("0.6b")
	require.NoError(t, err)
	for _, c := range []decoder.Config{small, normed} {
		c.Layers = 2
		prefill, err := decoder.Build(c, decoder.BuildOptions{Context: 64, Chunk: 8, Weights: dtype.F16, Cache: dtype.F16})
		require.NoError(t, err)
		decode, err := prefill.Specialise(1)
		require.NoError(t, err)
		look(prefill)
		look(decode)
	}
	biased, err := ir.Parse("biased.fir", `graph @biased (T=1..4, P=0..0, S<=4) {
  %x = input "x" : f32[T, 64]
  %wg = weight "wg" : f16[96, 64]
  %wu = weight "wu" : f16[96, 64]
  %bg = weight "bg" : f32[96]
  %bu = weight "bu" : f32[96]
  %p = matmul_nt %x, %wg
  %q = matmul_nt %x, %wu
  %g = add %p, %bg
  %u = add %q, %bu
  %s = silu %g
  %m = mul %s, %u
  return m=%m
}
`)
	require.NoError(t, err)
	look(biased)
	at := func(name string) int {
		return slices.IndexFunc(patterns[:], func(p Pattern) bool { return p.Name == name })
	}
	for _, rivals := range out {
		slices.SortFunc(rivals, func(a, b string) int { return at(a) - at(b) })
	}
	return out
}

// A site is weighed against passes to come that match at its operations, and at those of these,
// whoever wrote them and whatever they are called.
func TestRivalsAreWhatMatches(t *testing.T) {
	table, err := BuiltIn().With([]Pattern{
		{Name: "mul-add", Text: "@m = mul x y\n@a = add m z"},
		{Name: "add-cast", Text: "@a = add x y\n@c = cast a"},
		{Name: "silu-silu", Text: "@a = silu x\n@b = silu a"},
	}, nil)
	require.NoError(t, err)
	const text = `graph @own (T=1..4, P=0..0, S<=4) {
  %x = input "x" : f32[T, 64]
  %y = input "y" : f32[T, 64]
  %s = silu %x @"s"
  %m = mul %s, %y @"m"
  %a = add %m, %x @"a"
  %c = cast %a {to=f16} @"c"
  %d = silu %y @"d"
  %e = silu %d @"e"
  return c=%c, e=%e
}
`
	for pipeline, want := range map[string]struct {
		contested bool
		nodes     []string
	}{
		"fuse-swiglu,fuse-silu-silu":                             {false, nil},
		"fuse-swiglu,fuse-mul-add":                               {true, []string{"s", "m", "a"}},
		"fuse-swiglu,fuse-mul-add,fuse-silu-silu":                {true, []string{"s", "m", "a"}},
		"fuse-swiglu,fuse-add-cast":                              {false, nil},
		"fuse-swiglu,fuse-mul-add,fuse-add-cast,fuse-silu-silu":  {true, []string{"s", "m", "a", "c"}},
		"fuse-swiglu,fuse-add-cast,fuse-mul-add,dce,fuse-swiglu": {true, []string{"s", "m", "a", "c"}},
	} {
		g, err := ir.Parse("own.fir", text)
		require.NoError(t, err)
		var calls Pipeline
		for _, c := range splitCalls(pipeline) {
			call, err := table.parseCall(c)
			require.NoError(t, err)
			calls = append(calls, call)
		}
		r, err := newRun(g, &Context{})
		require.NoError(t, err)
		r.call, r.rest = calls[0], calls[1:]
		p := calls[0].Pass.fusion
		s, _, _ := r.locate(p, p.forms[0], p.anchors(r.view())[0], true)
		require.NotNil(t, s)
		nodes, _ := r.contested(s)
		require.Equal(t, want.contested, nodes != nil, pipeline)
		var have []string
		for _, n := range g.Nodes() {
			if slices.Contains(nodes, n) {
				have = append(have, n.Label)
			}
		}
		require.Equal(t, want.nodes, have, pipeline)
	}

	var log Log
	g, err := ir.Parse("own.fir", text)
	require.NoError(t, err)
	p, err := table.Parse("fuse-swiglu{when=cheaper},fuse-mul-add")
	require.NoError(t, err)
	require.NoError(t, p.Run(g, &Context{Log: &log}))
	require.Contains(t, log.Decisions[0].Reason, "mul-add")
	require.NotEqual(t, plan.Refused, log.Decisions[0].Outcome)
}

// Stretches are asked about once where they come to the same, in whichever layer they stand,
// and apart where a region, its kernel or what a param is differs.
func TestStretchesThatComeToTheSame(t *testing.T) {
	const regions = `graph @g (T=1..4, P=0..0, S<=4) {
  %x = input "x" : f32[T, 64]
  %w = weight "w" : f32[64]
  %a = silu %x @"layers.0.a"
  %b = mul %a, %x @"layers.0.b"
  %c = silu %b @"layers.1.a"
  %d = mul %c, %b @"layers.1.b"
  %e = silu %d @"layers.2.a"
  %f = mul %e, %x @"layers.2.b"
  return f=%f
}
`
	g, err := ir.Parse("g.fir", regions)
	require.NoError(t, err)
	of := func(i int) *stretch { return newStretch(g.Extract(g.Nodes()[i : i+2])) }
	require.Equal(t, of(0).key, of(2).key)
	require.NotEqual(t, of(0).key, of(4).key, "mul takes another value")
	was := of(0).key
	n, err := g.FusedNode(g.Nodes()[:2], "swiglu", "layers.0.swiglu")
	require.NoError(t, err)
	require.NoError(t, g.InsertFused(n, g.Nodes()[:2]))
	whole := func() *stretch { return newStretch(g.Extract(g.Nodes()[:1])) }
	seen := []string{was}
	for _, change := range []func(){
		func() {},
		func() { n.Attr.Kernel = "elements" },
		func() { n.Attr.Pattern = "elementwise" },
	} {
		change()
		require.NotContains(t, seen, whole().key)
		seen = append(seen, whole().key)
	}
	require.True(t, whole().holds(builtIn().byName["fuse-swiglu"].fusion))
	require.False(t, whole().holds(builtIn().byName["fuse-bias"].fusion))
}
