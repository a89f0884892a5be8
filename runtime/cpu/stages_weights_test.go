package cpu

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// readers are what reads chunks of weights, rows of 256; ordered are those of which a stage
// of 64 columns has all eights in their columns' order.
var readers = []struct {
	files   string // below prologue
	text    string
	ordered bool
}{
	{"dequant_f32", "weight_f32_4", true}, {"dequant_f32", "weight_f32_1", false},
	{"dequant_f16", "weight_f16_8", true}, {"dequant_f16", "weight_f16_4", true}, {"dequant_f16", "weight_f16_1", false},
	{"dequant_bf16", "weight_bf16_8", true}, {"dequant_bf16", "weight_bf16_4", true}, {"dequant_bf16", "weight_bf16_1", false},
	{"blocks dequant_q4_0", "weight_q4_0", false}, {"blocks dequant_q4_1", "weight_q4_1", false},
	{"blocks dequant_q5_0", "weight_q5_0", false}, {"blocks dequant_q5_1", "weight_q5_1", false}, {"blocks dequant_q8_0", "weight_q8_0", true},
	{"blocks k_scales dequant_q4_k", "weight_q4_k<2u>", true}, {"blocks k_scales dequant_q5_k", "weight_q5_k<2u>", true},
	{"blocks dequant_q6_k", "weight_q6_k", false}, {"blocks dequant_q2_k", "weight_q2_k", false}, {"blocks dequant_q3_k", "weight_q3_k", false},
	{"blocks iq4_levels dequant_iq4_nl", "weight_iq4_nl", false}, {"blocks iq4_levels dequant_iq4_xs", "weight_iq4_xs", false},
	{"blocks dequant_q8_0_planes", "weight_q8_0_planes<256u, 16u>", true},
	{"blocks planes dequant_q4_0_planes", "weight_q4_0_planes<256u, 16u>", true}, {"blocks planes dequant_q4_1_planes", "weight_q4_1_planes<256u, 16u>", true},
	{"blocks planes dequant_q5_0_planes", "weight_q5_0_planes<256u, 16u>", true}, {"blocks planes dequant_q5_1_planes", "weight_q5_1_planes<256u, 16u>", true},
	{"blocks planes k_planes dequant_q4_k_planes", "weight_q4_k_planes<256u, 16u>", true}, {"blocks planes k_planes dequant_q5_k_planes", "weight_q5_k_planes<256u, 16u>", true},
	{"blocks planes dequant_q6_k_planes", "weight_q6_k_planes<256u, 16u>", true},
	{"blocks dequant_affine", "weight_affine<4u, 64u, affine_f16, 1u, 16u>", true},
}

// What reads a chunk of weights writes as many as the chunk has and none behind them, alone
// and times a power of two; and a stage has its columns in their order where chunks of 16
// take turns, so that neighbours stay neighbours.
func TestChunksOfWeights(t *testing.T) {
	const columns = 64
	files := []string{"common/phases.metal", "common/load.metal", "common/range.metal"}
	var body strings.Builder
	for i, r := range readers {
		for f := range strings.FieldsSeq(r.files) {
			if f = "prologue/" + f + ".metal"; !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
		fmt.Fprintf(&body, "expanded<%s>(row, y + %du);\n", r.text, 4*i)
	}
	slices.SortStableFunc(files[3:], func(a, b string) int { // what others build on comes first
		own := func(f string) int { return strings.Count(f, "dequant") }
		return own(a) - own(b)
	})
	files = append(files, "common/tile.metal", "main/gemm_tiles.metal", "common/flight.metal", "prologue/fit.metal", "main/gemm.metal")
	r := load(t, Options{OneRun: true}, sketch{name: "chunks", threads: 1, slots: []plan.Slot{slot(plan.Read, "uchar", "row"), slot(plan.Write, "float", "y")},
		prelude: stages(t, files...) + fmt.Sprintf(`
template <typename W>
inline void expanded(device const uchar *row, device float *y)
{
    float one[W::WIDTH + 8u], two[W::WIDTH + 8u];
    for (uint i = 0u; i < W::WIDTH + 8u; i++) one[i] = two[i] = 99.0f;
    W::expand(W::fetch(row, 1u), one);
    weight_fit<W, W::GROUPS>::expand(W::fetch(row, 1u), 2.0f, two);
    y[0] = y[1] = y[2] = 0.0f;
    for (uint i = 0u; i < W::WIDTH; i++) if (two[i] != 2.0f * one[i] || one[i] == 99.0f) y[0] += 1.0f;
    for (uint i = W::WIDTH; i < W::WIDTH + 8u; i++) if (one[i] != 99.0f || two[i] != 99.0f) y[1] += 1.0f;
    for (uint j = 0u; j < %[1]du / 4u; j++) if (gemm_column<W, %[1]du>(1u, j) != %[1]du + 4u * j) y[2] += 1.0f;
    y[3] = W::WIDTH;
}
`, columns), body: body.String()})
	row := make([]byte, 1024)
	for i := range row {
		row[i] = byte(i*i%61) | byte(i%4<<4) // scales that are no NaN, of either size of float
	}
	y := r.alloc(16 * len(readers))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(row)), bind(plan.Write, y))))
	out := get[float32](t, y, 4*len(readers))
	for i, f := range readers {
		require.EqualValues(t, []float32{0, 0}, out[4*i:4*i+2], f.text)
		if f.ordered {
			require.Zero(t, out[4*i+2], "%s of %g", f.text, out[4*i+3])
		}
	}
}
