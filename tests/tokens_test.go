package tests

import (
	"os"
	"path/filepath"
	"testing"

	"foundry/lower/plan"

	"github.com/stretchr/testify/require"
)

// A bundle says of the model's tokens what a driver needs.
func TestBundleHasTokens(t *testing.T) {
	compiled := func(dir string) (p *plan.Plan, errs string) {
		t.Helper()
		bundle := filepath.Join(t.TempDir(), "plan")
		code, _, errs := foundryCmd(t, nil, "compile", "--model", dir, "-o", bundle)
		require.Zero(t, code, errs)
		p, err := plan.Load(bundle)
		require.NoError(t, err)
		return p, errs
	}
	p, errs := compiled("kjv-2m")
	require.Empty(t, errs)
	require.Equal(t, &plan.Tokens{Ends: []int32{2045}, Special: []plan.Token{{ID: 2045, Text: "<|endoftext|>"}, {ID: 2046, Text: "<|im_start|>"}, {ID: 2047, Text: "<|im_end|>"}}}, p.Tokens)

	dir := chatDir(t, map[string]string{
		"generation_config.json": `{"eos_token_id": [2047, 2045]}`,
		"tokenizer_config.json":  `{"eos_token": {"content": "<|im_end|>"}, "bos_token": "<|a|>", "chat_template": [{"name": "default", "template": "{{ bos_token }}"}, {"name": "tool_use", "template": "{{ tools }}"}]}`,
	})
	p, errs = compiled(dir)
	require.Empty(t, errs)
	require.Equal(t, []int32{2047, 2045}, p.Tokens.Ends)
	require.Equal(t, &plan.Template{Text: "{{ bos_token }}", Tools: "{{ tools }}", Names: []plan.NamedToken{{Name: "bos_token", Text: "<|a|>"}, {Name: "eos_token", Text: "<|im_end|>"}}}, p.Tokens.Template)

	// What does not read is left out, and said; a plan without its ends is none.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte("{"), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "chat_template.json"), []byte("["), 0o666))
	p, errs = compiled(dir)
	require.Contains(t, errs, "the plan lists no control tokens: ")
	require.Contains(t, errs, "the plan has no chat template: chat_template.json")
	require.Nil(t, p.Tokens.Special)
	require.Nil(t, p.Tokens.Template)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(`{"eos_token_id": "x"}`), 0o666))
	code, _, errs := foundryCmd(t, nil, "compile", "--model", dir)
	require.Equal(t, 1, code)
	require.Contains(t, errs, `generation_config.json: eos_token_id is "x"`)
}

// A plan without the log of fusions is the same plan, but for its hash.
func TestCompileWithoutLog(t *testing.T) {
	dir := t.TempDir()
	ok(t, "compile", "-o", filepath.Join(dir, "whole"))
	ok(t, "compile", "--no-log", "-o", filepath.Join(dir, "bare"))
	whole, err := plan.Load(filepath.Join(dir, "whole"))
	require.NoError(t, err)
	bare, err := plan.Load(filepath.Join(dir, "bare"))
	require.NoError(t, err)
	require.NotEmpty(t, whole.Decisions)
	require.Empty(t, bare.Decisions)
	require.NotEqual(t, whole.Hash, bare.Hash)
	whole.Decisions, whole.Hash, bare.Hash = nil, "", ""
	require.Equal(t, whole, bare)
}
