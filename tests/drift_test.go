package tests

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/frontends/decoder"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/passes"
)

// patternsAlone lists a pipeline for each pattern with nothing beside it.
func patternsAlone() []string {
	var out []string
	for _, p := range passes.BuiltIn().Passes() {
		if strings.HasPrefix(p.Name, "fuse-") {
			out = append(out, "canonicalize,cse,dce,drop-repeat-kv,"+p.Name+",legalize", "canonicalize,cse,dce,drop-repeat-kv,split-norm,"+p.Name+",legalize")
		}
	}
	return out
}

// compared are the compiles whose plans are held to what the cost model assumed.
func compared() (out []foundry.CompileOptions) {
	for _, v := range []string{"unfused", "per-layer-6", "default", "fewest"} {
		out = append(out, foundry.CompileOptions{Variant: v})
	}
	out = append(out, foundry.CompileOptions{Variant: "default", Weights: dtype.Q8_0}, foundry.CompileOptions{Variant: "unfused", Weights: dtype.Q8_0})
	for _, p := range patternsAlone() {
		out = append(out, foundry.CompileOptions{Passes: p})
	}
	return out
}

// The cost model weighs the kernels that lowering writes.
func TestCostWeighsWhatIsWritten(t *testing.T) {
	t.Parallel()
	found := map[string]string{} // what drifts, and an example
	for _, model := range []string{"kjv-2m", "synth:qwen2.5-0.5b", "synth:qwen2.5-7b"} {
		m, err := foundry.Open(model, foundry.Hub{})
		require.NoError(t, err)
		m.Config.Layers = 2 // as good as many
		for _, x := range []string{target.Default, "apple-m4-max", "h100"} {
			for _, o := range compared() {
				o.Target = x
				c, err := foundry.Compile(m, o)
				require.NoError(t, err)
				for i, g := range c.Entries {
					for d, at := range drifts(g, &c.Plan.Entries[i], c) {
						if found[d] == "" {
							found[d] = fmt.Sprintf("%s of %s for %s with %s%s: %s", g.Name, model, x, o.Variant, o.Passes, at)
						}
					}
				}
			}
		}
		require.NoError(t, m.Close())
	}
	for _, d := range slices.Sorted(maps.Keys(found)) {
		t.Errorf("%s: %s", d, found[d])
	}
}

// drifts lists where a plan's entry differs from what the cost model assumed of the
// nodes of its graph, with an example of each.
func drifts(g *ir.Graph, e *plan.Entry, c *compile.Compiled) map[string]string {
	out := map[string]string{}
	env := cost.Typical(g.Bounds)
	written := map[string][]*plan.Dispatch{} // by label; those of equal labels in order
	for _, s := range e.Steps {
		if d := s.Dispatch; d != nil {
			written[d.Label] = append(written[d.Label], d)
		}
	}
	take := func(label string) *plan.Dispatch {
		ds := written[label]
		if len(ds) == 0 {
			return nil
		}
		written[label] = ds[1:]
		return ds[0]
	}
	run := c.Choices.Finished(g, env)
	for _, n := range g.Nodes() {
		ks := run.Kernels(n)
		what := n.Op.String()
		if n.Region != nil {
			what = n.Attr.Pattern
		}
		for i, k := range ks {
			label, which := n.Label, what
			switch {
			case k.Early:
				label, which = label+".expand", which+" expand"
			case i > 0 && n.Op == ir.OpSample:
				label, which = label+"."+k.Name, which+" "+k.Name
			case i > 0 && !ks[i-1].Early:
				label, which = label+".merge", which+" merge"
			}
			d := take(label)
			if d == nil {
				out[what+": kernels"] = fmt.Sprintf("%s: %d assumed, %d written", n.Label, len(ks), i)
				break
			}
			w := &c.Plan.Kernels[d.Kernel]
			groups := d.Grid[0].Eval(env) * d.Grid[1].Eval(env) * d.Grid[2].Eval(env)
			if math.Ceil(k.Groups+k.Idle) != float64(groups) {
				out[which+": groups"] = fmt.Sprintf("%s: %v and %v idle assumed, %d of %s", label, k.Groups, k.Idle, groups, w.Name)
			}
			if threads := w.Threads[0] * w.Threads[1] * w.Threads[2]; k.Threads != float64(threads) {
				out[which+": threads"] = fmt.Sprintf("%s: %v assumed, %d of %s", label, k.Threads, threads, w.Name)
			}
			bytes := 0
			for _, b := range w.Threadgroup {
				bytes += b.Bytes
			}
			if k.Shared != bytes {
				out[which+": threadgroup bytes"] = fmt.Sprintf("%s: %d assumed, %d of %s", label, k.Shared, bytes, w.Name)
			}
			if moved := d.Moved.Eval(env); len(ks) == 1 && run.Stored.Moved(n).Eval(env) != moved {
				out[which+": bytes moved"] = fmt.Sprintf("%s: %d assumed, %d of %s", label, run.Stored.Moved(n).Eval(env), moved, w.Name)
			}
		}
	}
	for label, left := range written {
		if len(left) > 0 {
			out[left[0].Nodes[0].Op+": kernels"] = fmt.Sprintf("%s: %d written that nothing assumed", label, len(left))
		}
	}
	return out
}

