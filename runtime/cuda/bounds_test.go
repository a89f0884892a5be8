package cuda

import (
	"encoding/csv"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// trial is a kernel that was measured with one number of registers.
type trial struct {
	asked string // natural, bN: N threadgroups at once, b1: registers free, rN: N registers
	used  notes
	us    float64 // the median
	among float64 // the factor between the least and the most
}

// tried is a kernel, at one place of the table, and what a multiprocessor gets of it.
type tried struct {
	kernel plan.Kernel
	share  int
	trials []trial
}

// tries reads ir/cost/testdata/registers-h200.csv: by product, what was measured.
func tries(t *testing.T) map[string][]*tried {
	t.Helper()
	f, err := os.Open("../../ir/cost/testdata/registers-h200.csv")
	require.NoError(t, err)
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	lines, err := r.ReadAll()
	require.NoError(t, err)
	const cores = 132
	out := map[string][]*tried{}
	for _, l := range lines[1:] {
		number := func(i int) int {
			n, err := strconv.Atoi(l[i])
			require.NoError(t, err)
			return n
		}
		product := l[0] + " " + l[1]
		if l[11] == "natural" {
			k := plan.Kernel{Name: strings.Join(l[:9], " "), Threads: [3]int{32 * number(5), 1, 1}, Threadgroup: []plan.ThreadgroupArg{{Bytes: number(9)}}}
			out[product] = append(out[product], &tried{kernel: k, share: (number(10) + cores - 1) / cores})
		}
		var us [3]float64
		for i := range us {
			us[i], err = strconv.ParseFloat(l[14+i], 64)
			require.NoError(t, err)
		}
		all := out[product]
		last := all[len(all)-1]
		require.Equal(t, last.kernel.Name, strings.Join(l[:9], " "))
		last.trials = append(last.trials, trial{l[11], notes{number(12), number(13)}, us[0], us[2] / us[1]})
	}
	return out
}

// with returns the trial that was asked so; nil where there is none.
func (k *tried) with(asked string) *trial {
	if i := slices.IndexFunc(k.trials, func(x trial) bool { return x.asked == asked }); i >= 0 {
		return &k.trials[i]
	}
	return nil
}

// atOnce returns the trial for so many threadgroups at once, or the one with as many registers
// as these leave.
func (k *tried) atOnce(n int) *trial {
	if x := k.with("b" + strconv.Itoa(n)); x != nil {
		return x
	}
	threads := k.kernel.Threads[0]
	for _, x := range slices.Backward(k.trials) {
		if asked, is := strings.CutPrefix(x.asked, "r"); is {
			if r, err := strconv.Atoi(asked); err == nil && coreRegisters/(r*threads) == n && coreRegisters/((r+registerStep)*threads) < n {
				return k.with(x.asked)
			}
		}
	}
	return nil
}

// settled is what settle takes of what was measured.
func (k *tried) settled() *trial {
	free, weighed := k.with("b1"), k.with("natural")
	if !crowded(&k.kernel, free.used.registers, k.share) {
		return free
	}
	for _, b := range bounds(&k.kernel, k.share, weighed.used.registers) {
		if x := k.atOnce(b.atOnce); x != nil && betters(x.used, free.used, b) {
			return x
		}
	}
	return weighed
}

// Registers of the kernels that were measured are settled so that none is slower than with
// weighed ones, as far as one kernel takes one time, and so that those that can be as fast as the fastest are, as far as a
// kernel at two places of the table takes one time.
func TestRegistersAsMeasured(t *testing.T) {
	all := tries(t)
	require.Len(t, all, 4)
	for product, kernels := range all {
		again, spread, fastest := 1.0, 1.0, math.Inf(1)
		first := map[string]*tried{}
		for _, k := range kernels {
			for _, x := range k.trials {
				fastest, spread = min(fastest, x.us), max(spread, x.among)
				if f := first[k.kernel.Name]; f != nil && f.with(x.asked) != nil {
					us := f.with(x.asked).us
					again = max(again, us/x.us, x.us/us)
				}
			}
			first[k.kernel.Name] = k
		}
		require.Less(t, max(again, spread), 1.1, "%s: times that say nothing", product)
		near, better := 0, 0.0
		for _, k := range kernels {
			weighed, taken := k.with("natural"), k.settled()
			best := slices.MinFunc(k.trials, func(a, b trial) int { return int(math.Copysign(1, a.us-b.us)) })
			t.Logf("%s: weighed %d registers %.2f us, settled %s %d %.2f, fastest %s %.2f", k.kernel.Name, weighed.used.registers, weighed.us, taken.asked, taken.used.registers, taken.us, best.asked, best.us)
			require.LessOrEqual(t, taken.us, max(again, spread)*weighed.us, "%s: slower than weighed", k.kernel.Name)
			better = max(better, weighed.us/taken.us)
			if best.us <= again*fastest {
				near++
				require.LessOrEqual(t, taken.us, again*fastest, "%s", k.kernel.Name)
			}
		}
		require.Positive(t, near)
		require.Greater(t, better, again, "%s: registers are worth nothing", product)
		t.Logf("%s: fastest %.2f us, %d of %d as fast, one kernel twice within a factor of %.3f, in turn %.3f", product, fastest, near, len(kernels), again, spread)
	}
}
