package tests

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"foundry"
	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"

	"github.com/stretchr/testify/require"
)

// fusionPasses are the passes that make the known fusions.
func fusionPasses() []string {
	var out []string
	for _, p := range passes.BuiltIn().Passes() {
		if strings.HasPrefix(p.Name, "fuse-") || p.Name == "drop-repeat-kv" || p.Name == "split-norm" || p.Name == "join-norm" {
			out = append(out, p.Name)
		}
	}
	return out
}

// What a person can act on: a match and a loss have numbers, and a refusal says
// what took the operations, what else uses them, what stands there, or what the
// target lacks.
var reasons = map[string]*regexp.Regexp{
	plan.Matched:      regexp.MustCompile(`[0-9] (fewer|bytes|sums)|[0-9] [kMGT]?B less moved`),
	plan.Unprofitable: regexp.MustCompile(`predicted [0-9.]+ [mun]?s,? .*[0-9.]+`),
	plan.Taken:        regexp.MustCompile(`^[a-z-]+ has taken [a-z_0-9, ]+ already`),
	plan.NoSite:       regexp.MustCompile(`^nowhere in the graph do |^the graph has no |^no [a-z]+ stands alone$|^split-norm has made all `),
	plan.Refused: regexp.MustCompile(`has a second use \(used by|; the pattern wants |` +
		`^no (other )?[a-z_ ]+ takes |cannot (make one kernel of|run a kernel that) .*: |is neither .* nor .*, so no kernel could`),
}

// On Apple GPUs of every family and size and on the H100, every fusion of the table stands in the log
// of decode and of prefill, with a match or with a reason.
func TestExplainNamesEveryFusion(t *testing.T) {
	names := fusionPasses()
	for _, size := range []string{"0.5b", "1.5b", "7b"} {
		for _, x := range []string{"apple-m1", "apple-m2-pro", target.Default, "apple-m3-ultra", "apple-m4-max", "apple-m5", "h100"} {
			m, err := foundry.Open("synth:qwen2.5-"+size, foundry.Hub{})
			require.NoError(t, err)
			m.Config.Layers = 2
			g, err := foundry.Fuse(m, foundry.CompileOptions{Target: x})
			require.NoError(t, err)
			outcomes := map[string]string{}
			for _, d := range g.Decisions {
				if d.Pass == "legalize" {
					continue // it takes back what nothing took up, and says so
				}
				require.Regexp(t, reasons[d.Outcome], d.Reason, "%s %s %s %s", size, x, d.Pass, d.Outcome)
				pass, _, _ := strings.Cut(d.Pass, "{")
				outcomes[d.Entry+" "+pass] = d.Outcome
			}
			for _, e := range g.Entries {
				for _, n := range names {
					require.NotEmpty(t, outcomes[e.Name+" "+n], "%s %s: %s of %s", size, x, n, e.Name)
				}
			}
		}
	}
}

// What a person reads: a line for equal sites of all layers, with their count.
func TestExplainText(t *testing.T) {
	for size, layers := range map[string]string{"0.5b": "24 x layers.0-23.", "1.5b": "28 x layers.0-27.", "7b": "28 x layers.0-27."} {
		text := ok(t, "compile", "--model", "synth:qwen2.5-"+size, "--explain")
		decode, _, found := strings.Cut(text, "== prefill\n")
		require.True(t, found)
		for _, n := range fusionPasses() {
			require.Regexp(t, `(?m)^`+n+`(\{.*\})?$`, decode)
		}
		require.Greater(t, strings.Count(decode, layers), 15)
		require.Less(t, strings.Count(decode, "\n"), 60, "equal sites share a line")
	}
}

// explained runs the default pipeline over a cut-down 0.5b with q8_0 gate and up
// on a changed target, and returns the log.
func explained(t *testing.T, change func(*target.Target)) ([]plan.Decision, error) {
	t.Helper()
	x, err := target.Find(target.Default)
	require.NoError(t, err)
	change(x)
	c, err := qwen25.Family.Preset("0.5b")
	require.NoError(t, err)
	c.Layers = 2
	g, err := decoder.Build(c, decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16,
		WeightType: func(name string) dtype.Type {
			if strings.Contains(name, "gate_proj") || strings.Contains(name, "up_proj") {
				return dtype.Q8_0
			}
			return dtype.F16
		}})
	require.NoError(t, err)
	g, err = g.Specialise(1)
	require.NoError(t, err)
	p, err := passes.Variant("default")
	require.NoError(t, err)
	var log passes.Log
	err = p.Run(g, &passes.Context{Target: x, Log: &log, Lowerable: metal.NewChoices(x).Lowerable})
	return log.Decisions, err
}

// A format without kernels is the reason in the log and the end of the compile; a
// limit that a fused kernel breaks is a reason, and smaller kernels serve.
func TestLimitsAreExplained(t *testing.T) {
	log, err := explained(t, func(x *target.Target) {
		x.Limits.Weights = slices.DeleteFunc(x.Limits.Weights, func(s string) bool { return s == "q8_0" })
	})
	const only = "no kernel for q8_0 weights, only for f32, f16, bf16, q4_0,"
	require.ErrorContains(t, err, "gate_proj matmul_nt cannot become a kernel of apple-m3-pro: "+only)
	require.Contains(t, reasonOf(t, log, "gate-up-swiglu"), "apple-m3-pro cannot make one kernel of rms_norm, 2 matmul_nt, silu, mul: "+only)

	log, err = explained(t, func(x *target.Target) { x.Limits.Cache = []string{"f32"} })
	require.ErrorContains(t, err, "k_write kv_write cannot become a kernel of apple-m3-pro: no kernel for a f16 cache, only for f32")
	require.Regexp(t, `apple-m3-pro cannot make one kernel of .*kv_write: no kernel for a f16 cache, only for f32`, reasonOf(t, log, "rope-kv"))

	log, err = explained(t, func(x *target.Target) { x.Limits.Slots = 12 })
	require.NoError(t, err)
	require.Regexp(t, `apple-m3-pro cannot make one kernel of .*kv_write: 1[3-9] buffer slots > 12`, reasonOf(t, log, "qkv-rope-kv"))
}

// reasonOf returns what the log says of the pattern in layer 1.
func reasonOf(t *testing.T, log []plan.Decision, pattern string) string {
	t.Helper()
	for _, d := range log {
		if d.Pattern == pattern && d.Layer == 1 {
			t.Log(d.Outcome, d.Reason)
			return d.Reason
		}
	}
	require.Fail(t, "no decision for "+pattern)
	return ""
}
