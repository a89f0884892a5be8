package tests

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"foundry/cmd/foundry/cli"
	"foundry/frontends/checkpoint"
	"foundry/ir/dtype"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"
)

// foundryCmd runs one command line in this process.
func foundryCmd(t *testing.T, env map[string]string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = cli.Main(context.Background(), args, cli.IO{
		In: strings.NewReader(""), Out: &stdout, Err: &stderr,
		Env:     func(name string) string { return env[name] },
		Confine: func() error { return nil }, // the tests' process keeps its rights
	})
	return code, stdout.String(), stderr.String()
}

// modelDir copies the small model to a folder of its own and lets change damage
// it.
func modelDir(t *testing.T, change func(dir string)) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors"} {
		b, err := os.ReadFile(filepath.Join("testdata", "rand-hd64", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o666))
	}
	change(dir)
	return dir
}

// config returns a change that sets fields of config.json; nil removes one.
func config(t *testing.T, fields map[string]any) func(string) {
	return func(dir string) {
		path := filepath.Join(dir, "config.json")
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		all := map[string]any{}
		require.NoError(t, json.Unmarshal(b, &all))
		for k, v := range fields {
			if v == nil {
				delete(all, k)
			} else {
				all[k] = v
			}
		}
		b, err = json.Marshal(all)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, b, 0o666))
	}
}

// weights returns a change of model.safetensors: of its header, its length field
// or all of it.
func weights(t *testing.T, edit func(file []byte) []byte) func(string) {
	return func(dir string) {
		path := filepath.Join(dir, "model.safetensors")
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, edit(b), 0o666))
	}
}

// header returns a change of the safetensors header's entries.
func header(t *testing.T, edit func(entries map[string]map[string]any)) func(string) {
	return weights(t, func(file []byte) []byte {
		n := binary.LittleEndian.Uint64(file)
		entries := map[string]map[string]any{}
		require.NoError(t, json.Unmarshal(file[8:8+n], &entries))
		edit(entries)
		text, err := json.Marshal(entries)
		require.NoError(t, err)
		out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
		return append(append(out, text...), file[8+n:]...)
	})
}

// Every kind of bad input is one line that says what is wrong, exit code 1, and
// nothing written.
func TestBadInput(t *testing.T) {
	const q0 = "model.layers.0.self_attn.q_proj.weight"
	whole := func(text string) func(string) {
		return weights(t, func([]byte) []byte { return []byte(text) })
	}
	for _, c := range []struct {
		name   string
		change func(dir string)
		want   string
	}{
		{"truncated safetensors", weights(t, func(b []byte) []byte { return b[:len(b)-100] }), "model.safetensors"},
		{"header beyond the file", weights(t, func(b []byte) []byte {
			binary.LittleEndian.PutUint64(b, 1<<40)
			return b
		}), "header"},
		{"overlapping tensors", header(t, func(e map[string]map[string]any) {
			e["model.norm.weight"]["data_offsets"] = e["model.layers.0.input_layernorm.weight"]["data_offsets"]
		}), "overlap"},
		{"unknown dtype", header(t, func(e map[string]map[string]any) { e[q0]["dtype"] = "F5" }), `"F5"`},
		{"empty safetensors", whole(""), "model.safetensors"},
		{"empty config", func(dir string) { require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), nil, 0o666)) }, "config.json: not JSON"},
		{"no config", func(dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "config.json"))) }, "config.json"},
		{"no heads", config(t, map[string]any{"num_attention_heads": nil}), "num_attention_heads is missing"},
		{"eps", config(t, map[string]any{"rms_norm_eps": 0}), "rms_norm_eps is 0, want 1e-30 to 1"},
		{"negative eps", config(t, map[string]any{"rms_norm_eps": -1e-6}), "rms_norm_eps is -1e-06, want 1e-30 to 1"},
		{"two billion layers", config(t, map[string]any{"num_hidden_layers": 2000000000}), "num_hidden_layers is 2000000000, want 1 to"},
		{"hidden not divisible", config(t, map[string]any{"num_attention_heads": 3}), "hidden_size 128 is not divisible by num_attention_heads 3"},
		{"llama", config(t, map[string]any{"model_type": "llama"}), "this is a llama model; foundry compiles qwen2 and qwen3"},
		{"experts", config(t, map[string]any{"model_type": "qwen3_moe"}), "this is a qwen3_moe model: its layers choose among experts; foundry compiles qwen2 and qwen3"},
		{"a newer hybrid", config(t, map[string]any{"model_type": "qwen3_next"}), "this is a qwen3_next model: most of its layers have linear attention; foundry"},
		{"pictures", config(t, map[string]any{"model_type": "qwen3_vl"}), "this is a qwen3_vl model: it sees or hears"},
		{"missing tensor", header(t, func(e map[string]map[string]any) {
			e["model.layers.0.self_attn.q_prj.weight"] = e[q0]
			delete(e, q0)
		}), `tensor "` + q0 + `" is missing; there is "model.layers.0.self_attn.q_prj.weight"`},
		{"wrong shape", config(t, map[string]any{"vocab_size": 321}), `tensor "model.embed_tokens.weight" has shape [320 128], the configuration wants [321 128]`},
		{"extra tensors", config(t, map[string]any{"num_hidden_layers": 1}), "is no part of a qwen2 model of 1 layers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := modelDir(t, c.change)
			out := filepath.Join(t.TempDir(), "plan")
			requireOneLine(t, nil, 1, c.want, "compile", "--model", dir, "-o", out)
			require.NoDirExists(t, out)
		})
	}
}

