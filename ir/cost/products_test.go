package cost

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

// productOf is a product of rows of x by weights, the first of the graph.
func productOf(t *testing.T, x *target.Target, text string) *task.Product {
	t.Helper()
	g, err := ir.Parse("g.fir", text)
	require.NoError(t, err)
	n := g.Nodes()[len(g.Nodes())-1]
	r, err := task.In(n, g.Bounds, x)
	require.NoError(t, err)
	p, err := task.ProductOf(r)
	require.NoError(t, err)
	return p
}

// oneProduct is a product of up to so many rows by weights of a format, alone.
func oneProduct(t *testing.T, x *target.Target, tokens, rows, cols int, format string) *task.Product {
	return productOf(t, x, fmt.Sprintf("graph @g (T=1..%d, P=0..0, S<=%d) {\n%%x = input \"x\" : f32[T, %d]\n%%w = weight \"w\" : %s[%d, %d]\n%%y = matmul_nt %%x, %%w\nreturn y=%%y\n}", tokens, tokens, cols, format, rows, cols))
}

// 100 rows by 96 rows of 128 halves, in blocks of 64 by 32 by 32: two by three
// threadgroups of four simdgroups, two by two.
func TestTilesInNumbers(t *testing.T) {
	x := plain()
	const steps = 2 * 6 * 128 // operations of one element, over all threadgroups and columns
	p := numbersOf(oneProduct(t, x, 100, 96, 128, "f16"), 100)
	require.EqualValues(t, 96, p.rows)
	require.EqualValues(t, 128, p.cols)
	require.EqualValues(t, 96*128*2, p.bytes)
	require.True(t, p.halves)
	block := kernel.ProductTiles{Rows: 64, Columns: 32, Depth: 32, Stages: 2, SIMDRows: 2, SIMDColumns: 2, Ahead: 1}
	// Four blocks of 32 columns: a barrier of 0.25 us and a load of 7 us each. A core has
	// registers for 32*256/(64*32) = 4 threadgroups, so that one round takes all.
	want := Kernel{
		Memory: 96 * 128 * 2, Groups: 6, Threads: 128, Tiled: true,
		Tile:      steps * (64*32 + tileLoad*(64*2+32*2)), // each row of x is loaded by two simdgroups, each of the weights too
		Flops:     steps * (64*4 + 32*1),                  // x is narrowed, weights are copied
		Cache:     6 * (64*128*4 + 32*128*2),
		LineParts: 6 * 32 * 4, // a part of a line for each row of weights and block
		WaitUs:    4 * (0.25 + 7),
	}
	require.Equal(t, want, p.tiled(block, x))

	// x as halves is copied, too; a block that is on its way in three of four places waits
	// for a third of the latency.
	halves := p
	halves.halfRows = true
	block.Copied, block.Stages, block.Ahead = true, 4, 3
	copied := want
	copied.Flops = steps * (64*1 + 32*1)
	copied.Cache = 6 * (64*128*2 + 32*128*2)
	copied.LineParts = 6 * (32 + 64) * 4
	copied.WaitUs = 4 * (0.25 + 7.0/3)
	require.InDelta(t, copied.WaitUs, halves.tiled(block, x).WaitUs, 1e-9)
	copied.WaitUs = halves.tiled(block, x).WaitUs
	require.Equal(t, copied, halves.tiled(block, x))

	// Weights in q8_0 are expanded: lanes and tiles take turns, and one row of x is 8.5 bits
	// a weight from memory. 1,536 steps of 64*4 + 32*8 operations of lanes, twice as slow as
	// tiles. The fullest core issues them for two threadgroups, with a quarter of 4 TFLOP/s,
	// and waits at each of four steps for three quarters of 0.375 us, since 256 of the 1,024
	// threads are there that would hide it.
	q := numbersOf(oneProduct(t, x, 100, 96, 128, "q8_0"), 100)
	require.False(t, q.halves)
	require.EqualValues(t, 96*4*34, q.bytes)
	block = kernel.ProductTiles{Rows: 64, Columns: 32, Depth: 32, Stages: 2, SIMDRows: 2, SIMDColumns: 2, Ahead: 1, Expanded: true}
	k := q.tiled(block, x)
	require.Zero(t, k.Flops)
	tile := steps*(64*32+tileLoad*(64*2+32*2)) + steps*(64*4+32*8)*2.0
	require.Zero(t, k.Tile, "waits are the time")
	require.InDelta(t, 6*(64*128*4+32*(96*4*34)/96), k.Cache, 1e-6)
	require.Zero(t, k.LineParts)
	require.InDelta(t, 2*tile/6*1e-6/1+4*0.375*(1-256.0/1024), k.WaitUs, 1e-9)
	// Four threadgroups of five that a core gets are in it at once, so that it waits twice.
	many := q
	part := *q.parts[0]
	part.Each = 64 // of two blocks of columns
	many.tokens, many.parts = 640, []*task.Part{&part}
	require.InDelta(t, 5*tile/6*1e-6/1+2*4*0.375*(1-512.0/1024), many.tiled(block, x).WaitUs, 1e-9)
	// Where nobody measured what it waits for, few threads leave the core idle instead.
	bare := *x
	bare.ExpandStepUs = 0
	k = q.tiled(block, &bare)
	require.InDelta(t, tile, k.Tile, 1e-6)
	require.InDelta(t, tile/6*1e-6/1, k.WaitUs, 1e-9, "both at once")
	// Slots that were counted say what a weight costs: 1.7 operations each.
	x.Slots = map[string]float64{"q8_0": 5}
	require.InDelta(t, 8.5, q.expansion(kernel.ProductTiles{}, x), 1e-9)
	require.Greater(t, q.tiled(block, x).WaitUs, q.tiled(block, plain()).WaitUs)
}

