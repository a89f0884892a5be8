package interp

import (
	"fmt"
	"math"

	"foundry/ir"
	"foundry/ir/dtype"
)

// meaning computes the result of one node. It may take a dying operand's storage
// for it, and must not write to any other operand but a cache it overwrites.
type meaning[F real] func(m *machine[F], n *ir.Node, args []value[F]) (value[F], error)

// meanings is the table from op to meaning, but for the contractions, which the
// precisions do differently (contract32.go, contract64.go). A fused node needs
// none: its region's nodes are steps of the program.
func meanings[F real]() map[ir.Op]meaning[F] {
	return map[ir.Op]meaning[F]{
		ir.OpEmbedding:     embedding[F],
		ir.OpRMSNorm:       rmsNorm[F],
		ir.OpSumSquares:    sumSquares[F],
		ir.OpRMSScale:      rmsScale[F],
		ir.OpAdd:           add[F],
		ir.OpMul:           mul[F],
		ir.OpSilu:          function[F](16, silu),
		ir.OpRope:          rope[F],
		ir.OpKVRearrange:   kvRearrange[F],
		ir.OpKVWrite:       kvWrite[F],
		ir.OpRepeatKV:      repeatKV[F],
		ir.OpSoftmax:       softmax[F],
		ir.OpArgmax:        argmax[F],
		ir.OpSample:        sample[F],
		ir.OpArange:        arange[F],
		ir.OpOnes:          ones[F],
		ir.OpRandomUniform: randomUniform[F],
		ir.OpCast:          cast[F],
		ir.OpReshape:       reshape[F],
		ir.OpSlice:         slice[F],
		ir.OpTranspose:     transpose[F],
		ir.OpConcat:        concat[F],
	}
}

func embedding[F real](m *machine[F], _ *ir.Node, args []value[F]) (value[F], error) {
	ids, table := args[0], args[1]
	vocab, cols := table.shape[0], table.shape[1]
	out := m.alloc([]int{ids.shape[0], cols})
	for i := range ids.shape[0] {
		id := ids.ints[ids.element(i)]
		if id < 0 || int(id) >= vocab {
			return out, fmt.Errorf("id %d at position %d is outside the vocabulary of %d", id, i, vocab)
		}
	}
	table = m.withRows(table)
	m.parallel(ids.shape[0], cols, func() func(lo, hi int) {
		read := table.reader()
		return func(lo, hi int) {
			for i := lo; i < hi; i++ {
				copy(out.row(i), read(int(ids.ints[ids.element(i)])))
			}
		}
	})
	return out, nil
}

// eachRow runs do for each row of x, as floats, and the same row of a result like x.
func eachRow[F real](m *machine[F], args []value[F], cost int, do func(i int, x, out []F)) value[F] {
	out := m.resultLike(args, 0)
	x := m.withRows(args[0])
	m.parallel(x.rows(), cost*x.cols(), func() func(lo, hi int) {
		row := x.reader() // which widens blocks
		return func(lo, hi int) {
			for i := lo; i < hi; i++ {
				do(i, row(i), out.row(i))
			}
		}
	})
	return out
}

func rmsNorm[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	w := m.vector(args[1])
	return eachRow(m, args, 2, func(_ int, x, out []F) {
		scaleRow(x, w, squares(x), n.Attr.Eps, out)
	}), nil
}

// broadcast runs do for each row of a with the row of b that stands for it.
func broadcast[F real](m *machine[F], args []value[F], do func(out, a, b []F)) (value[F], error) {
	b := m.withRows(args[1])
	rows := b.rows()
	return eachRow(m, args, 1, func(i int, a, out []F) { do(out, a, b.row(i%rows)) }), nil
}

func add[F real](m *machine[F], _ *ir.Node, args []value[F]) (value[F], error) {
	return broadcast(m, args, func(out, a, b []F) {
		for i, v := range a {
			out[i] = v + b[i]
		}
	})
}

func mul[F real](m *machine[F], _ *ir.Node, args []value[F]) (value[F], error) {
	return broadcast(m, args, func(out, a, b []F) {
		for i, v := range a {
			out[i] = v * b[i]
		}
	})
}

