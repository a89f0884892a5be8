package dtype

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPlanes finds every byte of rows of blocks in the planes that the formats'
// layouts say.
func TestPlanes(t *testing.T) {
	const n, rows = 512, 3
	for format, widths := range map[Type][]int{ // bytes of a block that become each plane, in the block's order, and where they stand
		Q8_0: {2, 32}, Q4_0: {2, 16}, Q4_1: {4, 16}, Q5_0: {2, 4, 16}, Q5_1: {4, 4, 16}, Q6_K: {128, 64, 16, 2},
	} {
		elems, block := format.Block()
		blocks := make([]byte, format.Bytes(n*rows))
		for i := range blocks {
			blocks[i] = byte(i * 7)
		}
		planes := format.Planes(blocks, n)
		require.Len(t, planes, rows*int(format.PlaneBytes(n)))
		require.Zero(t, format.PlaneBytes(n)%16)
		for r := range rows {
			row := planes[r*int(format.PlaneBytes(n)):]
			var order []int
			for i := range widths {
				order = append(order, i)
			}
			if format != Q6_K {
				slices.Reverse(order) // blocks begin with the scale, rows end with it
			}
			for _, i := range order {
				from := 0
				for _, w := range widths[:i] {
					from += w
				}
				for b := range n / elems {
					at := r*int(format.Bytes(n)) + b*block + from
					require.Equal(t, blocks[at:at+widths[i]], row[b*widths[i]:][:widths[i]], format)
				}
				row = row[n/elems*widths[i]:]
			}
		}
		require.True(t, format.HasPlanes(int64(elems)))
		require.False(t, format.HasPlanes(int64(elems)+1))
		require.Panics(t, func() { format.Planes(blocks[1:], n) })
	}
	require.False(t, Q4_K.HasPlanes(256))
	require.False(t, F16.HasPlanes(256))
}
