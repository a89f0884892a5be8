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

// chunkStages are the stage files of all readers, and of what they bring weights to.
func chunkStages() []string {
	files := []string{"common/phases.metal", "common/load.metal", "common/range.metal"}
	for _, r := range readers {
		for f := range strings.FieldsSeq(r.files) {
			if f = "prologue/" + f + ".metal"; !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
	}
	slices.SortStableFunc(files[3:], func(a, b string) int { // what others build on comes first
		own := func(f string) int { return strings.Count(f, "dequant") }
		return own(a) - own(b)
	})
	return append(files, "common/tile.metal", "main/gemm_tiles.metal", "common/flight.metal", "prologue/fit.metal", "main/gemm.metal", "main/gemv.metal")
}

// chunkRow is a row of 256 weights in any format, whose scales are no NaN.
func chunkRow() []byte {
	row := make([]byte, 1024)
	for i := range row {
		row[i] = byte(i*i%61) | byte(i%4<<4)
	}
	return row
}

// What reads a chunk of weights writes as many as the chunk has and none behind them, alone
// and times a power of two; and a stage has its columns in their order where chunks of 16
// take turns, so that neighbours stay neighbours.
func TestChunksOfWeights(t *testing.T) {
	const columns = 64
	var body strings.Builder
	for i, r := range readers {
		fmt.Fprintf(&body, "expanded<%s>(row, y + %du);\n", r.text, 4*i)
	}
	r := load(t, Options{OneRun: true}, sketch{name: "chunks", threads: 1, slots: []plan.Slot{slot(plan.Read, "uchar", "row"), slot(plan.Write, "float", "y")},
		prelude: stages(t, chunkStages()...) + fmt.Sprintf(`
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
	y := r.alloc(16 * len(readers))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(chunkRow())), bind(plan.Write, y))))
	out := get[float32](t, y, 4*len(readers))
	for i, f := range readers {
		require.EqualValues(t, []float32{0, 0}, out[4*i:4*i+2], f.text)
		if f.ordered {
			require.Zero(t, out[4*i+2], "%s of %g", f.text, out[4*i+3])
		}
	}
}

// An executor may choose the units that levels come in: powers of two make the same weights
// and the same products, bit for bit, as levels in ones do.
func TestUnitsOfLevels(t *testing.T) {
	plain := stages(t, chunkStages()...)
	units := plain
	for _, change := range [][2]string{
		{"BYTE_UNIT = 1.0f, LOW_UNIT = 1.0f, HIGH_UNIT = 1.0f;", "BYTE_UNIT = 0.5f, LOW_UNIT = 0.25f, HIGH_UNIT = 8.0f;"},
		{"small_levels4(uint v) { return ", "small_levels4(uint v) { return BYTE_UNIT * "},
		{"small_nibbles4(uint v) { return ", "small_nibbles4(uint v) { return (HIGH ? HIGH_UNIT : LOW_UNIT) * "},
		{"& 0x10101010u));\n}\ntemplate", "& 0x10101010u)) * (HIGH ? HIGH_UNIT : LOW_UNIT);\n}\ntemplate"},
		{"& 0x10101010u));\n}\ninline", "& 0x10101010u)) * (HIGH ? HIGH_UNIT : LOW_UNIT);\n}\ninline"},
		{"return float2(as_type<float>(0x4b000000u | (v & 0xffffu)), as_type<float>(0x4b000000u | (v >> 16))) - 8388608.0f;",
			"return BYTE_UNIT * (float2(as_type<float>(0x4b000000u | (v & 0xffffu)), as_type<float>(0x4b000000u | (v >> 16))) - 8388608.0f);"},
	} {
		require.Equal(t, 1, strings.Count(units, change[0]), change[0])
		units = strings.Replace(units, change[0], change[1], 1)
	}
	body := "device const uchar *rows[1] = {row}; float w[32];\n"
	for i, r := range readers {
		body += fmt.Sprintf("if (lane < 256u / %[1]s::WIDTH) %[1]s::expand(%[1]s::fetch(row, lane), w); for (uint i = 0u; i < %[1]s::WIDTH; i++) y[%[2]du + 32u * lane + i] = w[i];\n"+
			"{ float acc[1] = {0.0f}; gemv_accumulate<%[1]s, Levels, 1u, 1u, 32u, 0u, 256u / %[1]s::WIDTH, 0u, 1u>(rows, lane, Levels{}, acc); y[%[3]du + lane] = acc[0]; }\n", r.text, 1056*i, 1056*i+1024)
	}
	const levels = `
struct Levels {
    template <typename W>
    float4 quad(uint, uint c, uint q) const { const uint k = W::position(c, q); return float4(float(k % 13u), 1.0f, float(k % 7u), -2.0f); }
    template <typename W>
    float sum(uint, uint c, uint g) const { return float(c % 5u + g); }
    float at1(uint, uint k) const { return float(k % 13u); }
};
`
	one := func(name, text string) sketch {
		return sketch{name: name, threads: 32, prelude: text + levels, body: body,
			slots: []plan.Slot{slot(plan.Read, "uchar", "row"), slot(plan.Write, "float", "y")}}
	}
	r := load(t, Options{OneRun: true}, one("ones", plain), one("units", units))
	row := r.put(chunkRow())
	var out [2][]float32
	for i := range out {
		y := r.alloc(4 * 1056 * len(readers))
		require.NoError(t, r.run(launch(i, 1, bind(plan.Read, row), bind(plan.Write, y))))
		out[i] = get[float32](t, y, 1056*len(readers))
	}
	for i, f := range readers {
		require.Equal(t, out[0][1056*i:1056*(i+1)], out[1][1056*i:1056*(i+1)], f.text)
	}
}
