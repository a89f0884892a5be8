package cpu

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// What takes its place where an executor copies without registers: the start writes, and the
// landing looks that it is to the same place.
const flightThatWrites = `
struct tile_flight {
    threadgroup half *at;
    void start(device const uchar *from, threadgroup half *to) { *(threadgroup uint4 *)to = *(device const uint4 *)from; at = to; }
    void start_row(device const uchar *from, threadgroup half *to) { start(from, to); }
    void land(threadgroup half *to) { if (to != at) *(threadgroup ushort *)to = 60001; }
};
inline void tile_launched() {}
template <uint N>
inline void tile_wait() {}
struct probe_eights {
    enum : uint { WIDTH = 8, TURNS = 1 };
    static uint position(uint c, uint q) { return 8u * c + 4u * q; }
};
#define FLOWN(AT, ROWS, COLUMNS, TO, START, LAND) \
    for (uint i = tid; i < 2048u; i += 64u) ((threadgroup ushort *)stage)[i] = 60000; \
    threadgroup_barrier(mem_flags::mem_threadgroup); \
    START; \
    threadgroup_barrier(mem_flags::mem_threadgroup); \
    LAND; \
    threadgroup_barrier(mem_flags::mem_threadgroup); \
    for (uint i = tid; i < ROWS * COLUMNS; i += 64u) y[TO + i] = ((threadgroup ushort *)stage)[AT(i / COLUMNS, i % COLUMNS)]; \
    threadgroup_barrier(mem_flags::mem_threadgroup);
#define AT_TILE(r, k) tile_at<32u>(r, k)
#define AT_FLASH(r, k) flash_at(16u, r, k)
`

