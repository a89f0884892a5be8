package generated

import (
	"flag"
	"fmt"
	"slices"
	"testing"

	"foundry"
	"foundry/ir/dtype"
	"foundry/tests/oncpu"
	"foundry/tests/oracle"

	"github.com/stretchr/testify/require"
)

// rowBound bounds a row's NMSE on devices that multiply halves, where weights are halves
// as they are: an operand is rounded by up to 2^-11 of itself, (2^-11)²/3 = 8e-8, and some
// fifteen of those stand between an id and its logits.
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
// targets and sizes a run, every two of branch, power and run together once, with
// FOUNDRY_COMPLETE all of them.
func TestRescaled(t *testing.T) {
	t.Parallel()
	if *rescaledOn == foundry.CPU {
		oncpu.Need(t)
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
	for b, branch := range oracle.Branches {
		for s, k := range scales {
			c, err := drawn.Rescale(branch, k)
			require.NoError(t, err)
			want := logits
			if branch == oracle.GateDown {
				want = c.Logits(ids)
			}
			require.GreaterOrEqual(t, c.Share(branch, ids[:40], want[:40]), 0.1)
			for i, r := range runs {
				if !isComplete() && (b+i)%len(scales) != s {
					continue
				}
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

// As TestRescaled, of every other format whose weights tiles take: as far both ways as
// its numbers, or its blocks' scales, stay finite and normal. Weights of bf16 are halves as
// they are; these are rounded, too, so the tolerance is what float64 says of each. One
// format on one target a run, in one kind of chunks each way, with FOUNDRY_COMPLETE all on
// three.
func TestRescaledFormats(t *testing.T) {
	t.Parallel()
	if *rescaledOn == foundry.CPU {
		oncpu.Need(t)
	}
	formats, targets := []oracle.Format{oracle.Q4_K}, []string{"h100"}
	if isComplete() {
		formats, targets = append([]oracle.Format{oracle.F16}, oracle.Blocks[:]...), []string{"apple-m3-pro", "apple-m4-max", "h100"}
		for _, bits := range []int{2, 3, 4, 5, 6, 8} {
			formats = append(formats, oracle.MLX(bits, 64, oracle.BF16))
		}
	}
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) { rescaleFormat(t, format, targets) })
	}
}

func rescaleFormat(t *testing.T, format oracle.Format, targets []string) {
	config := everyTile
	config.Formats = []oracle.Format{format}
	config.GGUF = slices.Contains(oracle.Blocks[:], format)
	drawn := oracle.Generate(config, 5)
	ids := drawn.IDs(160, 7)
	logits := drawn.Logits(ids)
	prompts := []struct{ chunk, ids int }{{160, 160}, {1, 40}}
	tolerance := drawn.Halves(ids, logits)
	for b, branch := range oracle.Branches {
		for s, k := range []int{furthest(drawn, branch, 20), furthest(drawn, branch, -20)} {
			require.NotZero(t, k, "%s holds %s at no other size", format, branch)
			c, err := drawn.Rescale(branch, k) // an error unless all is finite and normal
			require.NoError(t, err)
			want, allowed := logits, tolerance // a power of two moves no rounding
			if branch == oracle.GateDown {
				want = c.Logits(ids)
				allowed = c.Halves(ids, want)
			}
			require.GreaterOrEqual(t, c.Share(branch, ids, want), 0.1)
			for _, target := range targets {
				for i, p := range prompts {
					if !isComplete() && (b+i)%2 != s {
						continue
					}
					t.Run(fmt.Sprintf("%s by 2^%d on %s in chunks of %d", branch, k, target, p.chunk), func(t *testing.T) {
						have := evaluateAll(t, c, *rescaledOn, foundry.CompileOptions{
							Target: target, Context: 160, Chunk: p.chunk, Floats: exactFloats(config),
						}, ids[:p.ids])
						nmse, row := oracle.Worst(have, want[:p.ids])
						part, at := allowed.Of(have, want[:p.ids])
						t.Logf("%d ids: NMSE %.2g at row %d; %.2f of the tolerance at row %d", p.ids, nmse, row, part, at)
						require.LessOrEqual(t, part, 1.0)
					})
				}
			}
		}
	}
}

// furthest is the power of two that is nearest to 2^k by which a checkpoint holds a branch
// rescaled, 0 where it holds none.
func furthest(c *oracle.Checkpoint, b oracle.Branch, k int) int {
	for step := k / max(k, -k); k != 0; k -= step {
		if _, err := c.Rescale(b, k); err == nil {
			break
		}
	}
	return k
}
