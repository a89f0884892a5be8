package model

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/lower/plan"
)

// What is no model is refused by what it is, in these words.
func TestModelsThatAreNone(t *testing.T) {
	dir := t.TempDir()
	for config, want := range map[string]string{
		"x":                          "config.json: not JSON: invalid character 'x' looking for beginning of value",
		"{}":                         "config.json: model_type is missing; foundry compiles qwen2 and qwen3",
		`{"model_type":"llama"}`:     "config.json: this is a llama model; foundry compiles qwen2 and qwen3",
		`{"model_type":"qwen3_moe"}`: "config.json: this is a qwen3_moe model: its layers choose among experts; foundry compiles qwen2 and qwen3",
		`{"model_type":"qwen2"}`:     "config.json: num_hidden_layers is missing",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o666))
		_, err := Open(dir, checkpoint.Hub{})
		require.EqualError(t, err, dir+": "+want)
	}
	_, err := Open(filepath.Join(dir, "none"), checkpoint.Hub{})
	require.EqualError(t, err, filepath.Join(dir, "none")+": no such model file or folder")
	_, err = Open("hf:x", checkpoint.Hub{})
	require.EqualError(t, err, "hf:x: a model of the hub is named owner/name")
	_, err = Open("synth:qwen2.5-1b", checkpoint.Hub{})
	require.ErrorContains(t, err, `synth:qwen2.5-1b: there is no Qwen2.5 of size "1b", sizes are 0.5b, `)
	_, err = Open("synth:x", checkpoint.Hub{})
	require.EqualError(t, err, "synth:x: synthetic models are named synth:qwen2.5-SIZE, with SIZE one of 0.5b, 1.5b, 3b, 7b, 14b, 32b, 72b, or synth:qwen3-SIZE, with SIZE one of 0.6b, 1.7b, 4b, 8b, 14b, 32b")
	names := PresetNames()
	require.Len(t, names, 14)
	require.Equal(t, []string{"kjv-2m", "synth:qwen2.5-0.5b"}, names[:2])
	require.Equal(t, "synth:qwen3-32b", names[13])
}

// A model without text files has token ids only, a graph not even those.
func TestModelsWithoutText(t *testing.T) {
	m, err := Open("synth:qwen3-0.6b", checkpoint.Hub{})
	require.NoError(t, err)
	for _, ask := range []func() error{
		func() error { _, err := m.Tokenizer(); return err }, func() error { _, err := m.Encode("a"); return err }, func() error { _, err := m.EncodeChat("a"); return err },
	} {
		require.EqualError(t, ask(), "synth:qwen3-0.6b has no tokenizer.json, so it takes token ids only: use eval --ids")
	}
	_, err = m.ChatTemplate()
	require.EqualError(t, err, "synth:qwen3-0.6b: there is no chat template: the model was not trained to chat; prompt it with plain text")
	require.Empty(t, m.TokenText(1))
	tokens, notes, err := m.Tokens()
	require.NoError(t, err)
	require.Empty(t, notes)
	require.Equal(t, &plan.Tokens{}, tokens)
	require.Empty(t, embedded(t).TokenText(1<<20))
	require.NotEmpty(t, embedded(t).TokenText(300))

	g := &Model{Name: "g.fir", Graph: &ir.Graph{}}
	const none = "g.fir is a graph and no language model: it has no prompt to run"
	_, err = g.Tokenizer()
	require.EqualError(t, err, none)
	_, err = g.ChatTemplate()
	require.EqualError(t, err, none)
	require.EqualError(t, g.CheckPlan(&plan.Plan{}), none)
	_, err = g.file("config.json")
	require.EqualError(t, err, "g.fir: a graph has no config.json: file does not exist")
	_, err = Convert(t.Context(), g, dtype.F16, "x", nil)
	require.EqualError(t, err, "a graph has no weights to convert; give --model a checkpoint")
}

// textFiles is a checkpoint of small files of which some cannot be read.
type textFiles struct {
	checkpoint.Source
	texts map[string]string
}

func (s textFiles) Label() string { return "f" }
func (s textFiles) File(name string) ([]byte, error) {
	text, ok := s.texts[name]
	switch {
	case !ok:
		return nil, fs.ErrNotExist
	case text == "!":
		return nil, fs.ErrPermission
	}
	return []byte(text), nil
}

