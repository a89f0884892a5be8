package covering

import (
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"
)

// Of the 64 sets of six names, few meet what all meet; a set of which nothing is new is
// never taken.
func TestPairs(t *testing.T) {
	var all []uint
	for s := range uint(64) {
		all = append(all, s, s)
	}
	names := func(s uint) (out []string) {
		for i := range 6 {
			if s>>i&1 == 1 {
				out = append(out, string(rune('a'+i)))
			}
		}
		return out
	}
	few := Pairs(all, names)
	require.Less(t, len(few), 12)
	for i := range 6 {
		for j := range i {
			met := map[uint]bool{}
			for _, s := range few {
				met[s>>i&1<<1|s>>j&1] = true
			}
			require.Len(t, met, 4, "%d and %d", i, j)
		}
	}
	require.Len(t, Pairs([]uint{3, 3}, names), 1)
	require.Equal(t, 2, bits.OnesCount(Pairs([]uint{3, 3}, names)[0]))
	require.Empty(t, Pairs(nil, names))
}
