package plan

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A vector of Metal's lies at a multiple of its size, a packed one at one of its element's
// (Metal Shading Language Specification, 2.2).
func TestAlignmentsAreMetals(t *testing.T) {
	elements := map[string]int64{"char": 1, "uchar": 1, "half": 2, "short": 2, "ushort": 2, "float": 4, "int": 4, "uint": 4, "Step": 4}
	lanes := map[byte]int64{'2': 2, '4': 4}
	for name, have := range alignments {
		base, packed := strings.CutPrefix(strings.TrimPrefix(name, "atomic_"), "packed_")
		n := lanes[base[len(base)-1]]
		element := elements[strings.TrimRight(base, "24")]
		require.NotZero(t, element, name)
		if want := element * max(n, 1); packed {
			require.Equal(t, element, have, name)
		} else {
			require.Equal(t, want, have, name)
		}
	}
}
