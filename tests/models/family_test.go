package models

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"foundry"
	"foundry/frontends/chat"
	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/runtime/eval"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"
)

// family is testdata/family: the models that share Qwen2.5's architecture, small, with
// the configurations they were published with.
type family struct {
	Tokenizer map[string]json.RawMessage
	Messages  json.RawMessage
	DualChunk struct {
		Config map[string]int
		IDs    []int32
	} `json:"dual_chunk"`
	Members map[string]*member

	goldens checkpoint.Source
}

type member struct {
	Config           map[string]any             // config.json
	GenerationConfig map[string]any             `json:"generation_config"` // nil: the model is refused
	TokenizerConfig  json.RawMessage            `json:"tokenizer_config"`
	Tokenizer        map[string]json.RawMessage // what its tokenizer.json has of its own
	Text             string                     // the conversation, rendered
	IDs              []int32
	Plain            []int32 // ids of the first message as a text
}

func readFamily(t *testing.T) *family {
	t.Helper()
	raw, err := os.ReadFile("../testdata/family/members.json")
	require.NoError(t, err)
	f := &family{}
	require.NoError(t, json.Unmarshal(raw, f))
	f.goldens, err = checkpoint.Open("../testdata/family/goldens.safetensors")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.goldens.Close()) })
	return f
}

// folder lays a member's files; a tied one has no head among its weights.
func (f *family) folder(t *testing.T, m *member) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, v any) {
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), raw, 0o666))
	}
	write("config.json", m.Config)
	write("tokenizer_config.json", m.TokenizerConfig)
	write("generation_config.json", m.GenerationConfig)
	tokenizer := maps.Clone(f.Tokenizer)
	maps.Copy(tokenizer, m.Tokenizer)
	write("tokenizer.json", tokenizer)
	s, err := checkpoint.Open("../testdata/family/model.safetensors")
	require.NoError(t, err)
	defer s.Close()
	var tensors []checkpoint.Tensor
	for _, name := range s.Names() {
		if name == "lm_head.weight" && m.Config["tie_word_embeddings"] == true {
			continue
		}
		info, _ := s.Info(name)
		data, err := s.Read(name)
		require.NoError(t, err)
		tensors = append(tensors, checkpoint.Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: data})
	}
	var file bytes.Buffer
	require.NoError(t, checkpoint.WriteSafetensors(&file, tensors))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model.safetensors"), file.Bytes(), 0o666))
	return dir
}

// logits are those of the last rows of ids.
func lastLogits(t *testing.T, m *foundry.Model, device string, o foundry.CompileOptions, ids []int32, last int) []float32 {
	t.Helper()
	o.Context, o.AllLogits = len(ids), true
	e, err := foundry.Start(context.Background(), m, foundry.StartOptions{Device: device, Compile: foundry.Defaults(device, o), CPU: cpu.Options{FewRuns: true}})
	devicetest.Need(t, err)
	defer e.Close()
	out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: ids, Top: 1})
	require.NoError(t, err)
	return out.Logits[len(out.Logits)-last:]
}

// requireMember holds a model to what is known of a member: the text of the conversation,
// its ids and a text's, what ends a text, and logits.
func (f *family) requireMember(t *testing.T, name string, m *foundry.Model) {
	t.Helper()
	x := f.Members[name]
	template, err := m.ChatTemplate()
	require.NoError(t, err)
	messages, err := chat.ReadMessages(f.Messages)
	require.NoError(t, err)
	text, err := template.Render(chat.Conversation{Messages: messages}, time.Time{})
	require.NoError(t, err)
	require.Equal(t, x.Text, text)
	ids, err := m.EncodeChat(text)
	require.NoError(t, err)
	require.Equal(t, x.IDs, ids)
	content, _ := messages.Items[0].(interface{ Get(key any) (any, bool) }).Get("content")
	plain, err := m.Encode(content.(string))
	require.NoError(t, err)
	require.Equal(t, x.Plain, plain)
	ends, err := m.EndTokens()
	require.NoError(t, err)
	require.EqualValues(t, numbers(x.GenerationConfig["eos_token_id"]), ends)
	want := goldens.Floats(t, f.goldens, name)
	require.LessOrEqual(t, goldens.NMSE(lastLogits(t, m, foundry.Ref, foundry.CompileOptions{}, ids, len(want)), want), goldens.OnRef)
}

// What runs renders its conversation, encodes it, ends where it says and gives the
// logits that transformers gives.
func TestFamilyRuns(t *testing.T) {
	f := readFamily(t)
	ran := 0
	for name, x := range f.Members {
		if x.GenerationConfig == nil {
			continue
		}
		ran++
		t.Run(name, func(t *testing.T) {
			m, err := foundry.Open(f.folder(t, x), foundry.Hub{})
			require.NoError(t, err)
			defer m.Close()
			f.requireMember(t, name, m)
		})
	}
	require.Equal(t, 7, ran)
}

