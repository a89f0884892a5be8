package viz_test

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime/child"
	"foundry/viz"
)

var collapsed = viz.Options{Layer: viz.AllLayers, Collapse: true}

func graph(t *testing.T, g *ir.Graph, o viz.Options) string {
	t.Helper()
	d, err := viz.Graph(g, o)
	require.NoError(t, err)
	return d
}

// nodes counts the nodes of a picture.
func nodes(dot string) int { return len(nodeLine.FindAllString(dot, -1)) }

var nodeLine = regexp.MustCompile(`(?m)^\t+"[^"]*" \[`)

// A whole model collapses to a picture that fits a screen, as a graph and as a
// plan, and Graphviz takes it.
func TestCollapsedModel(t *testing.T) {
	whole := nodes(graph(t, model(t, 24, sym.T), viz.Options{Layer: viz.AllLayers}))
	require.Greater(t, whole, 700)
	plain, f := model(t, 24, sym.Const(1)), fused(t, 24, sym.Const(1))
	for name, d := range map[string]string{
		"input":        graph(t, model(t, 24, sym.T), collapsed),
		"fused":        graph(t, f, collapsed),
		"plan":         compiled(t, f),
		"unfused plan": compiled(t, plain),
	} {
		t.Run(name, func(t *testing.T) {
			require.LessOrEqual(t, nodes(d), 60+3, "and three for what a layer hands to the next")
			text := d
			require.Contains(t, text, "layers 0..23 × 24")
			require.Equal(t, 2, strings.Count(text, `of the layer before"`), "the residual stream goes to the norm and to the add")
			require.Equal(t, 1, strings.Count(text, `"to the next layer"`))
			require.Contains(t, text, "layers.N.k")
			accepted(t, text)
		})
	}
}

// With norms split in two, a layer's last region leaves the sums that the next
// layer's norm wants: the layers are equal all the same, and the name says whose
// norm it is.
func TestCollapsedFloor(t *testing.T) {
	g := model(t, 6, sym.Const(1))
	machine, err := target.Find(target.Default)
	require.NoError(t, err)
	p, err := passes.Variant("fewest")
	require.NoError(t, err)
	require.NoError(t, p.Run(g, &passes.Context{Target: machine}))
	for _, d := range []string{graph(t, g, collapsed), compiled(t, g)} {
		text := d
		require.Contains(t, text, "<B>layers 0..5 × 6</B>")
		require.Contains(t, text, "layers.N+1.input_norm | final_norm")
		require.Contains(t, text, "f32[1, 32]", "the type of sum_squares, which shares its label with rms_scale")
	}
}

// compiled draws the plan that lowering makes of g, collapsed.
func compiled(t *testing.T, g *ir.Graph) string {
	t.Helper()
	machine, err := target.Find(target.Default)
	require.NoError(t, err)
	p, err := metal.Compile([]metal.Entry{{Name: "decode", Graph: g}}, metal.Options{
		Target: machine, Model: plan.Model{Name: "toy"}, Meta: plan.Options{Target: machine.Name, Weights: dtype.F16, Cache: dtype.F16},
	})
	require.NoError(t, err)
	o := collapsed
	o.Source = g
	d, err := viz.Plan(p, "decode", o)
	require.NoError(t, err)
	return d
}

// Layers that compute the same but are joined differently stay apart.
func TestUnequalLayersStay(t *testing.T) {
	for name, edit := range map[string]func(t *testing.T, g *ir.Graph, at map[string]*ir.Node){
		"another attribute": func(_ *testing.T, _ *ir.Graph, at map[string]*ir.Node) {
			at["layers.2.post_norm"].Attr.Eps = 1e-5
		},
		"another label": func(_ *testing.T, _ *ir.Graph, at map[string]*ir.Node) {
			at["layers.2.post_norm"].Label = "layers.2.second_norm"
		},
		"an operand from two layers before": func(t *testing.T, _ *ir.Graph, at map[string]*ir.Node) {
			require.NoError(t, at["layers.2.resid_attn"].SetArg(1, at["layers.0.resid_mlp"].Result()))
		},
		"another place in the layer before": func(t *testing.T, _ *ir.Graph, at map[string]*ir.Node) {
			n := at["layers.2.input_norm"]
			require.NoError(t, n.SetArg(0, at["layers.1.resid_attn"].Result()))
		},
		"the weight of another layer": func(t *testing.T, _ *ir.Graph, at map[string]*ir.Node) {
			require.NoError(t, at["layers.2.o_proj"].SetArg(1, at["layers.1.o_proj"].Args[1]))
		},
		"a result of its own": func(_ *testing.T, g *ir.Graph, at map[string]*ir.Node) {
			g.Return("hidden", at["layers.2.resid_attn"].Result())
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := model(t, 5, sym.T)
			at := map[string]*ir.Node{}
			for _, n := range g.Nodes() {
				at[n.Label] = n
			}
			edit(t, g, at)
			require.NoError(t, ir.Verify(g))
			text := graph(t, g, collapsed)
			require.Contains(t, text, "<B>layers 0..1 × 2</B>")
			require.Contains(t, text, "<B>layer 2</B>")
			require.Contains(t, text, "<B>layers 3..4 × 2</B>")
		})
	}
}

