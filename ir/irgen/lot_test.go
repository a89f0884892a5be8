package irgen

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Each mutation is drawn now and then, whatever others there are: a name that joins
// the table changes no other name's lot.
func TestMutationsAreDrawnApart(t *testing.T) {
	count := map[string]int{}
	for seed := range uint64(2000) {
		for _, name := range drawMutations(seed, 3) {
			count[name]++
		}
	}
	for name := range mutations {
		require.InDelta(t, 150, count[name], 50, name) // 3 in 40
	}
	before := drawMutations(7, 6)
	mutations["another"] = "nothing"
	defer delete(mutations, "another")
	after := drawMutations(7, 6)
	for i, name := range after {
		if name == "another" {
			after = append(after[:i], after[i+1:]...)
			break
		}
	}
	require.Equal(t, before, after)
}
