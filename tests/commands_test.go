package tests

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"foundry/frontends/checkpoint"
	"foundry/ir/dtype"
	"foundry/runtime/bench"
	"foundry/runtime/eval"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"

	"foundry/runtime/child"
	"foundry/runtime/devicetest"
)

// ok runs a command that must succeed and returns what it printed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := foundryCmd(t, nil, args...)
	require.Zero(t, code, errs)
	return out
}

// fields returns the keys of a JSON object in their order.
func fields(t *testing.T, object string) []string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(object))
	_, err := d.Token()
	require.NoError(t, err)
	var out []string
	for d.More() {
		key, err := d.Token()
		require.NoError(t, err)
		out = append(out, key.(string))
		var value json.RawMessage
		require.NoError(t, d.Decode(&value))
	}
	return out
}

func TestEvalJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "logits.safetensors")
	ids := filepath.Join(t.TempDir(), "ids.txt")
	require.NoError(t, os.WriteFile(ids, []byte("40, 77\n258 1788,1241\n"), 0o666))
	out := ok(t, "eval", "--ids-file", ids, "--greedy", "3", "--top", "2", "--json", "--logits-out", file)
	require.Equal(t, 1, strings.Count(out, "\n"))
	require.Equal(t, []string{"model", "device", "passes", "prompt_ids", "top", "greedy_ids", "greedy_margins", "dispatches", "waves"}, fields(t, out))
	var e eval.Evaluation
	require.NoError(t, json.Unmarshal([]byte(out), &e))
	require.Equal(t, []int32{268, 258, 1036}, e.GreedyIDs)
	require.Len(t, e.GreedyMargins, 3)
	require.Len(t, e.Top, 2)
	require.InDelta(t, e.Top[0].Logit-e.Top[1].Logit, e.GreedyMargins[0], 1e-5)
	require.Positive(t, e.Dispatches)
	logits, err := checkpoint.Open(file)
	require.NoError(t, err)
	info, have := logits.Info("logits")
	require.True(t, have)
	require.Equal(t, []int64{5, 2048}, info.Shape)
	require.NoError(t, logits.Close())

	// An end token does not stop --greedy, and no greedy ids is an empty list.
	out = ok(t, "eval", "--ids", "2045", "--json")
	require.Contains(t, out, `"greedy_ids":[],"greedy_margins":[]`)
}

// Without a folder nothing is written, and the plan's numbers are shown.
func TestCompileWithoutFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{}, {"--explain"}} {
		out := ok(t, append([]string{"compile", "--model", "synth:qwen2.5-0.5b"}, args...)...)
		require.Regexp(t, `(?m)^decode \(T=1, P=0\): \d+ dispatches, \d+ waves`, out)
		require.NotContains(t, out, "written")
	}
	left, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestBenchStatistics(t *testing.T) {
	out := ok(t, "bench", "--model", "synth:qwen2.5-0.5b", "--variants", "unfused,per-layer-6,fewest", "--reps", "0", "--format", "json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 3)
	require.Equal(t, []string{"model", "device", "phase", "variant", "passes", "weights", "context", "prompt", "tokens", "dispatches", "waves", "barriers",
		"command_buffers", "weight_bytes", "moved_bytes", "arena_bytes", "modelled", "measured_us", "tok_s", "bandwidth_share", "flops", "target"}, fields(t, lines[0]))
	var rows []bench.Row
	for _, l := range lines {
		var r bench.Row
		require.NoError(t, json.Unmarshal([]byte(l), &r))
		require.Equal(t, r.Waves-1, r.Barriers)
		require.Nil(t, r.Measured)
		require.Positive(t, r.Modelled["apple-m3-pro"])
		rows = append(rows, r)
	}
	require.Equal(t, 24*28+5, rows[0].Dispatches)
	require.LessOrEqual(t, rows[1].Dispatches, 149)
	require.LessOrEqual(t, rows[2].Dispatches, 123)
	require.Greater(t, rows[0].Modelled["apple-m3-pro"], rows[2].Modelled["apple-m3-pro"])
	require.InDelta(t, 0.988e9, float64(rows[0].WeightBytes), 0.001e9)
	for _, format := range []string{"table", "markdown", "csv"} {
		require.Contains(t, ok(t, "bench", "--variants", "ladder", "--reps", "0", "--format", format), "fewest")
	}
	plot := filepath.Join(t.TempDir(), "ladder.svg")
	ok(t, "bench", "--variants", "unfused,per-layer-6", "--reps", "0", "--plot", plot)
	svg, err := os.ReadFile(plot)
	require.NoError(t, err)
	require.Contains(t, string(svg), "<svg")
}

func TestBenchMeasures(t *testing.T) {
	out := ok(t, "bench", "--device", "ref", "--variants", "unfused,per-layer-6", "--reps", "3", "--prompt", "16", "--format", "json")
	for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
		var r bench.Row
		require.NoError(t, json.Unmarshal([]byte(l), &r))
		require.Equal(t, 3, r.Measured.N)
		require.LessOrEqual(t, r.Measured.Min, r.Measured.Median)
		require.LessOrEqual(t, r.Measured.Median, r.Measured.Max)
		require.Equal(t, "emulation", r.Times)
		require.InEpsilon(t, 1e6/r.Measured.Median, *r.TokS, 1e-9)
	}
	out = ok(t, "bench", "--device", "ref", "--variants", "unfused", "--reps", "2", "--phase", "prefill", "--prompt", "8", "--format", "benchstat")
	require.Equal(t, 2, strings.Count(out, "BenchmarkPrefill/kjv-2m/unfused/device=ref 1 "))
}