// 96 rows of 128 halves for 10 vectors, four a threadgroup: three passes of 96/(2*2*1)
// threadgroups, whose simdgroups share two rows each.
func TestRowsInNumbers(t *testing.T) {
	x := plain()
	p := numbersOf(oneProduct(t, x, 10, 96, 128, "f16"), 10)
	k := kernel.ProductRows{PerTeam: 2, Teams: 1, Share: 2, Simdgroups: 4, Vectors: 4}
	// Not counted in slots: each weight is widened once a pass of four, each element of x
	// loaded once for two rows.
	want := Kernel{
		Memory: 96 * 128 * 2, Groups: 3 * 24, Threads: 128, Loads: 2, Exchanges: 2 + exchangesOfShare,
		Flops: 2 * 10 * 96 * 128 * (1 + 1.0/4 + 1.0/2),
		Cache: 2*96*128*2 + 72*4*128*4, // the weights again for two more passes, vectors for each threadgroup
	}
	require.Equal(t, want, p.rowwise(k, x))
	// Alone, one vector: the rows of a simdgroup of two teams are four.
	one := numbersOf(oneProduct(t, x, 10, 96, 128, "f16"), 1)
	k.Share, k.Teams = 1, 2
	require.Equal(t, Kernel{
		Memory: 96 * 128 * 2, Groups: 6, Threads: 128, Loads: 2, Exchanges: 4,
		Flops: 2 * 96 * 128 * (1 + 1.0/1 + 1.0/4), Cache: 6 * 128 * 4,
	}, one.rowwise(k, x))
	// Where they were counted: 2.5 slots a weight for the first vector, for each other a
	// multiply-add and half a load, of which the machine does two operations.
	x.Slots = map[string]float64{"f16": 2.5}
	k.Share, k.Teams = 2, 1
	require.InDelta(t, 2*96*128*(2.5+3*(1+1.0/2))*3, p.rowwise(k, x).Flops, 1e-6)
}

