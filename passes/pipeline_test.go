package passes_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/irgen"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/tests/mutate"
)

func TestParsePipeline(t *testing.T) {
	for _, text := range []string{"", "canonicalize", "canonicalize,cse,fuse-swiglu-down{residual=true}", "fuse-gate-up{norm=true,when=cheaper},legalize"} {
		require.Equal(t, text, parse(t, text).String())
	}
	require.Equal(t, "cse,dce", parse(t, " cse , ,dce ").String())
	// A kernel's words may be quoted, as a printed graph has them.
	require.Equal(t, "fuse-embedding-norm{kernel=runs size=4,when=cheaper}", parse(t, `fuse-embedding-norm{kernel="runs  size=4",when="cheaper"}`).String())
	require.True(t, parse(t, "cse,fuse-residual{kernel=rows}").Pins())
	require.False(t, parse(t, "cse,fuse-residual{when=cheaper}").Pins())
	for text, want := range map[string]string{
		"fuse-atention":                                 `pipeline: unknown pass "fuse-atention"; did you mean "fuse-attention"?`,
		"fuse-residual{sum=true}":                       `pipeline: fuse-residual: unknown option "sum", it has sums, when, kernel; did you mean "sums"?`,
		"fuse-attention{kernel=banana}":                 `pipeline: fuse-attention: kernel=banana: no kernel has the word "banana"; there are matrices, tiles, rows, attention-rows, attention-parts, attention-tiles, attention-matrices, batched-columns, batched-elements, positions, runs, elements, row-norm, softmax-row, softmax-segments, argmax-parts, argmax-row, narrowed, copied, expanded, once, staged, direct, chunked, one-pass, sizes such as 64x64x16, and settings such as stages=2`,
		"fuse-attention{kernel=rows}":                   `pipeline: fuse-attention: kernel=rows: none of its kernels has these words; they are attention-rows, attention-parts, attention-tiles, attention-matrices`,
		"fuse-attention{kernel=attention-rows parts=4}": `pipeline: fuse-attention: kernel=attention-rows parts=4: none of its kernels has these words; they are attention-rows, attention-parts, attention-tiles, attention-matrices`,
		"fuse-residual{kernel=one-pass}":                `pipeline: fuse-residual: kernel=one-pass: none of its kernels has these words; they are matrices, tiles, rows`,
		"cut-softmax":                                   `pipeline: pass "cut-softmax" is now "choose-kernels"`,
		"fuse-attention-split":                          `pipeline: pass "fuse-attention-split" is now "fuse-attention{kernel=attention-parts}"`,
		"fuse-residual{sums=maybe}":                     `pipeline: fuse-residual: sums=maybe, want one of true, false`,
		"fuse-residual{sums=}":                          `pipeline: fuse-residual: sums=, want one of true, false`,
		"fuse-residual{when=}":                          `pipeline: fuse-residual: when=, want one of always, cheaper`,
		"fuse-residual{kernel=}":                        `pipeline: fuse-residual: kernel= has no value, want words of the kernel that regions get, such as one-pass; without it the cost model chooses`,
		`fuse-residual{kernel=" "}`:                     `pipeline: fuse-residual: kernel= has no value, want words of the kernel that regions get, such as one-pass; without it the cost model chooses`,
		`fuse-residual{kernel="tiles}`:                  `pipeline: fuse-residual: kernel="tiles: want words, or a quoted string`,
		"fuse-residual{sums}":                           `pipeline: fuse-residual: want option=value, have "sums"`,
		"fuse-residual{sums=true":                       `pipeline: fuse-residual: want } at the end of "fuse-residual{sums=true"`,
		"fuse-residual{sums=true,sums=true}":            `pipeline: fuse-residual: option "sums" stands twice`,
		"fuse-residual,fuse-residual":                   `pipeline: fuse-residual stands twice, at 1 and 2`,
		"fuse-attention,drop-repeat-kv":                 `pipeline: drop-repeat-kv must stand before fuse-attention: a region that holds the copy of the cache would be lowered with it`,
		"legalize,cse":                                  `pipeline: cse must stand before legalize: it checks what they leave`,
		"fuse-elementwise,fuse-gate-up-swiglu":          `pipeline: fuse-gate-up-swiglu must stand before fuse-elementwise: a chain would take up what others want as a prologue or an epilogue`,
		"canonicalize,fuse-qkv,canonicalize":            `pipeline: canonicalize must stand before fuse-qkv: patterns are written for canonical graphs`,
		"cse{x=1}":                                      `pipeline: cse: unknown option "x"; there is none`,
		"fuse-gate-up-swiglu{norm=true},split-":         `pipeline: unknown pass "split-"`,
		"choose-kernels,canonicalize":                   `pipeline: canonicalize must stand before choose-kernels: a kernel is chosen for operands as they lie, which edits change`,
		"choose-kernels,fuse-qkv":                       `pipeline: fuse-qkv must stand before choose-kernels: a kernel is chosen for operands as they lie, which fusions change`,
	} {
		_, err := passes.Parse(text)
		require.EqualError(t, err, want, text)
	}
}

