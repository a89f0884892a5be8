package cost

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

// How many simdgroups share the keys of a row on plain, which has 64 in flight: up to three
// quarters of them, no more than there are keys for, and 16 a threadgroup.
func TestSimdgroupsOfARow(t *testing.T) {
	x := plain()
	for _, c := range []struct{ groups, keys, d, step, want int64 }{
		{4, 1000, 64, 16, 8}, {12, 1000, 64, 16, 4}, {13, 1000, 64, 16, 2}, {1, 32, 64, 16, 2}, {1, 33, 64, 16, 4}, {1, 1 << 20, 64, 16, 16}, {1, 1000, 512, 16, 16}, {1, 1000, 65, 16, 12}, {1, 1000, 32, 16, 16},
	} {
		require.Equal(t, c.want, rowSIMDs(c.groups, c.keys, c.d, c.step, x), "%+v", c)
	}
	x.Limits.ThreadgroupBytes = 4 * 2 * 4 * 66 // what eight leave of a row each
	require.EqualValues(t, 8, rowSIMDs(1, 1<<20, 64, 16, x))
	x.Limits.ThreadgroupBytes--
	require.EqualValues(t, 4, rowSIMDs(1, 1<<20, 64, 16, x))
	// Parts of the keys: as many threadgroups of 256 threads as fill half of what is in flight,
	// none of fewer than 256 positions.
	for _, c := range []struct{ heads, positions, want int64 }{{1, 1000, 4}, {1, 512, 2}, {1, 513, 3}, {3, 1000, 2}, {4, 1000, 1}, {8, 1000, 1}, {0, 1000, 4}, {1, 100, 1}, {1, 1 << 20, 4}} {
		require.Equal(t, c.want, splits(c.heads, c.positions, x), "%+v", c)
	}
	require.EqualValues(t, 1000, seenOf(1000, 0, 64))
	require.EqualValues(t, 163, seenOf(1000, 100, 64), "the first row's hundred, and one more for each other")
	require.EqualValues(t, 100+64+32-1, blockSeen(kernel.AttentionTiles{Simdgroups: 4, Keys: 32}, 1000, 100))
}

// Passes over 200 keys of 64 elements for 3 heads of 100 or 5 rows.
func TestPassesInNumbers(t *testing.T) {
	x := plain()
	tiles := kernel.AttentionTiles{Simdgroups: 4, Keys: 32}
	// Blocks of 64 rows: two a head. 96 registers of 128 threads leave room for two a core.
	require.InDelta(t, 2, resident(tiles, 64, x), 0)
	want := Kernel{Groups: 6, Threads: 128, Tiled: true, Tile: 6 * 64 * 200 * 64 * 4, Cache: 6 * 200 * 64 * 4, WaitUs: 7 * 2 * 7} // seven blocks of keys and of values
	require.Equal(t, want, tiledAttention(tiles, 3, 100, 200, 64, x))
	x.CoreFloats = 96 * 128
	want.Tile, want.WaitUs = 2*want.Tile, 2*want.WaitUs // one a core: half of the threads that units want, two rounds
	require.Equal(t, want, tiledAttention(tiles, 3, 100, 200, 64, x))
	x.CoreFloats, x.CoreBytes = 1<<20, 8192*3
	require.InDelta(t, 3, resident(tiles, 64, x), 0, "threadgroup memory")
	x.CoreBytes = 1 << 30
	require.InDelta(t, 4, resident(tiles, 64, x), 0, "threads")
	x.CoreBytes = 1
	require.InDelta(t, 1, resident(tiles, 64, x), 0)

	x = plain()
	rows := kernel.AttentionRows{Width: 4, Lanes: 8, Simdgroups: 2, Ahead: 4} // 16 keys a simdgroup at once
	require.Equal(t, 16, keysAtOnce(rows))
	require.Equal(t, Kernel{Groups: 15, Threads: 64, Loads: 4, Flops: 15 * 200 * 64 * 8, Cache: 15 * 200 * 64 * 4, WaitUs: 7 * 7}, attentionByRow(rows, 3, 5, 200, 64, x))
	rows.Parts = 4 // 60 threadgroups, of which 32 run; 50 keys are two rounds of 32
	require.Equal(t, Kernel{Groups: 60, Threads: 64, Loads: 4, Flops: 15 * 200 * 64 * 8, Cache: 15 * 200 * 64 * 4, WaitUs: 60.0 / 32 * 2 * 7}, attentionByRow(rows, 3, 5, 200, 64, x))
	// A lane takes eight elements, so that a simdgroup has eight keys at once: two, since 15
	// rows of four would be more than 48.
	require.Equal(t, Kernel{Groups: 15, Threads: 64, Flops: 15 * 200 * 64 * 8, Cache: 15 * 200 * 64 * 4, WaitUs: 13 * 7}, batchedByRow(3, 5, 200, 64, x))
}

