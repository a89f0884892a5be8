package cost

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

// The grid of a product counts the rows of all its weights, and fills the target
// before rows share a simdgroup.
func TestGEMVFillsTheTarget(t *testing.T) {
	for _, tgt := range target.All() {
		for _, rows := range []int64{64, 896, 1152, 9728, 37888, 151936} {
			for i := range 4 {
				unit, direct := 1+i%2, i >= 2
				d := deal(rows, unit, 7, 1, direct, &tgt)
				require.Zero(t, d.PerSimd%unit)
				require.LessOrEqual(t, d.Simds*tgt.Limits.SIMDWidth, tgt.Limits.Threads)
				require.Zero(t, d.Simds%d.Share)
				if d.PerSimd > unit {
					require.GreaterOrEqual(t, rows*int64(d.Share)/int64(d.PerSimd), int64(tgt.Cores*tgt.CoreThreads/tgt.Limits.SIMDWidth)*7/20)
				}
				require.GreaterOrEqual(t, d.Groups(rows)*int64(d.PerSimd*d.Simds/d.Share), rows)
			}
		}
	}
}

// A slice serves as many rows as leave enough simdgroups, of few rows and of many.
func TestSlicesServeManyRows(t *testing.T) {
	h100, err := target.Find("h100")
	require.NoError(t, err)
	for _, c := range []struct {
		rows, rounds    int64
		unit, registers int
		want            rowDivision
	}{
		{152064 / 2, 7, 1, 9, rowDivision{PerSimd: 4, Share: 1, Simds: 8, InRounds: true}}, // the head at 7b, two teams a simdgroup
		{3584 / 2, 37, 1, 6, rowDivision{PerSimd: 4, Share: 8, Simds: 8}},                  // down_proj at 7b
		{3584 / 2, 37, 1, 7, rowDivision{PerSimd: 2, Share: 4, Simds: 8}},                  // and with large chunks
		{1536 / 2, 18, 1, 9, rowDivision{PerSimd: 2, Share: 8, Simds: 8}},                  // at 1.5b without runs
		{37888 / 2, 7, 2, 5, rowDivision{PerSimd: 4, Share: 1, Simds: 4}},                  // gate and up, if they read directly
		{448 / 2, 9, 1, 9, rowDivision{PerSimd: 1, Share: 8, Simds: 8}},                    // never enough: what gives the most
	} {
		require.Equal(t, c.want, dealSliced(c.rows, c.unit, c.rounds, 1, c.registers, h100), "%d rows", c.rows)
	}
}

// A block of rows in tiles reads the keys that any of its rows sees.
func TestKeysThatAreSeen(t *testing.T) {
	require.EqualValues(t, 563, seenOf(8001, 500, 64))
	require.EqualValues(t, 300, seenOf(300, 500, 64))
}

