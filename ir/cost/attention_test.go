package cost

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/kernel"
	"foundry/ir/target"
)

// How many threadgroups of attention in tiles a core takes, by its threadgroup memory or
// its registers, and what that is worth: fewer than 256 threads leave matrix units idle.
func TestAttentionResident(t *testing.T) {
	for _, c := range []struct {
		target    string
		dim       int64
		keys      int
		bytes     int
		resident  float64
		registers int // as NVRTC 13 counted for an H100, 0 where nobody did
	}{
		{"apple-m1", 64, 64, 16384, 3, 124}, {"apple-m1", 64, 32, 8192, 4, 0}, {"apple-m4", 64, 64, 16384, 3, 124},
		{"apple-m1", 128, 64, 32768, 1, 212}, {"apple-m1", 128, 32, 16384, 2, 166},
		{"h100", 64, 64, 16384, 4, 124}, {"h100", 128, 64, 32768, 2, 212}, {"h100", 128, 32, 16384, 3, 166},
	} {
		x, err := target.Find(c.target)
		require.NoError(t, err)
		k := kernel.AttentionTiles{Simdgroups: 4, Keys: c.keys}
		require.Equal(t, c.bytes, k.Bytes(c.dim), "%v", c)
		require.Equal(t, c.resident, resident(k, c.dim, x), "%v", c)
		if c.registers > 0 {
			require.InEpsilon(t, c.registers, k.Registers(c.dim), 0.15, "%v", c)
		}
		slowed := tiledAttention(k, 14, 512, 2048, c.dim, x).Tile / (14 * 512 * 2048 * float64(c.dim) * 4)
		require.Equal(t, max(1, 256/(128*c.resident)), slowed, "%v", c)
	}
}

// Parts fill half of a machine's threads, and none is shorter than the least.
func TestPartsFillTheMachine(t *testing.T) {
	x := plain()
	x.Cores, x.CoreThreads = 300, 512
	for _, c := range [][3]int64{{1, 1 << 20, 300}, {3, 1 << 20, 100}, {299, 1 << 20, 2}, {300, 1 << 20, 1}, {1, 3*kernel.LeastKeys + 1, 4}, {1, 3 * kernel.LeastKeys, 3}, {0, 1, 1}} {
		require.Equal(t, c[2], splits(c[0], c[1], x), c)
	}
}