// A collapsed picture of more than 60 operations shows a region as one box.
func TestCompactRegions(t *testing.T) {
	g := fused(t, 5, sym.T)
	for _, n := range g.Nodes() {
		if n.Label == "layers.2.gate_up" {
			n.Label = "layers.2.mlp_in"
		}
	}
	d := graph(t, g, collapsed)
	require.Less(t, nodes(d), 60+3)
	require.Contains(t, d, "rms_norm, 3 matmul_nt, 3 add")
}

// Equal input gives equal bytes, also from a graph that was built anew.
func TestDeterministic(t *testing.T) {
	for _, o := range []viz.Options{{Layer: viz.AllLayers}, collapsed, {Layer: 1, Weights: true}} {
		one, other := fused(t, 3, sym.Const(1)), fused(t, 3, sym.Const(1))
		require.Equal(t, graph(t, one, o), graph(t, other, o))
		a, err := viz.Plan(lowered(t, one), "decode", o)
		require.NoError(t, err)
		b, err := viz.Plan(lowered(t, other), "decode", o)
		require.NoError(t, err)
		require.Equal(t, a, b)
	}
}

// Drawing leaves the graph as it was.
func TestDrawingEditsNothing(t *testing.T) {
	g := fused(t, 3, sym.Const(1))
	before := g.String()
	_, err := viz.Plan(lowered(t, g), "decode", viz.Options{Layer: viz.AllLayers, Collapse: true, Source: g})
	require.NoError(t, err)
	graph(t, g, collapsed)
	require.Equal(t, before, g.String())
}

func TestLayerStubs(t *testing.T) {
	text := graph(t, fused(t, 4, sym.T), viz.Options{Layer: 2})
	for _, want := range []string{"from layers.1.down", "to layers.3.qkv", "to layers.3.o", "layers.2.k"} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "embed")
	_, err := viz.Graph(model(t, 4, sym.T), viz.Options{Layer: 4})
	require.EqualError(t, err, "there is no layer 4: the layers are 0 to 3")
	_, err = viz.Graph(ir.NewGraph("empty", sym.Bounds{TMin: 1, TMax: 1, SMax: 1}), viz.Options{})
	require.EqualError(t, err, "there is no layer 0: no label starts with layers.N")
}

// Times stand at the units they belong to; of equal layers the mean is shown.
func TestTimes(t *testing.T) {
	o := collapsed
	o.Times = map[string]float64{"layers.0.qkv": 10, "layers.1.qkv": 15, "lm_head": 200}
	text := graph(t, fused(t, 3, sym.T), o)
	require.Contains(t, text, "<B>12.5 µs</B> × 2")
	require.Contains(t, text, "<B>200 µs</B>")
}

