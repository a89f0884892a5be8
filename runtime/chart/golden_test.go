package chart

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/runtime/bench"
	"foundry/runtime/eval"
)

var update = flag.Bool("update", false, "rewrite the expected pictures in testdata")

// TestGolden holds each kind of picture to one that was looked at: bars, whiskers, names
// beside points, ticks, legends and where all of them stand.
func TestGolden(t *testing.T) {
	waterfall := ladderOf(true, 4000, 2500, 2600, 2600)
	waterfall[1].Saves.Measured = &bench.Interval{Mid: 1500, Low: 1400, High: 1700}
	waterfall[2].Saves.Measured = &bench.Interval{Mid: -100, Low: -300, High: 50}
	prompts := ladderOf(false, 1.5e6, 700, 3e5)
	prompts[0].Phase, prompts[0].Target = "prefill", "apple-m9" // of no such target there are times
	disk := ladderOf(true, 12, 800)
	disk[0].Modelled, disk[1].Modelled, disk[0].Times = nil, nil, "emulated"
	one := ladderOf(true, 900)
	one[0].Device = "elsewhere"
	named := ladderOf(true, 1000, 1010, 1010, 90, 40000)
	for i, name := range []string{"a name that is long", "of three", "that are near", "a", "the last stands at the right end"} {
		named[i].Variant = name
	}
	named[2].Modelled = map[string]float64{"cpu": 2100}
	named[3].Measured.Low, named[3].Measured.High = 90, 90 // known exactly
	near := ladderOf(true, 1000, 1500)
	for i, r := range near {
		near[i].Modelled = map[string]float64{"cpu": 1.2 * r.Measured.Median}
	}
	weights := ladderOf(true, 4000, 2500, 2400, 1200, 800)
	for i, w := range []string{"f32", "f16", "q8_0", "q4_0", "q4_k"} {
		weights[i].Weights = w
	}
	weights[4].Measured = nil
	quality := []eval.Quality{{Weights: dtype.F32, Bytes: 400}, {Weights: dtype.F16, Bytes: 200, KL: 1e-9}, {Weights: dtype.Q8_0, Bytes: 106, KL: 3e-4}, {Weights: dtype.Q4_0, Bytes: 56, KL: 0.02}}
	for name, p := range map[string]struct {
		kind    Kind
		rows    []bench.Row
		quality []eval.Quality
	}{
		"waterfall":          {kind: Waterfall, rows: waterfall},
		"waterfall-modelled": {kind: Waterfall, rows: ladderOf(false, 4000, 2500, 2600)},
		"times":              {kind: Times, rows: waterfall},
		"times-modelled":     {kind: Times, rows: prompts},
		"times-measured":     {kind: Times, rows: disk},
		"times-one":          {kind: Times, rows: one},
		"predicted":          {kind: Predicted, rows: named},
		"predicted-near":     {kind: Predicted, rows: near},
		"quality":            {kind: Quality, rows: weights, quality: quality},
		"quality-one":        {kind: Quality, rows: weights[1:2], quality: quality[1:]},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			require.NoError(t, Draw(&got, "svg", p.kind, p.rows, p.quality))
			file := filepath.Join("testdata", name+".svg")
			if *update {
				require.NoError(t, os.WriteFile(file, got.Bytes(), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got.Bytes()), "%s is another picture; look at it and run with -update", file)
		})
	}
}

// Which rows are a ladder, and what is drawn of them when nobody says.
func TestKindOf(t *testing.T) {
	require.Equal(t, Waterfall, KindOf(ladderOf(false, 3, 2, 1), nil))
	require.Equal(t, Times, KindOf(ladderOf(false, 3, 2), nil), "one step is no ladder")
	require.Equal(t, Quality, KindOf(ladderOf(false, 3, 2, 1), make([]eval.Quality, 1)))
	without := ladderOf(false, 4, 3, 2, 1)
	without[1].Saves = nil
	require.Equal(t, Times, KindOf(without, nil), "a row that is compared with none")
	other := ladderOf(false, 4, 3, 2, 1)
	other[3].Saves.Without = "v1"
	require.Equal(t, Times, KindOf(other, nil), "a row that is compared with another than the one before")
}