// One of each way of laying tokens and turning positions, as kernels.
func TestFamilyOnCPU(t *testing.T) {
	t.Parallel()
	oncpu.Need(t)
	f := readFamily(t)
	for _, name := range []string{"deepseek-r1-distill-qwen-1.5b", "qwq-32b"} {
		m, err := foundry.Open(f.folder(t, f.Members[name]), foundry.Hub{})
		require.NoError(t, err)
		defer m.Close()
		want := goldens.Floats(t, f.goldens, name)
		require.LessOrEqual(t, goldens.NMSE(lastLogits(t, m, foundry.CPU, foundry.CompileOptions{Weights: dtype.F32, Cache: dtype.F32}, f.Members[name].IDs, len(want)), want), goldens.OnRef)
	}
}

// numbers is a JSON number or a list of them.
func numbers(v any) []int32 {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]int32, len(list))
	for i, n := range list {
		out[i] = int32(n.(float64))
	}
	return out
}

// The rest of the family is refused by name, before a tensor is read.
func TestFamilyRefused(t *testing.T) {
	f := readFamily(t)
	refused := map[string]string{
		"gte-qwen2-1.5b-instruct": "is_causal is false: the model attends to what follows too, as embedding models do",
		"an-embedding-model":      "this is a Qwen2Model; foundry compiles Qwen2ForCausalLM",
		"qwen2.5-math-rm-72b":     "this is a Qwen2ForRewardModel; foundry compiles Qwen2ForCausalLM",
		"qwen2.5-math-prm-7b":     "this is a Qwen2ForProcessRewardModel; foundry compiles Qwen2ForCausalLM",
		"qwen2.5-vl-7b-instruct":  "this is a qwen2_5_vl model: it sees or hears",
	}
	for name, x := range f.Members {
		if x.GenerationConfig != nil {
			continue
		}
		require.Contains(t, refused, name)
		_, err := foundry.Open(f.folder(t, x), foundry.Hub{})
		require.ErrorContains(t, err, refused[name])
	}
	require.Len(t, refused, len(f.Members)-7)
}

// Dual chunk attention is plain attention up to chunk_size tokens, to the last of them,
// and a longer context is refused.
func TestDualChunkAttention(t *testing.T) {
	f := readFamily(t)
	x := f.Members["qwen2.5-7b-instruct-1m"]
	x.Config = maps.Clone(x.Config)
	x.Config["dual_chunk_attention_config"] = f.DualChunk.Config
	dir := f.folder(t, x)
	m, err := foundry.Open(dir, foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	const from = 88 // first row of the goldens
	tokens := f.DualChunk.Config["chunk_size"]
	require.Equal(t, tokens, m.Config.MaxPositions)
	rows := goldens.Floats(t, f.goldens, "dual-chunk")
	want := rows[:(tokens-from)*m.Config.Vocab]
	require.LessOrEqual(t, goldens.NMSE(lastLogits(t, m, foundry.Ref, foundry.CompileOptions{}, f.DualChunk.IDs[:tokens], len(want)), want), goldens.OnRef)
	require.ErrorContains(t, m.Config.CheckContext(tokens+1), "context is 97, want 1 to 96")

	// Without the limit the rows behind are others: the goldens would show it.
	delete(x.Config, "dual_chunk_attention_config")
	plain, err := foundry.Open(f.folder(t, x), foundry.Hub{})
	require.NoError(t, err)
	defer plain.Close()
	have := lastLogits(t, plain, foundry.Ref, foundry.CompileOptions{}, f.DualChunk.IDs, 2*m.Config.Vocab)
	require.Greater(t, goldens.NMSE(have, slices.Clone(rows[len(rows)-2*m.Config.Vocab:])), 1e-2)
}

// What is converted is the same model: its positions, template, ids, ends and logits.
func TestFamilyConverts(t *testing.T) {
	f := readFamily(t)
	for name, x := range f.Members {
		if x.GenerationConfig == nil {
			continue
		}
		m, err := foundry.Open(f.folder(t, x), foundry.Hub{})
		require.NoError(t, err)
		defer m.Close()
		for _, written := range []string{"model.gguf", "folder"} {
			t.Run(name+"/"+written, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), written)
				_, err := model.Convert(t.Context(), m, dtype.Invalid, path, nil)
				require.NoError(t, err)
				back, err := foundry.Open(path, foundry.Hub{})
				require.NoError(t, err)
				defer back.Close()
				require.Equal(t, m.Config, back.Config)
				f.requireMember(t, name, back)
			})
		}
	}
}
