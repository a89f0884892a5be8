package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"

	"github.com/stretchr/testify/require"
)

// chatDir is a folder with the small trained model and these files beside it.
func chatDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	from := filepath.Join("..", "frontends", "checkpoint", "kjv2m")
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json", "generation_config.json"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o666))
	}
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
	return dir
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	return path
}

const chatml = `{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endfor %}
{%- if tools %}{{- tools | tojson }}{%- endif %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}`

// What was rendered wrongly without a word: a default system message with braces,
// quotes or a concatenation, a template in a file of its own, what opens a thought.
func TestShowPrompt(t *testing.T) {
	show := func(files map[string]string, args ...string) string {
		return ok(t, append([]string{"run", "--model", chatDir(t, files), "--show-prompt"}, args...)...)
	}
	template := func(text string) map[string]string {
		raw, err := json.Marshal(map[string]string{"chat_template": text})
		require.NoError(t, err)
		return map[string]string{"tokenizer_config.json": string(raw)}
	}
	require.Equal(t, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n",
		show(template(strings.Replace(chatml, `assistant\n`, `assistant\n<think>\n`, 1)), "--chat", "--prompt", "hi"))
	require.Equal(t, "<|im_start|>system\nSay {\"a\": 'b'} twice<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
		show(template(`{{ '<|im_start|>system\nSay {"a": \'b\'} ' + 'twi' ~ 'ce<|im_end|>\n' }}`+chatml), "--chat", "--prompt", "hi"))
	require.Equal(t, "<|im_start|>system\nbe\nbrief<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
		show(map[string]string{"chat_template.jinja": chatml}, "--chat", "--system", "be\nbrief", "--prompt", "hi"))
	require.Equal(t, "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n[{\"name\": \"f\"}]<|im_start|>assistant\n",
		show(map[string]string{"chat_template.jinja": chatml}, "--tools", file(t, `[{"name":"f"}]`),
			"--messages", file(t, `[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`)))
	require.Equal(t, "In the", show(nil, "--prompt", "In the"))

	var shown struct {
		Prompt string
		IDs    []int32
	}
	require.NoError(t, json.Unmarshal([]byte(show(map[string]string{"chat_template.jinja": chatml}, "--chat", "--prompt", "hi", "--json")), &shown))
	require.Equal(t, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", shown.Prompt)
	require.Equal(t, int32(2046), shown.IDs[0], "control tokens of the template are tokens")
}

// A rendered prompt gets no second BOS; plain text gets its one.
func TestOneBOS(t *testing.T) {
	var parts map[string]json.RawMessage
	raw, err := os.ReadFile(filepath.Join("..", "frontends", "checkpoint", "kjv2m", "tokenizer.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &parts))
	parts["post_processor"] = json.RawMessage(`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|im_start|>"}},{"Sequence":{"id":"A"}}],"special_tokens":{"<|im_start|>":{"ids":[2046]}}}`)
	raw, err = json.Marshal(parts)
	require.NoError(t, err)
	dir := chatDir(t, map[string]string{"tokenizer.json": string(raw), "tokenizer_config.json": `{"bos_token":"<|im_start|>","chat_template":"{{ bos_token }}{{ messages[0].content }}"}`})
	for _, args := range [][]string{{"--prompt", "In"}, {"--prompt", "In", "--chat"}} {
		var shown struct{ IDs []int32 }
		require.NoError(t, json.Unmarshal([]byte(ok(t, append([]string{"run", "--model", dir, "--show-prompt", "--json"}, args...)...)), &shown))
		require.Equal(t, []int32{2046, 40, 77}, shown.IDs)
	}
	m, err := model.Open(dir, checkpoint.Hub{})
	require.NoError(t, err)
	require.NoError(t, m.Close())
}

func TestChatCommandErrors(t *testing.T) {
	dir := chatDir(t, map[string]string{"chat_template.jinja": "x\n{{ messages.y.z }}"})
	requireOneLine(t, nil, 1, dir+": chat_template.jinja: the chat template failed: line 2: 'list object' has no attribute 'y'", "run", "--model", dir, "--chat", "--prompt", "x")
	dir = chatDir(t, map[string]string{"chat_template.jinja": "x\n{% include 'y' %}"})
	requireOneLine(t, nil, 1, "does not compile: line 2: the tag \"include\" is not supported", "run", "--model", dir, "--chat", "--prompt", "x")
	requireOneLine(t, nil, 1, "want a JSON list of messages", "run", "--messages", file(t, "{}"))
	requireOneLine(t, nil, 1, "element 1 of the tools is not an object", "run", "--chat", "--prompt", "x", "--tools", file(t, "[1]"))
	requireOneLine(t, nil, 2, "--prompt and --messages exclude each other", "run", "--prompt", "x", "--messages", "y")
	requireOneLine(t, nil, 2, "--system needs --chat", "run", "--prompt", "x", "--system", "y")
	requireOneLine(t, nil, 2, "leave it out", "run", "--messages", "x", "--system", "y")
	requireOneLine(t, nil, 2, "--tools needs --chat or --messages", "run", "--prompt", "x", "--tools", "y")
	requireOneLine(t, nil, 1, "no such file", "run", "--messages", filepath.Join(t.TempDir(), "none.json"))
}
