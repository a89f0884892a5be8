package interp

import "foundry/ir"

func meanings32() map[ir.Op]meaning[float32] {
	k := meanings[float32]()
	k[ir.OpMatmulNT], k[ir.OpBmmNT], k[ir.OpBmmNN] = matmul32, bmmNT32, bmmNN32
	return k
}

// weightRows is how many rows of a matrix at most stay in the processor's cache
// while all rows of x meet them.
const weightRows = 16

// matmul32 reads the matrix once, a few rows at a time.
func matmul32(m *machine[float32], _ *ir.Node, args []value[float32]) (value[float32], error) {
	x, w := m.withRows(args[0]), m.withRows(args[1])
	tokens, cols := x.shape[0], x.shape[1]
	out := m.alloc([]int{tokens, w.shape[0]})
	m.parallel(w.shape[0], tokens*cols, func() func(lo, hi int) {
		block := make([][]float32, min(weightRows, tokens))
		readers := make([]func(int) []float32, len(block))
		for i := range readers {
			readers[i] = w.reader()
		}
		return func(lo, hi int) {
			for ; lo < hi; lo += len(block) {
				rows := block[:min(len(block), hi-lo)]
				for i := range rows {
					rows[i] = readers[i](lo + i)
				}
				for t := range tokens {
					a, y := x.row(t), out.data[t*w.shape[0]+lo:]
					for i, row := range rows {
						y[i] = float32(dot(a, row))
					}
				}
			}
		}
	})
	return out, nil
}

func bmmNT32(m *machine[float32], n *ir.Node, args []value[float32]) (value[float32], error) {
	a, b := m.withRows(args[0]), m.withRows(args[1])
	rows, cols, keys := a.shape[1], a.shape[2], b.shape[1]
	group := a.shape[0] / b.shape[0]
	out := m.alloc([]int{a.shape[0], rows, keys})
	m.parallel(a.rows(), cols*keys, func() func(lo, hi int) {
		return func(lo, hi int) {
			for i := lo; i < hi; i++ {
				x := a.row(i)
				key := b.offset + i/rows/group*b.stride[0]
				for j, y := 0, out.row(i); j < keys; j++ {
					y[j] = float32(n.Attr.Scale * dot(x, b.data[key:key+cols]))
					key += b.stride[1]
				}
			}
		}
	})
	return out, nil
}

func bmmNN32(m *machine[float32], _ *ir.Node, args []value[float32]) (value[float32], error) {
	a, b := m.withRows(args[0]), m.withRows(args[1])
	rows, keys, cols := a.shape[1], a.shape[2], b.shape[2]
	group := a.shape[0] / b.shape[0]
	out := m.alloc([]int{a.shape[0], rows, cols})
	m.parallel(a.rows(), keys*cols, func() func(lo, hi int) {
		sum := make([]float64, cols)
		return func(lo, hi int) {
			for i := lo; i < hi; i++ {
				clear(sum)
				key := b.offset + i/rows/group*b.stride[0]
				f := a.row(i)
				for ; len(f) >= 4; f = f[4:] {
					addScaled4(sum, f, b.data[key:], b.stride[1])
					key += 4 * b.stride[1]
				}
				for _, f := range f {
					addScaled(sum, float64(f), b.data[key:])
					key += b.stride[1]
				}
				convert(out.row(i), sum)
			}
		}
	})
	return out, nil
}

// addScaled adds f*x[i], an exact product of float32 values, to each sum[i].
func addScaled(sum []float64, f float64, x []float32) {
	x = x[:len(sum)]
	for i := range sum {
		sum[i] += f * float64(x[i])
	}
}

// addScaled4 is addScaled with f[0] to f[3] and four rows, in this order.
func addScaled4(sum []float64, f, rows []float32, stride int) {
	n := len(sum)
	a, b, c, d := float64(f[0]), float64(f[1]), float64(f[2]), float64(f[3])
	x, y, z, w := rows[:n], rows[stride:][:n], rows[2*stride:][:n], rows[3*stride:][:n]
	for i := range sum {
		s := sum[i] + a*float64(x[i])
		s += b * float64(y[i])
		s += c * float64(z[i])
		sum[i] = s + d*float64(w[i])
	}
}
