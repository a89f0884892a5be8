package interp

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sampling"
)

// filledVector fills a new vector of the node's size.
func filledVector[F real](m *machine[F], n *ir.Node, element func(i int) F) (value[F], error) {
	out := m.alloc([]int{int(n.Attr.Size.Eval(m.env))})
	for i := range out.data {
		out.data[i] = element(i)
	}
	return out, nil
}

func arange[F real](m *machine[F], n *ir.Node, _ []value[F]) (value[F], error) {
	start := n.Attr.Start.Eval(m.env)
	return filledVector(m, n, func(i int) F { return F(start + int64(i)) })
}

func ones[F real](m *machine[F], n *ir.Node, _ []value[F]) (value[F], error) {
	return filledVector(m, n, func(int) F { return 1 })
}

func randomUniform[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	words := args[0]
	word := func(i int) uint32 { return uint32(words.ints[words.element(i)]) }
	seed := uint64(word(1))<<32 | uint64(word(0))
	return filledVector(m, n, func(i int) F { return F(sampling.Uniforms(seed, word(2), uint32(i))) })
}

// sample chooses by ir/sampling, whatever the precision: scores are f32.
func sample[F real](m *machine[F], _ *ir.Node, args []value[F]) (value[F], error) {
	logits, u, seen := m.withRows(args[0]), m.vector(args[2]), args[3]
	how := settings(m.vector(args[1]))
	ids := make([]int32, seen.len())
	for i := range ids {
		ids[i] = seen.ints[seen.element(i)]
	}
	out := dense[F](dtype.I32, logits.shape[:1])
	out.ints = make([]int32, logits.shape[0])
	row := make([]float32, logits.cols())
	for t := range out.ints {
		convert(row, logits.row(t))
		id, err := how.Choose(row, ids, float64(u[t]))
		if err != nil {
			return out, fmt.Errorf("row %d: %w", t, err)
		}
		out.ints[t] = id
	}
	return out, nil
}

// settings reads the operand of sample; what makes no sense is off.
func settings[F real](v []F) sampling.Settings {
	at := func(i int) float64 { return max(0, float64(float32(v[i]))) }
	return sampling.Settings{Temperature: at(0), TopK: int(at(1)), TopP: at(2), MinP: at(3), Repetition: at(4)}
}
