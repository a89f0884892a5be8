package runtime

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// What a run leaves in the step buffer is looked at word by word: each alone, wrong by one,
// is an error, and so is a token that the vocabulary lacks.
func TestWhatARunLeaves(t *testing.T) {
	for word, name := range map[int]string{plan.StepT: "T", plan.StepP: "P", plan.StepS: "S", plan.StepToken: "token"} {
		x, _ := loadToy(t, func(_ *plan.Plan, f *fake) {
			choose := f.kernels["choose"]
			f.kernels["choose"] = func(g [3]int64, b [][]byte) error {
				err := choose(g, b)
				at := map[string]uint32{"T": 2, "P": 1, "S": 4, "token": toyVocab}[name]
				setWord(b[3], word, at)
				return err
			}
		})
		_, err := newInstance(t, x).Prefill(background, 0, []int32{3, 1})
		require.ErrorContains(t, err, map[string]string{
			"T": "the run left T=2 P=2 S=3 in the step buffer, want 1, 2, 3", "P": "the run left T=1 P=1 S=3 in the step buffer, want 1, 2, 3",
			"S": "the run left T=1 P=2 S=4 in the step buffer, want 1, 2, 3", "token": fmt.Sprintf("the run chose token %d of a vocabulary of %d", toyVocab, toyVocab),
		}[name])
	}
}

// A session begins with the settings that mean greedy choice.
func TestFirstSettings(t *testing.T) {
	x, _ := loadToy(t, nil)
	in := newInstance(t, x)
	b := make([]byte, plan.StepBytes)
	require.NoError(t, in.Read("step", b))
	for i := range plan.StepBytes / 4 {
		want := float32(0)
		if i == plan.StepTopP || i == plan.StepRepetition {
			want = 1
		}
		require.Equal(t, want, float(b, i), "word %d", i)
	}
}

// Reading and converting weights, and writing them, are phases of their own.
func TestPhasesOfWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := weightsFunc(func(b *plan.Buffer) ([]byte, error) {
			time.Sleep(3 * time.Second)
			return toySource(b)
		})
		x, err := New(background, newFake(toyKernels(false)), toyPlan(false), slow, nil)
		require.NoError(t, err)
		require.Equal(t, []Phase{{Name: "weights: read and convert", Seconds: 3, Bytes: 124}, {Name: "weights: upload", Bytes: 124}}, x.Startup())
		require.NoError(t, x.Close())
	})
}

// Memory that cannot be poisoned is told.
func TestPoisonFails(t *testing.T) {
	m := &fakeMemory{f: newFake(nil), b: make([]byte, 1<<16+8)}
	require.NoError(t, poisonAll(m))
	for i, b := range m.b {
		if b != 0xff {
			t.Fatalf("byte %d is %#x", i, b)
		}
	}
	require.Equal(t, 2, m.f.calls["write"])
	for n := 3; n <= 4; n++ {
		m.f.failAt["write"] = n
		require.ErrorIs(t, poisonAll(m), errInjected)
		m.f.calls["write"] = n
	}
	require.NoError(t, poisonAll(nil))
}

// A chain is asked for more behind it where a whole one more is wanted, no sooner.
func TestMoreBehindAChain(t *testing.T) {
	for wanted, more := range map[int]bool{2: false, 3: false, 4: false, 5: false, 6: true, 7: true} {
		s, _ := chaining(t, 3)
		require.NoError(t, s.Prefill(background, []int32{3, 1}))
		s.tokens = append(s.tokens, s.ahead[0])
		require.NoError(t, s.runAhead(background, wanted))
		require.Equal(t, more, s.flown, "%d", wanted)
		require.NoError(t, s.Close())
	}
}

// A plan is a model's where it has the entries of one; its checks see to the buffers.
func TestWhatAModelNeeds(t *testing.T) {
	require.NotNil(t, findSpecials(toyPlan(false)))
	p := toyPlan(false)
	for i := range p.Entries {
		p.Entries[i].Role = ""
	}
	require.NoError(t, p.Check())
	x, err := New(background, newFake(toyKernels(false)), p, toySource, nil)
	require.NoError(t, err)
	in, err := x.NewInstance()
	require.NoError(t, err)
	require.Equal(t, Limits{Vocab: toyVocab, Context: toyContext, Chunk: toyChunk}, in.Limits())
	for _, run := range []func() error{
		func() error { _, err := in.Prefill(background, 0, []int32{1}); return err },
		func() error { _, err := in.Decode(background, 0, 1); return err },
	} {
		require.EqualError(t, run(), "the plan is not a language model's: it has no entries of role prefill and decode")
	}
	require.NoError(t, errors.Join(in.Close(), x.Close()))
}
