package dtype

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlanes(t *testing.T) {
	const n, rows = 128, 3
	blocks := make([]byte, Q8_0.Bytes(n*rows))
	for i := range blocks {
		blocks[i] = byte(i * 7)
	}
	planes := Q8_0.Planes(blocks, n)
	require.Len(t, planes, len(blocks))
	size := int(Q8_0.Bytes(n))
	for r := range rows {
		for k := range n {
			block := r*size + k/32*34
			require.Equal(t, blocks[block+2+k%32], planes[r*size+k])
			require.Equal(t, blocks[block:block+2], planes[r*size+n+k/32*2:][:2])
		}
	}
	require.False(t, Q8_0.HasPlanes(96))
	require.False(t, Q4_0.HasPlanes(128))
	require.Panics(t, func() { Q8_0.Planes(blocks[1:], n) })
}
