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

// A slice serves as many rows as leave enough simdgroups, of few rows and of many.
func TestSlicesServeManyRows(t *testing.T) {
	h100, err := target.Find("h100")
	require.NoError(t, err)
	for _, c := range []struct {
		rows, rounds int64
		unit         int
		want         rowDivision
	}{
		{152064 / 2, 7, 1, rowDivision{PerSimd: 4, Share: 1, Simds: 8, InRounds: true}}, // the head at 7b, two teams a simdgroup
		{3584 / 2, 37, 1, rowDivision{PerSimd: 4, Share: 8, Simds: 8}},                  // down_proj at 7b
		{37888 / 2, 7, 2, rowDivision{PerSimd: 4, Share: 1, Simds: 4}},                  // gate and up, if they read directly
		{448 / 2, 9, 1, rowDivision{PerSimd: 1, Share: 8, Simds: 8}},                    // never enough: what gives the most
	} {
		require.Equal(t, c.want, dealSliced(c.rows, c.unit, c.rounds, 1, h100), "%d rows", c.rows)
	}
}

// A block of rows in tiles reads the keys that any of its rows sees.
func TestKeysThatAreSeen(t *testing.T) {
	require.EqualValues(t, 563, seenOf(8001, 500, 64))
	require.EqualValues(t, 300, seenOf(300, 500, 64))
}
