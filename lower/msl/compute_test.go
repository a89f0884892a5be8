package msl

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Numbers are computed where the result is what 32 bits without wrapping give.
func TestCompute(t *testing.T) {
	const most = 1<<32 - 1
	for _, c := range []struct {
		a    int64
		o    operator
		b    int64
		want int64 // -1: not computed
	}{
		{most, plus, 0, most}, {most, plus, 1, -1}, {0, plus, most + 1, -1}, {most + 1, minus, most + 1, -1}, {-1, plus, 2, -1}, {2, plus, -1, -1},
		{65537, product, 65535, most}, {65536, product, 65536, -1}, {0, product, most, 0}, {most, product, 1, most}, {most, product, 2, -1},
		{7, minus, 7, 0}, {6, minus, 7, -1},
		{7, quotient, 2, 3}, {7, quotient, 0, -1}, {7, quotient, 1, 7},
		{7, remainder, 4, 3}, {7, remainder, 0, -1}, {7, remainder, 1, 0},
	} {
		n, ok := compute(c.o, c.a, c.b)
		require.Equal(t, c.want >= 0, ok, "%d %v %d", c.a, c.o, c.b)
		if ok {
			require.Equal(t, c.want, n, "%d %v %d", c.a, c.o, c.b)
		}
	}
}