func TestDot(t *testing.T) {
	require.Contains(t, ok(t, "dot", "--at", "input", "--layer", "0"), "kv_rearrange")
	fused := ok(t, "dot", "--collapse", "--variant", "per-layer-6")
	require.Contains(t, fused, "subgraph")
	require.Contains(t, fused, "rmsnorm-qkv")
	require.Contains(t, fused, "5")
	require.NotContains(t, ok(t, "dot", "--variant", "per-layer-6", "--stage", "after:drop-repeat-kv", "--layer", "1"), "rmsnorm-qkv")
	require.Contains(t, ok(t, "dot", "--variant", "per-layer-6", "--at", "plan", "--layer", "2"), "rmsnorm_qkv")
	require.Equal(t, fused, ok(t, "dot", "--collapse", "--variant", "per-layer-6"))
	dir := t.TempDir()
	ok(t, "dot", "-o", filepath.Join(dir, "x.html"))
	page, err := os.ReadFile(filepath.Join(dir, "x.html"))
	require.NoError(t, err)
	require.Contains(t, string(page), "<html")
	_, err = child.Find("dot")
	if err != nil {
		requireOneLine(t, nil, 1, "install it", "dot", "-o", filepath.Join(dir, "x.svg"))
	}
	devicetest.Need(t, err)
	ok(t, "dot", "--collapse", "-o", filepath.Join(dir, "x.svg"))
	svg, err := os.ReadFile(filepath.Join(dir, "x.svg"))
	require.NoError(t, err)
	require.Contains(t, string(svg), "<svg")
}

const mlp = `graph @mlp (T=1..8, P=0..0, S<=8) {
  %0 = input "x" : f32[T, 64]
  %1 = weight "norm" : f32[64]
  %2 = weight "gate" : f16[96, 64]
  %3 = weight "up" : f16[96, 64]
  %4 = weight "down" : f16[64, 96]
  %5 = rms_norm %0, %1 {eps=1e-06} : f32[T, 64] @"layers.0.norm"
  %6 = matmul_nt %5, %2 : f32[T, 96] @"layers.0.gate"
  %7 = matmul_nt %5, %3 : f32[T, 96] @"layers.0.up"
  %8 = silu %6 : f32[T, 96] @"layers.0.silu"
  %9 = mul %8, %7 : f32[T, 96] @"layers.0.mul"
  %10 = matmul_nt %9, %4 : f32[T, 64] @"layers.0.down"
  %11 = add %10, %0 : f32[T, 64] @"layers.0.resid"
  return y=%11
}
`

func firFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mlp.fir")
	require.NoError(t, os.WriteFile(path, []byte(mlp), 0o666))
	return path
}

func TestOpt(t *testing.T) {
	fir := firFile(t)
	require.Equal(t, mlp, ok(t, "opt", fir, "--passes", "dce"))
	out := ok(t, "opt", fir, "--variant", "per-layer-6")
	require.Contains(t, out, `pattern="gate-up-swiglu"`)
	require.Contains(t, out, `pattern="residual"`)
	require.NotContains(t, ok(t, "opt", fir, "--variant", "per-layer-6", "--fuel", "0"), "fused")
	require.Contains(t, ok(t, "opt", fir, "--variant", "per-layer-6", "--explain"), "matched")
	out = ok(t, "opt", fir, "--variant", "per-layer-6", "--print-after", "all")
	require.Contains(t, out, "// after input\n")
	require.Contains(t, out, "// after legalize\n")
	requireOneLine(t, nil, 1, "has no such pass", "opt", fir, "--variant", "per-layer-6", "--print-after", "fuse-head")
}

