package runtime

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"foundry/ir/sampling"
	"foundry/lower/plan"
)

// goModel is a Model in plain Go: the second implementation of the interface.
type goModel struct {
	cache  []int32
	all    bool
	logits []float32
	chunks []int // lengths of the runs
}

func (m *goModel) Limits() Limits {
	return Limits{Vocab: toyVocab, Context: toyContext, Chunk: toyChunk, AllLogits: m.all}
}

func (m *goModel) Prefill(_ context.Context, p int, ids []int32) (int32, error) {
	m.cache = append(m.cache[:p], ids...)
	m.chunks = append(m.chunks, len(ids))
	m.logits = nil
	for i := range ids {
		row := toyLogits(toyWeights(), m.cache[:p+i+1])
		if m.all || i == len(ids)-1 {
			m.logits = append(m.logits, row...)
		}
	}
	return argmax(m.logits[len(m.logits)-toyVocab:]), nil
}

func (m *goModel) Decode(ctx context.Context, p int, id int32) (int32, error) {
	return m.Prefill(ctx, p, []int32{id})
}

func (m *goModel) Logits() ([]float32, error) { return m.logits, nil }
func (m *goModel) Close() error               { return nil }

// models are the implementations that every session test runs on.
func models(t *testing.T, run func(t *testing.T, m Model)) {
	t.Run("go", func(t *testing.T) { run(t, &goModel{}) })
	t.Run("instance", func(t *testing.T) {
		x, _ := loadToy(t, nil)
		run(t, newInstance(t, x))
	})
}

var background = context.Background()

func collect(t require.TestingT, s *Session, n int, how Sampling) []int32 {
	var ids []int32
	for id, err := range s.Generate(background, n, how) {
		require.NoError(t, err)
		ids = append(ids, id)
	}
	return ids
}

func TestGenerate(t *testing.T) {
	models(t, func(t *testing.T, m Model) {
		s := NewSession(m)
		prompt := []int32{3, 1, 4, 1, 5}
		require.NoError(t, s.Prefill(background, prompt))
		want := toyGreedy(prompt, 8) // the context holds 12; the last token needs no place
		require.Equal(t, want[:3], collect(t, s, 3, Sampling{}))
		require.Equal(t, want[3:], collect(t, s, 5, Sampling{}))
		require.Equal(t, append(prompt, want...), s.Tokens())
		for _, err := range s.Generate(background, 5, Sampling{}) {
			require.EqualError(t, err, "the context is full: 12 tokens; compile with a larger --context")
		}
	})
}

// A session that asks for many tokens runs ahead of its consumer. What it ran in
// vain is forgotten, and logits are those that the last token was chosen from.
func TestSessionRunsAhead(t *testing.T) {
	x, dev := loadToy(t, func(_ *plan.Plan, f *fake) { f.records, f.info.Emulation = true, true })
	s := NewSession(newInstance(t, x))
	prompt := []int32{3, 1}
	want := toyGreedy(prompt, 11)
	require.NoError(t, s.Prefill(background, prompt))
	runs := dev.calls["run"]
	waits := dev.calls["wait"]
	for id, err := range s.Generate(background, 10, Sampling{}) {
		require.NoError(t, err)
		require.Equal(t, want[len(s.Tokens())-3], id)
		if len(s.Tokens()) == 7 {
			break
		}
	}
	require.Equal(t, 7, dev.calls["run"]-runs, "batches of 1, 2 and 4, where 5 tokens were taken")
	require.Equal(t, 3, dev.calls["wait"]-waits)
	logits, err := s.Logits()
	require.NoError(t, err)
	require.Equal(t, toyLogits(toyWeights(), append(prompt, want[:4]...)), logits)
	require.Equal(t, want[5:8], collect(t, s, 3, Sampling{}))
	require.NoError(t, s.Rewind(4))
	require.NoError(t, s.Prefill(background, []int32{7}))
	require.Equal(t, toyGreedy([]int32{3, 1, want[0], want[1], 7}, 8), collect(t, s, 8, Sampling{}), "to the end of the context")
}