// requireOneLine runs a command that must fail: exit code, nothing on standard
// output, one line on the error stream that contains want.
func requireOneLine(t *testing.T, env map[string]string, code int, want string, args ...string) {
	t.Helper()
	have, out, errs := foundryCmd(t, env, args...)
	require.Equal(t, code, have, "%s%s", out, errs)
	require.Empty(t, out)
	require.Equal(t, 1, strings.Count(errs, "\n"), errs)
	require.True(t, strings.HasSuffix(errs, "\n"), errs)
	require.Contains(t, errs, want)
	require.True(t, strings.HasPrefix(errs, "foundry: "), errs)
}

func TestBadRequests(t *testing.T) {
	small := filepath.Join("testdata", "rand-hd64")
	notJSON := modelDir(t, func(dir string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte("not JSON"), 0o666))
	})
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o666))
	fir := filepath.Join(t.TempDir(), "bad.fir")
	require.NoError(t, os.WriteFile(fir, []byte("graph @g (T=1..1, P=0..0, S<=1) {\n  %0 = input \"x\" : f33[1]\n}\n"), 0o666))
	odd := filepath.Join(t.TempDir(), "odd.fir")
	require.NoError(t, os.WriteFile(odd, []byte("graph @g (T=1..1, P=0..0, S<=1) {\n  %0 = input \"x\" : f32[T, 288]\n  %1 = weight \"w\" : q4_k[8, 288]\n  %2 = matmul_nt %0, %1\n  return y=%2\n}\n"), 0o666))
	empty, stages := t.TempDir(), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(stages, "main"), 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(stages, "main", "gemvv.metal"), nil, 0o666))
	for _, c := range []struct {
		name string
		want string
		args []string
	}{
		{"tokenizer", "tokenizer.json", []string{"eval", "--model", notJSON, "--prompt", "x"}},
		{"no tokenizer", "has no tokenizer.json, so it takes token ids only", []string{"eval", "--model", small, "--prompt", "x"}},
		{"id beyond the vocabulary", "token id 320 at position 1 is outside the vocabulary: want 0 to 319", []string{"eval", "--model", small, "--ids", "1,320"}},
		{"negative id", "token id -1 at position 0 is outside the vocabulary", []string{"eval", "--model", small, "--ids", "-1"}},
		{"context", "context is 99999999999, want 1 to 512, the positions that the model's config.json allows", []string{"compile", "--model", small, "--context", "99999999999", "-o", empty}},
		{"long prompt", "prompt longer than the context: 3 tokens, context 2", []string{"eval", "--model", small, "--ids", "1,2,3", "--context", "2"}},
		{"K format", "weights cannot be made q3_k: it can only be read; take f32, f16, bf16, q8_0, q6_k, ", []string{"compile", "--model", small, "--weights", "q3_k", "-o", empty}},
		{"odd rows", `weight "w" q4_k[8, 288]: rows of q4_k[8, 288] are not a multiple of the block's 256 elements; f16 takes rows of any length`, []string{"compile", "--model", odd, "-o", empty}},
		{"output is a file", "is not a folder", []string{"compile", "--model", small, "-o", file}},
		{"output below a file", "not a directory", []string{"compile", "--model", small, "-o", filepath.Join(file, "plan")}},
		{"no model", "no such model file or folder", []string{"compile", "--model", "nowhere", "-o", empty}},
		{"no preset", `did you mean "0.5b"?`, []string{"compile", "--model", "synth:qwen2.5-0.6b", "-o", empty}},
		{"no graph", "no such graph file", []string{"compile", "--model", "nowhere.fir", "-o", empty}},
		{"no family", "synthetic models are named synth:qwen2.5-SIZE, with SIZE one of 0.5b, 1.5b, 3b, 7b, 14b, 32b, 72b, or synth:qwen3-SIZE, with SIZE one of 0.6b,", []string{"compile", "--model", "synth:qwen4-1b", "-o", empty}},
		{"bad graph", `bad.fir:2:20: unknown dtype "f33"; did you mean "f32"?`, []string{"opt", fir, "--passes", "dce"}},
		{"layer", "layer 7", []string{"dot", "--layer", "7"}},
		{"plan", "cannot read the plan", []string{"eval", "--device", "cpu", "--plan", "nowhere", "--ids", "1"}},
		{"shaders", "no such folder", []string{"compile", "--shaders", "nowhere", "-o", empty}},
		{"no shaders", "holds no stage file, such as ", []string{"compile", "--shaders", empty, "-o", empty}},
		{"other shaders", "main/gemvv.metal is no stage file; did you mean \"main/gemv.metal\"?", []string{"compile", "--shaders", stages, "-o", empty}},
		{"run: tokenizer", "tokenizer.json", []string{"run", "--model", notJSON, "--prompt", "x"}},
		{"run: no tokenizer", "synth:qwen2.5-72b has no tokenizer.json, so it takes token ids only: use eval --ids", []string{"run", "--model", "synth:qwen2.5-72b", "--prompt", "hi"}},
		{"run: graph", "is a graph and no language model", []string{"run", "--model", firFile(t), "--prompt", "hi"}},
		{"run: long prompt", "prompt longer than the context: 6 tokens, context 3", []string{"run", "--prompt", "In the beginning God", "--context", "3"}},
		{"run: many tokens", "99999 tokens behind a prompt of 6 do not fit the context of 1024: ask for at most 1019", []string{"run", "--prompt", "In the beginning God", "-n", "99999"}},
		{"run: context", "context is 99999999999, want 1 to 1024, the positions that the model's config.json allows", []string{"run", "--prompt", "x", "--context", "99999999999"}},
		{"run: plan", "cannot read the plan", []string{"run", "--plan", "nowhere", "--prompt", "x"}},
	} {
		t.Run(c.name, func(t *testing.T) { requireOneLine(t, nil, 1, c.want, c.args...) })
	}
	left, err := os.ReadDir(empty)
	require.NoError(t, err)
	require.Empty(t, left, "a failed command wrote something")
}