// A file that is there and does not read is told, not passed over.
func TestTextsThatDoNotRead(t *testing.T) {
	of := func(name, text string) *Model {
		return &Model{Name: "m", source: textFiles{texts: map[string]string{"config.json": "{}", name: text}}}
	}
	for _, name := range []string{"generation_config.json", "config.json"} {
		_, err := of(name, "!").EndTokens()
		require.ErrorIs(t, err, fs.ErrPermission)
		_, err = of(name, "x").EndTokens()
		require.EqualError(t, err, "m: "+name+": not JSON: invalid character 'x' looking for beginning of value")
		_, err = of(name, `{"eos_token_id":"a"}`).EndTokens()
		require.EqualError(t, err, "m: "+name+`: eos_token_id is "a", want an id or a list of ids`)
		_, _, err = of(name, "!").Tokens()
		require.ErrorIs(t, err, fs.ErrPermission)
	}
	ends, err := of("generation_config.json", `{"eos_token_id":[]}`).EndTokens()
	require.NoError(t, err)
	require.Empty(t, ends)
	_, err = of("tokenizer.json", "!").Tokenizer()
	require.ErrorContains(t, err, "m: ")
	require.ErrorIs(t, err, fs.ErrPermission)
	_, notes, err := of("tokenizer.json", "!").Tokens()
	require.NoError(t, err)
	require.Equal(t, []string{"the plan lists no control tokens: permission denied"}, notes)
	_, notes, err = of("chat_template.jinja", "!").Tokens()
	require.NoError(t, err)
	require.Equal(t, []string{"the plan has no chat template: permission denied"}, notes)
	tokens, notes, err := (&Model{Name: "m", source: textFiles{texts: map[string]string{"chat_template.jinja": "t", "tokenizer_config.json": `{"bos_token":"<b>","eos_token":"<e>"}`}}}).Tokens()
	require.NoError(t, err)
	require.Empty(t, notes)
	require.Equal(t, &plan.Template{Text: "t", Names: []plan.NamedToken{{Name: "bos_token", Text: "<b>"}, {Name: "eos_token", Text: "<e>"}}}, tokens.Template)
}

// The plan's model and this one are named in their order.
func TestPlansOfOtherModelsInWords(t *testing.T) {
	p := &plan.Plan{}
	p.Model.Name, p.Model.Layers, p.Model.Hidden, p.Model.Vocab = "other", 1, 2, 3
	m := &Model{Name: "m", Config: decoder.Config{Layers: 4, Hidden: 5, Vocab: 6}}
	require.EqualError(t, m.CheckPlan(p), "the plan was compiled from other (1 layers, hidden 2, vocabulary 3), not from m (4, 5, 6)")
}

// A model is written as what the path's name says, tensor by tensor, and read back; what blocks
// do not divide is noted first.
func TestConvert(t *testing.T) {
	m := embedded(t)
	for name, c := range map[string]struct {
		weights dtype.Type
		groups  int
		note    string
	}{
		"a.gguf": {dtype.Q8_0, 2, ""}, "folder": {dtype.F16, 1, ""}, "b.gguf": {dtype.Q4_K, 2, "rows"},
	} {
		path := filepath.Join(t.TempDir(), name)
		var last, of int64
		out, err := Convert(context.Background(), m, c.weights, path, func(what string, done, all int64) {
			require.Equal(t, "convert", what)
			last, of = done, all
		})
		require.NoError(t, err)
		require.EqualValues(t, 62, last)
		require.Equal(t, last, of)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, name == "folder", info.IsDir())
		require.NotZero(t, out.Loss.Values)
		if c.note != "" {
			require.Contains(t, out.Notes[0], c.note)
		}
		_, err = Convert(context.Background(), m, c.weights, filepath.Join(path, "x", "y.gguf"), nil)
		require.Error(t, err)
	}
	path := filepath.Join(t.TempDir(), "mix.gguf")
	out, err := ConvertMix(context.Background(), m, path, nil)
	require.NoError(t, err)
	require.Greater(t, len(out.Tensors), 1)
	found, err := m.ScanTensor("model.norm.weight")
	require.NoError(t, err)
	require.EqualValues(t, 192, found.Values)
}