func TestPrefillInChunks(t *testing.T) {
	m := &goModel{}
	s := NewSession(m)
	require.NoError(t, s.Prefill(background, []int32{1, 2, 3, 4, 5, 6, 7, 8, 9}))
	require.Equal(t, []int{4, 4, 1}, m.chunks)
	logits, err := s.Logits()
	require.NoError(t, err)
	require.Equal(t, toyLogits(toyWeights(), []int32{1, 2, 3, 4, 5, 6, 7, 8, 9}), logits)
}

func TestPrefillRefuses(t *testing.T) {
	models(t, func(t *testing.T, m Model) {
		s := NewSession(m)
		require.EqualError(t, s.Prefill(background, make([]int32, 50)),
			"prompt longer than the context: 50 tokens, context 12; compile with a larger --context")
		require.EqualError(t, s.Prefill(background, []int32{1, 16}), "token id 16 at position 1 is outside the vocabulary: want 0 to 15")
		require.EqualError(t, s.Prefill(background, []int32{-1}), "token id -1 at position 0 is outside the vocabulary: want 0 to 15")
		require.ErrorContains(t, s.Prefill(background, nil), "empty")
		require.Empty(t, s.Tokens())
		for _, err := range s.Generate(background, 1, Sampling{}) {
			require.ErrorContains(t, err, "nothing to continue")
		}
		require.NoError(t, s.Prefill(background, make([]int32, 10)))
		require.ErrorContains(t, s.Prefill(background, []int32{1, 2, 3}), "13 tokens, context 12")
		require.Len(t, s.Tokens(), 10)
	})
}

func TestRewind(t *testing.T) {
	models(t, func(t *testing.T, m Model) {
		s := NewSession(m)
		require.NoError(t, s.Prefill(background, []int32{3, 1, 4, 1, 5}))
		first := collect(t, s, 3, Sampling{})
		require.NoError(t, s.Rewind(5))
		require.Equal(t, first, collect(t, s, 3, Sampling{}))
		require.NoError(t, s.Rewind(2))
		require.NoError(t, s.Prefill(background, []int32{7, 7}))
		require.Equal(t, toyGreedy([]int32{3, 1, 7, 7}, 4), collect(t, s, 4, Sampling{}))
		require.NoError(t, s.Rewind(0))
		require.NoError(t, s.Prefill(background, []int32{2}))
		require.Equal(t, toyGreedy([]int32{2}, 4), collect(t, s, 4, Sampling{}))
		require.EqualError(t, s.Rewind(6), "cannot rewind to 6 tokens: the sequence has 5")
		require.Error(t, s.Rewind(-1))
	})
}

// Whatever is appended, generated, broken off and rewound: the next token is the
// one that a fresh session gives for the same sequence.
func TestSessionIsItsSequence(t *testing.T) {
	x, _ := loadToy(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		in, err := x.NewInstance()
		require.NoError(t, err)
		defer in.Close()
		for _, m := range []Model{&goModel{}, in} {
			s := NewSession(m)
			var seq []int32
			for range rapid.IntRange(1, 8).Draw(t, "operations") {
				switch rapid.IntRange(0, 3).Draw(t, "operation") {
				case 0:
					ids := rapid.SliceOfN(rapid.Int32Range(0, toyVocab-1), 1, 6).Draw(t, "ids")
					if err := s.Prefill(background, ids); len(seq)+len(ids) > toyContext {
						require.ErrorContains(t, err, "longer than the context")
					} else {
						require.NoError(t, err)
						seq = append(seq, ids...)
					}
				case 1:
					n := rapid.IntRange(0, 3).Draw(t, "n")
					stop := rapid.IntRange(0, 3).Draw(t, "stop")
					for id, err := range s.Generate(background, n, Sampling{}) {
						if len(seq) == 0 || len(seq) > toyContext {
							require.Error(t, err)
							break
						}
						require.NoError(t, err)
						require.Equal(t, toyGreedy(seq, 1)[0], id)
						seq = append(seq, id)
						if stop--; stop <= 0 {
							break
						}
					}
				case 2:
					n := rapid.IntRange(0, len(seq)).Draw(t, "keep")
					require.NoError(t, s.Rewind(n))
					seq = seq[:n]
				case 3:
					cancelled, cancel := context.WithCancel(background)
					cancel()
					if in == m {
						require.Error(t, s.Prefill(cancelled, []int32{1}))
					}
				}
				require.True(t, slices.Equal(seq, s.Tokens()), "%v, want %v", s.Tokens(), seq)
			}
		}
	})
}