// A graph alone: inspected, drawn, compiled, and run with the same result on ref
// and from its plan.
func TestGraphFile(t *testing.T) {
	fir := firFile(t)
	require.Contains(t, ok(t, "inspect", fir), "matmul_nt")
	require.Contains(t, ok(t, "dot", "--model", fir, "--variant", "per-layer-6"), "gate-up-swiglu")
	dir := filepath.Join(t.TempDir(), "plan")
	require.Contains(t, ok(t, "compile", "--model", fir, "--variant", "per-layer-6", "-o", dir), "mlp (T=8, P=0): 2 dispatches")
	ref := filepath.Join(t.TempDir(), "ref.safetensors")
	ok(t, "eval", "--model", fir, "--tokens", "5", "--logits-out", ref)
	bench := ok(t, "bench", "--model", fir, "--variants", "unfused,per-layer-6", "--device", "ref", "--reps", "2")
	require.Contains(t, bench, " measured ")
	require.Contains(t, bench, "mlp.fir, mlp (T=8);")
	requireOneLine(t, nil, 1, "T=9 P=0 lies outside the graph's bounds", "eval", "--model", fir, "--tokens", "9")
	requireOneLine(t, nil, 1, `input "x" is missing`, "eval", "--model", fir, "--tokens", "5", "--inputs", ref)
	oncpu.Need(t)
	cpu := filepath.Join(t.TempDir(), "cpu.safetensors")
	ok(t, "eval", "--model", fir, "--device", "cpu", "--tokens", "5", "--logits-out", cpu)
	have, want := readFloats(t, cpu, "y"), readFloats(t, ref, "y")
	require.Len(t, want, 5*64)
	require.LessOrEqual(t, goldens.NMSE(have, want), 1e-11)

	// The file's values take the place of seeded ones.
	inputs := filepath.Join(t.TempDir(), "x.safetensors")
	writeTensor(t, inputs, checkpoint.Tensor{Name: "x", DType: dtype.F32, Shape: []int64{2, 64}, Data: make([]byte, 512)})
	zero := filepath.Join(t.TempDir(), "zero.safetensors")
	ok(t, "eval", "--model", fir, "--device", "cpu", "--tokens", "2", "--inputs", inputs, "--logits-out", zero)
	require.Equal(t, make([]float32, 128), readFloats(t, zero, "y"), "the graph maps zero to zero")
}

func writeTensor(t *testing.T, file string, tensor checkpoint.Tensor) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, checkpoint.WriteSafetensors(&b, []checkpoint.Tensor{tensor}))
	require.NoError(t, os.WriteFile(file, b.Bytes(), 0o666))
}

func readFloats(t *testing.T, file, tensor string) []float32 {
	t.Helper()
	s, err := checkpoint.Open(file)
	require.NoError(t, err)
	defer s.Close()
	return goldens.Floats(t, s, tensor)
}

func TestDiffAndInspect(t *testing.T) {
	bundles := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	for i, variant := range []string{"qkv", "qkv-bias"} {
		ok(t, "compile", "--variant", variant, "-o", bundles[i])
	}
	out := ok(t, append([]string{"diff"}, bundles...)...)
	require.Regexp(t, `(?m)^  decode   dispatch       5 x layers\.0\.q_bias +add$`, out)
	require.NotContains(t, out, "nothing")
	out = ok(t, "diff", "unfused", "per-layer-6")
	require.Contains(t, out, "decode   dispatches")
	require.Contains(t, out, "rmsnorm-qkv")
	require.Contains(t, ok(t, "inspect", "kjv-2m"), "bf16")
	require.Contains(t, ok(t, "devices"), "ref     yes")
}

