package bench

import (
	"encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// recordedSets reads what real processes measured, by set; the file says where.
func recordedSets(t *testing.T) map[string][]Recording {
	f, err := os.Open("testdata/recorded.csv")
	require.NoError(t, err)
	defer f.Close()
	lines := csv.NewReader(f)
	lines.Comment = '#'
	_, err = lines.Read()
	require.NoError(t, err)
	out, last := map[string][]Recording{}, ""
	for {
		line, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		set, process, row := line[0], line[0]+line[1], line[2]
		if process != last {
			out[set], last = append(out[set], Recording{}), process
		}
		for _, text := range strings.Fields(line[3]) {
			us, err := strconv.ParseFloat(text, 64)
			require.NoError(t, err)
			r := out[set][len(out[set])-1]
			r[row] = append(r[row], us)
		}
	}
}

// Of seeded comparisons of a program with itself, six processes a side or eighty drawn from
// real ones, at most one in twenty calls a row; what was recorded under load calls none. Where
// one side takes 5 % more, nine in ten find it of the set whose processes spread by less
// than 2 %, and none calls it faster.
func TestCompareOnRecordedRuns(t *testing.T) {
	sets := recordedSets(t)
	for _, set := range []string{"h200-0.5b", "pinned"} {
		sets[set] = append(sets[set], sets[set+"-again"]...) // one program
	}
	trials := 20
	if os.Getenv("FOUNDRY_COMPLETE") != "" {
		trials = 1000
	}
	for i, x := range []struct {
		set       string
		processes int // of a side
		most      int // comparisons that may call a row
		steady    bool
	}{
		{"h200", LeastProcesses, trials / 20, false}, {"h200-0.5b", LeastProcesses, trials / 20, true},
		{"xeon", LeastProcesses, trials / 20, false}, {"loaded", LeastProcesses, 0, false},
		{"pinned", LeastProcesses, trials / 20, false}, {"pinned", 80, trials / 20, false},
	} {
		r, all := rand.New(rand.NewPCG(11, uint64(i))), sets[x.set]
		require.GreaterOrEqual(t, len(all), 2*x.processes, x.set)
		falsely, found := 0, 0
		for range trials {
			a, b := make([]Recording, x.processes), make([]Recording, x.processes)
			for i, k := range r.Perm(len(all))[:2*x.processes] {
				if a[i%x.processes] = all[k]; i < x.processes {
					b[i] = all[k]
				}
			}
			rows, err := Compare(a, b)
			require.NoError(t, err)
			if slices.ContainsFunc(rows, func(c Compared) bool { return c.Verdict == Slower || c.Verdict == Faster }) {
				falsely++
			}
			if !x.steady {
				continue
			}
			rows, err = Compare(a, grown(b, 1.05))
			require.NoError(t, err)
			require.Less(t, rows[0].Spread, 0.02)
			require.NotEqual(t, Faster, rows[0].Verdict)
			if rows[0].Verdict == Slower {
				found++
			}
		}
		t.Logf("%s, %d a side: %d of %d comparisons of equal programs call a row; 5 %% more was called in %d", x.set, x.processes, falsely, trials, found)
		require.LessOrEqual(t, falsely, x.most, x.set)
		require.True(t, !x.steady || 10*found >= 9*trials, x.set)
	}
}

// grown is what processes would have measured of a program that takes so much longer.
func grown(processes []Recording, by float64) []Recording {
	out := make([]Recording, len(processes))
	for i, p := range processes {
		out[i] = Recording{}
		for row, samples := range p {
			for _, us := range samples {
				out[i][row] = append(out[i][row], by*us)
			}
		}
	}
	return out
}

// A plan whose products do a tenth more is called slower; that its steps take 2 % more
// where they do a twentieth more is seen, and no more is said than that it is about so much.
// A kernel by itself that does 5 % more is called slower by eighty processes a side, though
// the machine is so unsteady that six say nothing.
func TestCompareCallsARealSlowdown(t *testing.T) {
	sets := recordedSets(t)
	for set, want := range map[string]Verdict{
		"h200-0.5b-again": Same, "h200-0.5b-grown5": CannotTell, "h200-0.5b-grown10": Slower,
		"pinned-again": CannotTell, "pinned-grown5": Slower,
	} {
		base, _, _ := strings.Cut(set, "-again")
		base, _, _ = strings.Cut(base, "-grown")
		rows, err := Compare(sets[base], sets[set])
		require.NoError(t, err)
		require.Equal(t, want, rows[0].Verdict, "%s: %+v", set, rows[0])
		if set == "h200-0.5b-grown5" {
			require.True(t, rows[0].Change.Low > 0.01 && rows[0].Change.High < 0.03, "%+v", rows[0])
		}
	}
}
