package passes

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
)

// A sum covers eight squares, and fewer where a row has no more than 384 sums so.
func TestSquaresOfASum(t *testing.T) {
	for cols, want := range map[int]int64{512: 2, 768: 2, 896: 4, 1024: 4, 1536: 4, 1544: 8, 2048: 8, 3584: 8, 12: 2, 15: 0} {
		g, err := ir.Parse("g", fmt.Sprintf("graph @g(T=1..1, P=0..0, S<=1) {\n  %%i = input \"i\" : i32[T]\n  %%e = weight \"e\" : f32[9, %[1]d]\n  %%w = weight \"w\" : f32[%[1]d]\n  %%v = weight \"v\" : f32[3, %[1]d]\n"+
			"  %%x = embedding %%i, %%e\n  %%h = rms_norm %%x, %%w {eps=1e-6}\n  %%y = matmul_nt %%h, %%v\n  return y=%%y\n}\n", cols))
		require.NoError(t, err)
		for _, n := range g.Nodes() {
			if n.Op == ir.OpRMSNorm {
				size, why := splitLength(n)
				require.Equal(t, want, size, "%d columns: %s", cols, why)
				require.Equal(t, want == 0, why != "", cols)
			}
		}
	}
}
