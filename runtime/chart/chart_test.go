package chart

import (
	"bytes"
	"fmt"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/runtime/bench"
	"foundry/runtime/eval"
)

// ladderOf is a ladder of rows that take so many us, measured ones with an interval.
func ladderOf(measured bool, us ...float64) []bench.Row {
	var rows []bench.Row
	for i, t := range us {
		r := bench.Row{Model: "m", Device: "cpu", Phase: "decode", Prompt: 128, Variant: fmt.Sprint("v", i), Target: "apple-m1", Modelled: map[string]float64{"apple-m1": t, "cpu": 2 * t}, Weights: "f16"}
		if measured {
			rate := 1e6 / t
			r.Measured, r.TokS = &bench.Spread{Median: t, Low: 0.9 * t, High: 1.1 * t, Min: 0.8 * t, Max: 2 * t, N: 9}, &rate
		}
		if i > 0 {
			r.Saves = &bench.Saving{Fusion: fmt.Sprint("f", i), With: r.Variant, Without: rows[i-1].Variant}
		}
		rows = append(rows, r)
	}
	return rows
}

func drawn(t *testing.T, kind Kind, rows []bench.Row, quality []eval.Quality) string {
	var svg, image bytes.Buffer
	require.NoError(t, Draw(&svg, "svg", kind, rows, quality))
	require.NoError(t, Draw(&image, "png", kind, rows, quality))
	_, err := png.Decode(&image)
	require.NoError(t, err)
	require.NotContains(t, svg.String(), "NaN")
	require.Contains(t, svg.String(), "sans-serif")
	return svg.String()
}

func TestPicturesSayTheirNumbers(t *testing.T) {
	rows := ladderOf(true, 4000, 2500, 2600)
	require.Equal(t, Waterfall, KindOf(rows, nil))
	for _, text := range []string{">4 ms<", ">-1.5 ms<", ">+100 us<", ">2.6 ms<", ">+ f1<", ">saves<", ">costs<", "measured on cpu"} {
		require.Contains(t, drawn(t, Waterfall, rows, nil), text)
	}
	for _, text := range []string{">4 ms<", ">8 ms<", ">2.5 ms<", "modelled for cpu", "measured on cpu"} { // the device's own costs beside what it took
		require.Contains(t, drawn(t, Times, rows, nil), text)
	}
	require.Contains(t, drawn(t, Times, ladderOf(false, 4000, 2500), nil), "modelled for apple-m1") // the target's where nothing ran
	require.Contains(t, drawn(t, Predicted, rows, nil), ">v1<")
	quality := []eval.Quality{{Weights: dtype.F32, Bytes: 400}, {Weights: dtype.F16, Bytes: 200, KL: 0.01}}
	require.Equal(t, Quality, KindOf(rows, quality))
	require.Contains(t, drawn(t, Quality, rows[:1], quality), ">f16, 16 bits<")
	require.NotContains(t, drawn(t, Quality, rows[:1], quality[1:]), "bits", "of as many weights as nobody told")
	others := append(ladderOf(false, 1000), rows[0])
	others[0].Weights = "f32"
	require.NotContains(t, drawn(t, Quality, others, quality), ">f32, 32 bits<", "what was not measured is not drawn")
	require.EqualError(t, Draw(&bytes.Buffer{}, "svg", Quality, others[:1], quality), "no row was measured with weights whose quality is there too")
	require.EqualError(t, Draw(&bytes.Buffer{}, "svg", Quality, rows[:1], quality[:1]), "no row was measured with weights whose quality is there too")
}

func TestNothingToDraw(t *testing.T) {
	var out bytes.Buffer
	rows := ladderOf(false, 4000, 2500, 2600)
	require.ErrorContains(t, Draw(&out, "svg", Times, nil, nil), "no row")
	require.EqualError(t, Draw(&out, "gif", Times, rows, nil), `there is no format "gif" of pictures, want svg or png`)
	require.ErrorContains(t, Draw(&out, "svg", "pie", rows, nil), "pie")
	require.ErrorContains(t, Draw(&out, "svg", Predicted, rows, nil), "both")
	require.ErrorContains(t, Draw(&out, "svg", Quality, rows, nil), "quality")
	require.ErrorContains(t, Draw(&out, "svg", Waterfall, rows[:2], nil), "ladder")
	rows[0].Modelled = nil
	require.ErrorContains(t, Draw(&out, "svg", Times, rows, nil), "disk")
	require.Zero(t, out.Len())
}
