package kernel

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a threadgroup of each kernel has, worked out by hand: threads, threadgroup memory,
// and its text, which graphs pin.
func TestThreadgroups(t *testing.T) {
	rows := ProductRows{PerTeam: 2, Teams: 2, Share: 4, Simdgroups: 8, Vectors: 3, Width: 8, Loads: 32, Held: 16, Segment: 512, Direct: true}
	tiles := ProductTiles{Rows: 64, Columns: 128, Depth: 32, Stages: 3, Ahead: 2, SIMDRows: 2, SIMDColumns: 4}
	matrices := ProductMatrices{ProductTiles: ProductTiles{Rows: 64, Columns: 64, Depth: 16, Stages: 2, Ahead: 1, SIMDRows: 4, SIMDColumns: 1, Copied: true, Expanded: true}}
	for _, c := range []struct {
		k       Kernel
		threads int
		text    string
	}{
		{rows, 256, "rows per-team=2 teams=2 share=4 simdgroups=8 vectors=3 width=8 loads=32 held=16 segment=512 direct"},
		{ProductRows{Simdgroups: 2, Loads: AllLoads, Chunked: true}, 64, "rows per-team=0 teams=0 share=0 simdgroups=2 vectors=0 width=own loads=all held=0 segment=0 staged chunked"},
		{tiles, 256, "tiles 64x128x32 simdgroups=2x4 stages=3 ahead=2 narrowed"},
		{matrices, 128, "matrices 64x64x16 simdgroups=4x1 stages=2 ahead=1 copied expanded"},
		{MergedRows{ProductRows: rows, Keys: AttentionRows{Parts: 4}}, 256, rows.String()},
		{Sample{Vocab: 4097}, 256, "sample parts=2"},
		{Create{}, 256, "create"},
		{Measure{}, 256, "measure"},
		{AttentionRows{Width: 4, Lanes: 8, Simdgroups: 5, Ahead: 2, Early: 6}, 160, "attention-rows one-pass width=4 lanes=8 simdgroups=5 ahead=2 early=6"},
		{AttentionRows{Width: 4, Lanes: 8, Simdgroups: 4, Ahead: 2, Parts: 1}, 128, "attention-parts parts=1 width=4 lanes=8 simdgroups=4 ahead=2 early=0"},
		{AttentionTiles{Simdgroups: 4, Keys: 32}, 128, "attention-tiles 64x32 one-pass"},
		{BatchedElements{Width: 4}, 64, "batched-elements width=4"},
		{BatchedColumns{}, 256, "batched-columns"},
		{Elements{Width: 4}, 256, "elements width=4"},
		{Positions{Width: 4, Units: 33, Largest: 1024}, 64, "positions width=4"},
		{Positions{Width: 1, Units: 32, Largest: 1024}, 32, "positions width=1"},
		{Positions{Width: 1, Units: 5000, Largest: 512}, 512, "positions width=1"},
		{Heads{Heads: 20, Simdgroups: 16}, 512, "heads simdgroups=16"},
		{Runs{Size: 8}, 256, "runs size=8"},
		{RowNorm{Length: 600, Width: 4}, 160, "row-norm width=4"}, // 150 loads
		{RowNorm{Length: 640, Width: 4}, 160, "row-norm width=4"},
		{RowNorm{Length: 4, Width: 4}, 32, "row-norm width=4"},
		{RowNorm{Length: 4096, Width: 1}, 512, "row-norm width=1"},
		{SoftmaxRow{Simdgroups: 3}, 96, "softmax-row simdgroups=3"},
		{SoftmaxSegments{Segment: 256, Segments: 9, Simdgroups: 2}, 64, "softmax-segments segment=256 simdgroups=2"},
		{ArgmaxRow{Length: 128, Largest: 1024}, 32, "argmax-row threads=32"},
		{ArgmaxRow{Length: 129, Largest: 1024}, 64, "argmax-row threads=64"},
		{ArgmaxRow{Length: 1 << 20, Largest: 2048}, 1024, "argmax-row threads=1024"},
		{ArgmaxRow{Length: 1 << 20, Largest: 512}, 512, "argmax-row threads=512"},
		{ArgmaxParts{Length: 4097}, 256, "argmax-parts parts=2"},
		{ArgmaxParts{Length: 4096}, 256, "argmax-parts parts=1"},
		{ArgmaxMerge{Parts: 128, Largest: 1024}, 32, "argmax-merge parts=128"},
		{ArgmaxMerge{Parts: 129, Largest: 1024}, 64, "argmax-merge parts=129"},
		{ArgmaxMerge{Parts: 1 << 20, Largest: 2048}, 1024, "argmax-merge parts=1048576"},
		{ArgmaxMerge{Parts: 1 << 20, Largest: 256}, 256, "argmax-merge parts=1048576"},
	} {
		require.Equal(t, c.threads, c.k.Threads(), c.text)
		require.Equal(t, c.text, c.k.String())
		require.True(t, Pin(c.text).Takes(c.k))
		require.NoError(t, Pin(c.text).Check([]Kernel{c.k}, []Kernel{c.k}), c.text)
		require.False(t, Pin(c.text+" other").Takes(c.k))
	}
}

