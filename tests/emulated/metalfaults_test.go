package emulated

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/runtime"
	"foundry/runtime/mtl"
	"foundry/tests/goldens"
)

// TestFaultsInASession injects what a GPU does to its users into sessions: each fault
// is one error, of one line, and the session goes on with the tokens that it would have
// given, or is closed; no object is left.
func TestFaultsInASession(t *testing.T) {
	const n = 6
	prompt := []int32{1062, 258, 342}
	ctx := context.Background()
	m, _ := goldens.Open(t, goldens.Models[0])
	p := bundle(t, m, foundry.CompileOptions{Variant: "per-layer-6", Context: 64, Chunk: 16})
	f := emulated(t)

	// Each runs the session to the fault, and leaves what is missing of the prompt or of
	// the n tokens to be run.
	phases := []struct {
		name string

		run func(s *runtime.Session, fault func()) error
	}{
		{"prefill", func(s *runtime.Session, fault func()) error {
			fault()
			return s.Prefill(ctx, prompt)
		}},
		{"decode", func(s *runtime.Session, fault func()) error {
			if err := s.Prefill(ctx, prompt); err != nil {
				return err
			}
			if _, _, err := s.Greedy(ctx, 2); err != nil {
				return err
			}
			fault()
			_, _, err := s.Greedy(ctx, 2)
			return err
		}},
		{"decode ahead", func(s *runtime.Session, fault func()) error {
			if err := s.Prefill(ctx, prompt); err != nil {
				return err
			}
			fault()
			for _, err := range s.Generate(ctx, n, runtime.Sampling{}) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
	}
	faults := []struct{ name, want string }{
		{"device-lost", "metal: the GPU gave up on a command buffer: Caused GPU Device Removed Error (injected) (code 11)"},
		{"command-buffer-error", "metal: the GPU gave up on a command buffer: Internal Error (injected) (code 1)"},
		{"gpu-out-of-memory", "metal: the GPU gave up on a command buffer: Insufficient Memory (injected) (code 8)"},
		{"no-command-buffer", "metal: the queue gives no command buffer"},
	}
	for _, indirect := range []bool{false, true} {
		e := onEmulatedMetal(t, m, p, mtl.Options{Indirect: indirect})
		var want []int32
		finish := func(t *testing.T, s *runtime.Session) []int32 {
			if len(s.Tokens()) == 0 {
				require.NoError(t, s.Prefill(ctx, prompt))
			}
			_, _, err := s.Greedy(ctx, len(prompt)+n-len(s.Tokens()))
			require.NoError(t, err)
			return s.Tokens()
		}
		s, err := e.NewSession()
		require.NoError(t, err)
		want = append(want, finish(t, s.IDs)...)
		require.NoError(t, s.Close())
		objects := f.Live()

		for _, phase := range phases {
			for _, fault := range faults {
				t.Run(fmt.Sprintf("indirect=%v/%s/%s", indirect, phase.name, fault.name), func(t *testing.T) {
					for _, goOn := range []bool{true, false} {
						s, err := e.NewSession()
						require.NoError(t, err)
						err = phase.run(s.IDs, func() { f.Fault(fault.name) })
						require.ErrorContains(t, err, fault.want)
						require.NotContains(t, err.Error(), "\n")
						if goOn {
							require.Equal(t, want, finish(t, s.IDs))
						}
						require.NoError(t, s.Close())
						require.Empty(t, f.Noted())
						require.Equal(t, objects, f.Live())
					}
				})
			}
		}
		t.Run(fmt.Sprintf("indirect=%v/new session/out-of-memory", indirect), func(t *testing.T) {
			f.Fault("out-of-memory")
			_, err := e.NewSession()
			require.ErrorContains(t, err, "no memory for a session: metal: out of memory: ")
			require.NotContains(t, err.Error(), "\n")
			require.Equal(t, objects, f.Live())
			s, err := e.NewSession()
			require.NoError(t, err)
			if indirect {
				require.NoError(t, s.IDs.Prefill(ctx, prompt))
				f.Fault("no-indirect")
				_, _, err := s.IDs.Greedy(ctx, 2)
				require.ErrorContains(t, err, "decode: metal: no memory for an indirect command buffer of ")
			}
			require.Equal(t, want, finish(t, s.IDs))
			require.NoError(t, s.Close())
			require.Equal(t, objects, f.Live())
		})
		require.NoError(t, e.Close())
		clean(t)
	}
}
