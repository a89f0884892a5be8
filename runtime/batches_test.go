package runtime

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// batching is a Batcher that always chooses token 1, and takes its time for each batch.
type batching struct {
	goModel
	takes time.Duration
	asked []int
}

func (m *batching) Limits() Limits { return Limits{Vocab: 4, Context: 1000, Chunk: 8, Batch: 1000} }

func (m *batching) Prefill(context.Context, int, []int32) (int32, error) { return 1, nil }

func (m *batching) Decode(context.Context, int, int32) (int32, error) {
	m.asked = append(m.asked, 0)
	return 1, nil
}

func (m *batching) DecodeN(_ context.Context, _ int, _ int32, n int, _ bool) ([]int32, error) {
	m.asked = append(m.asked, n)
	time.Sleep(m.takes)
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = 1
	}
	return ids, nil
}

// Batches grow to 32 tokens while one takes less than 20 ms, and shrink where it takes as
// long; a single token that is wanted is no batch, of the last that are wanted no more are
// asked for than run. The first token is there behind the prompt.
func TestBatches(t *testing.T) {
	for _, c := range []struct {
		takes  time.Duration
		tokens int
		asked  []int
	}{
		{0, 2, []int{0}}, {0, 3, []int{1, 0}}, {0, 4, []int{1, 2}}, {0, 5, []int{1, 2, 0}}, {0, 6, []int{1, 2, 2}},
		{0, 110, []int{1, 2, 4, 8, 16, 32, 32, 14}}, {20*time.Millisecond - 1, 64, []int{1, 2, 4, 8, 16, 32}},
		{20 * time.Millisecond, 6, []int{1, 1, 1, 1, 0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := &batching{takes: c.takes}
			s := NewSession(m)
			require.NoError(t, s.Prefill(background, []int32{1, 1}))
			require.Len(t, collect(t, s, c.tokens, Sampling{}), c.tokens)
			require.Equal(t, c.asked, m.asked, "%v", c)
		})
	}
	synctest.Test(t, func(t *testing.T) { // one that becomes slow
		m := &batching{}
		s := NewSession(m)
		require.NoError(t, s.Prefill(background, []int32{1, 1}))
		for range s.Generate(background, 60, Sampling{}) {
			if len(m.asked) == 4 {
				m.takes = time.Second
			}
		}
		require.Equal(t, []int{1, 2, 4, 8, 16, 8, 4, 2, 1, 1}, m.asked[:10])
	})
}

// Another chain is put in flight where all its steps lie within the context, and none beyond.
func TestChainsEndWithTheContext(t *testing.T) {
	for p, more := range map[int]bool{7: true, 8: true, 9: false, 10: false} {
		s, dev := chaining(t, 2)
		in := s.model.(*Instance)
		ids := make([]int32, p)
		for at := 0; at < p; at += toyChunk {
			_, err := in.Prefill(background, at, ids[at:min(p, at+toyChunk)])
			require.NoError(t, err)
		}
		runs := dev.calls["run"]
		_, err := in.DecodeN(background, p, 1, 2, true)
		require.NoError(t, err)
		require.Equal(t, more, in.flying != nil, "%d", p)
		require.Equal(t, map[bool]int{true: 2, false: 1}[more], dev.calls["run"]-runs, "%d", p)
		require.NoError(t, in.land())
	}
	s, _ := chaining(t, 2)
	_, err := s.model.(*Instance).DecodeN(background, 11, 1, 2, false)
	require.EqualError(t, err, "entry decode: 2 tokens at position 11, want them within a context of 12")
}

// Logits that are no numbers are told with the position of their token.
func TestPositionOfBadLogits(t *testing.T) {
	for _, bad := range []int{0, 3, 5} {
		dev := newFake(toyKernels(true))
		score := dev.kernels["score"]
		dev.kernels["score"] = func(g [3]int64, b [][]byte) error {
			err := score(g, b)
			if row := bad - int(word(b[0], plan.StepP)); row >= 0 && row < int(word(b[0], plan.StepT)) {
				setWord(b[3], row*toyVocab+2, 0x7fc00000)
			}
			return err
		}
		x, err := New(background, dev, toyPlan(true), toySource, nil)
		require.NoError(t, err)
		s := NewSession(newInstance(t, x))
		seen := 0
		err = s.PrefillEach(background, []int32{3, 1, 4, 1, 5, 9}, func(p int, _ []float32) error {
			seen++
			return nil
		})
		require.ErrorContains(t, err, map[int]string{0: "position 0: ", 3: "position 3: ", 5: "position 5: "}[bad])
		require.Equal(t, bad, seen)
	}
}