// Rows of a product: eight simdgroups of two teams, of which four share, own four rows.
func TestProductRows(t *testing.T) {
	r := ProductRows{PerTeam: 2, Teams: 2, Share: 4, Simdgroups: 8}
	require.EqualValues(t, 16, r.Seats())
	require.Equal(t, 4, r.Owners())
	require.EqualValues(t, 2, r.Groups(16, 1), "eight rows a threadgroup")
	require.EqualValues(t, 3, r.Groups(17, 1))
	require.EqualValues(t, 5, r.Groups(17, 2), "units of two rows")
	require.EqualValues(t, 16, r.Staged(9), "whole pairs of quads")
	require.EqualValues(t, 8, r.Staged(8))
	r.Chunked = true
	require.EqualValues(t, 3*36, r.Staged(96), "32 and a gap of four")
}

// The threadgroup memory of blocks: places of x and of the weights, as halves, or the
// epilogue's scratch where that is more; heads have their sums.
func TestMemoryOfBlocks(t *testing.T) {
	b := ProductTiles{Rows: 64, Columns: 128, Depth: 32, Stages: 3, SIMDRows: 2, SIMDColumns: 4}
	for _, c := range []struct {
		copied, expanded bool
		x, weights       int
	}{{false, false, 2, 3}, {true, false, 3, 3}, {false, true, 2, 2}, {true, true, 3, 2}} {
		b.Copied, b.Expanded = c.copied, c.expanded
		x, weights := b.Places()
		require.Equal(t, [2]int{c.x, c.weights}, [2]int{x, weights}, "%+v", c)
		require.Equal(t, (c.x*64+c.weights*128)*32, b.Halves())
	}
	b.Copied, b.Expanded = false, false
	require.Equal(t, 2*(2*64+3*128)*32, b.StageBytes(1))
	require.Equal(t, 2*(2*64+3*128)*32, b.Bytes(1, false))
	require.Equal(t, 4, b.HeadSteps())
	require.Equal(t, 31, ProductTiles{Columns: 31 * 32}.HeadSteps(), "steps of a simdgroup's lanes")
	require.Equal(t, 4*64*4, b.HeadBytes())
	require.Equal(t, 2*(2*64+3*128)*32+4*64*4, b.Bytes(1, true))
	// A simdgroup has 32 columns, two tiles, and spreads both, whatever a unit wants.
	require.Equal(t, 2, b.ScratchTiles(1))
	require.Equal(t, 40, b.ScratchStride(1))
	b.SIMDColumns = 2 // four tiles
	require.Equal(t, 2, b.ScratchTiles(1))
	require.Equal(t, 3, b.ScratchTiles(3))
	require.Equal(t, 4, b.ScratchTiles(5))
	require.Equal(t, 16*4+8, b.ScratchStride(4))
	b.Depth = 1
	require.Equal(t, 4*16*40*4, b.StageBytes(1), "the scratch of four simdgroups")

	m := ProductMatrices{ProductTiles: ProductTiles{Rows: 64, Columns: 96, Depth: 16, Stages: 2, SIMDRows: 4, SIMDColumns: 1}}
	require.Equal(t, 16, m.PassRows(), "four rows a simdgroup")
	require.Equal(t, 104, m.SpreadStride())
	require.Equal(t, 2*2*(64+96)*16, m.UpsAt(), "the stages")
	require.Equal(t, 2*2*(64+96)*16+4*64, m.StageBytes(1))
	require.Equal(t, 2*2*(64+96)*16+4*64, m.Bytes(1, false))
	require.Equal(t, 4*16*3, m.HeadBytes())
	require.Equal(t, 2*2*(64+96)*16+4*64+4*16*3, m.Bytes(1, true))
	m.Copied = true
	require.Equal(t, 2*2*(64+96)*16, m.StageBytes(1), "copies have no sums of rows beside them")
	m.Copied = false
	m.Depth = 1
	require.Equal(t, 4*16*104, m.UpsAt(), "the sums of a pass")
}

