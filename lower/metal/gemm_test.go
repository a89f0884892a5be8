package metal_test

import (
	"fmt"
	"testing"

	"foundry/ir"
	"foundry/ir/sym"
)

// TestGEMM runs products of many rows over the edges of tiles in every direction.
func TestGEMM(t *testing.T) {
	var graphs []*ir.Graph
	for _, x := range []struct{ k, n int }{{32, 32}, {33, 37}, {36, 30}, {96, 130}, {64, 64}} {
		for _, w := range []string{"f16", "bf16"} {
			text := fmt.Sprintf("%%0 = input \"x\" : f32[T, %d]\n%%1 = weight \"w\" : %s[%d, %d]\n%%2 = matmul_nt %%0, %%1 : f32[T, %d]\nreturn y=%%2", x.k, w, x.n, x.k, x.n)
			graphs = append(graphs, alone(parse(t, "T=1..65, P=0..0, S<=65", text), fmt.Sprintf("k%d_n%d_%s", x.k, x.n, w)))
		}
	}
	for _, checked := range []bool{false, true} {
		b := newBatch(t, graphs, checked)
		for i, g := range graphs {
			t.Run(fmt.Sprintf("%s/checked=%t", g.Name, checked), func(t *testing.T) {
				for _, rows := range []int64{1, 2, 7, 8, 9, 16, 17, 33, 64, 65} {
					if checked && rows != 17 {
						continue
					}
					b.run(t, i, sym.Env{T: rows}, uint64(rows))
				}
			})
		}
	}
}
