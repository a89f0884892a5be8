package runtime

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// chaining is a toy on a device that records, with n decode steps a command buffer.
func chaining(t *testing.T, n int) (*Session, *fake) {
	x, dev := loadToy(t, func(p *plan.Plan, f *fake) {
		drawing(p, f)
		f.records = true
		p.Entries[1].Chain = n
	})
	require.NoError(t, x.Plan.Check())
	return NewSession(newInstance(t, x)), dev
}

// Chains of any length, with the next always in flight, give the tokens of single steps,
// greedy and drawn, however the calls are cut; when the consumer stops, at most one chain
// was run in vain.
func TestChains(t *testing.T) {
	prompt := []int32{3, 1}
	want := toyGreedy(prompt, 10)
	host := NewSession(hidden{newInstance(t, func() *Executable { x, _ := loadToy(t, nil); return x }())})
	require.NoError(t, host.Prefill(background, prompt))
	drawn := collect(t, host, 10, toyHow)
	for _, n := range []int{1, 2, 3, 4, 8} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s, dev := chaining(t, max(n, 1))
			require.Equal(t, n, s.Limits().Chain)
			require.NoError(t, s.Prefill(background, prompt))
			require.Equal(t, want, collect(t, s, 10, Sampling{}))
			for _, cut := range []int{1, 3, 4, 7} {
				require.NoError(t, s.Rewind(2))
				runs, taken := dev.calls["run"], 0
				for id, err := range s.Generate(background, 10, Sampling{}) {
					require.NoError(t, err)
					require.Equal(t, want[taken], id)
					if taken++; taken == cut {
						break
					}
				}
				if n > 1 { // a run is a chain, but for the first token's
					needed := (cut - 1 + n - 1) / n
					require.LessOrEqual(t, dev.calls["run"]-runs, 1+needed+1)
				}
				logits, err := s.Logits()
				require.NoError(t, err)
				require.Equal(t, toyLogits(toyWeights(), append(append([]int32(nil), prompt...), want[:cut-1]...)), logits)
				require.Equal(t, want[cut:10], collect(t, s, 10-cut, Sampling{}))
			}
			require.NoError(t, s.Rewind(2))
			require.Equal(t, drawn[:6], collect(t, s, 6, toyHow))
			require.Equal(t, drawn[6:], collect(t, s, 4, toyHow))
			require.NoError(t, s.Rewind(3))
			require.NoError(t, s.Prefill(background, []int32{7}))
			for range s.Generate(background, 6, Sampling{}) {
				break
			}
			require.NoError(t, s.Close(), "with a chain in flight")
		})
	}
}

// What a kernel refuses in a chain that nobody asked for is no error of the tokens before
// it; asked for, it is.
func TestRefusalInFlight(t *testing.T) {
	s, dev := chaining(t, 2)
	prompt := []int32{3, 1}
	want := toyGreedy(prompt, 10)
	score := dev.kernels["choose"]
	dev.kernels["choose"] = func(grid [3]int64, b [][]byte) error {
		err := score(grid, b)
		for _, m := range b {
			if len(m) == plan.StepBytes && word(m, plan.StepP) == 6 {
				binary.LittleEndian.PutUint32(m[4*plan.StepError:], plan.ErrLogits)
			}
		}
		return err
	}
	require.NoError(t, s.Prefill(background, prompt))
	var got []int32
	var failed error
	for id, err := range s.Generate(background, 8, Sampling{}) {
		if failed = err; err != nil {
			break
		}
		got = append(got, id)
	}
	require.Error(t, failed)
	require.Equal(t, want[:3], got, "the first token and those of the chain before")
}
