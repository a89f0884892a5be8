package passes_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/irgen"
	"foundry/lower/plan"
	"foundry/passes"
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
	for _, name := range irgen.Mutations() {
		mutant := refusals(t, name)
		met := map[string]bool{}
		for reason, by := range mutant {
			if sound[reason] == nil {
				for _, pass := range by {
					met[pass] = true
				}
				t.Logf("%-16s %s: %s", name, strings.Join(by, ", "), reason)
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
}