// What can be found out before weights are read is: those of 72b would fill any
// machine's memory, and take minutes.
func TestFoundBeforeWeights(t *testing.T) {
	const large = "synth:qwen2.5-72b"
	out := filepath.Join(t.TempDir(), "logits.safetensors")
	for want, args := range map[string][]string{
		"token id 999999 at position 1 is outside the vocabulary":                                   {"--ids", "1,999999", "--logits-out", out},
		"prompt longer than the context: 5 tokens, context 4":                                       {"--ids", "1,2,3,4,5", "--context", "4", "--logits-out", out},
		"99999999 tokens behind a prompt of 2 do not fit the context of 4096: ask for at most 4095": {"--ids", "1,2", "--greedy", "99999999"},
		"--logits-out: cannot write":                                                                {"--ids", "1", "--logits-out", filepath.Join(out, "x")},
		"is no file that can be replaced":                                                           {"--ids", "1", "--logits-out", t.TempDir()},
	} {
		requireOneLine(t, nil, 1, want, append([]string{"eval", "--model", large, "--device", "auto"}, args...)...)
	}
	left, err := os.ReadDir(filepath.Dir(out))
	require.NoError(t, err)
	require.Empty(t, left)
	// The last id need not run.
	code, _, errs := foundryCmd(t, nil, "eval", "--ids", "1,2,3", "--context", "4", "--greedy", "2")
	require.Zero(t, code, errs)
	requireOneLine(t, nil, 1, "ask for at most 2", "eval", "--ids", "1,2,3", "--context", "4", "--greedy", "3")
	// Without -n a text goes on as far as the context holds it.
	code, text, errs := foundryCmd(t, nil, "run", "--device", "ref", "--prompt", "In the beginning God", "--context", "8")
	require.Zero(t, code, errs)
	require.Equal(t, "In the beginning God, I have\n", text)
}

