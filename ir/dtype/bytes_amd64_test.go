package dtype

import (
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
)

// Levels and scales are found in the same way for ever: the same values make the same bytes,
// small ones and large, of one sign and of both, and single ones far from all others. It is said
// of a processor on which no product is added before it is rounded.
func TestBytesOfQuantisedValuesStay(t *testing.T) {
	values := make([]float32, 12*256)
	x := uint32(1)
	for i := range values {
		x = x*1664525 + 1013904223
		v := float32(int32(x)>>8) * 0x1p-23
		switch i / 256 {
		case 0, 1, 2:
		case 3:
			v = max(v, -v)
		case 4:
			v = -max(v, -v)
		case 5:
			v *= v * v * 1000
		case 6:
			v = 3
		case 7:
			v *= 1e-6
		case 8:
			v = float32(i%32) - 16
		case 9:
			if i%37 > 0 {
				v = 0
			}
		case 10:
			v = v*0.01 + float32(i/32)
		case 11:
			v = min(max(v*4, -1), 1)
		}
		values[i] = v
	}
	sum := func(d Type) uint32 {
		out := make([]byte, d.Bytes(int64(len(values))))
		Quantise(d, values, out)
		return crc32.ChecksumIEEE(out)
	}
	want := map[Type]uint32{F32: 0xf6a67616, F16: 0xf53c9129, BF16: 0x6d8cff4e, Q8_0: 0x53147120, Q4_0: 0x2c1f89d, Q4_1: 0x5dabc984, Q5_0: 0xe60d2c88, Q5_1: 0x61594e69,
		Q4_K: 0xbbafc733, Q5_K: 0x49a2b8de, Q6_K: 0x20677446}
	affine, most := uint32(0), 0
	for _, d := range All() {
		switch _, is := d.Affine(); {
		case !d.CanQuantise():
		case is:
			affine, most = affine*31+sum(d), most+1
		default:
			require.Equal(t, want[d], sum(d), "%s: %#x", d, sum(d))
		}
	}
	require.Equal(t, uint32(0xcbea44ef), affine, "%#x of %d types", affine, most)
}