func FuzzParsePipeline(f *testing.F) {
	for _, v := range passes.Variants() {
		p, err := passes.Variant(v)
		require.NoError(f, err)
		f.Add(p.String())
	}
	f.Add("fuse-residual{sums=true,sums=}},{")
	f.Fuzz(func(t *testing.T, text string) { parseTwice(t, text) })
}

// FuzzNearlyPipeline is FuzzParsePipeline on variants that are changed in few places; what
// is still a pipeline runs on a random graph.
func FuzzNearlyPipeline(f *testing.F) {
	words := wordsOfPipelines()
	for i := range passes.Variants() {
		f.Add(uint64(i), []byte{})
		f.Add(uint64(i), []byte{0, byte(i), 2, 3, 1, byte(i), 4})
	}
	x, err := target.Find(target.Default)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, seed uint64, choices []byte) {
		variants := passes.Variants()
		p, err := passes.Variant(variants[seed%uint64(len(variants))])
		require.NoError(t, err)
		p = parseTwice(t, mutate.Text(p.String(), words, mutate.From(choices)))
		g := irgen.Graph(seed)
		if p == nil || p.Run(g, &passes.Context{Target: x, Choices: cost.NewChoices(x, nil)}) != nil {
			return
		}
		again, err := ir.Parse("f.fir", g.String())
		require.NoError(t, err)
		require.Equal(t, g.String(), again.String())
	})
}

// wordsOfPipelines are words that may come into a pipeline's text.
func wordsOfPipelines() []string {
	words := []string{"true", "false", "cheaper", "always", kernel.AttentionInParts}
	for _, p := range passes.BuiltIn().Passes() {
		words = append(words, p.Name)
		for _, o := range p.Options {
			words = append(words, o.Name)
		}
	}
	return words
}

// What Parse says of variants of which a few words are others is kept: the calls, or the error.
func TestNearlyPipelines(t *testing.T) {
	words, variants := wordsOfPipelines(), passes.Variants()
	have := mutate.Outcomes(400, func(i int, c *mutate.Choices) string {
		p, err := passes.Variant(variants[i%len(variants)])
		require.NoError(t, err)
		p, err = passes.Parse(mutate.Text(p.String(), words, c))
		if err != nil {
			return err.Error()
		}
		return p.String()
	})
	require.NoError(t, mutate.Keep("testdata/nearly.txt", have, *update))
}

// parseTwice holds what is a pipeline to what it prints as.
func parseTwice(t *testing.T, text string) passes.Pipeline {
	p, err := passes.Parse(text)
	if err != nil {
		require.NotContains(t, err.Error(), "\n")
		return nil
	}
	again, err := passes.Parse(p.String())
	require.NoError(t, err)
	require.Equal(t, p.String(), again.String())
	return p
}

func TestVariants(t *testing.T) {
	seen := map[string]string{}
	for _, v := range passes.Variants() {
		p, err := passes.Variant(v)
		require.NoError(t, err, v)
		require.Empty(t, seen[v])
		seen[v] = p.String()
	}
	_, err := passes.Variant("fewst")
	require.EqualError(t, err, `unknown variant "fewst"; did you mean "fewest"?`)
	_, err = passes.Variant("no-canonicalize")
	require.Error(t, err)
	require.Equal(t, "unfused", passes.Ladder()[0])
	require.Equal(t, "fewest", passes.Ladder()[len(passes.Ladder())-1])
}

