package checkpoint

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A value in an error is one line, however much it holds.
func TestShownValues(t *testing.T) {
	long := strings.Repeat("x", 100)
	for want, v := range map[string]any{
		"missing":             nil,
		`"` + long + `"`:      long,
		"a text of 101 bytes": long + "x",
		`"two\nlines"`:        "two\nlines",
		`""`:                  "",
		"an object":           map[string]any{"a": 1},
		"7":                   uint64(7),
		"2.5":                 2.5,
		"true":                true,
	} {
		require.Equal(t, want, shown(v))
	}
	for _, v := range []any{[]string{"a"}, []any{1}, numbers{ggufUint8, []byte{1}}} {
		require.Equal(t, "a list", shown(v))
	}
}

// Elements of an array of metadata lie side by side in the bytes of their kind.
func TestNumbersOfAnArray(t *testing.T) {
	b := []byte{1, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0xff, 0xff, 0xff, 0, 0, 0xc0, 0x3f}
	for kind, want := range map[uint32][]any{
		ggufUint8:  {uint64(1), uint64(0), uint64(0), uint64(0), uint64(0), uint64(0), uint64(0), uint64(128), uint64(255), uint64(255), uint64(255), uint64(255), uint64(0), uint64(0), uint64(192), uint64(63)},
		ggufInt8:   {int64(1), int64(0), int64(0), int64(0), int64(0), int64(0), int64(0), int64(-128), int64(-1), int64(-1), int64(-1), int64(-1), int64(0), int64(0), int64(-64), int64(63)},
		ggufBool:   {true, false, false, false, false, false, false, true, true, true, true, true, false, false, true, true},
		ggufUint16: {uint64(1), uint64(0), uint64(0), uint64(0x8000), uint64(0xffff), uint64(0xffff), uint64(0), uint64(0x3fc0)},
		ggufInt16:  {int64(1), int64(0), int64(0), int64(-0x8000), int64(-1), int64(-1), int64(0), int64(0x3fc0)},
		ggufUint32: {uint64(1), uint64(0x80000000), uint64(0xffffffff), uint64(0x3fc00000)},
		ggufInt32:  {int64(1), int64(-0x80000000), int64(-1), int64(0x3fc00000)},
		ggufUint64: {uint64(0x8000000000000001), uint64(0x3fc00000ffffffff)},
		ggufInt64:  {int64(-0x7fffffffffffffff), int64(0x3fc00000ffffffff)},
	} {
		n := numbers{kind, b}
		require.Equal(t, len(want), n.len(), kind)
		for i, w := range want {
			require.Equal(t, w, n.at(i), "kind %d, element %d", kind, i)
		}
	}
	require.Equal(t, float32(1.5), numbers{ggufFloat32, b}.at(3))
	doubles := numbers{ggufFloat64, b}
	require.Equal(t, 2, doubles.len())
	require.Equal(t, -5e-324, doubles.at(0))
	require.InDelta(t, 0.125, doubles.at(1), 1e-6)
}
