package foundry

import (
	"context"
	"errors"
	"strings"
	"testing"

	"foundry/ir/dtype"
	"foundry/runtime/cpu"

	"github.com/stretchr/testify/require"
)

func embedded(t *testing.T) *Model {
	t.Helper()
	m, err := Open("", Hub{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func interpret(t *testing.T, m *Model, o CompileOptions) *Engine {
	t.Helper()
	o.Device = Ref
	g, err := Fuse(m, o)
	require.NoError(t, err)
	e, err := Interpret(context.Background(), g)
	require.NoError(t, err)
	return e
}

// Two texts on one engine, taken in turns, are what each is alone.
func TestSessionsAreIndependent(t *testing.T) {
	m := embedded(t)
	e := interpret(t, m, CompileOptions{Context: 64})
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
	o := CompileOptions{Context: 64, Device: CPU}
	engines := []*Engine{interpret(t, m, o)}
	if d, err := OpenDevice(CPU, cpu.Options{}); err == nil {
		require.NoError(t, d.Close())
		e, err := Start(context.Background(), m, StartOptions{Compile: o})
		require.NoError(t, err)
		engines = append(engines, e)
	}
	for _, e := range engines {
		model, err := e.open()
		require.NoError(t, err)
		refused := func(p int, held string) {
			t.Helper()
			_, err := model.Decode(context.Background(), p, 5)
			require.ErrorContains(t, err, ", but the caches hold "+held+" tokens: run those before it first")
		}
		refused(40, "0")
		_, err = model.Prefill(context.Background(), 0, []int32{3, 1, 4})
		require.NoError(t, err)
		refused(4, "3")
		_, err = model.Decode(context.Background(), 1, 5)
		require.NoError(t, err)
		refused(3, "2")
		model.(assumer).AssumeWritten()
		_, err = model.Decode(context.Background(), 40, 5)
		require.NoError(t, err)
		require.NoError(t, model.Close())
		require.NoError(t, e.Close())
	}
}

func encode(t *testing.T, m *Model, text string) []int32 {
	t.Helper()
	tok, err := m.Tokenizer()
	require.NoError(t, err)
	ids, err := tok.Encode(text)
	require.NoError(t, err)
	return ids
}

func TestGenerateEndsWithItsContext(t *testing.T) {
	e := interpret(t, embedded(t), CompileOptions{Context: 64})
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

func TestEndTokens(t *testing.T) {
	ids, err := embedded(t).EndTokens()
	require.NoError(t, err)
	require.Equal(t, []int32{2045}, ids)
	for text, want := range map[string][]int32{`{}`: nil, `{"eos_token_id":null}`: nil, `{"eos_token_id":7}`: {7}, `{"eos_token_id":[7,8]}`: {7, 8}} {
		ids, err := endTokens([]byte(text))
		require.NoError(t, err)
		require.Equal(t, want, ids)
	}
	_, err = endTokens([]byte(`{"eos_token_id":"x"}`))
	require.ErrorContains(t, err, `eos_token_id is "x", want an id or a list of ids`)
}

func TestNearest(t *testing.T) {
	require.Equal(t, `; did you mean "prefill"?`, Nearest("prefil", []string{"decode", "prefill"}))
	require.Empty(t, Nearest("quite another", []string{"decode", "prefill"}))
}

func TestForcedAttention(t *testing.T) {
	m := embedded(t)
	count := func(o CompileOptions, pattern string) (n int) {
		g, err := Fuse(m, o)
		require.NoError(t, err)
		for _, node := range g.Entries[1].Nodes() {
			if strings.Contains(node.Attr.Pattern, pattern) {
				n++
			}
		}
		return n
	}
	require.Zero(t, count(CompileOptions{Attention: "chained"}, "attention"))
	require.Equal(t, 5, count(CompileOptions{Attention: "flash"}, "attention"))
	require.Equal(t, 5, count(CompileOptions{Attention: "flash", Variant: "none"}, "attention"), "flash where the pipeline has no attention")
}

// A matrix whose rows the block does not divide stays f16, and one line says so.
func TestWeightsThatDoNotFitStayF16(t *testing.T) {
	m, err := Open("tests/testdata/rand-hd64", Hub{})
	require.NoError(t, err)
	defer m.Close()
	g, err := Fuse(m, CompileOptions{Weights: dtype.Q8_0, Variant: "none"})
	require.NoError(t, err)
	require.Empty(t, g.Notes, "128 and 352 are multiples of 32")
	m.Config.Intermediate = 350
	g, err = Fuse(m, CompileOptions{Weights: dtype.Q8_0, Variant: "none"})
	require.NoError(t, err)
	require.Equal(t, []string{"2 of 16 matrices stay f16: q8_0's blocks of 32 do not divide their rows"}, g.Notes)
}

func TestParseVariants(t *testing.T) {
	ladder, err := ParseVariants("ladder")
	require.NoError(t, err)
	require.Equal(t, "none", ladder[0].Name)
	require.Equal(t, "floor", ladder[len(ladder)-1].Name)
	require.Greater(t, len(ladder), 5)
	_, err = ParseVariants("ladder,flor")
	require.ErrorContains(t, err, `did you mean "floor"?`)
	_, err = ParseVariants(" , ")
	require.ErrorContains(t, err, "empty")

	own, err := ParseVariantFile("v.txt", "# mine\nnone\n\nmine = canonicalize, legalize\n")
	require.NoError(t, err)
	require.Equal(t, Pipeline{Name: "mine", Passes: "canonicalize,legalize"}, own[1])
	_, err = ParseVariantFile("v.txt", "none\nmine = nothing-such\n")
	require.ErrorContains(t, err, `v.txt:2: pipeline: unknown pass "nothing-such"`)
}

// Prefill may have a pipeline of its own: its entry is what that pipeline alone would
// make of it, decode's is as before, and the plan says which was which.
func TestPrefillPasses(t *testing.T) {
	m := embedded(t)
	compile := func(o CompileOptions) *Compiled {
		c, err := Compile(m, o)
		require.NoError(t, err)
		return c
	}
	digest := func(c *Compiled, name string) string {
		e, err := c.Plan.Entry(name)
		require.NoError(t, err)
		return c.Plan.Digest(e)
	}
	floor, six := compile(CompileOptions{Variant: "floor"}), compile(CompileOptions{Variant: "six"})
	require.Empty(t, floor.Plan.Options.PrefillPasses)
	both := compile(CompileOptions{Variant: "floor", PrefillPasses: six.Options.Passes})
	require.Equal(t, "floor", both.Plan.Options.Variant)
	require.Equal(t, floor.Options.Passes, both.Plan.Options.PassesOf("decode"))
	require.Equal(t, six.Options.Passes, both.Plan.Options.PassesOf("prefill"))
	require.Equal(t, digest(floor, "decode"), digest(both, "decode"))
	require.Equal(t, digest(six, "prefill"), digest(both, "prefill"))
	require.NotEqual(t, digest(floor, "prefill"), digest(both, "prefill"))

	same := compile(CompileOptions{Variant: "floor", PrefillPasses: floor.Options.Passes})
	require.Equal(t, floor.Plan.Hash, same.Plan.Hash, "the same pipeline twice is one")

	// A forced attention backend is forced in both.
	both = compile(CompileOptions{Variant: "floor", PrefillPasses: six.Options.Passes, Attention: "chained"})
	require.NotContains(t, both.Plan.Options.PassesOf("prefill"), "fuse-attention")

	_, err := Compile(m, CompileOptions{PrefillPasses: SearchPasses})
	require.ErrorContains(t, err, "no pipeline yet")
	_, err = Compile(m, CompileOptions{PrefillPasses: "fuse-atention"})
	require.ErrorContains(t, err, "did you mean")
}