// Floor without one fusion has what that fusion took the place of: the rest of what the
// larger one does is still done.
func TestLeaveOneOutLeavesOneOut(t *testing.T) {
	for name, want := range map[string][]string{
		"no-qkv-rope-kv":    {"fuse-rmsnorm-qkv", "fuse-rope-kv"},
		"no-gate-up-swiglu": {"fuse-gate-up-swiglu{norm=false}"},
		"no-attention":      nil,
	} {
		p, err := passes.Variant(name)
		require.NoError(t, err)
		fewest, err := passes.Variant("fewest")
		require.NoError(t, err)
		calls, left := strings.Split(p.String(), ","), "fuse-"+strings.TrimPrefix(name, "no-")
		require.NotContains(t, calls, left)
		for _, c := range strings.Split(fewest.String(), ",") {
			require.True(t, c == left || strings.HasPrefix(c, left+"{") || slices.Contains(calls, c), "%s lacks %s", name, c)
		}
		require.Len(t, calls, len(fewest)-1+len(want))
		require.Subset(t, calls, want)
	}
	for _, name := range []string{"no-qkv-rope-kv", "no-gate-up-swiglu"} {
		_, _, aLayer := figures(t, "0.5b", name)
		require.Equal(t, 6, aLayer, "%s: one dispatch more than fewest", name)
	}
}

// Equal sites of different layers are one line, in their own order.
func TestExplainGroups(t *testing.T) {
	var log passes.Log
	g := model(t, "0.5b")
	p, err := passes.Variant("fewest")
	require.NoError(t, err)
	require.NoError(t, p.Run(g, &passes.Context{Log: &log}))
	groups := plan.Groups(log.Decisions)
	total := 0
	for _, g := range groups {
		total += g.Count
		require.Len(t, g.Layers, g.Count)
	}
	require.Equal(t, len(log.Decisions), total)
	require.Less(t, len(groups), 40)
	var text strings.Builder
	require.NoError(t, plan.Explain(&text, log.Decisions))
	require.Contains(t, text.String(), "fuse-attention{kernel=one-pass}\n  matched       24 x layers.0-23.scores")
}

// A refusal of the target reaches the log with its text, and nothing is fused.
func TestLowerableRefuses(t *testing.T) {
	g := decode(t, "0.5b")
	var log passes.Log
	cx := &passes.Context{Log: &log, Lowerable: func(n *ir.Node) error {
		if n.Attr.Pattern == "attention" {
			return errors.New("threadgroup bytes 40000 > 32768")
		}
		return nil
	}}
	require.NoError(t, parse(t, "canonicalize,fuse-attention,fuse-residual").Run(g, cx))
	for _, n := range g.Nodes() {
		require.NotEqual(t, "attention", n.Attr.Pattern)
	}
	refused := 0
	for _, d := range log.Decisions {
		if d.Pattern == "attention" {
			require.Equal(t, plan.Refused, d.Outcome)
			require.Equal(t, "apple-m3-pro cannot make one kernel of bmm_nt, softmax, bmm_nn: threadgroup bytes 40000 > 32768", d.Reason)
			refused++
		}
	}
	require.Equal(t, 24, refused)
}

// Where the target takes a norm whole but not in two steps, it stays whole; where
// it takes a region without its optional part, the reason says what is missing.
func TestPartsAreRefusedApart(t *testing.T) {
	has := func(n *ir.Node, op ir.Op) bool { return holds(n, op) }
	for _, refused := range []ir.Op{ir.OpSumSquares, ir.OpRMSScale} {
		g := decode(t, "0.5b")
		var log passes.Log
		p, err := passes.Variant("fewest")
		require.NoError(t, err)
		require.NoError(t, p.Run(g, &passes.Context{Log: &log, Lowerable: func(n *ir.Node) error {
			if has(n, refused) {
				return errors.New("not here")
			}
			return nil
		}}))
		for _, n := range g.Nodes() {
			require.False(t, has(n, ir.OpSumSquares) || has(n, ir.OpRMSScale))
		}
	}
	g := decode(t, "0.5b")
	var log passes.Log
	require.NoError(t, parse(t, "canonicalize,fuse-gate-up-swiglu").Run(g, &passes.Context{Log: &log, Lowerable: func(n *ir.Node) error {
		if has(n, ir.OpRMSNorm) {
			return errors.New("no norm here")
		}
		return nil
	}}))
	require.Contains(t, log.Decisions[0].Reason, "not more: apple-m3-pro cannot make one kernel of rms_norm, 2 matmul_nt, silu, mul: no norm here")
}

// A graph that cannot be lowered is an error that names the first such node.
func TestLegalizeNamesTheNode(t *testing.T) {
	err := parse(t, "legalize").Run(decode(t, "0.5b"), &passes.Context{Lowerable: func(n *ir.Node) error {
		if n.Op == ir.OpSilu {
			return errors.New("no kernel for silu")
		}
		return nil
	}})
	require.EqualError(t, err, "legalize: layers.0.silu silu cannot become a kernel of apple-m3-pro: no kernel for silu")
}