// What has no bound lies in memory, and is multiplied, otherwise than what has one: the
// cost model weighs the kernels that it then gets. Of the same graphs with bounds it weighs
// others, so that these are cases of it.
func TestCostWeighsWhatHasNoBound(t *testing.T) {
	const weights = "\n%w = weight \"w\" : f16[1024, 512]\n%g = weight \"g\" : f32[512]\n"
	for name, text := range map[string]string{
		"rows that would be halves": `%x = input "x" : f32[T, 512]` + weights + `%h = silu %x @"h"
			%y = matmul_nt %h, %w @"y"
			return y=%y`,
		"a norm whose weight may be anything": `%x = input "x" : f32[T, 512]` + weights + `%z = input "z" : f32[512]
			%y = fused %x, %z, %w {pattern="norm-product"} @"y" {
				%a = arg : f32[T, 512]
				%b = arg : f32[512]
				%c = arg : f16[1024, 512]
				%h = rms_norm %a, %b {eps=1e-06}
				%p = matmul_nt %h, %c
				return %p
			}
			return y=%y`,
	} {
		g, err := ir.Parse("unbounded.fir", "graph @g (T=1..512, P=0..0, S<=512) {\n"+text+"\n}\n")
		require.NoError(t, err, name)
		for _, x := range []string{target.Default, "h100"} {
			c, err := foundry.Compile(&foundry.Model{Name: "unbounded.fir", Graph: g}, foundry.CompileOptions{Target: x, Variant: "unfused"})
			require.NoError(t, err, name)
			require.Empty(t, drifts(c.Entries[0], &c.Plan.Entries[0], c), "%s for %s", name, x)
			pinned, err := foundry.Compile(&foundry.Model{Name: "unbounded.fir", Graph: g}, foundry.CompileOptions{Target: x, Passes: "choose-kernels"})
			require.NoError(t, err, "%s for %s: what is chosen is written", name, x)
			require.Equal(t, c.Plan.Digests(), pinned.Plan.Digests(), "%s for %s: what is chosen is written", name, x)
			with := c.Choices
			c.Choices = cost.NewChoices(c.Target, nil)
			require.NotEmpty(t, drifts(c.Entries[0], &c.Plan.Entries[0], c), "%s for %s, with bounds", name, x)
			e := cost.Typical(g.Bounds)
			require.NotEqual(t, cost.WavesOf(c.Entries[0], c.Choices, e), cost.WavesOf(c.Entries[0], with, e), "%s for %s", name, x)
		}
	}
}

// Plans of several entries, with those for short contexts among them: their caches are bounded
// by what each of them writes.
func TestCostWeighsEachEntry(t *testing.T) {
	t.Parallel()
	looked := map[string]bool{}
	for _, model := range []string{"synth:qwen2.5-0.5b", "synth:qwen2.5-7b", "synth:qwen3-0.6b"} {
		m, err := foundry.Open(model, foundry.Hub{})
		require.NoError(t, err)
		m.Config.Layers = 2
		for _, x := range []string{target.Default, "apple-m5-max", "h100"} {
			for _, o := range []foundry.CompileOptions{
				{Variant: "default"}, {Variant: "unfused"}, {Variant: "default", Weights: dtype.Q8_0},
				{Passes: "canonicalize,cse,dce,drop-repeat-kv,fuse-attention{when=cheaper},legalize", PrefillPasses: "canonicalize,cse,dce,legalize"},
			} {
				o.Target, o.Context, o.Short, o.Sampler = x, 32768, []int{512, 4096}, true
				c, err := foundry.Compile(m, o)
				require.NoError(t, err)
				for i := range c.Plan.Entries {
					e := &c.Plan.Entries[i]
					g, err := c.Entry(e.Name)
					if e.Role == plan.Sample {
						g, err = decoder.Sampler(m.Config, o.Context)
					}
					require.NoError(t, err)
					looked[e.Name] = true
					require.Empty(t, drifts(g, e, c), "%s of %s for %s with %s%s", e.Name, model, x, o.Variant, o.Passes)
				}
			}
		}
		require.NoError(t, m.Close())
	}
	require.Equal(t, map[string]bool{"prefill": true, "decode": true, "decode_512": true, "decode_4096": true, "sample": true}, looked)
}
