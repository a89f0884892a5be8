package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/runtime"
	"foundry/runtime/engine"
)

// On ref a step is interpreted: each variant as often as is asked for, behind one run that
// counts for nothing, a token of a measurement of several.
func TestMeasuredOnRef(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	var done []int64
	var counted []int
	o := Options{Device: engine.Ref, Phase: "decode", Prompt: 5, Tokens: 2, Reps: 3, Compile: compile.Options{Context: 16},
		Progress: func(what string, n, all int64) {
			if what == "measure" {
				require.Equal(t, int64(8), all)
				done = append(done, n)
			}
		},
		Measured: func(rows []Row) {
			require.Len(t, rows, 2)
			counted = append(counted, rows[1].Measured.N)
		}}
	o.Variants, err = ParseVariants("unfused,fewest")
	require.NoError(t, err)
	rows, err := Run(t.Context(), m, o)
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, []int64{0, 1, 2, 3, 4, 5, 6, 7}, done)
	require.Equal(t, []int{1, 2, 3}, counted)
	for i, r := range rows {
		require.Equal(t, o.Variants[i].Name, r.Variant)
		require.Equal(t, "emulation", r.Times)
		require.Len(t, r.Samples, 3)
		require.Equal(t, 3, r.Measured.N)
		require.InEpsilon(t, 1e6/r.Measured.Median, *r.TokS, 1e-12)
		require.Nil(t, r.TFlops, "times that say nothing")
		require.Nil(t, r.BandwidthShare)
		require.Equal(t, 2, r.Tokens)
	}
	o = Options{Device: engine.Ref, Phase: "prefill", Prompt: 6, Reps: 1, Compile: compile.Options{Context: 16}, Variants: o.Variants[1:]}
	rows, err = Run(t.Context(), m, o)
	require.NoError(t, err)
	require.InEpsilon(t, 6e6/rows[0].Measured.Median, *rows[0].TokS, 1e-12, "of all tokens")
	o.PerKernel = true
	_, err = Run(t.Context(), m, o)
	require.EqualError(t, err, "variant fewest: the reference runs no kernels; take --device cpu or a GPU")
	compiled, err := compile.Model(m, compile.Options{Context: 16})
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "plan")
	require.NoError(t, compiled.Plan.Save(dir))
	_, err = Run(t.Context(), m, Options{Device: engine.Ref, Phase: "prefill", Prompt: 6, Reps: 1, PlanDir: dir})
	require.EqualError(t, err, "ref runs graphs, not plans: take --device cpu for a plan")
	ended, end := context.WithCancel(t.Context())
	end()
	_, err = Run(ended, m, o)
	require.ErrorIs(t, err, context.Canceled)
}

// A graph of a file is measured whole, at the most tokens that it allows.
func TestGraphOnRef(t *testing.T) {
	file := filepath.Join(t.TempDir(), "small.fir")
	require.NoError(t, os.WriteFile(file, []byte("graph @small (T=1..4, P=0..3, S<=4) {\n  %0 = input \"x\" : f32[T, 8]\n  %1 = silu %0\n  return y=%1\n}\n"), 0o600))
	m, err := model.OpenGraph(file)
	require.NoError(t, err)
	told := 0
	o := Options{Device: engine.Ref, Variants: []Variant{{Name: "a", Passes: "canonicalize,legalize"}, {Name: "b", Passes: "legalize"}}, Measured: func([]Row) { told++ }}
	rows, err := Run(t.Context(), m, o)
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, []string{"small", "a"}, []string{rows[0].Phase, rows[0].Variant})
	require.Equal(t, 4, rows[0].Prompt)
	require.Nil(t, rows[0].Measured)
	require.Zero(t, told)
	o.Reps = 2
	rows, err = Run(t.Context(), m, o)
	require.NoError(t, err)
	for _, r := range rows {
		require.Equal(t, 2, r.Measured.N)
		require.Len(t, r.Samples, 2)
		require.Equal(t, "emulation", r.Times)
	}
	require.Equal(t, 2, told)
}