// Of a norm of which neither step can run, the first is named. A node that a graph pins to a
// kernel is asked about without its pin: what there is hangs on the whole graph.
func TestWhatIsAskedAboutNodes(t *testing.T) {
	g := decode(t, "0.5b")
	var log passes.Log
	require.NoError(t, parse(t, "split-norm").Run(g, &passes.Context{Log: &log, Lowerable: func(*ir.Node) error { return errors.New("not here") }}))
	refused := 0
	for _, d := range log.Decisions {
		if strings.Contains(d.Reason, "cannot run") {
			require.Equal(t, "apple-m3-pro cannot run a kernel that leaves the sums: not here", d.Reason)
			refused++
		}
	}
	require.NotZero(t, refused)
	var pinned []*ir.Node
	for _, n := range g.Nodes() {
		if n.Op == ir.OpSilu {
			n.Attr.Kernel = "elements"
			pinned = append(pinned, n)
		}
	}
	asked := 0
	require.NoError(t, parse(t, "legalize").Run(g, &passes.Context{Lowerable: func(n *ir.Node) error {
		require.Empty(t, n.Attr.Kernel, "%s", n)
		asked++
		return nil
	}}))
	require.Greater(t, asked, len(pinned))
	for _, n := range pinned {
		require.Equal(t, "elements", n.Attr.Kernel, "the graph's own stays")
	}
}

// A context that knows nothing of bounds would give words of kernels that lowering has not.
func TestChooseKernelsWantsChoices(t *testing.T) {
	require.EqualError(t, parse(t, "choose-kernels").Run(decode(t, "0.5b"), &passes.Context{}),
		"choose-kernels: the context has no choices of kernels, which know the bounds of values")
	require.NoError(t, parse(t, "choose-kernels").Run(decode(t, "0.5b"), chooses(t)))
}

// Fuel stops rewrites one by one, and bisection finds the one that matters.
func TestFuelAndBisect(t *testing.T) {
	p, err := passes.Variant("per-layer-6")
	require.NoError(t, err)
	compile := func(fuel int) (*ir.Graph, *passes.Fuel) {
		g := decode(t, "0.5b")
		f := &passes.Fuel{Left: fuel}
		require.NoError(t, p.Run(g, &passes.Context{Fuel: f}))
		return g, f
	}
	_, all := compile(1 << 20)
	require.Equal(t, 24*8, all.Used) // two repeats and six regions a layer
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, all.Used).Draw(rt, "fuel")
		g, f := compile(n)
		if f.Used != n || ir.Verify(g) != nil {
			rt.Fatalf("fuel %d made %d rewrites", n, f.Used)
		}
	})
	broken := func(g *ir.Graph) bool {
		for _, n := range g.Nodes() {
			if n.Label == "layers.7.attention" {
				return true
			}
		}
		return false
	}
	good, culprit, found, err := passes.Bisect(all.Used, func(fuel int) (bool, string, error) {
		g, f := compile(fuel)
		return broken(g), f.Last, nil
	})
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "fuse-attention layers.7.scores", culprit)
	g, _ := compile(good)
	require.False(t, broken(g))
	g, _ = compile(good + 1)
	require.True(t, broken(g))
	_, _, found, err = passes.Bisect(all.Used, func(int) (bool, string, error) { return false, "", nil })
	require.NoError(t, err)
	require.False(t, found)
}

func TestTraceAndHook(t *testing.T) {
	p, err := passes.Variant("per-layer-6")
	require.NoError(t, err)
	var trace []passes.Step
	var seen []string
	g := decode(t, "0.5b")
	require.NoError(t, p.Run(g, &passes.Context{Trace: &trace, After: func(pass string, g *ir.Graph) error {
		seen = append(seen, pass)
		return ir.Verify(g)
	}}))
	require.Len(t, trace, len(p))
	require.Len(t, seen, len(p))
	require.Equal(t, len(g.Nodes()), trace[len(trace)-1].After)
	for i := range trace[1:] {
		require.Equal(t, trace[i].After, trace[i+1].Before)
	}
	err = p.Run(decode(t, "0.5b"), &passes.Context{After: func(pass string, g *ir.Graph) error { return errors.New("stop at " + pass) }})
	require.EqualError(t, err, "stop at canonicalize")
}
