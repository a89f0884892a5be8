package passes_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/irgen"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/tests/mutate"
)

// refusals runs each fusing pass by itself over pieces of a model with the named
// mutation, and returns the reasons that the log gives for what it refused, with
// the passes that gave them.
func refusals(t *testing.T, mutation ...string) map[string][]string {
	t.Helper()
	prepare := parse(t, "canonicalize,cse,dce")
	out := map[string][]string{}
	for seed := range uint64(12) {
		g := irgen.Layers(rand.New(rand.NewPCG(seed, 7)), mutation...)
		require.NoError(t, prepare.Run(g, &passes.Context{}))
		for _, name := range fusions() {
			var log passes.Log
			require.NoError(t, parse(t, name).Run(g.Clone(), &passes.Context{Log: &log}))
			for _, d := range log.Decisions {
				if d.Outcome == plan.Refused && !slices.Contains(out[d.Reason], name) {
					out[d.Reason] = append(out[d.Reason], name)
				}
			}
		}
	}
	return out
}

// opsOfLayers are the operations of the layers that refusals looks at.
func opsOfLayers() map[ir.Op]bool {
	out := map[ir.Op]bool{}
	for seed := range uint64(12) {
		for _, n := range irgen.Layers(rand.New(rand.NewPCG(seed, 7))).Nodes() {
			out[n.Op] = true
		}
	}
	return out
}

func fusions() []string {
	var out []string
	for _, p := range passes.BuiltIn().Passes() {
		if strings.HasPrefix(p.Name, "fuse-") || p.Name == "split-norm" || p.Name == "drop-repeat-kv" {
			out = append(out, p.Name)
		}
	}
	return out
}

// A site that is spoilt in one way is refused with a reason that no sound site
// gets, and every pass has such sites; what does not matter to a fusion, or leaves
// a smaller form of it, brings no reason.
func TestEachSpoiltSiteHasItsReason(t *testing.T) {
	harmless := []string{
		"all-rows", "embedding-used", "scale-one", // the patterns do not ask
		"post-norm-used", // gate and up without the norm
		"no-silu",        // nothing like SwiGLU is there
	}
	sound := refusals(t)
	spoilt := map[string]int{}
	var said strings.Builder // what is new of each mutation
	for _, reason := range slices.Sorted(maps.Keys(sound)) {
		fmt.Fprintf(&said, "as it is: %s: %s\n", strings.Join(sound[reason], ", "), reason)
	}
	for _, name := range irgen.Mutations() {
		mutant := refusals(t, name)
		met := map[string]bool{}
		for _, reason := range slices.Sorted(maps.Keys(mutant)) {
			by := mutant[reason]
			if sound[reason] == nil {
				for _, pass := range by {
					met[pass] = true
				}
				fmt.Fprintf(&said, "%s: %s: %s\n", name, strings.Join(by, ", "), reason)
			}
		}
		quiet := slices.Contains(harmless, name) || strings.HasPrefix(irgen.Mutation(name), "same:")
		require.Equal(t, quiet, len(met) == 0, "%s: %s", name, irgen.Mutation(name))
		for pass := range met {
			spoilt[pass]++
		}
	}
	model := opsOfLayers()
	for _, name := range fusions() {
		t.Logf("%-24s spoilt in %d ways", name, spoilt[name])
		if ops := passes.OpsOf(name); slices.ContainsFunc(ops, func(o ir.Op) bool { return !model[o] }) {
			t.Logf("%-24s is of operations that no layer has; its texts alone say what it refuses", name)
			continue
		}
		require.NotZero(t, spoilt[name], name)
	}
	require.NoError(t, mutate.Keep("testdata/spoilt.txt", said.String(), *update))
}

// What each named variant decides over one layer of a model, on a target of each family,
// stands in testdata/decisions.txt: sites, reasons and what they are predicted to save.
// What two variants decide alike is written once.
func TestDecisionsOfVariants(t *testing.T) {
	var b strings.Builder
	for _, name := range []string{"apple-m3-pro", "h200"} {
		x := machine(t, name)
		choices := cost.NewChoices(x, nil)
		for _, g := range oneLayerOf(t, "0.5b") {
			seen := map[string]bool{}
			for _, variant := range passes.Variants() {
				p, err := passes.Variant(variant)
				require.NoError(t, err)
				var log passes.Log
				require.NoError(t, p.Run(g.Clone(), &passes.Context{Target: x, Choices: choices, Lowerable: choices.Lowerable, Log: &log}))
				for _, d := range log.Decisions {
					line := fmt.Sprintf("%s %s layer %d: %s, %s; %d bytes, %d waves", d.Pass, d.Node, d.Layer, d.Outcome, d.Reason, d.Bytes, d.Waves)
					if !seen[line] {
						seen[line] = true
						fmt.Fprintf(&b, "%s %s %s: %s\n", name, g.Name, variant, line)
					}
				}
			}
		}
	}
	require.NoError(t, mutate.Keep("testdata/decisions.txt", b.String(), *update))
}

// oneLayerOf returns the graphs of a size with one layer, prefill and decode.
func oneLayerOf(t *testing.T, size string) []*ir.Graph {
	t.Helper()
	c, err := qwen25.Family.Preset(size)
	require.NoError(t, err)
	c.Layers = 1
	prefill, err := decoder.Build(c, decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.Q4_0, Cache: dtype.F16})
	require.NoError(t, err)
	decode, err := prefill.Specialise(1)
	require.NoError(t, err)
	decode.Name = "decode"
	return []*ir.Graph{prefill, decode}
}
