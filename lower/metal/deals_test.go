package metal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/sym"
)

// Rows that three, six, nine and ten simdgroups share, with a threadgroup's sums of squares, are
// computed: none of these numbers divides a threadgroup's threads as powers of two do.
func TestSharesThatAreNoPowersOfTwo(t *testing.T) {
	x := targetNamed(t, "h200")
	var graphs []*ir.Graph
	for i, c := range []struct {
		format     string
		rows, cols int
		words      string
	}{
		{"q4_0", 1536, 1536, "per-team=4 teams=1 share=6 simdgroups=12"},
		{"q4_k", 640, 8960, "per-team=4 teams=1 share=9 simdgroups=9"},
		{"q6_k", 896, 4864, "per-team=4 teams=1 share=10 simdgroups=10"},
		{"affine4_g64_bf16", 2048, 1536, "per-team=4 teams=1 share=3 simdgroups=12"},
	} {
		g := alone(parse(t, "T=1..1, P=0..8, S<=9", fmt.Sprintf("%%x = input \"x\" : f32[1, %[2]d]\n%%r = input \"r\" : f32[1, %[1]d]\n%%w = weight \"w\" : %[3]s[%[1]d, %[2]d]\n"+
			"%%m = matmul_nt %%x, %%w\n%%y = add %%m, %%r\n%%s = sum_squares %%y {size=4}\nreturn y=%%y, s=%%s", c.rows, c.cols, c.format)), fmt.Sprintf("g%d", i))
		n, err := g.Outline(g.Nodes(), "residual", "residual")
		require.NoError(t, err)
		require.Contains(t, candidates(g, n, x)[0].String(), c.words, "%s %d x %d", c.format, c.rows, c.cols)
		graphs = append(graphs, g)
	}
	b := newBatchFor(t, graphs, false, x)
	for i := range graphs {
		b.run(t, i, sym.Env{T: 1, P: 3}, 7)
	}
}
