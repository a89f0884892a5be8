package dtype

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// Half way between two neighbours the even one is taken, beside it the nearer.
func TestTiesOfHalves(t *testing.T) {
	for bits, want := range map[uint32]uint16{
		0x3f807fff: 0x3f80, 0x3f808000: 0x3f80, 0x3f808001: 0x3f81, 0x3f817fff: 0x3f81, 0x3f818000: 0x3f82, 0x3f818001: 0x3f82, 0xbf818000: 0xbf82,
		0x7f7fffff: 0x7f80, 0x7f800000: 0x7f80, 0x7f800001: 0x7fc0, 0x00008000: 0, 0x00018000: 2,
	} {
		require.Equal(t, want, F32ToBF16(math.Float32frombits(bits)), "%08x", bits)
	}
	for bits, want := range map[uint32]uint16{
		0x3f800fff: 0x3c00, 0x3f801000: 0x3c00, 0x3f801001: 0x3c01, 0x3f802fff: 0x3c01, 0x3f803000: 0x3c02, 0x3f803001: 0x3c02, 0xbf803000: 0xbc02,
		0x477fefff: 0x7bff, 0x477ff000: 0x7c00, 0x7f800000: 0x7c00, 0x33000000: 0, 0x33000001: 1, 0x33c00000: 2, 0x387fc000: 0x03ff, 0x387fe000: 0x0400,
	} {
		require.Equal(t, want, F32ToF16(math.Float32frombits(bits)), "%08x", bits)
	}
}

// What a type is called or says of itself ends with the last of them.
func TestEndsOfTypes(t *testing.T) {
	for _, d := range []Type{Invalid, numTypes, numTypes + 1} {
		require.False(t, d.Valid())
		require.False(t, d.Quantised())
		_, err := d.MarshalText()
		require.EqualError(t, err, fmt.Sprintf("cannot write dtype %d", uint8(d)))
	}
	require.Equal(t, fmt.Sprintf("dtype(%d)", uint8(numTypes)), numTypes.String())
	require.False(t, (Q8_0 - 1).Quantised())
	require.True(t, Q8_0.Quantised())
	require.True(t, (numTypes - 1).Quantised())
	for _, d := range All() {
		text, err := d.MarshalText()
		require.NoError(t, err)
		var back Type
		require.NoError(t, back.UnmarshalText(text))
		require.Equal(t, d, back)
		want := 16
		if a, ok := d.Affine(); ok && a.Bits%2 == 1 {
			want = 32
		}
		require.Equal(t, want, d.WeightsPerRead(), d)
	}
}
