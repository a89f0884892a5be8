package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"foundry"
	"foundry/frontends/chat"
	"foundry/runtime/engine"

	"github.com/stretchr/testify/require"
)

const template = `{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

// talking is a conversation with the small model over these lines.
func talking(t *testing.T, lines string, context_, tokens int) (*talk, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	from := filepath.Join("..", "..", "..", "frontends", "checkpoint", "kjv2m")
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json", "generation_config.json"} {
		raw, err := os.ReadFile(filepath.Join(from, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), raw, 0o666))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(template), 0o666))
	m, err := foundry.Open(dir, foundry.Hub{})
	require.NoError(t, err)
	g, err := foundry.Fuse(m, foundry.Defaults(foundry.Ref, foundry.CompileOptions{Context: context_}))
	require.NoError(t, err)
	e, err := engine.Interpret(context.Background(), g)
	require.NoError(t, err)
	session, err := e.NewSession()
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, session.Close())
		require.NoError(t, e.Close())
		require.NoError(t, m.Close())
	})
	var out, errs bytes.Buffer
	return &talk{
		s: IO{In: strings.NewReader(lines), Out: &out, Err: &errs}, session: session, model: m,
		options: foundry.GenerateOptions{Max: tokens, IgnoreEnd: true}, bounded: tokens > 0,
		start: chat.Conversation{Messages: chat.Messages()}, stop: make(chan os.Signal),
	}, &out, &errs
}

// The second answer is to all that was said, as the template renders it, and what was
// said before it stays in the caches.
func TestTalkRemembers(t *testing.T) {
	k, out, errs := talking(t, "And God\n\nsaid\n", 200, 6)
	require.NoError(t, k.run(context.Background()))
	answers := strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Equal(t, "> > > > \n", errs.String())
	first := k.session.IDs.Tokens()
	text, err := k.model.Tokenizer()
	require.NoError(t, err)
	all, err := text.Decode(first)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(all, "<|im_start|>user\nAnd God<|im_end|>\n<|im_start|>assistant\n"), all)
	require.Contains(t, all, "<|im_end|>\n<|im_start|>user\nsaid<|im_end|>\n<|im_start|>assistant\n")
	require.True(t, strings.HasSuffix(all+"\n", answers[len(answers)-1]+"\n"), all)

	// Alone, the same messages have the same answer.
	alone, _, _ := talking(t, "", 200, 6)
	said := chat.Messages(chat.Message("user", "And God"))
	answer, err := alone.answer(context.Background(), said)
	require.NoError(t, err)
	said.Items = append(said.Items, chat.Message("assistant", answer), chat.Message("user", "said"))
	_, err = alone.answer(context.Background(), said)
	require.NoError(t, err)
	require.Equal(t, first, alone.session.IDs.Tokens())
}

func TestTalkBeginsAnew(t *testing.T) {
	k, _, _ := talking(t, "And God\n/reset\nsaid\n", 200, 4)
	require.NoError(t, k.run(context.Background()))
	text, err := k.model.Tokenizer()
	require.NoError(t, err)
	all, err := text.Decode(k.session.IDs.Tokens())
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(all, "<|im_start|>user\nsaid<|im_end|>\n"), all)
}

// A conversation that outgrows the context says so and goes on.
func TestTalkOutgrowsTheContext(t *testing.T) {
	k, out, errs := talking(t, "And God\n"+strings.Repeat("word ", 60)+"\n/reset\nAnd God\n", 60, 0)
	require.NoError(t, k.run(context.Background()))
	require.Contains(t, errs.String(), "more than the context; /reset begins anew\n")
	require.NotEmpty(t, out.String())
	require.LessOrEqual(t, len(k.session.IDs.Tokens()), 61)
}

// An interrupt ends the answer, which counts as far as it came; one between answers
// ends the conversation.
func TestTalkIsStopped(t *testing.T) {
	k, _, _ := talking(t, "", 400, 0)
	stop := make(chan os.Signal)
	k.stop = stop
	out := &stopping{stop: stop}
	k.s.Out = out
	said := k.say(context.Background(), k.begin(), "And God")
	require.Len(t, said.Items, 2)
	require.Less(t, len(k.session.IDs.Tokens()), 300)

	in, other, err := os.Pipe()
	require.NoError(t, err)
	defer in.Close()
	defer other.Close()
	k.s.In = in
	go func() { stop <- os.Interrupt }()
	require.NoError(t, k.run(context.Background()))
}

// stopping interrupts at the third piece of text.
type stopping struct {
	stop   chan os.Signal
	pieces int
}

func (s *stopping) Write(b []byte) (int, error) {
	if s.pieces++; s.pieces == 3 {
		s.stop <- os.Interrupt
	}
	return len(b), nil
}