// The threadgroup memory of all others.
func TestMemory(t *testing.T) {
	for bytes, want := range map[int]int{0: 0, 1: 16, 15: 16, 16: 16, 17: 32} {
		require.Equal(t, want, Rounded(bytes))
	}
	require.Equal(t, 4*3*66+8, AttentionRows{Simdgroups: 3}.Bytes(64), "792 rounded up to 16s")
	a := AttentionTiles{Simdgroups: 4, Keys: 32}
	require.Equal(t, 64, a.Queries())
	require.Equal(t, 2*64*64, a.StageBytes(64), "32 keys and as many values, or 64 queries")
	require.Equal(t, 2*(96+8)*64, a.StageBytes(96), "rows of twelve chunks have a gap, so that they meet all banks")
	require.Equal(t, 2*64*64, a.Bytes(64))
	require.Equal(t, 2*64*64, AttentionTiles{Simdgroups: 2, Keys: 32}.StageBytes(64))
	require.Equal(t, 2*64*48, AttentionTiles{Simdgroups: 3, Keys: 16}.StageBytes(64), "the queries")
	require.Equal(t, 16+32+16+8+24, a.Registers(64))
	require.Equal(t, 32+64+32+32+24, AttentionTiles{Simdgroups: 4, Keys: 64}.Registers(128), "expected in its comment: 184")
	require.Equal(t, 4*16*40*4, a.ScoresBytes(8), "what is spread")
	require.Equal(t, 2*64*128, a.ScoresBytes(128))
	require.Equal(t, 2*64*32+2*64*64/64/2*32, a.WeightedBytes(64))
	require.Equal(t, 4*256, BatchedColumns{}.Bytes())
	require.Equal(t, 32, BatchedColumns{}.Columns())
	require.Equal(t, 8, BatchedColumns{}.Simdgroups())
	require.Equal(t, 32, RowNorm{Length: 600, Width: 4}.Bytes(), "five simdgroups' sums")
	require.Equal(t, 2*32, BestBytes(256))
	require.Equal(t, 2*16, BestBytes(128))
	require.Equal(t, 64, SoftmaxBytes(256), "a maximum and a sum of each of eight simdgroups")
	require.Equal(t, 32, SoftmaxBytes(128))
}

// Runs that a simdgroup's lanes share evenly, four elements each.
func TestRunsThatAreShared(t *testing.T) {
	for size, lanes := range map[int64]int{4: 1, 8: 2, 16: 4, 64: 16, 128: 32} {
		k, can := RunsOf(size)
		require.True(t, can, size)
		require.Equal(t, lanes, k.Lanes())
	}
	for _, size := range []int64{0, 1, 2, 6, 12, 24, 256} {
		_, can := RunsOf(size)
		require.False(t, can, size)
	}
}