// function is the kernel of an op that works on one element: f of the element and the
// node's attrs. cost is what one takes, in additions.
func function[F real](cost int, f func(x float64, a *ir.Attr) float64) meaning[F] {
	var k meaning[F]
	k = func(m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
		if len(args[0].shape) == 0 {
			args[0] = args[0].asRow()
			out, err := k(m, n, args)
			return out.asScalar(), err
		}
		return eachRow(m, args, cost, func(_ int, x, out []F) {
			for i, v := range x {
				out[i] = F(f(float64(v), &n.Attr))
			}
		}), nil
	}
	return k
}

func silu(x float64, _ *ir.Attr) float64 { return x / (1 + math.Exp(-x)) }

func cast[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	if len(args[0].shape) == 0 {
		args[0] = args[0].asRow()
		out, err := cast(m, n, args)
		return out.asScalar(), err
	}
	out := eachRow(m, args, 4, func(_ int, x, out []F) {
		for i, v := range x {
			out[i] = round(n.Attr.To, v)
		}
	})
	out.dtype = n.Attr.To
	return out, nil
}

func softmax[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	tokens, cols := args[0].shape[len(args[0].shape)-2], args[0].cols()
	start := int(n.Attr.Start.Eval(m.env))
	out, x := m.resultLike(args, 0), args[0]
	if x.data != nil {
		x = m.withRows(x)
	}
	m.parallel(x.rows(), 16*cols, func() func(lo, hi int) {
		row := x.reader() // which widens blocks
		return func(lo, hi int) {
			for i := lo; i < hi; i++ {
				hidden, seen := 0, cols
				if n.Attr.Causal {
					seen = min(cols, start+i%tokens+1)
				}
				if n.Attr.Window > 0 {
					hidden = max(0, seen-n.Attr.Window)
				}
				softmaxRow(row(i)[hidden:seen], out.row(i)[hidden:])
				clear(out.row(i)[:hidden])
			}
		}
	})
	return out, nil
}

// softmaxRow writes the softmax of x to out and zeros to the rest of out. The
// two may be the same storage.
func softmaxRow[F real](x, out []F) {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(v))
	}
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	for i, v := range x {
		out[i] = F(math.Exp(float64(v)-top) / sum)
	}
	clear(out[len(x):])
}

func argmax[F real](m *machine[F], _ *ir.Node, args []value[F]) (value[F], error) {
	x := m.withRows(args[0])
	out := dense[F](dtype.I32, x.shape[:1])
	out.ints = make([]int32, x.shape[0])
	m.parallel(x.shape[0], x.cols(), func() func(lo, hi int) {
		return func(lo, hi int) {
			for t := lo; t < hi; t++ {
				row, best := x.row(t), 0
				for i, v := range row {
					if v > row[best] {
						best = i
					}
				}
				out.ints[t] = int32(best)
			}
		}
	})
	return out, nil
}

// rope computes its angles in float64 from the f32 table, whatever the precision.
func rope[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	tokens, half := args[0].shape[1], args[0].shape[2]/2
	freq := m.vector(args[1])
	start := n.Attr.Start.Eval(m.env)
	turns := make([]struct{ sin, cos float64 }, tokens*half)
	m.parallel(tokens, 64*half, func() func(lo, hi int) {
		return func(lo, hi int) {
			for t := lo; t < hi; t++ {
				for i, f := range freq {
					s, c := math.Sincos(float64(start+int64(t)) * float64(f))
					turns[t*half+i].sin, turns[t*half+i].cos = s, c
				}
			}
		}
	})
	return eachRow(m, args, 2, func(i int, x, out []F) {
		for j, turn := range turns[i%tokens*half:][:half] {
			a, b := float64(x[j]), float64(x[j+half])
			// The conversions keep the products apart from the sums, so that no
			// machine fuses them.
			out[j] = F(float64(a*turn.cos) - float64(b*turn.sin))
			out[j+half] = F(float64(b*turn.cos) + float64(a*turn.sin))
		}
	}), nil
}