// A row's rates are of its median: tokens, operations, weights, and the machine's shares.
func TestSummaryOfARow(t *testing.T) {
	machine := &Machine{ReadGBs: 100, MatmulTFlops: 50}
	r := Row{Phase: "decode", Prompt: 128, Flops: 4e9, WeightBytes: 2e8}
	r.summarise([]float64{300, 100, 200}, machine)
	require.Equal(t, &Spread{Median: 200, Low: 100, High: 300, Min: 100, Max: 300, N: 3}, r.Measured)
	require.Equal(t, []float64{300, 100, 200}, r.Samples, "in the order they were taken")
	require.InEpsilon(t, 5000, *r.TokS, 1e-12)
	require.InEpsilon(t, 20, *r.TFlops, 1e-12)
	require.InEpsilon(t, 10, *r.BandwidthShare, 1e-12) // 2e8 bytes in 200 us are 1,000 GB/s
	require.InEpsilon(t, 0.4, *r.MatmulShare, 1e-12)
	require.Same(t, machine, r.Machine)
	r = Row{Phase: "prefill", Prompt: 128, Flops: 4e9, Times: "emulation"}
	r.summarise([]float64{200}, nil)
	require.InEpsilon(t, 128*5000, *r.TokS, 1e-12)
	require.Nil(t, r.TFlops)
	r = Row{Phase: "decode"}
	r.summarise([]float64{200}, nil)
	require.Nil(t, r.TFlops, "nothing is multiplied")
	_, known := (&Spread{Median: 10, Low: 9, High: 12, N: 5}).Within()
	require.False(t, known)
	share, known := (&Spread{Median: 10, Low: 9, High: 12, N: 6}).Within()
	require.True(t, known)
	require.InDelta(t, 0.2, share, 1e-12)
}

// The first round warms up, the others count, in turn; an error names what was measured, and
// the same numbers of runs are told of.
func TestRoundsOfRuns(t *testing.T) {
	var order []string
	at := time.Duration(0)
	thing := func(name string, fails int) *measured {
		n := 0
		return &measured{name: name, run: func(context.Context) (time.Duration, error) {
			order = append(order, name)
			if n++; n == fails {
				return 0, errors.New("lost")
			}
			at += 1500 * time.Nanosecond
			return at, nil
		}}
	}
	a, b := thing("a", 0), thing("b", 0)
	var told []int
	after := 0
	require.NoError(t, interleave(t.Context(), []*measured{a, b}, untilRounds(2), func(runs int) { told = append(told, runs) }, func() { after++ }))
	require.Equal(t, []string{"a", "b", "a", "b", "a", "b"}, order)
	require.Equal(t, []float64{4.5, 7.5}, a.samples)
	require.Equal(t, []float64{6, 9}, b.samples)
	require.Equal(t, []int{0, 1, 2, 3, 4, 5}, told)
	require.Equal(t, 2, after)
	require.EqualError(t, interleave(t.Context(), []*measured{a, thing("c", 2)}, untilRounds(2), nil, nil), "c: lost")
	require.NoError(t, interleave(t.Context(), []*measured{thing("d", 2)}, untilRounds(0), nil, func() { after++ }), "a warm-up alone")
	require.Equal(t, 2, after)
	require.Nil(t, (&Options{}).told(3))
	var last [2]int64
	o := Options{Reps: 4, Progress: func(what string, done, total int64) { last = [2]int64{done, total} }}
	o.told(3)(7)
	require.Equal(t, [2]int64{7, 15}, last)
	o.told(3)(16)
	require.Equal(t, [2]int64{16, 16}, last, "of more than were asked for")
}

// A verdict asks for a change of 2 % that chance makes in fewer than one of twenty, of
// processes that have a common level; the more there are, the more they may spread.
func TestVerdictsAtTheirBounds(t *testing.T) {
	row := func(p, mid, low, high, spread float64) Compared {
		return Compared{P: p, Change: Interval{Mid: mid, Low: low, High: high}, Spread: spread}
	}
	for _, c := range []struct {
		row       Compared
		processes int
		want      Verdict
	}{
		{row(0.049, 0.02, 0.01, 0.03, 0.1), 6, Slower}, {row(0.049, -0.02, -0.03, -0.01, 0.1), 6, Faster},
		{row(0.05, 0.02, 0.01, 0.03, 0.1), 6, CannotTell}, {row(0.05, -0.02, -0.03, -0.01, 0.1), 6, CannotTell},
		{row(0.001, 0.019, 0.018, 0.0199, 0.1), 6, Same}, {row(0.001, -0.019, -0.0199, -0.018, 0.1), 6, Same},
		{row(0.5, 0, -0.02, 0.01, 0.1), 6, CannotTell}, {row(0.5, 0, -0.01, 0.02, 0.1), 6, CannotTell}, {row(0.5, 0, -0.019, 0.019, 0.1), 6, Same},
		{row(0.001, 0.5, 0.4, 0.6, 0.101), 6, CannotTell}, {row(0.001, 0.5, 0.4, 0.6, 0.2), 24, Slower}, {row(0.001, 0.5, 0.4, 0.6, 0.201), 24, CannotTell}, {row(0.001, 0.5, 0.4, 0.6, 0.25), 6 * 9, Slower},
	} {
		c.row.judge(c.processes)
		require.Equal(t, c.want, c.row.Verdict, "%+v", c)
	}
}