// An id that no table holds is an error on each device, before a model runs and
// where a graph's kernels look it up; nothing is read, and no result is written.
func TestIDOutsideTheTable(t *testing.T) {
	dir := t.TempDir()
	fir, ids, out := filepath.Join(dir, "g.fir"), filepath.Join(dir, "ids.safetensors"), filepath.Join(dir, "out.safetensors")
	require.NoError(t, os.WriteFile(fir, []byte(`graph @g (T=1..4, P=0..0, S<=4) {
  %0 = input "ids" : i32[T]
  %1 = weight "table" : q8_0[50, 64]
  %2 = embedding %0, %1
  return y=%2
}
`), 0o666))
	for _, device := range []string{"ref", "cpu"} {
		if device == "cpu" {
			oncpu.Need(t)
		}
		for _, id := range []int32{50, -1, math.MaxInt32, math.MinInt32} {
			data := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 3), uint32(id))
			writeTensor(t, ids, checkpoint.Tensor{Name: "ids", DType: dtype.I32, Shape: []int64{2}, Data: data})
			requireOneLine(t, nil, 1, fmt.Sprintf("id %d", id), "eval", "--model", fir, "--device", device, "--inputs", ids, "--tokens", "2", "--logits-out", out)
			require.NoFileExists(t, out)
		}
		for _, id := range []string{"320", "-1", "2147483647"} {
			requireOneLine(t, nil, 1, id, "eval", "--model", filepath.Join("testdata", "rand-hd64"), "--device", device, "--ids", "1,"+id, "--logits-out", out)
			require.NoFileExists(t, out)
		}
		requireOneLine(t, nil, 2, "2147483648", "eval", "--device", device, "--ids", "1,2147483648")
	}
}

// A folder that may not be written to stays as it is.
func TestUnwritableFolder(t *testing.T) {
	if os.Getuid() <= 0 {
		t.Skip("a folder is writable for this user whatever its mode")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o555))
	requireOneLine(t, nil, 1, "permission denied", "compile", "-o", filepath.Join(dir, "plan"))
	requireOneLine(t, nil, 1, "permission denied", "compile", "-o", dir)
}

