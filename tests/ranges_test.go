package tests

import (
	"flag"
	"fmt"
	"testing"

	"foundry"
	"foundry/ir/dtype"
	"foundry/tests/oracle"

	"github.com/stretchr/testify/require"
)

// rowBound bounds a row's NMSE on devices that multiply halves: each factor is rounded
// by up to 2^-11 of itself, (2^-11)²/3 = 8e-8 for each of two, and the rows of some
// products in a row add up. The models here reach 1e-6.
const rowBound = 3e-6

// rescaledOn is the device of TestRescaled.
var rescaledOn = flag.String("rescaled-on", foundry.CPU, "the device of TestRescaled: cpu or cuda")

// everyTile is a model whose products and attention all go to tiles, of 512 rows on
// every target.
var everyTile = oracle.Config{
	Layers: 2, Hidden: 256, Intermediate: 1024, Heads: 8, KVHeads: 2, HeadDim: 64, Vocab: 96,
	NormEps: 1e-6, RopeTheta: 1e4, Formats: []oracle.Format{"bf16"},
}

// What lies between two products may be of any size: rescalings of up to 2^20 and back
// leave logits what they are, in tiles and out of them, whatever becomes a half. Two
// targets and sizes a run, with FOUNDRY_COMPLETE all of them.
func TestRescaled(t *testing.T) {
	t.Parallel()
	if *rescaledOn == foundry.CPU {
		skipWithoutCompiler(t)
	}
	type run struct {
		target     string
		chunk, ids int
	}
	runs := []run{{"apple-m3-pro", 160, 160}, {"apple-m3-pro", 1, 24}, {"h100", 512, 512}}
	scales := []int{20, -20}
	if isComplete() {
		runs, scales = nil, []int{13, -13, 15, -15, 17, -17, 20, -20}
		for _, target := range []string{"apple-m3-pro", "apple-m4-max", "h100"} {
			runs = append(runs, run{target, 1, 40}, run{target, 33, 160}, run{target, 128, 160}, run{target, 160, 160}, run{target, 512, 512})
		}
	}
	drawn := oracle.Generate(everyTile, 5)
	ids := drawn.IDs(512, 7)
	logits := drawn.Logits(ids)
	for _, branch := range oracle.Branches {
		for _, k := range scales {
			c, err := drawn.Rescale(branch, k)
			require.NoError(t, err)
			want := logits
			if branch == oracle.GateDown {
				want = c.Logits(ids)
			}
			require.GreaterOrEqual(t, c.Share(branch, ids[:40], want[:40]), 0.1)
			for _, r := range runs {
				t.Run(fmt.Sprintf("%s by 2^%d on %s in chunks of %d", branch, k, r.target, r.chunk), func(t *testing.T) {
					have := evaluateAll(t, c, *rescaledOn, foundry.CompileOptions{
						Target: r.target, Weights: dtype.BF16, Context: 512, Chunk: r.chunk,
					}, ids[:r.ids])
					nmse, row := oracle.Worst(have, want[:r.ids])
					t.Logf("%d ids: NMSE %.2g at row %d", r.ids, nmse, row)
					require.LessOrEqual(t, nmse, rowBound, "row %d", row)
				})
			}
		}
	}
}
