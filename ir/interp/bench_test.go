package interp_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
)

// BenchmarkMatmul reports multiply-adds as bytes: 1 GB/s is 10⁹ of them a second.
func BenchmarkMatmul(b *testing.B) {
	for _, d := range []dtype.Type{dtype.F32, dtype.F16, dtype.Q8_0} {
		for _, s := range [][3]int64{{1, 4864, 896}, {1, 896, 4864}, {4, 4864, 896}, {128, 4864, 896}, {128, 896, 4864}} {
			b.Run(fmt.Sprintf("%v/%dx%dx%d", d, s[0], s[1], s[2]), func(b *testing.B) {
				g := ir.NewGraph("g", sym.Bounds{TMin: 1, TMax: 512, PMax: 0, SMax: 512})
				x := g.Param(ir.Input, "x", ir.TypeOf(dtype.F32, sym.Const(s[0]), sym.Const(s[2])))
				w := g.Param(ir.Weight, "w", ir.TypeOf(d, sym.Const(s[1]), sym.Const(s[2])))
				y, err := g.Add(ir.OpMatmulNT, "", ir.Attr{}, x, w)
				require.NoError(b, err)
				g.Return("y", y)
				p, err := interp.New(g, func(_ string, t ir.Type) (interp.Tensor, error) {
					return interp.Stored(d, make([]byte, d.Bytes(s[1]*s[2])), int(s[1]), int(s[2])), nil
				}, interp.Float32)
				require.NoError(b, err)
				in := map[string]interp.Tensor{"x": interp.Floats(make([]float32, s[0]*s[2]), int(s[0]), int(s[2]))}
				b.SetBytes(s[0] * s[1] * s[2])
				for b.Loop() {
					_, err := p.Run(b.Context(), interp.Run{Env: sym.Env{T: 1}, Inputs: in})
					require.NoError(b, err)
				}
			})
		}
	}
}