// Lanes of a key, keys on their way and those before the ready point.
func TestAttentionByRowIsDealt(t *testing.T) {
	x := plain()
	for _, c := range []struct {
		heads, rows int
		dim, width  int
		want        kernel.AttentionRows
	}{
		{8, 1, 64, 4, kernel.AttentionRows{Width: 4, Lanes: 8, Simdgroups: 4, Ahead: 4, Early: 4}},  // eight of the 48 a row; 8 registers a key, of 32
		{1, 1, 64, 4, kernel.AttentionRows{Width: 4, Lanes: 8, Simdgroups: 16, Ahead: 2, Early: 4}}, // a row alone is going to have many
		{8, 1, 128, 4, kernel.AttentionRows{Width: 4, Lanes: 16, Simdgroups: 4, Ahead: 4, Early: 4}},
		{8, 1, 192, 4, kernel.AttentionRows{Width: 4, Lanes: 16, Simdgroups: 6, Ahead: 4, Early: 0}}, // twelve elements a lane, 12 registers a key
		{8, 1, 80, 4, kernel.AttentionRows{Width: 4, Lanes: 4, Simdgroups: 6, Ahead: 2, Early: 0}},   // twenty, which are too many for four keys
		{8, 1, 63, 1, kernel.AttentionRows{Width: 1, Lanes: 1, Simdgroups: 4, Ahead: 2, Early: 0}},
		{8, 2, 64, 4, kernel.AttentionRows{Width: 4, Lanes: 8, Simdgroups: 2, Ahead: 4}}, // two rows: nothing early
	} {
		text := fmt.Sprintf("graph @g (T=1..1, P=0..40, S<=64) {\n%%q = input \"q\" : f32[%d, %d, %d]\n%%k = state \"k\" : f16[%d, 2000, %d]\n%%v = state \"v\" : f16[%d, 2000, %d]\n%%s = bmm_nt %%q, %%k {scale=1}\n%%w = softmax %%s {causal=false, start=0}\n%%y = bmm_nn %%w, %%v\nreturn y=%%y\n}",
			c.heads, c.rows, c.dim, c.heads, c.dim, c.heads, c.dim)
		g, err := ir.Parse("g.fir", text)
		require.NoError(t, err)
		n, err := g.FusedNode(g.Nodes(), "attention", "attention")
		require.NoError(t, err)
		r, err := task.In(n, g.Bounds, x)
		require.NoError(t, err)
		a, err := task.AttentionOf(r)
		require.NoError(t, err)
		require.Equal(t, c.want, attentionRows(a, c.width, false, x), "%+v", c)
	}
}

// One row of 2,000 keys in four parts, each a threadgroup, and their merge: a maximum, a sum
// and 64 values of each part.
func TestPartsInNumbers(t *testing.T) {
	g, err := ir.Parse("g.fir", "graph @g (T=1..1, P=0..40, S<=64) {\n%q = input \"q\" : f32[1, 1, 64]\n%k = state \"k\" : f16[1, 2000, 64]\n%v = state \"v\" : f16[1, 2000, 64]\n%s = bmm_nt %q, %k {scale=1}\n%w = softmax %s {causal=false, start=0}\n%y = bmm_nn %w, %v\nreturn y=%y\n}")
	require.NoError(t, err)
	n, err := g.FusedNode(g.Nodes(), "attention", "attention")
	require.NoError(t, err)
	n.Attr.Kernel = "attention-parts"
	have := Run{Target: plain(), Bounds: g.Bounds, Env: sym.Env{T: 1, P: 7}}.Kernels(n)
	require.Equal(t, []Kernel{
		{Name: "attention", Memory: 2 * 2000 * 64 * 2, Cache: 2*256 + 2000*64*4 + 4*66*4, Flops: 2000*64*8 + 8*2000, Groups: 4, Threads: 256, Loads: 4, Shared: 4 * 8 * 66,
			Exchanges: 3*32 + 2*(2+8) + exchangesOfReduction + 16},
		{Name: "attention_merge", Cache: 4 * 66 * 4, Groups: 1, Threads: 64},
	}, have)
}

// As many keys at a time as have room.
func TestTilesOfAttention(t *testing.T) {
	list := func(dim int64, x *target.Target) (out []string) {
		for k := range attentionTiles(dim, x) {
			out = append(out, k.String())
		}
		return out
	}
	x := plain()
	require.Equal(t, []string{"attention-tiles 64x64 one-pass", "attention-tiles 64x32 one-pass"}, list(64, x))
	require.Equal(t, []string{"attention-tiles 64x64 one-pass", "attention-tiles 64x32 one-pass"}, list(128, x), "32 KiB")
	require.Equal(t, []string{"attention-tiles 64x32 one-pass"}, list(256, x))
	require.Empty(t, list(512, x))
	x.Limits.ThreadgroupBytes--
	require.Equal(t, []string{"attention-tiles 64x32 one-pass"}, list(128, x))
}
