package dtype

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPlanes finds every byte of rows of blocks in the planes that the formats'
// layouts say.
func TestPlanes(t *testing.T) {
	const n, rows = 512, 3
	for format, widths := range map[Type][]int{ // bytes of a block that become each plane, in the block's order, and where they stand
		Q8_0: {2, 32}, Q4_0: {2, 16}, Q4_1: {4, 16}, Q5_0: {2, 4, 16}, Q5_1: {4, 4, 16},
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
			slices.Reverse(order) // blocks begin with the scale, rows end with it
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
	require.False(t, Q2_K.HasPlanes(256))
	require.False(t, F16.HasPlanes(256))
}

// TestPlanesOfQ6K reads rows in planes as docs/plan-format.md says they lie, and gets the
// blocks' weights.
func TestPlanesOfQ6K(t *testing.T) {
	const n, rows = 512, 3
	blocks := make([]byte, Q6_K.Bytes(n*rows))
	x := uint32(1)
	for i := range blocks {
		x = x*1664525 + 1013904223
		blocks[i] = byte(x >> 24)
	}
	for b := 208; b < len(blocks); b += 210 {
		binary.LittleEndian.PutUint16(blocks[b:], 0x3800+uint16(b%7)) // no scale is infinite
	}
	want := make([]float32, n*rows)
	Dequantise(Q6_K, blocks, want)
	planes := Q6_K.Planes(blocks, n)
	stride := int(Q6_K.PlaneBytes(n))
	for r := range rows {
		row := planes[r*stride : (r+1)*stride]
		top, small, scale := row[n/2:], row[n/2+n/4:], row[n/2+n/4+n/16:]
		for k := range n {
			run, i := k/32, k%32
			q := i / 4
			low := row[16*run+i%16] >> (i / 16 * 4) & 15
			pair := top[8*run+q/2%2*4+i%4] >> (2 * (q%2 + q/4*2)) & 3
			d := F16ToF32(binary.LittleEndian.Uint16(scale[k/256*2:]))
			have := d * float32(int8(small[k/16])) * float32(int(low|pair<<4)-32)
			require.Equal(t, want[r*n+k], have, "row %d, weight %d", r, k)
		}
	}
}

// TestPlanesOfQ4K reads rows of q4_k and q5_k in planes as docs/plan-format.md says they lie,
// and gets the blocks' weights.
func TestPlanesOfQ4K(t *testing.T) {
	const n, rows = 512, 3
	for _, format := range []Type{Q4_K, Q5_K} {
		blocks := make([]byte, format.Bytes(n*rows))
		x := uint32(1)
		for i := range blocks {
			x = x*1664525 + 1013904223
			blocks[i] = byte(x >> 24)
		}
		_, block := format.Block()
		for b := 0; b < len(blocks); b += block {
			for i := range 2 { // neither scale is infinite
				binary.LittleEndian.PutUint16(blocks[b+2*i:], 0x3800+uint16((b+i)%7))
			}
		}
		want := make([]float32, n*rows)
		Dequantise(format, blocks, want)
		planes := format.Planes(blocks, n)
		stride := int(format.PlaneBytes(n))
		for r := range rows {
			row := planes[r*stride : (r+1)*stride]
			heads := row[n/2:]
			if format == Q5_K {
				heads = row[n/2+n/8:]
			}
			for k := range n {
				run, i := k/32, k%32
				level := row[16*run+i%16] >> (i / 16 * 4) & 15
				if format == Q5_K {
					w, bit := i%16/4, 8*(i%4)+4+4*(i/16)
					fifth := binary.LittleEndian.Uint32(row[n/2+4*run:])
					level |= byte(fifth>>((bit+w)%32)&1) << 4
				}
				head := heads[k/256*16 : k/256*16+16]
				own := run % 8
				scale, minimum := head[4+own]>>2, head[4+own]&3|head[12+own/2]>>(own%2*4)&15<<2
				factor := F16ToF32(binary.LittleEndian.Uint16(head)) * float32(scale)
				offset := F16ToF32(binary.LittleEndian.Uint16(head[2:])) * float32(minimum)
				require.Equal(t, want[r*n+k], float32(factor*float32(level))-offset, "%v, row %d, weight %d", format, r, k)
			}
		}
	}
}
