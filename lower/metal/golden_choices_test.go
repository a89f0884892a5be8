package metal_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/irgen"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
)

// choicesFile has a line for each graph whose nodes get each of their kernels.
const choicesFile = "testdata/choices.txt"

// turns returns copies of g, so many at most, in each of which a node has another of its kernels:
// those from a number on, counted round.
func turns(g *ir.Graph, choices *cost.Choices, from, limit int) (out []*ir.Graph) {
	run := choices.Finished(g, cost.Typical(g.Bounds))
	can := make([][]kernel.Kernel, len(g.Nodes()))
	most := 1
	for i, node := range g.Nodes() {
		can[i] = slices.Collect(run.Candidates(node))
		most = max(most, min(limit, len(can[i])))
	}
	for turn := range most {
		c := g.Clone()
		for i, node := range c.Nodes() {
			if n := len(can[i]); n > 0 {
				node.Attr.Kernel = can[i][(from+turn)%n].String()
			}
		}
		out = append(out, c)
	}
	return out
}

// layersOfChoices are small layers of which each kind of kernel meets each kind of width: heads of
// 64, 80, 128 and 6, rows that fill blocks of 32 weights, of 256 or none.
func layersOfChoices(t *testing.T) map[string]decoder.Config {
	out := tiny()
	for name, c := range shapes(t) {
		if name == "small" || name == "normed" {
			out[name] = c
		}
	}
	return out
}

// What is written for each kernel that a node can get, chosen or not, changes on purpose only: for
// each pair of a target and a format of weights, in layers of each make, fused and not, and
// in random graphs and rare regions. A line is a sum over all those plans, each of which Check takes; of kernels that a
// node cannot get beside those of others, over the reason.
func TestGoldenChoices(t *testing.T) {
	layers := layersOfChoices(t)
	pipelines := []string{pipelineFewest, pipelineDefault, pipelineUnfused, "canonicalize,cse,drop-repeat-kv,fuse-qkv-rope-kv,fuse-attention-split-o,fuse-swiglu-down,fuse-gate-up,fuse-head,legalize"}
	var lines []string
	add := func(what string, in []metal.Entry, o metal.Options, limit int) {
		sum, plans := sha256.New(), 0
		o.Choices = metal.NewChoices(o.Target)
		for i := range in {
			for _, g := range turns(in[i].Graph, o.Choices, 4*len(lines)+i, limit) {
				o.Model.Chunk = int(g.Bounds.TMax)
				p, err := metal.Compile([]metal.Entry{{Name: in[i].Name, Graph: g}}, o)
				if err != nil {
					fmt.Fprintln(sum, err)
					continue
				}
				fmt.Fprintln(sum, digest(t, p))
				plans++
			}
		}
		lines = append(lines, fmt.Sprintf("%s: %d plans, %.6x", what, plans, sum.Sum(nil)))
	}
	names := []string{"hd64", "small", "normed", "hd128", "hd80", "hd6"}
	for i, w := range weightFormats() {
		for j := range 2 {
			x := []string{target.Default, "h200", "apple-m5-max", "cpu"}[(i+2*j+i/4)%4]
			name := names[(3+i+j)%len(names)]
			switch per, _ := w.Block(); {
			case per == 256: // widths of the others are no multiples
				name = "normed"
			case per > 1:
				name = names[(i+j)%3]
			}
			if c := layers[name]; per128(w) && (c.Hidden%128 != 0 || c.Intermediate%128 != 0) {
				name = "normed"
			}
			c := layers[name]
			c.Layers = 1
			pipeline := (i + 2*j) % len(pipelines)
			o := decoder.BuildOptions{Context: 128, Chunk: 32, Weights: w, Cache: []dtype.Type{dtype.F16, dtype.F32}[(i/2+j)%2]}
			if i%5 == 0 {
				o.Context, o.Chunk, o.AllLogits = 2048, 256, true
			}
			o.Context = min(o.Context, c.MaxPositions)
			target := targetNamed(t, x)
			add(fmt.Sprintf("%s, %s, pipeline %d, %v, cache %v, chunk %d", name, x, pipeline, w, o.Cache, o.Chunk),
				entries(t, c, o, pipelines[pipeline], target), options(c, o, target), 4)
		}
	}
	for seed := uint64(100); seed < 115; seed++ {
		x := targetNamed(t, []string{target.Default, "h200", "apple-m5-max"}[seed%3])
		g := irgen.Graph(seed)
		pipeline, err := passes.Parse(pipelines[seed%2])
		require.NoError(t, err)
		if err := pipeline.Run(g, &passes.Context{Target: x, Lowerable: metal.NewChoices(x).Lowerable}); err != nil {
			lines = append(lines, fmt.Sprintf("random graph %d: %v", seed, err))
			continue
		}
		add(fmt.Sprintf("random graph %d, %s", seed, x.Name), []metal.Entry{{Name: "decode", Graph: g}}, metal.Options{Target: x, Model: plan.Model{Name: "test", Layers: 100, Context: int(g.Bounds.SMax)}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}}, 4)
	}
	rare := rareGraphs(t)
	for _, name := range []string{target.Default, "h200", "apple-m5-max"} {
		x := targetNamed(t, name)
		for _, g := range rare {
			add(g.Name+", "+name, []metal.Entry{{Name: "decode", Graph: g}}, metal.Options{Target: x, Model: plan.Model{Context: int(g.Bounds.SMax)}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}}, 16)
		}
	}
	have := strings.Join(lines, "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile(choicesFile, []byte(have), 0o644))
	}
	want, err := os.ReadFile(choicesFile)
	require.NoError(t, err)
	require.Equal(t, string(want), have, "rewrite with -update")
}

// per128 reports whether rows of w must be multiples of 64 or 128, a group of an affine format.
func per128(w dtype.Type) bool {
	per, _ := w.Block()
	return per > 32
}
