package models

import (
	"context"
	"slices"
	"testing"

	"foundry"
	"foundry/ir/interp"
	"foundry/runtime"
	"foundry/runtime/eval"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"
)

// follow appends ids to a session and holds the logits of every row that runs, one
// for each id at least, against those of the whole sequence in a fresh session. A
// session that was rewound runs its last token again.
func follow(t *testing.T, e *foundry.Engine, s *foundry.Session, ids []int32) {
	t.Helper()
	before := len(s.IDs.Tokens())
	vocab := s.IDs.Limits().Vocab
	var have []float32
	first, at := -1, 0
	require.NoError(t, s.IDs.PrefillEach(context.Background(), ids, func(p int, logits []float32) error {
		if first < 0 {
			require.True(t, p == before || p == before-1)
			first, at = p, p
		}
		require.Equal(t, at, p)
		require.Len(t, logits, vocab)
		have = append(have, logits...)
		at++
		return nil
	}))
	require.Equal(t, before+len(ids), at, "a row for every token")
	fresh, err := eval.Prompt(context.Background(), e, eval.Options{IDs: s.IDs.Tokens(), Top: 1})
	require.NoError(t, err)
	d := interp.Compare(have, fresh.Logits[first*vocab:])
	require.LessOrEqual(t, d.NMSE, chunksBound, "%d tokens at %d: %s", len(ids), before, d)
}

// TestStateOfSessions advances by runs of every kind, rewinds and overwrites, and
// takes two ways from one prefix, on the interpreter and on cpu.
func TestStateOfSessions(t *testing.T) {
	t.Parallel()
	m, _ := goldens.Open(t, "rand-hd64")
	o := foundry.CompileOptions{Variant: "default", Context: 512, AllLogits: true}
	engines := []func() *foundry.Engine{
		func() *foundry.Engine {
			e, err := foundry.Start(context.Background(), m, foundry.StartOptions{Device: foundry.Ref, Compile: o})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, e.Close()) })
			return e
		},
		func() *foundry.Engine { return oncpu.FromDisk(t, m, o)(t, 0) },
	}
	ids := oncpu.IDs(140, m.Config.Vocab)
	other := slices.Clone(ids)
	slices.Reverse(other)
	for _, open := range engines {
		e := open()
		t.Run(e.Device, func(t *testing.T) {
			session := func() *foundry.Session {
				s, err := e.NewSession()
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, s.Close()) })
				return s
			}
			s := session()
			at := 0
			for _, n := range []int{1, 2, 33, 1, 33} {
				follow(t, e, s, ids[at:at+n])
				at += n
				// Advancing by nothing changes nothing.
				require.EqualError(t, s.IDs.Prefill(context.Background(), nil), "the prompt is empty: no token to run")
				for range s.IDs.Generate(context.Background(), 0, runtime.Sampling{}) {
					require.Fail(t, "a token of none")
				}
				require.Equal(t, ids[:at], s.IDs.Tokens())
			}
			require.NoError(t, s.IDs.Rewind(20))
			follow(t, e, s, other[:33])
			require.NoError(t, s.IDs.Rewind(21))
			follow(t, e, s, other[40:42])
			require.Equal(t, slices.Concat(ids[:20], other[:1], other[40:42]), s.IDs.Tokens())

			a, b := session(), session()
			follow(t, e, a, ids[:40])
			follow(t, e, b, ids[:40])
			for i := range 3 {
				follow(t, e, a, ids[40+2*i:][:2])
				follow(t, e, b, other[33*i:][:33])
			}
			follow(t, e, a, ids[46:79])
		})
	}
}