// failing fails its n-th run.
type failing struct {
	goModel
	n int
}

func (m *failing) Prefill(ctx context.Context, p int, ids []int32) (int32, error) {
	if m.n--; m.n == 0 {
		return 0, errInjected
	}
	return m.goModel.Prefill(ctx, p, ids)
}

func TestAfterAFailedChunk(t *testing.T) {
	s := NewSession(&failing{n: 2})
	require.ErrorIs(t, s.Prefill(background, []int32{1, 2, 3, 4, 5, 6}), errInjected)
	require.Equal(t, []int32{1, 2, 3, 4}, s.Tokens(), "the chunk that ran stays")
	_, err := s.Logits()
	require.ErrorContains(t, err, "no logits")
	require.Equal(t, toyGreedy([]int32{1, 2, 3, 4}, 2), collect(t, s, 2, Sampling{}))
}

func TestAllLogits(t *testing.T) {
	p := toyPlan(true)
	x, err := New(background, newFake(toyKernels(true)), p, toySource, nil)
	require.NoError(t, err)
	in, err := x.NewInstance()
	require.NoError(t, err)
	for _, m := range []Model{in, &goModel{all: true}} {
		s := NewSession(m)
		prompt := []int32{3, 1, 4, 1, 5, 9, 2, 6, 5}
		seen := 0
		require.NoError(t, s.PrefillEach(background, prompt, func(p int, logits []float32) error {
			require.Equal(t, seen, p)
			require.Equal(t, toyLogits(toyWeights(), prompt[:p+1]), logits)
			seen++
			return nil
		}))
		require.Equal(t, len(prompt), seen)
		require.Equal(t, toyGreedy(prompt, 2), collect(t, s, 2, Sampling{}))
		require.ErrorIs(t, s.PrefillEach(background, []int32{1}, func(int, []float32) error { return errInjected }), errInjected)
	}
	require.ErrorContains(t, NewSession(&goModel{}).PrefillEach(background, []int32{1}, nil), "logits of the last token only")
}

// What a session ran ahead is cached where the prompt goes on with it; but each token of a
// prompt whose logits are asked for runs, since those of others were never seen.
func TestPromptsGoOnWithWhatRanAhead(t *testing.T) {
	dev := newFake(toyKernels(true))
	dev.records, dev.info.Emulation = true, true
	x, err := New(background, dev, toyPlan(true), toySource, nil)
	require.NoError(t, err)
	prompt := []int32{3, 1}
	want := toyGreedy(prompt, 11)
	ahead := func() *Session {
		s := NewSession(newInstance(t, x))
		require.NoError(t, s.Prefill(background, prompt))
		for _, err := range s.Generate(background, 10, Sampling{}) {
			require.NoError(t, err)
			if len(s.Tokens()) == 7 {
				return s
			}
		}
		return nil
	}
	s := ahead()
	runs := dev.calls["run"]
	require.NoError(t, s.Prefill(background, []int32{want[5], 7}))
	require.Equal(t, 1, dev.calls["run"]-runs)
	require.Equal(t, 9, s.cached)
	s = ahead()
	cached := s.cached
	all := append(slices.Clone(s.Tokens()), want[5], 7)
	require.NoError(t, s.PrefillEach(background, all[7:], func(p int, logits []float32) error {
		require.Equal(t, cached, p)
		require.Equal(t, toyLogits(toyWeights(), all[:p+1]), logits)
		cached++
		return nil
	}))
	require.Equal(t, len(all), cached)
}