func TestNoCompiler(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	requireOneLine(t, map[string]string{"CXX": "no-such-compiler"}, 1, "install one", "eval", "--device", "cpu", "--ids", "1", "--logits-out", out)
	require.NoFileExists(t, out)
	requireOneLine(t, map[string]string{"CXX": "no-such-compiler"}, 1, "no C++ compiler found (looked for no-such-compiler); install one",
		"eval", "--device", "cpu", "--ids", "1")
}

func TestAttentionFromTheEnvironment(t *testing.T) {
	for _, name := range []string{"FOUNDRY_ATTENTION", "METALLIC_SDPA_BACKEND"} {
		env := map[string]string{name: "nonsense"}
		requireOneLine(t, env, 1, `attention backend "nonsense" (from environment) does not exist, want one of auto, chained, flash, split`, "compile", "--explain")
		env[name] = "chained"
		dir := filepath.Join(t.TempDir(), "plan")
		code, out, errs := foundryCmd(t, env, "compile", "-o", dir)
		require.Zero(t, code, errs)
		require.Contains(t, out, "attention chained by environment")
		code, out, errs = foundryCmd(t, env, "compile", "-o", dir, "--attention", "flash")
		require.Zero(t, code, errs)
		require.Contains(t, out, "attention flash by flag")
	}
}

