package cost

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/target"
)

// Targets of compute capability 9.0 have the slots a weight that TestSlots of runtime/cuda
// counted in machine code.
func TestSlotsAsCounted(t *testing.T) {
	lines := measured(t, "slots-sm90.csv")
	for _, name := range []string{"h100", "h200"} {
		x, err := target.Find(name)
		require.NoError(t, err)
		require.Len(t, x.Slots, len(lines))
		for _, l := range lines {
			slots, err := strconv.ParseFloat(l[5], 64)
			require.NoError(t, err)
			require.Equal(t, slots, x.Slots[l[0]], "slots a weight of %s on %s", l[0], name)
		}
	}
}