// How rows are dealt out on four cores of 512 threads, which want 32 simdgroups in flight:
// worked out by the rules that deal's comment names.
func TestDealsOnASmallMachine(t *testing.T) {
	x := plain()
	for _, c := range []struct {
		rows        int64
		unit        int
		rounds, run int64
		direct      bool
		want        rowDivision
	}{
		{96, 1, 4, 1, false, rowDivision{PerSimd: 2, Share: 1, Simds: 4}},                   // 48 simdgroups of two rows are one and a half times 32
		{94, 1, 4, 1, false, rowDivision{PerSimd: 1, Share: 1, Simds: 8, InRounds: true}},   // 47 are not; 94 of one are more than twice
		{1024, 1, 4, 1, false, rowDivision{PerSimd: 4, Share: 1, Simds: 8, InRounds: true}}, // no more than four
		{1024, 2, 4, 1, false, rowDivision{PerSimd: 4, Share: 1, Simds: 8, InRounds: true}}, // pairs stay together
		{60, 1, 9, 1, false, rowDivision{PerSimd: 1, Share: 1, Simds: 4}},                   // of 60 simdgroups half a machine has 32
		{20, 1, 9, 1, false, rowDivision{PerSimd: 1, Share: 1, Simds: 2}},                   // few and small
		{8, 1, 8, 1, false, rowDivision{PerSimd: 2, Share: 8, Simds: 16}},                   // eight share a row; two sets of them
		{8, 1, 3, 1, false, rowDivision{PerSimd: 1, Share: 2, Simds: 4}},                    // a row has three loads, for two to share
		{4, 4, 8, 1, false, rowDivision{PerSimd: 4, Share: 8, Simds: 16}},                   // a unit of four
		{15, 1, 64, 1, false, rowDivision{PerSimd: 4, Share: 8, Simds: 16}},                 // three sets of four by 8 are 24, three quarters of 32
		{11, 1, 64, 1, false, rowDivision{PerSimd: 2, Share: 8, Simds: 16}},                 // two sets are not
		{96, 1, 4, 32, false, rowDivision{PerSimd: 2, Share: 1, Simds: 16}},                 // runs of 32 rows meet in a threadgroup
		{96, 1, 1, 1, true, rowDivision{PerSimd: 2, Share: 1, Simds: 4}},                    // read where it lies, in one round
		{96, 4, 1, 1, true, rowDivision{PerSimd: 4, Share: 1, Simds: 2}},                    // a unit of four, in one round
		{64, 1, 9, 1, true, rowDivision{PerSimd: 2, Share: 1, Simds: 4}},                    // 32 of two, where 22 are enough; four rows for long ones only
		{64, 1, 20, 1, true, rowDivision{PerSimd: 4, Share: 2, Simds: 4}},                   // four rows that two share
		{2, 1, 20, 1, true, rowDivision{PerSimd: 1, Share: 8, Simds: 16}},                   // never enough
		{128, 1, 20, 1, true, rowDivision{PerSimd: 4, Share: 1, Simds: 4}},                  // 32 without sharing
		{256, 1, 20, 1, true, rowDivision{PerSimd: 4, Share: 1, Simds: 8, InRounds: true}},  // twice what is wanted
		{4096, 1, 4, 1, true, rowDivision{PerSimd: 4, Share: 1, Simds: 8, InRounds: true}},  // two to eight rounds: as if staged
		{10, 1, 9, 1, true, rowDivision{PerSimd: 2, Share: 8, Simds: 16}},                   // five pairs by eight
		{22, 1, 9, 1, true, rowDivision{PerSimd: 2, Share: 2, Simds: 4}},                    // 11 pairs by two are enough
	} {
		require.Equal(t, c.want, deal(c.rows, c.unit, c.rounds, c.run, c.direct, x), "%+v", c)
	}
	for _, c := range []struct {
		rows, rounds int64
		unit         int
		run          int64
		want         rowDivision
	}{
		{96, 4, 1, 1, rowDivision{PerSimd: 4, Share: 1, Simds: 2}},                   // 24 of 22
		{40, 4, 1, 1, rowDivision{PerSimd: 4, Share: 4, Simds: 4}},                   // 10 sets by four; twice would do for 20
		{1024, 4, 1, 1, rowDivision{PerSimd: 4, Share: 1, Simds: 8, InRounds: true}}, // 256 are more than twice 32
		{4, 1, 1, 1, rowDivision{PerSimd: 1, Share: 1, Simds: 2}},                    // one round: nothing to share
		{132, 4, 1, 1, rowDivision{PerSimd: 4, Share: 1, Simds: 4}},                  // 33 are eight a core
		{132, 4, 1, 32, rowDivision{PerSimd: 4, Share: 1, Simds: 8}},                 // runs of 32 rows
	} {
		require.Equal(t, c.want, dealSliced(c.rows, c.unit, c.rounds, c.run, 5, x), "%+v", c)
	}
	for whole, want := range map[int64]rowDivision{32: {PerSimd: 2, Share: 1, Simds: 16}, 64: {PerSimd: 4, Share: 1, Simds: 16}, 128: {PerSimd: 8, Share: 1, Simds: 16}, 256: {PerSimd: 8, Share: 1, Simds: 32}, 34: {PerSimd: 2, Share: 1, Simds: 17}} {
		require.Equal(t, want, dealHeads(whole, 1), "%d", whole)
	}
	require.Equal(t, rowDivision{PerSimd: 4, Share: 1, Simds: 8}, dealHeads(32, 4), "a unit is four rows")
	require.EqualValues(t, 13, rowDivision{PerSimd: 2, Share: 2, Simds: 8}.Groups(100), "eight rows a threadgroup")
}

// Vectors that are staged go in fewer at once where they are long, and in segments where
// not even one has room beside the sums.
func TestStagedVectorsHaveRoom(t *testing.T) {
	x := plain()
	for _, c := range []struct {
		tokens, cols, vectors, segment int
	}{
		{8, 1024, 4, 1024}, // 16 KiB
		{8, 2048, 2, 2048}, // four would be all of it
		{8, 4096, 1, 4096}, // two would be
		{8, 8192, 1, 6144}, // one would be: three times 2,048, five of which have room
		{1, 1024, 1, 1024},
		{1, 12288, 1, 6144},
	} {
		text := "graph @g (T=1..%d, P=0..0, S<=8) {\n%%x = input \"x\" : f32[%s, %d]\n%%g = weight \"g\" : f32[%d]\n%%w = weight \"w\" : f16[96, %d]\n%%h = rms_norm %%x, %%g {eps=1e-06}\n%%y = matmul_nt %%h, %%w\nreturn y=%%y\n}"
		g, err := ir.Parse("g.fir", fmt.Sprintf(text, c.tokens, map[bool]string{true: "1", false: "T"}[c.tokens == 1], c.cols, c.cols, c.cols))
		require.NoError(t, err)
		n, err := g.FusedNode(g.Nodes(), "norm", "norm")
		require.NoError(t, err)
		r, err := task.In(n, g.Bounds, x)
		require.NoError(t, err)
		p, err := task.ProductOf(r)
		require.NoError(t, err)
		k := productRows(p, x, 0)
		require.False(t, k.Direct, "a norm is made first")
		require.Equal(t, c.vectors, k.Vectors, "%+v", c)
		require.EqualValues(t, c.segment, k.Segment, "%+v", c)
		sums := 4 * k.Simdgroups * k.Vectors * (1 + k.PerTeam*k.Teams)
		require.LessOrEqual(t, 4*int(k.Staged(k.Segment))*k.Vectors+sums, x.Limits.ThreadgroupBytes)
	}
}

