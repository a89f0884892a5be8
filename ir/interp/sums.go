package interp

import (
	"math"

	"foundry/ir"
)

// sumSquares and rmsScale are rms_norm in two steps: the sums that one kernel
// leaves behind, and the norm that the next one finishes from them.

// squares returns the sum of the squares of x.
func squares[F real](x []F) (sum float64) {
	for _, v := range x {
		sum += float64(float64(v) * float64(v))
	}
	return sum
}

// scaleRow writes x / sqrt(sum/len(x) + eps) * w to out, which may be x.
func scaleRow[F real](x, w []F, sum, eps float64, out []F) {
	inv := 1 / math.Sqrt(sum/float64(len(x))+eps)
	for i, v := range x {
		out[i] = F(float64(v) * inv * float64(w[i]))
	}
}

func sumSquares[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	x := m.withRows(args[0])
	size := int(n.Attr.Size.Eval(m.env))
	shape := append([]int(nil), x.shape...)
	shape[len(shape)-1] /= size
	out := m.alloc(shape)
	m.parallel(x.rows(), x.cols(), func() func(lo, hi int) {
		return func(lo, hi int) {
			for i := lo; i < hi; i++ {
				row, sums := x.row(i), out.row(i)
				for j := range sums {
					sums[j] = F(squares(row[j*size : (j+1)*size]))
				}
			}
		}
	})
	return out, nil
}

func rmsScale[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	sums, w := m.withRows(args[1]), m.vector(args[2])
	return eachRow(m, args, 2, func(i int, x, out []F) {
		var sum float64
		for _, v := range sums.row(i) {
			sum += float64(v)
		}
		scaleRow(x, w, sum, n.Attr.Eps, out)
	}), nil
}