// A wrong command line is one line too, with exit code 2.
func TestUsageErrors(t *testing.T) {
	for want, args := range map[string][]string{
		`there is no command "complie"; did you mean "compile"?`:                           {"complie"},
		`unknown flag: --modle; did you mean "--model"?`:                                   {"eval", "--modle", "x"},
		`accepts 2 arg(s), received 1`:                                                     {"diff", "unfused"},
		`--ids and --prompt exclude each other`:                                            {"eval", "--ids", "1", "--prompt", "x"},
		`give --ids, --ids-file or --prompt`:                                               {"eval"},
		`invalid argument "x" for "--context"`:                                             {"compile", "--context", "x"},
		`--layer and --collapse exclude each other`:                                        {"dot", "--layer", "1", "--collapse"},
		`there is no format "xml"`:                                                         {"bench", "--format", "xml"},
		`run: --thinking needs --chat or --messages`:                                       {"run", "--prompt", "x", "--thinking"},
		`cannot draw .bmp`:                                                                 {"dot", "-o", "x.bmp"},
		`there is no phase "x", want one of decode, prefill`:                               {"bench", "--phase", "x"},
		`quality: --format: there is no format "xml"`:                                      {"quality", "--format", "xml"},
		`invalid argument "99999999999999999999" for "--context": value out of range; see`: {"compile", "--context", "99999999999999999999"},
		`there is no command "comple"; did you mean "compile"?`:                            {"help", "comple"},
		`there is no command "bsh"; did you mean "bash"?`:                                  {"completion", "bsh"},
		`run: temperature is -1, want 0 to`:                                                {"run", "--prompt", "x", "--temperature", "-1"},
		`run: top-p is 2, want 0 to 1`:                                                     {"run", "--prompt", "x", "--top-p", "2"},
		`--tokens has no effect on a language model`:                                       {"eval", "--ids", "1", "--tokens", "3"},
		`--cached has no effect on a language model`:                                       {"eval", "--ids", "1", "--cached", "3"},
		`--inputs has no effect on a language model`:                                       {"eval", "--ids", "1", "--inputs", "x"},
		`--greedy has no effect on a .fir graph`:                                           {"eval", "--model", firFile(t), "--greedy", "3"},
		`--nmse has no effect without --goldens`:                                           {"eval", "--ids", "1", "--nmse", "1"},
		`--margin has no effect without --goldens`:                                         {"eval", "--ids", "1", "--margin", "1"},
		`--logits-out has no effect beside --goldens`:                                      {"eval", "--goldens", "x.json", "--logits-out", "x"},
		`eval: --checked has no effect on --device ref, only on cpu`:                       {"eval", "--ids", "1", "--checked"},
		`verify: --checked has no effect on --device ref, only on cpu`:                     {"verify", "--device", "ref", "--checked"},
		`eval: --shuffle has no effect on --device ref, only on cpu`:                       {"eval", "--ids", "1", "--shuffle", "3"},
		`--fuel is -5, want a number of rewrites, or -1 for no limit`:                      {"compile", "--fuel", "-5"},
		`compile: --passes names nothing`:                                                  {"compile", "--passes", ""},
		`eval: --passes names nothing`:                                                     {"eval", "--ids", "1", "--passes", ",,"},
		`--variant names nothing`:                                                          {"compile", "--variant", ""},
		`--ids: "x" is not a token id`:                                                     {"eval", "--ids", "x"},
		"--context is 0, want at least 1":                                                  {"compile", "--context", "0", "-o", "x"},
		`unknown pass "fuse-rmsnorm-qk"; did you mean "fuse-rmsnorm-qkv"?`:                 {"compile", "--passes", "canonicalize,fuse-rmsnorm-qk", "-o", "x"},
		`unknown variant "fewst"; did you mean "fewest"?`:                                  {"compile", "--variant", "fewst", "-o", "x"},
		`--target: there is no target "apple-m3-por", want one of `:                        {"compile", "--target", "apple-m3-por", "-o", "x"},
		`--attention: attention backend "flsh" does not exist, want one of auto, chained, flash, split; did you mean "flash"?`: {"compile", "--attention", "flsh", "-o", "x"},
		`--weights: unknown dtype "f61", want one of f32, f16, `:                                                               {"compile", "--weights", "f61", "-o", "x"},
		`there is no device "cpi", want one of ref, cpu, cuda, metal, auto; did you mean "cpu"?`:                               {"eval", "--ids", "1", "--device", "cpi"},
		`the pipeline has no point "fussed", want one of input, after:PASS, fused, plan; did you mean "fused"?`:                {"dot", "--at", "fussed"},
		`unknown pass "fuse-atention"; did you mean "fuse-attention"?`:                                                         {"dot", "--at", "after:fuse-atention", "--variant", "per-layer-6"},
		`--ids: an id is missing beside comma 1`:                                                                               {"eval", "--ids", "1,,2"},
		`run: --passes: pipeline: unknown pass "fuse-rmsnorm-qk"`:                                                              {"run", "--prompt", "x", "--passes", "canonicalize,fuse-rmsnorm-qk"},
		`no-such is no folder of a plan, no variant`:                                                                           {"diff", "fewest", "no-such"},
		`bench: --variants: unknown variant "fewst"; did you mean "fewest"?`:                                                   {"bench", "--variants", "ladder,fewst"},
		`bench: --attention: attention backend "flsh" does not exist`:                                                          {"bench", "--attention", "auto,flsh"},
		`--prefill-passes: pipeline: unknown pass "dec"`:                                                                       {"compile", "--prefill-passes", "dec"},
		`opt: --print-after: pipeline: unknown pass "dec"`:                                                                     {"opt", "x.fir", "--print-after", "dec"},
		`--device: device "cuda:x": want a number behind the colon`:                                                            {"verify", "--device", "cuda:x"},
		`quality: --device: there is no device "cpi"`:                                                                          {"quality", "--device", "cpi"},
		`--cache: unknown dtype "f61", want one of`:                                                                            {"compile", "--cache", "f61"},
		`--weights: unknown dtype "q4_l", want one of`:                                                                         {"convert", "--weights", "q4_l", "-o", "x.gguf"},
		`--weights has no effect beside --plan`:                                                                                {"eval", "--ids", "1", "--plan", "x", "--weights", "f16"},
	} {
		requireOneLine(t, nil, 2, want, args...)
	}
}
