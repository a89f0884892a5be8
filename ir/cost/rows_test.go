package cost

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/target"
)

// The grid of a product counts the rows of all its weights, and fills the target
// before rows share a simdgroup.
func TestGEMVFillsTheTarget(t *testing.T) {
	for _, tgt := range target.All() {
		for _, rows := range []int64{64, 896, 1152, 9728, 37888, 151936} {
			for i := range 4 {
				unit, direct := 1+i%2, i >= 2
				d := deal(rows, unit, 7, 1, direct, &tgt)
				require.Zero(t, d.PerSimd%unit)
				require.LessOrEqual(t, d.Simds*tgt.Limits.SIMDWidth, tgt.Limits.Threads)
				require.Zero(t, d.Simds%d.Share)
				if d.PerSimd > unit {
					require.GreaterOrEqual(t, rows*int64(d.Share)/int64(d.PerSimd), int64(tgt.Cores*tgt.CoreThreads/tgt.Limits.SIMDWidth)*7/20)
				}
				require.GreaterOrEqual(t, d.Groups(rows)*int64(d.PerSimd*d.Simds/d.Share), rows)
			}
		}
	}
}

// A block of rows in tiles reads the keys that any of its rows sees.
func TestKeysThatAreSeen(t *testing.T) {
	require.EqualValues(t, 563, seenOf(8001, 500, 64))
	require.EqualValues(t, 300, seenOf(300, 500, 64))
}