// What is said of words that no kernel has, or none has together.
func TestPins(t *testing.T) {
	rows := []Kernel{ProductRows{}, ProductRows{Direct: true, Chunked: true}}
	all := append(rows, ProductTiles{}, ProductTiles{Copied: true, Expanded: true}, ProductMatrices{Once: true}, AttentionTiles{})
	require.NoError(t, Pin("").Check(all, all))
	require.NoError(t, Pin("").Check(all, rows))
	require.NoError(t, Pin("64x32x16").Check(all, all))
	require.NoError(t, Pin("stages=2x4").Check(all, all), "of the form of a number")
	require.NoError(t, Pin("rows direct chunked width=own loads=all").Check(all, rows), "words of two kernels of a main")
	require.ErrorContains(t, Pin("tile").Check(all, all), `no kernel has the word "tile"; there are rows, tiles, matrices, attention-tiles, staged, direct, chunked,`)
	require.ErrorContains(t, Pin("tile").Check(all, all), "narrowed, copied, expanded, once, one-pass, sizes such as")
	require.ErrorContains(t, Pin("stages=two").Check(all, all), `no kernel has the word "stages=two"`)
	require.ErrorContains(t, Pin("rows=2").Check(all, all), `no kernel has the word "rows=2"`)
	require.EqualError(t, Pin("tiles direct").Check(all, all), "no kernel has these words together")
	require.EqualError(t, Pin("tiles direct").Check(all, nil), "there is one kernel for it, and nothing to choose")
	require.EqualError(t, Pin("tiles").Check(all, []Kernel{rows[0], ProductMatrices{}}), "none of its kernels has these words; they are rows, matrices")
	require.EqualError(t, Pin("rows 64x64x16").Check(all, rows), "none of its kernels has these words; they are rows")
	require.True(t, Pin("tiles stages=3").Takes(ProductTiles{Stages: 3}))
	require.False(t, Pin("tiles stages=2").Takes(ProductTiles{Stages: 3}))
	require.True(t, Pin("").Takes(Elements{}))
}

// Kernels of one main are those whose texts begin with one word.
func TestKernelsOfOneMain(t *testing.T) {
	all := []Kernel{
		ProductRows{Direct: true}, ProductRows{Segment: 64}, ProductTiles{}, ProductTiles{Copied: true}, ProductMatrices{}, ProductMatrices{Once: true},
		AttentionRows{Width: 4}, AttentionRows{}, AttentionRows{Parts: 2}, AttentionRows{Parts: 8}, AttentionTiles{}, AttentionTiles{Keys: 32}, AttentionMatrices{},
		BatchedElements{}, BatchedColumns{}, Elements{Width: 1}, Elements{Width: 4}, Positions{}, Heads{}, RowNorm{Width: 1}, Runs{Size: 4},
		SoftmaxRow{Simdgroups: 1}, SoftmaxSegments{}, ArgmaxRow{}, ArgmaxParts{}, ArgmaxMerge{}, Expansion{Width: 8},
	}
	first := func(k Kernel) string { return strings.Fields(k.String())[0] }
	for _, a := range all {
		for _, b := range all {
			require.Equal(t, first(a) == first(b), SameMain(a, b), "%s, %s", a, b)
		}
	}
}

// Weights that are expanded once, a threadgroup's by hand: 256 threads with chunks of 32, in
// rows of 32 halves with a gap.
func TestExpansionsInNumbers(t *testing.T) {
	for _, c := range []struct {
		width      int
		weights    int64
		rows, cols int64
		groups     int64
		bytes      int
	}{
		{32, 8192, 2, 4096, 1, 2 * 8192 / 32 * (32 + ExpansionGap)},
		{32, 8192, 2, 4128, 2, 2 * 8192 / 32 * (32 + ExpansionGap)},
		{8, 2048, 64, 32, 1, 2 * 2048 / 32 * (32 + ExpansionGap)},
		{8, 2048, 65, 32, 2, 2 * 2048 / 32 * (32 + ExpansionGap)},
	} {
		e := Expansion{Width: c.width}
		require.Equal(t, 256, e.Threads())
		require.Equal(t, c.weights, e.Weights())
		require.Equal(t, c.groups, e.Groups(c.rows, c.cols))
		require.Equal(t, c.bytes, e.Bytes())
	}
}

// Attention by matrix units, 64 queries by 32 keys of 64 elements with four simdgroups: two
// lanes a row.
func TestAttentionMatricesInNumbers(t *testing.T) {
	a := AttentionMatrices{Rows: 64, Keys: 32, Simdgroups: 4}
	require.Equal(t, 128, a.Threads())
	require.Equal(t, 2, a.Lanes())
	const scoresAt = 2 * ((64+2*32)*64 + 64*32) // halves of queries, keys and values, and of weights
	require.Equal(t, scoresAt, a.ScoresAt(64))
	const shrinksAt = scoresAt + 4*64*(32+2*2) // floats of scores, and two of each lane of a row
	require.Equal(t, shrinksAt, a.ShrinksAt(64))
	require.Equal(t, shrinksAt+4*64, a.Bytes(64))
	require.Equal(t, (2*32+64)*64/128+48, a.Registers(64))
	require.Equal(t, "attention-matrices 64x32 simdgroups=4 one-pass", a.String())
	for dim, threads := range map[int64]int{1: 32, 32: 32, 33: 64, 128: 128} {
		require.Equal(t, threads, MergeThreads(dim))
	}
}