// --prefill-passes: compile and inspect print both pipelines, bench counts what the
// phase has, and what it would not apply to is refused.
func TestPrefillPassesCommand(t *testing.T) {
	const own = "canonicalize,cse,dce,drop-repeat-kv,fuse-attention,legalize"
	dir := filepath.Join(t.TempDir(), "plan")
	require.Contains(t, ok(t, "compile", "--variant", "per-layer-6", "--prefill-passes", own, "-o", dir), "passes of prefill: "+own+"\n")
	require.Contains(t, ok(t, "inspect", dir), "passes of prefill: "+own+"\n")
	require.NotContains(t, ok(t, "compile", "--variant", "per-layer-6", "-o", dir), "passes of prefill")
	for _, phase := range []string{"decode", "prefill"} {
		args := []string{"bench", "--phase", phase, "--prompt", "16", "--reps", "0", "--json"}
		perLayer6 := benchRows(t, ok(t, append(args, "--variant", "per-layer-6")...))[0]
		both := benchRows(t, ok(t, append(args, "--variant", "per-layer-6", "--prefill-passes", own)...))[0]
		if phase == "decode" {
			both.ArenaBytes = perLayer6.ArenaBytes // both entries lie in it
			require.Equal(t, perLayer6, both)
		} else {
			require.Equal(t, own, both.Passes)
			require.Greater(t, both.Dispatches, perLayer6.Dispatches)
		}
	}
	requireOneLine(t, nil, 2, "leave out --prefill-passes", "diff", "per-layer-6", "fewest", "--prefill-passes", own)
	requireOneLine(t, nil, 2, "goes with --passes or --variant", "bench", "--variants", "per-layer-6,fewest", "--reps", "0", "--prefill-passes", own)
	requireOneLine(t, nil, 1, "leave out the passes for prefill", "compile", "--model", firFile(t), "--explain", "--prefill-passes", own)
}

func TestRun(t *testing.T) {
	out := ok(t, "run", "--device", "ref", "--prompt", "And the LORD spake unto Moses, saying,", "-n", "13")
	require.Equal(t, "And the LORD spake unto Moses, saying, Speak unto the children of Israel, and say unto them,\n", out)
	a := ok(t, "run", "--device", "ref", "--prompt", "In the", "-n", "12", "--temperature", "0.9", "--seed", "3")
	require.Equal(t, a, ok(t, "run", "--device", "ref", "--prompt", "In the", "-n", "12", "--temperature", "0.9", "--seed", "3"))
	require.NotEqual(t, a, ok(t, "run", "--device", "ref", "--prompt", "In the", "-n", "12", "--temperature", "0.9", "--seed", "4"))
	requireOneLine(t, nil, 1, "there is no chat template", "run", "--device", "ref", "--chat", "--prompt", "x")
}

// The command of --bisect sees the graph after each number of rewrites; the first
// with which it fails is named, with what the log says of it.
func TestOptBisect(t *testing.T) {
	fir := firFile(t)
	out := ok(t, "opt", fir, "--variant", "per-layer-6", "--bisect", `! grep -q 'pattern="residual"' {}`)
	require.Contains(t, out, "    2 rewrites: fails (exit code 1)\n    0 rewrites: passes\n    1 rewrites: ")
	require.Regexp(t, `rewrite [12] of 2 is the first with which it fails: fuse-residual layers\.0\.resid\n  matmul_nt, add: 2 nodes become one, `, out)
	out = ok(t, "opt", "--variant", "fewest", "--bisect", "test {fuel} -lt 17", "--model", "kjv-2m")
	require.Contains(t, out, "rewrite 17 of ")

	requireOneLine(t, nil, 1, "nothing is broken with all 2 rewrites", "opt", fir, "--variant", "per-layer-6", "--bisect", "true {}")
	requireOneLine(t, nil, 1, "it is broken before any rewrite", "opt", fir, "--variant", "per-layer-6", "--bisect", "false {}")
	requireOneLine(t, nil, 1, "the command cannot be run", "opt", fir, "--variant", "per-layer-6", "--bisect", "no-such-command {}")
	requireOneLine(t, nil, 2, "holds neither {}", "opt", fir, "--bisect", "true")
	requireOneLine(t, nil, 2, "leave out --fuel", "opt", fir, "--bisect", "true {}", "--fuel", "3")
	requireOneLine(t, nil, 2, "a model's command takes {fuel}", "opt", "--model", "kjv-2m", "--bisect", "true {}")
	requireOneLine(t, nil, 2, "give FILE.fir, or a model", "opt")
}

func TestRunPrintsItsRate(t *testing.T) {
	var a struct {
		IDs  []int32  `json:"ids"`
		Text string   `json:"text"`
		TokS *float64 `json:"tok_s"`
	}
	out := ok(t, "run", "--device", "ref", "--prompt", "In the beginning", "-n", "4", "--json")
	require.NoError(t, json.Unmarshal([]byte(out), &a))
	require.Len(t, a.IDs, 4)
	require.Greater(t, *a.TokS, 0.0)
	require.Equal(t, "In the beginning"+a.Text+"\n", ok(t, "run", "--device", "ref", "--prompt", "In the beginning", "-n", "4"))
}