// The same product by matrix units, which all four simdgroups of plain's use together.
func TestMatricesInNumbers(t *testing.T) {
	x := plain()
	p := numbersOf(oneProduct(t, x, 100, 96, 128, "f16"), 100)
	block := kernel.ProductMatrices{ProductTiles: kernel.ProductTiles{Rows: 64, Columns: 32, Depth: 32, Stages: 2, SIMDRows: 4, SIMDColumns: 1, Ahead: 1}}
	k := p.inMatrices(block, x)
	require.Zero(t, k.Tile)
	require.InDelta(t, 2*6*128*64*32, k.Matrix, 1e-6)
	require.InDelta(t, 2*6*128*(64*4+32), k.Flops, 1e-6)
	require.InDelta(t, 4*(0.25+7), k.WaitUs, 1e-9)
	block.Ahead, block.Stages = 3, 4
	require.InDelta(t, 4*(0.25+7.0/3), p.inMatrices(block, x).WaitUs, 1e-9)
	block.Stages = 3
	require.InDelta(t, 4*(0.25+7.0/2), p.inMatrices(block, x).WaitUs, 1e-9, "no more on their way than have a place")
	// Expanding lanes leave the units idle: 8 TFLOP/s against their 2.
	q := numbersOf(oneProduct(t, x, 100, 96, 128, "q8_0"), 100)
	block.Expanded, block.Stages, block.Ahead = true, 2, 3
	k = q.inMatrices(block, x)
	require.Zero(t, k.Flops)
	require.InDelta(t, 2*6*128*64*32+2*6*128*(64*4+32*8)*4.0, k.Matrix, 1e-6)
	require.InDelta(t, 4*(0.25+7.0/3), k.WaitUs, 1e-9, "expanded blocks wait in registers")
	// A core holds the sums of 64*256/(64*128) = 2 threadgroups at most.
	block.Expanded, block.Columns = false, 128
	wide := numbersOf(oneProduct(t, x, 1000, 96, 128, "f16"), 1000)
	require.InDelta(t, 2*4*(0.25+7), wide.inMatrices(block, x).WaitUs, 1e-9, "16 threadgroups on four cores")
}

// Of kernels that are predicted to take as long, units are taken before tiles where there
// are units, and neither before rows: one token waits for memory whatever multiplies.
func TestEqualProducts(t *testing.T) {
	x, err := target.Find("h200-32k")
	require.NoError(t, err)
	p := oneProduct(t, x, 16, 17920, 1536, "f16")
	n := numbersOf(p, 16)
	_, tiles := n.bestTiles(x)
	_, units := n.bestMatrices(x)
	require.Equal(t, tiles, units)
	require.IsType(t, kernel.ProductMatrices{}, bestProduct(p, x))
	x.MatrixTFlops = 0
	require.IsType(t, kernel.ProductTiles{}, bestProduct(p, x))

	x, err = target.Find("apple-m5")
	require.NoError(t, err)
	p = oneProduct(t, x, 1, 17920, 1536, "f16")
	n = numbersOf(p, 1)
	_, units = n.bestMatrices(x)
	require.Equal(t, n.rowwise(bestRows(p, x), x).Us(x), units)
	require.IsType(t, kernel.ProductRows{}, bestProduct(p, x))
}

// How long a kernel over blocks is expected to take: its last round is as long as a full
// one, and what its threadgroups wait for is a bound by itself.
func TestLastRoundsOfBlocks(t *testing.T) {
	x := plain()
	p := matmul{}
	k := Kernel{Memory: 1e6, Groups: 6, Threads: 256, Tiled: true}
	require.InDelta(t, 10*2/1.5, p.predicted(k, x), 1e-9)
	k.Groups = 8
	require.InDelta(t, 10, p.predicted(k, x), 1e-9)
	k.Groups = 2
	require.InDelta(t, 20, p.predicted(k, x), 1e-9, "half of the cores")
	k.WaitUs = 33
	require.InDelta(t, 33, p.predicted(k, x), 1e-9)
}

