package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"

	"foundry/runtime/devicetest"
	"github.com/stretchr/testify/require"
)

func embedded(t *testing.T) *model.Model {
	t.Helper()
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func interpret(t *testing.T, m *model.Model, o compile.Options) *Engine {
	t.Helper()
	g, err := compile.Fuse(m, Defaults(Ref, o))
	require.NoError(t, err)
	e, err := Interpret(context.Background(), g)
	require.NoError(t, err)
	return e
}

// Two texts on one engine, taken in turns, are what each is alone.
func TestSessionsAreIndependent(t *testing.T) {
	m := embedded(t)
	e := interpret(t, m, compile.Options{Context: 64})
	prompts := []string{"In the beginning", "And the LORD spake unto Moses, saying,"}
	text := func(s *Session, prompt string, n int) string {
		var b strings.Builder
		for token, err := range s.Generate(context.Background(), prompt, GenerateOptions{Max: n}) {
			require.NoError(t, err)
			b.WriteString(token.Text)
		}
		return b.String()
	}
	var alone []string
	for _, p := range prompts {
		s, err := e.NewSession()
		require.NoError(t, err)
		alone = append(alone, text(s, p, 9))
		require.NoError(t, s.Close())
	}
	a, err := e.NewSession()
	require.NoError(t, err)
	b, err := e.NewSession()
	require.NoError(t, err)
	require.NoError(t, a.IDs.Prefill(context.Background(), encode(t, m, prompts[0])))
	require.NoError(t, b.IDs.Prefill(context.Background(), encode(t, m, prompts[1])))
	var turns [2]string
	for range 9 {
		for i, s := range []*Session{a, b} {
			ids, _, err := s.IDs.Greedy(context.Background(), 1)
			require.NoError(t, err)
			turns[i] += m.TokenText(ids[0])
		}
	}
	require.Equal(t, alone, turns[:])
}

// Whatever runs a model, it goes on from what its caches hold: the reference as a plan.
func TestRunsGoOnFromWhatIsWritten(t *testing.T) {
	m := embedded(t)
	o := compile.Options{Context: 64}
	engines := []*Engine{interpret(t, m, o)}
	if d, err := OpenDevice(t.Context(), CPU, cpu.Options{FewRuns: true}); devicetest.Have(t, err) {
		require.NoError(t, d.Close())
		e, err := Start(context.Background(), m, Options{Device: CPU, Compile: o})
		require.NoError(t, err)
		engines = append(engines, e)
	}
	for _, e := range engines {
		open, err := e.Open()
		require.NoError(t, err)
		refused := func(p int, held string) {
			t.Helper()
			_, err := open.Decode(context.Background(), p, 5)
			require.ErrorContains(t, err, ", but the caches hold "+held+" tokens: run those before it first")
		}
		refused(40, "0")
		_, err = open.Prefill(context.Background(), 0, []int32{3, 1, 4})
		require.NoError(t, err)
		refused(4, "3")
		_, err = open.Decode(context.Background(), 1, 5)
		require.NoError(t, err)
		refused(3, "2")
		open.(interface{ AssumeWritten() }).AssumeWritten()
		_, err = open.Decode(context.Background(), 40, 5)
		require.NoError(t, err)
		require.NoError(t, open.Close())
		require.NoError(t, e.Close())
	}
}

func encode(t *testing.T, m *model.Model, text string) []int32 {
	t.Helper()
	tok, err := m.Tokenizer()
	require.NoError(t, err)
	ids, err := tok.Encode(text)
	require.NoError(t, err)
	return ids
}

func TestGenerateEndsWithItsContext(t *testing.T) {
	e := interpret(t, embedded(t), compile.Options{Context: 64})
	s, err := e.NewSession()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	var last error
	for _, err := range s.Generate(ctx, "In the beginning", GenerateOptions{Max: 40}) {
		if last = err; err != nil {
			break
		}
		if n++; n == 3 {
			cancel()
		}
	}
	require.Equal(t, 3, n)
	require.True(t, errors.Is(last, context.Canceled), last)
}

func TestUnknownGPUs(t *testing.T) {
	p := &plan.Plan{Options: plan.Options{Target: "apple-m3-pro"}}
	require.Equal(t, "nothing is known of the costs of Apple M9: the plan was compiled for apple-m3-pro", unknownCosts(runtime.Info{Name: "Apple M9"}, p))
	require.Empty(t, unknownCosts(runtime.Info{Name: "Apple M4", Target: "apple-m4"}, p))
	require.Empty(t, unknownCosts(runtime.Info{Name: "x86-64", Emulation: true}, p))
}

// A plan's end ids serve where the model's files name none.
func TestEndsOfThePlan(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "frontends", "checkpoint", "kjv2m", name))
		require.NoError(t, err)
		b = bytes.Replace(b, []byte(`"eos_token_id"`), []byte(`"nothing_here"`), 1)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o666))
	}
	silent, err := model.Open(dir, checkpoint.Hub{})
	require.NoError(t, err)
	defer silent.Close()
	p := &plan.Plan{Tokens: &plan.Tokens{Ends: []int32{7}}}
	for _, x := range []struct {
		e    *Engine
		ends []int32
	}{{&Engine{model: silent, Plan: p}, []int32{7}}, {&Engine{model: silent}, nil}, {&Engine{model: embedded(t), Plan: p}, []int32{2045}}} {
		ends, err := x.e.ends()
		require.NoError(t, err)
		require.Equal(t, x.ends, ends)
	}
}
