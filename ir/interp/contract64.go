package interp

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"

	"foundry/ir"
)

func meanings64() map[ir.Op]meaning[float64] {
	k := meanings[float64]()
	k[ir.OpMatmulNT], k[ir.OpBmmNT], k[ir.OpBmmNN] = matmul64, bmmNT64, bmmNN64
	return k
}

// matmul64 widens blocks of the matrix and leaves the product to gonum.
func matmul64(m *machine[float64], _ *ir.Node, args []value[float64]) (value[float64], error) {
	x, w := m.packed(args[0]), m.withRows(args[1])
	rows, cols := w.shape[0], w.shape[1]
	out := m.alloc([]int{x.shape[0], rows})
	m.parallel(rows, x.shape[0]*cols, func() func(lo, hi int) {
		const most = 64
		block := make([]float64, min(most, rows)*cols)
		read := w.reader()
		return func(lo, hi int) {
			for ; lo < hi; lo += most {
				n := min(most, hi-lo)
				for i := range n {
					copy(block[i*cols:(i+1)*cols], read(lo+i))
				}
				blas64.Gemm(blas.NoTrans, blas.Trans, 1, matrix(x, 0),
					blas64.General{Rows: n, Cols: cols, Stride: cols, Data: block}, 0,
					blas64.General{Rows: x.shape[0], Cols: n, Stride: rows, Data: out.data[lo:]})
			}
		}
	})
	return out, nil
}

// matrix sees head h of [H, M, N], or all of [M, N], as gonum does; v is dense.
func matrix(v value[float64], h int) blas64.General {
	r := len(v.shape)
	rows, cols := v.shape[r-2], v.shape[r-1]
	at := v.offset + h*rows*cols
	return blas64.General{Rows: rows, Cols: cols, Stride: cols, Data: v.data[at : at+rows*cols]}
}

func bmmNT64(m *machine[float64], n *ir.Node, args []value[float64]) (value[float64], error) {
	return bmm64(m, blas.Trans, n.Attr.Scale, args, args[1].shape[1])
}

func bmmNN64(m *machine[float64], _ *ir.Node, args []value[float64]) (value[float64], error) {
	return bmm64(m, blas.NoTrans, 1, args, args[1].shape[2])
}

func bmm64(m *machine[float64], t blas.Transpose, scale float64, args []value[float64], cols int) (value[float64], error) {
	a, b := m.packed(args[0]), m.packed(args[1])
	out := m.alloc([]int{a.shape[0], a.shape[1], cols})
	group := a.shape[0] / b.shape[0]
	for h := range a.shape[0] {
		blas64.Gemm(blas.NoTrans, t, scale, matrix(a, h), matrix(b, h/group), 0, matrix(out, h))
	}
	return out, nil
}