// Threadgroup memory without room for the shortest segment is a reason, not a segment of nothing:
// 2,048 elements of four bytes, and a sum of each of four simdgroups.
func TestStagedVectorsWithoutRoom(t *testing.T) {
	decl := "%x = input \"x\" : f32[1, 12288]\n%g = weight \"g\" : f32[12288]\n%w = weight \"w\" : f16[96, 12288]"
	const need = 4*2048 + 4*4
	x := plain()
	for bytes := 256; bytes <= 12<<10; bytes += 16 {
		x.Limits.ThreadgroupBytes = bytes
		r := regionOf(t, x, decl, "%h = rms_norm %x, %g {eps=1e-06}\n%y = matmul_nt %h, %w", "y=%y")
		k, err := Choose(r, x)
		if bytes < need {
			require.EqualError(t, err, fmt.Sprintf("threadgroup memory %d > %d", need, bytes))
			continue
		}
		require.NoError(t, err, bytes)
		require.EqualValues(t, 2048, k.(kernel.ProductRows).Segment)
	}
}

// Half a simdgroup takes a row of a staged product where sixteens of chunks of 32 weights
// are fewer than rounds of 32 lanes.
func TestTeamsWhereLanesWouldIdle(t *testing.T) {
	x, err := target.Find("h100")
	require.NoError(t, err)
	for chunks, teams := range map[int]int{1: 2, 16: 2, 17: 1, 32: 1, 33: 2, 48: 2, 49: 1, 64: 1, 65: 2} {
		r := regionOf(t, x, fmt.Sprintf("%%x = input \"x\" : f32[1, %d]\n%%g = weight \"g\" : f32[%d]\n%%w = weight \"w\" : q8_0[96, %d]", 32*chunks, 32*chunks, 32*chunks),
			"%h = rms_norm %x, %g {eps=1e-06}\n%y = matmul_nt %h, %w", "y=%y")
		p, err := task.ProductOf(r)
		require.NoError(t, err)
		k := productRows(p, x, 0)
		require.True(t, k.Chunked, "%d chunks", chunks)
		require.Equal(t, teams, k.Teams, "%d chunks", chunks)
	}
}

// Where a lane has more than three rounds of chunks, narrower ones are not asked, and where
// simdgroups are many, they do not count: down and o at 7b keep the chunks of 32 weights with
// which they were measured, o at 0.5b gets narrow ones.
func TestNarrowChunksOfFewRounds(t *testing.T) {
	x, err := target.Find("h200")
	require.NoError(t, err)
	for _, c := range []struct {
		format           string
		rows, cols       int
		perTeam, ofChunk int
	}{
		{"q6_k", 3584, 18944, 2, 32},
		{"q5_k", 3584, 18944, 2, 32},
		{"q4_0", 3584, 18944, 4, 32},
		{"q6_k", 3584, 3584, 2, 32},
		{"q5_k", 3584, 3584, 2, 32},
		{"q4_0", 896, 896, 1, 8},
	} {
		r := regionOf(t, x, fmt.Sprintf("%%x = input \"x\" : f32[1, %d]\n%%w = weight \"w\" : %s[%d, %d]", c.cols, c.format, c.rows, c.cols), "%y = matmul_nt %x, %w", "y=%y")
		p, err := task.ProductOf(r)
		require.NoError(t, err)
		k := bestRows(p, x)
		require.Equal(t, c.ofChunk, k.Width, "%+v: %v", c, k)
		require.Equal(t, c.perTeam, k.PerTeam, "%+v: %v", c, k)
	}
}

// A staged vector that a simdgroup passes in two rounds of its widest chunks is not dealt out by
// full rounds, which nobody measured for such; one of three rounds is.
func TestStagedVectorsOfTwoRounds(t *testing.T) {
	x, err := target.Find("h200")
	require.NoError(t, err)
	for cols, full := range map[int]bool{2048: false, 1536: true} {
		r := regionOf(t, x, fmt.Sprintf("%%x = input \"x\" : f32[1, %[1]d]\n%%g = weight \"g\" : f32[%[1]d]\n%%w = weight \"w\" : q4_k[2560, %[1]d]", cols), "%h = rms_norm %x, %g {eps=1e-06}\n%y = matmul_nt %h, %w", "y=%y")
		p, err := task.ProductOf(r)
		require.NoError(t, err)
		require.Equal(t, full, slices.Contains(fullDeals(p, x), bestRows(p, x)), "%d columns: %v", cols, bestRows(p, x))
	}
}