func TestGreedyWithMargins(t *testing.T) {
	models(t, func(t *testing.T, m Model) {
		s := NewSession(m)
		prompt := []int32{3, 1, 4, 1, 5}
		require.NoError(t, s.Prefill(background, prompt))
		ids, margins, err := s.Greedy(background, 6)
		require.NoError(t, err)
		require.Equal(t, toyGreedy(prompt, 6), ids)
		seq := append([]int32(nil), prompt...)
		for i, id := range ids {
			logits := toyLogits(toyWeights(), seq)
			second := float32(-1)
			for v, x := range logits {
				if int32(v) != id {
					second = max(second, x)
				}
			}
			require.Equal(t, logits[id]-second, margins[i])
			if len(seq)%3 == 0 {
				require.Zero(t, margins[i])
				require.Equal(t, int32(2), id, "the lowest id of equals")
			}
			seq = append(seq, id)
		}
	})
}

// wrong chooses another token than its logits say.
type wrong struct{ goModel }

func (m *wrong) Decode(ctx context.Context, p int, id int32) (int32, error) {
	token, err := m.goModel.Decode(ctx, p, id)
	return (token + 1) % toyVocab, err
}

func TestGreedyChecksTheModel(t *testing.T) {
	s := NewSession(&wrong{})
	require.NoError(t, s.Prefill(background, []int32{1}))
	_, _, err := s.Greedy(background, 1)
	var chose, largest int
	_, scanErr := fmt.Sscanf(err.Error(), "position 1: the model chose token %d, but the largest logit is token %d's", &chose, &largest)
	require.NoError(t, scanErr, err)
	require.Equal(t, (largest+1)%toyVocab, chose)
}

func TestSamplingInASession(t *testing.T) {
	models(t, func(t *testing.T, m Model) {
		s := NewSession(m)
		prompt := []int32{3, 1, 4, 1, 5}
		how := Sampling{Temperature: 30, TopK: 8, Seed: 7}
		require.NoError(t, s.Prefill(background, prompt))
		first := collect(t, s, 7, how)
		seq := append([]int32(nil), prompt...)
		for _, id := range first {
			want, err := how.Choose(toyLogits(toyWeights(), seq), seq, sampling.Uniform(7, uint32(len(seq))))
			require.NoError(t, err)
			require.Equal(t, want, id)
			seq = append(seq, id)
		}
		require.NotEqual(t, toyGreedy(prompt, 7), first)
		require.NoError(t, s.Rewind(5))
		again := append(collect(t, s, 3, how), collect(t, s, 4, how)...)
		require.Equal(t, first, again, "the same seed and sequence, asked for in two parts")
		for _, err := range s.Generate(background, 1, Sampling{TopP: 2}) {
			require.EqualError(t, err, "top-p is 2, want 0 to 1")
		}
	})
}

func TestGenerateStopsWithTheContext(t *testing.T) {
	x, _ := loadToy(t, nil)
	s := NewSession(newInstance(t, x))
	require.NoError(t, s.Prefill(background, []int32{3, 1}))
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	var got []int32
	var last error
	for id, err := range s.Generate(ctx, 8, Sampling{}) {
		if last = err; err == nil {
			got = append(got, id)
		}
		if len(got) == 2 {
			cancel()
		}
	}
	require.ErrorIs(t, last, context.Canceled)
	require.Equal(t, toyGreedy([]int32{3, 1}, 4), append(got, collect(t, s, 2, Sampling{})...))
}
