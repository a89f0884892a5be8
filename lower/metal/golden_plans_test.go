package metal_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/frontends/qwen3"
	"foundry/ir/dtype"
	"foundry/ir/irgen"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
)

// plansFile has a line for each of many plans: of a layer, of a random graph, of an operation
// with each kernel that it can get.
const plansFile = "testdata/plans.txt"

// setting is what a plan of a layer is made for.
type setting struct {
	shape, target, pipeline, length string
	weights, cache                  dtype.Type
	buffers, chain                  int // of the options; 0: the compiler's choice
}

// shapes are layers of each make: biases or norms of heads, few heads a key head or many,
// rows that fill blocks or do not, and the real widths of two models.
func shapes(t *testing.T) map[string]decoder.Config {
	small := decoder.Config{Arch: qwen25.Family.Arch, Layers: 1, Hidden: 192, Intermediate: 320, Heads: 3, KVHeads: 1, HeadDim: 64, Vocab: 300, MaxPositions: 4096, NormEps: 1e-6, RopeTheta: 1e6, Tied: true}
	normed := decoder.Config{Arch: qwen3.Family.Arch, Layers: 1, Hidden: 512, Intermediate: 1536, Heads: 4, KVHeads: 2, HeadDim: 128, Vocab: 1000, MaxPositions: 4096, NormEps: 1e-6, RopeTheta: 1e6}
	half, err := qwen25.Family.Preset("0.5b")
	require.NoError(t, err)
	seven, err := qwen25.Family.Preset("7b")
	require.NoError(t, err)
	half.Layers, seven.Layers = 1, 1
	return map[string]decoder.Config{"small": small, "normed": normed, "0.5b": half, "7b": seven}
}

// settings meet every target with every dtype of weights, and the rest in turn.
func settings() (out []setting) {
	lengths := []string{"short", "long", "long, all rows"}
	affine, _ := dtype.Affine{Bits: 4, Group: 64, Scales: dtype.BF16}.Type()
	for i, x := range []string{target.Default, "apple-m5-max", "h200", "cpu"} {
		for j, w := range []dtype.Type{dtype.F32, dtype.F16, dtype.BF16, dtype.Q8_0, dtype.Q6_K, dtype.Q5_K, dtype.Q5_1, dtype.Q4_K, dtype.Q4_0, dtype.Q3_K, dtype.IQ4_NL, affine} {
			n := i + j
			shape := []string{"small", "normed", "0.5b", "7b"}[(n+j/4)%4]
			if per, _ := w.Block(); per == 256 { // widths of the others are no multiples
				shape = []string{"normed", "7b"}[n%2]
			}
			out = append(out, setting{
				shape: shape, target: x, weights: w, pipeline: []string{"default", "fewest", "unfused"}[(n+i/3)%3], length: lengths[(n/2+i)%3],
				cache: []dtype.Type{dtype.F16, dtype.F32}[(n/3)%2], buffers: []int{0, 3, 0, 1, 0}[n%5], chain: []int{0, 0, 7}[(n/2)%3],
			})
		}
	}
	return out
}

// digest tells plans apart, but for the text of stage files: those stand in shaders/.
func digest(t *testing.T, p *plan.Plan) string {
	q := *p
	q.Hash = ""
	q.Kernels = slices.Clone(p.Kernels)
	sum := sha256.New()
	for i := range q.Kernels {
		k := &q.Kernels[i]
		_, body, _ := strings.Cut(k.Source, "// ---- kernel ----\n")
		fmt.Fprintf(sum, "%s\n%s", k.Name, body)
		k.SHA256 = ""
	}
	q.Entries = slices.Clone(p.Entries)
	for i := range q.Entries {
		q.Entries[i].Modelled = nil // what the model says of them is in ir/cost's tables
	}
	text, err := json.Marshal(&q)
	require.NoError(t, err)
	sum.Write(text)
	dispatches, waves := 0, 1
	for i := range p.Entries {
		for _, s := range p.Entries[i].Steps {
			if s.Barrier {
				waves++
			} else {
				dispatches++
			}
		}
	}
	return fmt.Sprintf("%d kernels, %d dispatches, %d waves, arena %d: %.6x", len(p.Kernels), dispatches, waves, p.ArenaBytes, sum.Sum(nil))
}

// What lowering writes changes on purpose only, for each format on each kind of target, in
// layers of many makes and in random graphs: kernels' bodies and heads, buffers, grids,
// barriers and command buffers.
func TestGoldenPlans(t *testing.T) {
	configs := shapes(t)
	pipelines := map[string]string{"default": pipelineDefault, "fewest": pipelineFewest, "unfused": "canonicalize,cse,legalize"}
	var lines []string
	for _, s := range settings() {
		c, x := configs[s.shape], targetNamed(t, s.target)
		o := decoder.BuildOptions{Context: 128, Chunk: 32, Weights: s.weights, Cache: s.cache}
		if s.length != "short" {
			o.Context, o.Chunk, o.AllLogits = 4096, 512, s.length == "long, all rows"
		}
		in, made := entries(t, c, o, pipelines[s.pipeline], x), options(c, o, x)
		made.CommandBuffers, made.Chain, made.Meta.AllLogits = s.buffers, s.chain, o.AllLogits
		if s.length == "long" {
			sampler, err := decoder.Sampler(c, o.Context)
			require.NoError(t, err)
			in = append(in, metal.Entry{Name: sampler.Name, Role: plan.Sample, Graph: sampler})
		}
		p, err := metal.Compile(in, made)
		require.NoError(t, err, "%v", s)
		lines = append(lines, fmt.Sprintf("%s, %s, %s, %s, %v, cache %v, %d buffers, chain %d: %s",
			s.shape, s.target, s.pipeline, s.length, s.weights, s.cache, s.buffers, s.chain, digest(t, p)))
	}
	for seed := uint64(0); seed < 20; seed++ {
		x := targetNamed(t, []string{target.Default, "h200"}[seed%2])
		g := irgen.Graph(seed)
		pipeline, err := passes.Parse([]string{"canonicalize,cse,legalize", pipelineFewest, pipelineDefault}[seed%3])
		require.NoError(t, err)
		require.NoError(t, pipeline.Run(g, &passes.Context{Target: x, Lowerable: metal.NewChoices(x).Lowerable}))
		p, err := metal.Compile([]metal.Entry{{Name: "decode", Graph: g}}, metal.Options{Target: x, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
		require.NoError(t, err)
		lines = append(lines, fmt.Sprintf("random graph %d: %s", seed, digest(t, p)))
	}
	cases := opCases()
	for i, name := range slices.Sorted(maps.Keys(cases)) { // with each kernel that it can get
		x := targetNamed(t, []string{target.Default, "h200", "apple-m5-max"}[i%3])
		g := alone(parse(t, "T=1..9, P=0..64, S<=73", cases[name]), "g")
		sum, graphs := sha256.New(), append(choices(g, x), g)
		for _, g := range graphs {
			p, err := metal.Compile([]metal.Entry{{Name: "decode", Graph: g}}, metal.Options{Target: x, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
			require.NoError(t, err)
			fmt.Fprintln(sum, digest(t, p))
		}
		lines = append(lines, fmt.Sprintf("%s, %s, with each of %d kernels: %.6x", name, x.Name, len(graphs)-1, sum.Sum(nil)))
	}
	have := strings.Join(lines, "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile(plansFile, []byte(have), 0o644))
	}
	want, err := os.ReadFile(plansFile)
	require.NoError(t, err)
	require.Equal(t, string(want), have, "rewrite with -update")
}