// Turns of 64 threads: of few a loop's length is known.
func TestTurnsInNumbers(t *testing.T) {
	for _, c := range []struct {
		size, turns int64
		few         bool
	}{{1, 1, true}, {256, 1, true}, {257, 2, true}, {1024, 4, true}, {1025, 5, false}} {
		turns, few := TurnsOf(c.size, 64, 4)
		require.Equal(t, c.turns, turns)
		require.Equal(t, c.few, few)
	}
	k := ProductTiles{Rows: 64, Columns: 32, Depth: 32, SIMDRows: 2, SIMDColumns: 2}
	require.Equal(t, 16, k.RowElements())
	require.Equal(t, 1, k.EachOf(128))
	require.Equal(t, 2, k.EachOf(129))
	tiles := AttentionTiles{Simdgroups: 4, Keys: 64}
	require.Equal(t, 2*64*32, tiles.WeightsBytes())
	require.Equal(t, 2*64*32, tiles.ValuesBytes(64))
	require.Equal(t, tiles.WeightsBytes()+tiles.ValuesBytes(64), tiles.WeightedBytes(64))
	require.Equal(t, max(tiles.StageBytes(64), 4*4*16*40), tiles.ScoresBytes(64))
	s := Sample{Vocab: 8192}
	require.EqualValues(t, 2, s.Parts())
	require.Equal(t, 4096/8, s.MarkBytes())
	require.Equal(t, 3*2048*4, s.HistogramBytes())
	kernels := s.Kernels()
	require.Len(t, kernels, 1+5+1+1)
	require.Equal(t, SampleKernel{"scores", 2, 512 + 2*32}, kernels[0])
	require.Equal(t, SampleKernel{"level_0", 2, 24576}, kernels[1])
	require.Equal(t, SampleKernel{"level_4", 2, 24576 + 128}, kernels[5])
	require.Equal(t, SampleKernel{"sums", 2, 128 + 128}, kernels[6])
	require.Equal(t, SampleKernel{"choose", 1, 128 + 2*32}, kernels[7])
}

// A product's word has each of its numbers where its name says.
func TestWordsOfAProduct(t *testing.T) {
	k := ProductRows{PerTeam: 4, Teams: 2, Share: 3, Simdgroups: 8, Vectors: 5, Width: 16, Loads: 32, Held: 33, Segment: 896, Direct: true}
	require.Equal(t, "rows per-team=4 teams=2 share=3 simdgroups=8 vectors=5 width=16 loads=32 held=33 segment=896 direct", k.String())
	k.Loads, k.Width, k.Direct, k.Chunked = AllLoads, 0, false, true
	require.Equal(t, "rows per-team=4 teams=2 share=3 simdgroups=8 vectors=5 width=own loads=all held=33 segment=896 staged chunked", k.String())
}

// Kernels of one type have one main; of attention row by row those in parts have another.
func TestSameMain(t *testing.T) {
	for _, c := range []struct {
		a, b Kernel
		want bool
	}{
		{AttentionRows{Parts: 1}, AttentionRows{Parts: 16}, true}, {AttentionRows{}, AttentionRows{Parts: 1}, false}, {AttentionRows{Parts: 1}, AttentionRows{}, false},
		{ProductRows{PerTeam: 1}, ProductRows{PerTeam: 2}, true}, {ProductRows{}, ProductTiles{}, false}, {AttentionRows{}, ProductRows{}, false}, {ProductTiles{}, ProductMatrices{}, false},
	} {
		require.Equal(t, c.want, SameMain(c.a, c.b), "%v %v", c.a, c.b)
		require.Equal(t, c.want, SameMain(c.b, c.a), "%v %v", c.b, c.a)
	}
}
