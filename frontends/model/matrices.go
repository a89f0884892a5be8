package model

import (
	"fmt"

	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/ir/dtype"
)

// MatrixTypes gives each of the model's matrices its dtype in the graphs: the one
// that is asked for, or f16 where its blocks do not divide the rows. Where none is
// asked for (dtype.Invalid), quantised matrices keep the format they are stored
// in, each its own, and the rest gets the dtype others. mostly is the dtype that most
// elements have; note, a line about matrices that are not what was asked, or "".
func (m *Model) MatrixTypes(asked, others dtype.Type) (types map[string]dtype.Type, mostly dtype.Type, note string) {
	types = map[string]dtype.Type{}
	elements := map[dtype.Type]int64{}
	unfit := 0
	for _, w := range decoder.Weights(m.Config) {
		if len(w.Shape) < 2 {
			continue
		}
		t := asked
		info, _ := m.source.Info(w.Name)
		switch {
		case asked != dtype.Invalid && !checkpoint.WholeBlocks(asked, w.Shape):
			t = dtype.F16
			unfit++
		case asked == dtype.Invalid && info.DType.Quantised():
			t = info.DType
		case asked == dtype.Invalid:
			t = others
		}
		types[w.Name] = t
		elements[t] += info.Elements()
		if elements[t] > elements[mostly] {
			mostly = t
		}
	}
	if unfit > 0 {
		block, _ := asked.Block()
		note = fmt.Sprintf("%d of %d matrices stay f16: %s's blocks of %d do not divide their rows", unfit, len(types), asked, block)
	}
	return types, mostly, note
}

// Stored returns the dtype that a tensor has in the checkpoint, or dtype.Invalid.
func (m *Model) Stored(tensor string) dtype.Type {
	if m.source == nil {
		return dtype.Invalid
	}
	info, _ := m.source.Info(tensor)
	return info.DType
}

// MatrixBytes is what matrices of the given dtypes take.
func (m *Model) MatrixBytes(types map[string]dtype.Type) int64 {
	n := int64(0)
	for name, t := range types {
		info, _ := m.source.Info(name)
		n += t.Bytes(info.Elements())
	}
	return n
}
