package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// processes draws recordings of rows: each process has a level of its own, about which
// its samples scatter, now and then far above it as on a busy machine.
func processes(r *rand.Rand, n, rows int, level, between, within, busy float64) []Recording {
	out := make([]Recording, n)
	for i := range out {
		out[i] = Recording{}
		for row := range rows {
			own := level * math.Exp(between*r.NormFloat64())
			for range 10 {
				us := own * math.Exp(within*r.NormFloat64())
				if r.Float64() < busy {
					us *= 1 + 2*r.Float64()
				}
				key := fmt.Sprint("row ", row)
				out[i][key] = append(out[i][key], us)
			}
		}
	}
	return out
}

// Of 1,000 comparisons of a program with itself at most one in twenty calls any of three
// rows, on a quiet machine and on a busy one; of 40 in which every row takes 5 % more and
// spreads by less than 2 %, nine in ten find one, and none calls it faster.
func TestCompareKeepsItsLevel(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 7))
	calls := func(trials int, grown float64, between, within, busy float64) (slower, faster int) {
		for range trials {
			a := processes(r, LeastProcesses, 3, 100, between, within, busy)
			b := processes(r, LeastProcesses, 3, 100*grown, between, within, busy)
			rows, err := Compare(a, b)
			require.NoError(t, err)
			var up, down bool
			for _, c := range rows {
				up, down = up || c.Verdict == Slower, down || c.Verdict == Faster
			}
			if up {
				slower++
			}
			if down {
				faster++
			}
		}
		return slower, faster
	}
	trials := 50 // and with FOUNDRY_COMPLETE 1,000 in all
	if os.Getenv("FOUNDRY_COMPLETE") != "" {
		trials = 500
	}
	for _, noise := range []struct{ between, within, busy float64 }{{0.015, 0.01, 0}, {0.1, 0.1, 0.3}} {
		slower, faster := calls(trials, 1, noise.between, noise.within, noise.busy)
		t.Logf("%+v: %d of %d called slower, %d faster", noise, slower, trials, faster)
		require.LessOrEqual(t, slower+faster, max(5, trials*5/100))
	}
	slower, faster := calls(40, 1.05, 0.015, 0.01, 0)
	t.Logf("5 %% more: %d of 40 called", slower)
	require.GreaterOrEqual(t, slower, 40*90/100)
	require.Zero(t, faster)
}

func TestCompareVerdicts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	quiet := func(level float64) []Recording { return processes(r, 8, 1, level, 0.003, 0.003, 0) }
	for level, want := range map[float64]Verdict{100: Same, 110: Slower, 90: Faster} {
		rows, err := Compare(quiet(100), quiet(level))
		require.NoError(t, err)
		require.Equal(t, want, rows[0].Verdict)
		require.True(t, rows[0].Change.Low <= level/100-1 && level/100-1 <= rows[0].Change.High, "%+v", rows[0])
	}
	rows, err := Compare(processes(r, 6, 1, 100, 0.3, 0.3, 0), processes(r, 6, 1, 100, 0.3, 0.3, 0))
	require.NoError(t, err)
	require.Equal(t, CannotTell, rows[0].Verdict)
	_, err = Compare(quiet(100)[:5], quiet(100))
	require.ErrorContains(t, err, "at least 6")
}

func TestHolm(t *testing.T) {
	rows := []Compared{{P: 0.04}, {P: 0.01}, {P: 0.03}}
	holm(rows)
	require.InDeltaSlice(t, []float64{0.06, 0.03, 0.06}, []float64{rows[0].P, rows[1].P, rows[2].P}, 1e-12)
}

func TestReadRecording(t *testing.T) {
	head := "model,device,phase,variant,context,prompt,us\n"
	r, err := ReadRecording(strings.NewReader(head + "m,cpu,decode,v,1,2,3.5\nm,cpu,decode,v,1,2,4\n"))
	require.NoError(t, err)
	require.Equal(t, Recording{"m cpu decode v 1 2": {3.5, 4}}, r)
	for _, bad := range []string{"", "a,b\n1,2\n", head, head + "m,cpu,decode,v,1,2,NaN\n", head + "m,cpu,decode,v,1,2,-1\n", head + "m\n"} {
		_, err := ReadRecording(strings.NewReader(bad))
		require.Error(t, err, "%q", bad)
	}
}

// What is no recording says what is wrong with it.
func TestRecordingsThatAreNone(t *testing.T) {
	const head = "model,device,phase,variant,context,prompt,us\n"
	for text, want := range map[string]string{
		"":     "no samples: EOF",
		"a,us": `there is no column "model": these are no samples of a benchmark`,
		"model,device,phase,variant,context,prompt\n": `there is no column "us": these are no samples of a benchmark`,
		head:                              "it holds no sample",
		head + "m,cpu,decode,v,1,2,0\n":   `row m cpu decode v 1 2: "0" is no time in us`,
		head + "m,cpu,decode,v,1,2,Inf\n": `row m cpu decode v 1 2: "Inf" is no time in us`,
		head + "m,cpu,decode,v,1,2,x\n":   `row m cpu decode v 1 2: "x" is no time in us`,
	} {
		_, err := ReadRecording(strings.NewReader(text))
		require.EqualError(t, err, want)
	}
	own := Recording{"r": {1, 2}}
	_, err := Compare(slices.Repeat([]Recording{own}, 6), slices.Repeat([]Recording{{"s": {1}}}, 6))
	require.EqualError(t, err, "no row was measured by every process")
	_, err = Compare(slices.Repeat([]Recording{own}, 7), slices.Repeat([]Recording{own}, 5))
	require.EqualError(t, err, "7 and 5 processes are too few to tell their spread: take at least 6 of each side")
	rows, err := Compare(slices.Repeat([]Recording{{"r": {1}, "b": {1}, "only": {1}}}, 6), slices.Repeat([]Recording{{"r": {1}, "b": {1}}}, 6))
	require.NoError(t, err)
	require.Equal(t, []string{"b", "r"}, []string{rows[0].Row, rows[1].Row})
}

func FuzzReadRecording(f *testing.F) {
	f.Add("model,device,phase,variant,context,prompt,us\nm,cpu,decode,v,1,2,3.5\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ReadRecording(strings.NewReader(text))
		require.True(t, err != nil || len(r) > 0)
	})
}

// Samples that do not scatter leave nothing to chance: a difference of theirs is certain, and
// none is none.
func TestSamplesThatDoNotScatter(t *testing.T) {
	of := func(v float64) [][]float64 { return [][]float64{{v, v}, {v, v}, {v, v}} }
	same := compareRow([2][][]float64{of(2), of(2)})
	require.Equal(t, 1.0, same.P)
	require.Zero(t, same.Change)
	other := compareRow([2][][]float64{of(2), of(3)})
	require.Zero(t, other.P)
	require.InDelta(t, 0.5, other.Change.Mid, 1e-12)
	require.Equal(t, other.Change.Mid, other.Change.Low)
	require.Equal(t, other.Change.Mid, other.Change.High)
	require.InDelta(t, 2, other.A, 1e-12)
	require.InDelta(t, 3, other.B, 1e-12)
	require.Zero(t, other.Spread)
}