// Every block that is tried, and no other, is one that these rules admit: simdgroups make
// whole tiles of it and hold their sums in registers, each thread has something to bring,
// it fits into threadgroup memory, and half of it would not do for the rows.
func TestBlocksThatAreTried(t *testing.T) {
	x := plain()
	for _, c := range []struct {
		tokens, rows, cols int
		format             string
	}{{16, 96, 128, "f16"}, {100, 96, 128, "q8_0"}, {40, 96, 96, "bf16"}, {1000, 1024, 4096, "f16"}, {64, 256, 256, "q4_k"}, {65, 64, 200, "f16"}} {
		p := numbersOf(oneProduct(t, x, c.tokens, c.rows, c.cols, c.format), int64(c.tokens))
		perLoad := map[string]int{"f16": 8, "bf16": 8, "q8_0": 8, "q4_k": 32}[c.format]
		require.LessOrEqual(t, p.perLoad, max(perLoad, 32))
		perLoad = p.perLoad
		expanded := c.format != "f16"
		want := map[string]bool{}
		for _, rows := range []int{32, 64, 128} {
			for _, columns := range []int{32, 64, 128, 256} {
				for _, across := range []int{2, 4} {
					for _, depth := range []int{16, 32, 64} {
						threads := 2 * across * 32
						halves := (2*rows + map[bool]int{true: 2, false: 4}[expanded]*columns) * depth
						if !expanded { // as many of four places as have room
							for places := 4; places > 2 && 2*(2*rows+places*columns)*depth > 32<<10; places-- {
								halves = (2*rows + (places-1)*columns) * depth
							}
						}
						scratch := 4 * 16 * (16*min(2, columns/across/16) + 8) * 2 * across
						switch {
						case rows > 32 && c.tokens <= rows/2, // half of it would do
							rows/2%16 != 0 || columns/across%16 != 0, rows/2*columns/across > 32*32, // tiles; sums in registers
							expanded && columns*depth < perLoad*threads, depth < perLoad, // reads
							rows*depth < 4*threads, depth > 32, // elements of x
							2*halves > 32<<10, scratch > 32<<10: // room
						default:
							want[fmt.Sprint(rows, columns, depth, across)] = true
						}
					}
				}
			}
		}
		have := map[string]bool{}
		for b := range p.tilings(x) {
			require.Equal(t, 2, b.SIMDRows)
			require.Equal(t, expanded, b.Expanded)
			require.False(t, b.Copied, "x is f32")
			require.GreaterOrEqual(t, b.Stages, 2)
			if expanded {
				require.Equal(t, 2, b.Stages)
			}
			have[fmt.Sprint(b.Rows, b.Columns, b.Depth, b.SIMDColumns)] = true
		}
		require.NotEmpty(t, want)
		require.Equal(t, want, have, "%+v", c)
	}
}

// Blocks on their way: as many as their copies have places for, or as 32 registers of a
// thread hold.
func TestBlocksOnTheirWay(t *testing.T) {
	x := plain()
	for _, c := range []struct {
		block kernel.ProductTiles
		want  int
	}{
		{kernel.ProductTiles{Rows: 64, Columns: 64, Depth: 32, Stages: 4, SIMDRows: 2, SIMDColumns: 2, Copied: true}, 3},
		{kernel.ProductTiles{Rows: 64, Columns: 64, Depth: 32, Stages: 4, SIMDRows: 2, SIMDColumns: 2}, 2},                  // 64*32/128 = 16 registers
		{kernel.ProductTiles{Rows: 64, Columns: 64, Depth: 16, Stages: 4, SIMDRows: 2, SIMDColumns: 2}, 2},                  // of three places
		{kernel.ProductTiles{Rows: 128, Columns: 64, Depth: 32, Stages: 4, SIMDRows: 2, SIMDColumns: 2}, 1},                 // 32
		{kernel.ProductTiles{Rows: 64, Columns: 128, Depth: 32, Stages: 2, SIMDRows: 2, SIMDColumns: 2, Expanded: true}, 1}, // 16 and half of 32
		{kernel.ProductTiles{Rows: 64, Columns: 64, Depth: 32, Stages: 4, SIMDRows: 2, SIMDColumns: 2, Copied: true, Expanded: true}, 2},
	} {
		require.Equal(t, c.want, matmul{}.ahead(c.block, x), "%+v", c.block)
	}
	x.CopyStages = 8
	require.Equal(t, 4, matmul{}.ahead(kernel.ProductTiles{Rows: 32, Columns: 64, Depth: 16, Stages: 8, SIMDRows: 2, SIMDColumns: 2}, x), "at most four")
}