// A dispatch's operands come from whoever wrote those bytes last, wherever the
// arena puts them.
func TestPlanFollowsBytes(t *testing.T) {
	bind := func(buffer int, offset, bytes int64, a plan.Access) plan.Binding {
		return plan.Binding{Buffer: buffer, Offset: offset, Bytes: bytes, Access: a}
	}
	p := &plan.Plan{
		Kernels: []plan.Kernel{{Name: "k", Threads: [3]int{32, 1, 1}}},
		Buffers: []plan.Buffer{
			{Name: "in", Class: plan.Input, Bytes: 64},
			{Name: "a", Class: plan.Transient, Bytes: 128, Offset: 0},
			{Name: "reused", Class: plan.Transient, Bytes: 64, Offset: 64},
			{Name: "step", Class: plan.State, Bytes: plan.StepBytes, Role: plan.StepBuffer},
			{Name: "out", Class: plan.Output, Bytes: 64},
		},
	}
	step := func(label string, wave int, b ...plan.Binding) plan.Step {
		return plan.Step{Dispatch: &plan.Dispatch{Label: label, Layer: -1, Wave: wave, Nodes: []plan.Node{{Label: label, Op: "silu"}}, Bind: b,
			Grid: [3]plan.GridDim{{N: sym.T, Div: 8}, {N: sym.Const(1), Div: 1}, {N: sym.Const(1), Div: 1}}}}
	}
	p.Entries = []plan.Entry{{Name: "decode", Steps: []plan.Step{
		step("first", 0, bind(3, 0, plan.StepBytes, plan.Read), bind(0, 0, 64, plan.Read), bind(1, 0, 128, plan.Write)),
		{Barrier: true},
		step("second", 1, bind(0, 0, 64, plan.Read), bind(2, 0, 64, plan.Write)),
		{Barrier: true},
		step("third", 2, bind(1, 0, 128, plan.Read), bind(4, 0, 64, plan.Write)),
	}, Results: []plan.Result{{Name: "y", Buffer: 4}}}}
	d, err := viz.Plan(p, "decode", viz.Options{Layer: viz.AllLayers})
	require.NoError(t, err)
	var edges []string
	for _, e := range regexp.MustCompile(`(?m)^\t"(.*)" -> "(.*)" \[.*label="([^"]*)"`).FindAllStringSubmatch(d, -1) {
		edges = append(edges, fmt.Sprint(e[1], " > ", e[2], " ", e[3]))
	}
	require.ElementsMatch(t, []string{
		"in > first / silu first 64 B", "in > second / silu second 64 B",
		"first / silu first > third / silu third 64 B", "second / silu second > third / silu third 64 B",
		"third / silu third > return y 64 B",
	}, edges)
	require.Contains(t, d, "ceil(T/8) threadgroups of 32 threads")
	require.Equal(t, 2, strings.Count(d, "barrier: wave"))

	_, err = viz.Plan(p, "decod", viz.Options{Layer: viz.AllLayers})
	require.ErrorContains(t, err, `did you mean "decode"?`)
}

// Pictures are drawn with nothing installed, and with the system's Graphviz where there is
// one: each dispatch is in them, and a line across for each barrier.
func TestRender(t *testing.T) {
	var out bytes.Buffer
	require.ErrorIs(t, viz.Render(t.Context(), &out, "", "digraph {}", "pdf"), viz.ErrNoGraphviz)
	require.EqualError(t, viz.Render(t.Context(), &out, "", "digraph {}", "gif"), `unknown picture format "gif": it is one of svg, png, pdf`)
	p := lowered(t, fused(t, 2, sym.T))
	d, err := viz.Plan(p, p.Entries[0].Name, viz.Options{Layer: viz.AllLayers})
	require.NoError(t, err)
	programs := []string{""}
	if path, err := child.Find("dot"); err == nil {
		programs = append(programs, path)
	}
	for _, program := range programs {
		require.ErrorContains(t, viz.Render(t.Context(), &out, program, "digraph {", "svg"), "syntax error")
		require.Zero(t, out.Len())
		require.NoError(t, viz.Render(t.Context(), &out, program, d, "svg"))
		svg := out.String()
		out.Reset()
		barriers := 0
		for _, s := range p.Entries[0].Steps {
			if s.Barrier {
				barriers++
			} else {
				require.Contains(t, svg, ">"+s.Dispatch.Label[strings.LastIndexByte(s.Dispatch.Label, '.')+1:]+"<")
			}
		}
		require.Equal(t, barriers, strings.Count(svg, "<polyline fill=\"none\" stroke=\"#c0392b\" stroke-dasharray"), "%q", program)
		require.NoError(t, viz.Render(t.Context(), &out, program, d, "png"))
		picture, err := png.Decode(&out)
		require.NoError(t, err)
		require.Greater(t, picture.Bounds().Dy(), 1000)
		out.Reset()
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.ErrorIs(t, viz.Render(ctx, &out, "", d, "svg"), context.Canceled)
}
