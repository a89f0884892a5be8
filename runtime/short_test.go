package runtime

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// withShort gives the toy two more entries decode, up to P = 3 and P = 6, each with a kernel
// of its own that fails where P is beyond its entry. Ran counts the runs of each entry at P.
func withShort(p *plan.Plan, f *fake) (ran map[string][]int) {
	ran = map[string][]int{}
	score := slices.IndexFunc(p.Kernels, func(k plan.Kernel) bool { return k.Name == "score" })
	decode := p.EntryFor(plan.Decode)
	for _, most := range []int64{6, 3, 0} {
		k := p.Kernels[score]
		k.Name = fmt.Sprintf("score_%d", most)
		k.Source = "kernel void " + k.Name + "() {}"
		e := p.Entries[decode]
		e.Steps = slices.Clone(e.Steps)
		for i, s := range e.Steps {
			if s.Dispatch != nil && s.Dispatch.Kernel == score {
				d := *s.Dispatch
				d.Kernel = len(p.Kernels)
				e.Steps[i].Dispatch = &d
			}
		}
		p.Kernels = append(p.Kernels, k)
		run := f.kernels["score"]
		f.kernels[k.Name] = func(grid [3]int64, b [][]byte) error {
			at := int(word(b[0], plan.StepP))
			if most > 0 && int64(at) > most {
				return fmt.Errorf("%s at P = %d", k.Name, at)
			}
			ran[k.Name] = append(ran[k.Name], at)
			return run(grid, b)
		}
		if most == 0 {
			p.Entries[decode] = e
			continue
		}
		e.Name, e.PMax = fmt.Sprintf("decode_%d", most), most
		p.Entries = append(p.Entries, e)
	}
	return ran
}

// Tokens are those of a plan with one entry decode, wherever a session begins, goes back and
// goes on: step by step, and in chains of any length with the next in flight. A step runs in
// the smallest entry that reaches its position, a chain in that which reaches its last.
func TestShortEntries(t *testing.T) {
	prompt := []int32{3, 1}
	want := toyGreedy(prompt, 10)
	host := NewSession(hidden{newInstance(t, func() *Executable { x, _ := loadToy(t, nil); return x }())})
	require.NoError(t, host.Prefill(background, prompt))
	drawn := collect(t, host, 10, toyHow)
	for _, n := range []int{0, 1, 2, 3, 4} { // 0: on a device that records nothing
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var ran map[string][]int
			x, _ := loadToy(t, func(p *plan.Plan, f *fake) {
				drawing(p, f)
				f.records = n > 0
				p.Entries[1].Chain = n
				ran = withShort(p, f)
			})
			require.NoError(t, x.Plan.Check())
			s := NewSession(newInstance(t, x))
			require.NoError(t, s.Prefill(background, prompt))
			require.Equal(t, want, collect(t, s, 10, Sampling{}))
			for name, at := range ran {
				ran[name] = slices.Compact(at) // the last step runs again for its logits
			}
			require.NotEmpty(t, ran["score_0"])
			if n == 0 {
				require.NotEmpty(t, ran["score_3"])
			} else {
				require.Equal(t, map[int]map[string][]int{
					1: {"score_3": {2, 3}, "score_6": {4, 5, 6}, "score_0": {7, 8, 9, 10}},
					2: {"score_3": {2, 3}, "score_6": {4, 5}, "score_0": {6, 7, 8, 9, 10}},
					3: {"score_6": {2, 3, 4}, "score_0": {5, 6, 7, 8, 9, 10}},
					4: {"score_6": {2, 3, 4, 5}, "score_0": {6, 7, 8, 9, 10}},
				}[n], ran, "the entry of each P")
			}
			for _, kept := range []int{2, 4, 5, 9} {
				require.NoError(t, s.Rewind(kept))
				require.Equal(t, want[kept-2:], collect(t, s, 12-kept, Sampling{}))
			}
			require.NoError(t, s.Rewind(2))
			require.Equal(t, drawn[:3], collect(t, s, 3, toyHow))
			require.Equal(t, drawn[3:], collect(t, s, 7, toyHow))
			require.NoError(t, s.Close())
		})
	}
}