// chainModel writes down what it decodes.
type chainModel struct {
	runtime.Model
	chain int
	asked []string
}

func (m *chainModel) Limits() runtime.Limits { return runtime.Limits{Vocab: 100, Chain: m.chain} }

func (m *chainModel) Decode(_ context.Context, p int, id int32) (int32, error) {
	m.asked = append(m.asked, fmt.Sprint(p, " ", id))
	return id + 1, nil
}

func (m *chainModel) DecodeN(_ context.Context, p int, id int32, n int, more bool) ([]int32, error) {
	m.asked = append(m.asked, fmt.Sprint(p, " ", id, " x", n, " ", more))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = id + int32(i) + 1
	}
	return ids, nil
}

// Several tokens of a measurement are decoded as a session does it: in the model's chains,
// each from where the one before ended, with more asked for while a whole one is wanted.
func TestTokensOfAMeasurement(t *testing.T) {
	for _, c := range []struct {
		chain, tokens int
		want          []string
	}{
		{0, 1, []string{"10 7"}}, {4, 1, []string{"10 7"}}, {0, 2, []string{"10 7 x2 false"}}, {0, 5, []string{"10 7 x5 false"}},
		{2, 2, []string{"10 7 x2 false"}}, {2, 3, []string{"10 7 x2 false", "12 9 x1 false"}}, {2, 4, []string{"10 7 x2 true", "12 9 x2 false"}},
		{2, 5, []string{"10 7 x2 true", "12 9 x2 false", "14 11 x1 false"}}, {8, 3, []string{"10 7 x3 false"}},
	} {
		m := &chainModel{chain: c.chain}
		v := &loadedVariant{model: m, tokens: c.tokens}
		require.NoError(t, v.decode(t.Context(), 10, 7))
		require.Equal(t, c.want, m.asked, "%+v", c)
	}
	alone := &singleModel{}
	require.NoError(t, (&loadedVariant{model: alone, tokens: 3}).decode(t.Context(), 10, 7))
	require.Equal(t, []string{"10 7", "11 8", "12 9"}, alone.asked)
}

// singleModel decodes one token at a time.
type singleModel struct {
	runtime.Model
	asked []string
}

func (m *singleModel) Decode(_ context.Context, p int, id int32) (int32, error) {
	m.asked = append(m.asked, fmt.Sprint(p, " ", id))
	return id + 1, nil
}

// What is saved is what the one without takes more; measured it is where both are.
func TestSubtract(t *testing.T) {
	with := &Row{Dispatches: 5, Waves: 3, MovedBytes: 100, Modelled: map[string]float64{"a": 10, "b": 8}, Samples: []float64{10, 10}}
	without := &Row{Dispatches: 8, Waves: 5, MovedBytes: 300, Modelled: map[string]float64{"a": 12, "b": 7}, Samples: []float64{13, 13}}
	var s Saving
	s.subtract(with, without)
	require.Equal(t, Saving{Dispatches: 3, Waves: 2, MovedBytes: 200, Modelled: map[string]float64{"a": 2, "b": -1}, Measured: &Interval{Mid: 3, Low: 3, High: 3}}, s)
	require.Equal(t, "b", s.costsOn())
	s.Modelled["b"] = 0
	require.Empty(t, s.costsOn())
	for _, pair := range [][2]*Row{{{}, without}, {with, {}}} {
		var s Saving
		s.subtract(pair[0], pair[1])
		require.Nil(t, s.Measured)
	}
}