// Flights of all mains start with what lands there, at the place where it lands: 20 rows of
// four pieces among 64 threads, some of which have no second one. What shares a kernel with
// them is looked at access by access, too: lanes of a row that are reduced among themselves,
// floats of a softmax that lie at another remainder of four than where they come from,
// vectors behind the last, dots of rows one element at a time, and rows of bf16 for attention.
func TestStagesLookedAtByAccess(t *testing.T) {
	const k, rows = 64, 24
	flight := stages(t, "common/flight.metal")
	_, behind, found := strings.Cut(flight, "#endif")
	require.True(t, found)
	slots := func(out ...plan.Slot) []plan.Slot {
		return append([]plan.Slot{slot(plan.Read, "uchar", "w")}, out...)
	}
	flights := sketch{name: "flights", slots: slots(slot(plan.Write, "ushort", "y")), threads: 64, arrays: []plan.ThreadgroupArg{array("half", "stage", 2*2048)},
		prelude: stages(t, "common/phases.metal", "common/tile.metal", "common/matrix.metal", "common/matrix_rows.metal") + flightThatWrites + behind +
			stages(t, "main/gemm_tiles.metal", "common/load.metal", "prologue/fit.metal", "main/gemm.metal", "main/flash_prefill.metal", "main/flash_matrices.metal"),
		body: `device const uchar *row[2];
    for (uint i = 0u; i < 2u; i++) row[i] = w + gemm_row<20u, 32u, 64u, 8u>(i, tid) * 128u;
    gemm_halves<20u, 32u, 64u, 40u> halves;
    FLOWN(AT_TILE, 24u, 32u, 0u, halves.start(row, stage, 1u, tid), halves.land(stage, tid))
    gemm_rows<probe_eights, 20u, 32u, 64u> left;
    FLOWN(AT_TILE, 24u, 32u, 768u, left.start(row, stage, 1u, tid), left.land(stage, tid))
    flash_rows<32u, 20u, 64u> keys;
    FLOWN(AT_TILE, 24u, 32u, 1536u, keys.start((device const half *)w, 64u, 3u, 15u, stage, tid), keys.land(stage, tid))
    flash_matrix_rows<64u, 16u, 64u> units;
    FLOWN(AT_FLASH, 16u, 64u, 2304u, units.start((device const half *)w, 64u, 3u, 15u, stage, tid), units.land(stage, tid))`}
	lanes := sketch{name: "lanes", slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")}, threads: 64, prelude: flights.prelude,
		body: "y[4u * tid] = flash_row_max<4u>(x[tid]); y[4u * tid + 1u] = flash_row_sum<4u>(x[tid]); y[4u * tid + 2u] = flash_row_max<8u>(x[tid]); y[4u * tid + 3u] = flash_row_sum<8u>(x[tid]);"}
	softmax := sketch{name: "written", slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.ReadWrite, "float", "y")}, threads: 32,
		prelude: stages(t, "common/load.metal", "common/reduce.metal", "main/softmax.metal"),
		body: `for (uint at = 0u; at < 8u; at++) {
        SoftmaxRow<float> row;
        row.x = x; row.skew = at / 2u; row.n = 9u;
        softmax_write<1u>(row, 0u, (at / 2u + 9u + 3u) / 4u, 9u, 7u, float2(0.0f, 2.0f), y, 12u * at + at % 4u, sg, lane);
    }`}
	vectors := sketch{name: "vectors", slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")}, threads: 32, prelude: stages(t, "common/phases.metal", "common/load.metal", "common/reduce.metal", "prologue/staged.metal", "main/dot.metal", "main/attention.metal"),
		body: `DeviceOperand<4u> of; of.x = x; of.rows = 5u; y[tid] = of.at1(tid / 4u, tid % 4u); y[32u + tid] = of.at4(tid / 4u, 0u)[tid % 4u];
    y[64u + tid] = dot_rows<float, 3u, 1u>(x + tid % 8u, x + 8u);
    ushort4 raw[1];
    float of4[4];
    attention_fetch<attention_piece<ushort, 4u>, 32u, 8u, 4u>((device const ushort *)x, lane, raw);
    attention_widen(raw[0], of4);
    for (uint i = 0u; i < 4u; i++) y[96u + 4u * tid + i] = of4[i];
    ushort one[1];
    attention_fetch<attention_piece<ushort, 1u>, 8u, 8u, 1u>((device const ushort *)x, lane, one);
    attention_widen(one[0], of4);
    y[224u + tid] = of4[0];`}
	r := load(t, Options{Checked: true}, flights, lanes, softmax, vectors)

	w := make([]uint16, rows*k)
	at := func(row, column int) uint16 { return uint16(row*k + column) }
	for i := range w {
		w[i] = at(i/k, i%k)
	}
	y := r.alloc(2 * 3328)
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(w)), bind(plan.Write, y))))
	have := get[uint16](t, y, 3328)
	for i, v := range have {
		row, column := i%768/32, i%32
		if i >= 2304 {
			row, column = (i-2304)/k, (i-2304)%k
		}
		want := uint16(60000) // where nothing lands
		switch {
		case i >= 2304:
			want = at(min(3+row, 14), column)
		case row >= 20:
		case i >= 1536:
			want = at(min(3+row, 14), column)
		case i >= 768:
			want = at(row, 32+column)
		default: // of 40 columns the fifth eight is the last
			want = at(row, 32+column%8)
		}
		require.Equal(t, want, v, "row %d, column %d at %d", row, column, i)
	}

	x := make([]float32, 64)
	for i := range x {
		x[i] = float32(i * 29 % 64)
	}
	y = r.alloc(4 * 256)
	require.NoError(t, r.run(launch(1, 1, bind(plan.Read, r.put(x)), bind(plan.Write, y))))
	for i, have := range get[float32](t, y, 256) {
		lanes := 4 << (i / 2 % 2)
		var top, sum float32
		for _, v := range x[i/4/lanes*lanes:][:lanes] {
			top, sum = max(top, v), sum+v
		}
		require.Equal(t, []float32{top, sum}[i%2], have, "%d lanes, thread %d", lanes, i/4)
	}

	for i := range x {
		x[i] = 0
	}
	y = r.put(slices.Repeat([]float32{-1}, 100))
	require.NoError(t, r.run(launch(2, 1, bind(plan.Read, r.put(x[:16])), bind(plan.ReadWrite, y))))
	want := slices.Repeat([]float32{-1}, 100)
	for row := range 8 {
		for i := range 9 {
			want[12*row+row%4+i] = 0
			if i < 7 {
				want[12*row+row%4+i] = 0.5
			}
		}
	}
	require.Equal(t, want, get[float32](t, y, 100))

	for i := range x {
		x[i] = float32(i)
	}
	y = r.alloc(4 * 256)
	require.NoError(t, r.run(launch(3, 1, bind(plan.Read, r.put(x[:20])), bind(plan.Write, y))))
	for i, have := range get[float32](t, y, 256) {
		want := min(i%32/4, 4)*4 + i%4
		switch {
		case i >= 224:
			want = i % 2 * (i % 8 / 2)
		case i >= 96: // the halves of four floats are bf16, the first of each zero
			want = i % 2 * (i % 32 / 2)
		case i >= 64: // three elements from i % 8 on by 8, 9 and 10
			want = 27*(i%8) + 9 + 2*10
		}
		require.EqualValues(t, want, have, i)
	}
}