// What is said of weights, of both formats that a product has.
func TestNumbersOfTwoWeights(t *testing.T) {
	x := plain()
	g, err := ir.Parse("g.fir", `graph @g (T=1..7, P=0..0, S<=7) {
  %x = input "x" : f32[T, 64]
  %a = weight "a" : f16[32, 64]
  %b = weight "b" : f16[32, 64]
  %g = matmul_nt %x, %a
  %u = matmul_nt %x, %b
  %s = silu %g
  %m = mul %s, %u
  return m=%m
}`)
	require.NoError(t, err)
	fused, err := g.FusedNode(g.Nodes(), "gate-up-swiglu", "gate-up-swiglu")
	require.NoError(t, err)
	r, err := task.In(fused, g.Bounds, x)
	require.NoError(t, err)
	p, err := task.ProductOf(r)
	require.NoError(t, err)
	n := numbersOf(p, 5)
	require.EqualValues(t, 64, n.rows)
	require.Equal(t, 2, n.unit, "a row of a and the one of b stay together")
	require.EqualValues(t, 2*32*64*2, n.bytes)
	require.Equal(t, []formatted{{dtype.F16.Format(), 2 * 32 * 64}}, n.formats)
	require.InDelta(t, 2*5*64*64, n.flops(), 0)
}

// What lanes do for weights of several formats is added up in the order of the weights, so
// that it is the same number each time.
func TestFormatsAreAddedUpInOrder(t *testing.T) {
	x, err := target.Find("h200")
	require.NoError(t, err)
	g, err := ir.Parse("g.fir", `graph @g (T=1..8, P=0..0, S<=8) {
%x = input "x" : f32[T, 768]
%a = weight "a" : q8_0[97, 768]
%b = weight "b" : q6_k[33, 768]
%c = weight "c" : q4_k[1001, 768]
%d = weight "d" : q5_k[31, 768]
%p = matmul_nt %x, %a
%q = matmul_nt %x, %b
%r = matmul_nt %x, %c
%s = matmul_nt %x, %d
return p=%p, q=%q, r=%r, s=%s
}`)
	require.NoError(t, err)
	n, err := g.FusedNode(g.Nodes(), "x", "x")
	require.NoError(t, err)
	r, err := task.In(n, g.Bounds, x)
	require.NoError(t, err)
	p, err := task.ProductOf(r)
	require.NoError(t, err)
	rows := kernel.ProductRows{PerTeam: 1, Teams: 1, Share: 1, Simdgroups: 4, Vectors: 3, Width: 8}
	work := func() [2]float64 {
		n := numbersOf(p, 3)
		return [2]float64{n.expansion(kernel.ProductTiles{}, x), n.laneFlops(rows, 3, 1, 1, x)}
	}
	first := work()
	for range 100 {
		require.Equal(t, first, work())
	}
}

// What the model says of weights on their way to blocks is what is written: they are copied,
// or expanded by lanes.
func TestBlocksAreBroughtAsWritten(t *testing.T) {
	x := plain()
	seen := map[bool]int{}
	for _, format := range []string{"f16", "bf16", "q8_0"} {
		for _, cols := range []int{96, 100, 160, 164} {
			if format == "q8_0" && cols%32 != 0 {
				continue
			}
			p := oneProduct(t, x, 100, 96, cols, format)
			n := numbersOf(p, 100)
			d, _ := p.SameFormat()
			for b := range n.tilings(x) {
				copies := task.Staging{Product: p, Tiles: b}.Copies(d)
				require.Equal(t, copies, !b.Expanded, "%s of %d: %s", format, cols, b)
				require.Equal(t, copies, n.copied(b) == 1, "%s of %d: %s", format, cols, b)
				seen[copies]++
			}
		}
	}
	require.Greater(t, min(seen[true], seen[false]), 10)
	// Of halves beside levels a quarter is copied, where x is not; lanes expand the others.
	x.Slots = map[string]float64{"f16": 100, "q8_0": 5}
	n := matmul{tokens: 64, rows: 4, cols: 100, copyable: 100, formats: []formatted{{"f16", 100}, {"q8_0", 300}}}
	var b kernel.ProductTiles
	require.InDelta(t, 0.25, n.copied(b), 1e-12)
	require.InDelta(t, 5*tileSlot, n.expansion(b, x), 1e-12)
	b.Copied = true
	require.Zero(t, n.copied(b))
	require.InDelta(t, (100*100+300*5)*tileSlot/400, n.expansion(b, x), 1e-9)
}
