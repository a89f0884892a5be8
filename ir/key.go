package ir

import (
	"encoding/binary"
	"fmt"
	"math"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Key returns what two nodes share exactly when they compute the same function of operands
// of the same types, whatever their labels: what kernels are chosen and written by.
func (n *Node) Key() string { return string(n.AppendKey(nil)) }

// AppendKey appends n's Key.
func (n *Node) AppendKey(b []byte) []byte {
	if n.Region != nil {
		return n.Region.AppendKey(b)
	}
	b = append(b, byte(n.Op))
	for _, a := range n.Args {
		b = appendType(b, a.Type)
	}
	return n.appendAttr(b)
}

// AppendKey appends what two graphs share exactly when they compute the same, node by node,
// in regions of the same patterns: a value is named by the number of the node that
// makes it, from the param on, and which of its results it is.
func (g *Graph) AppendKey(b []byte) []byte {
	value := func(v *Value, before []*Node) {
		if v.Def == nil {
			b = binary.AppendVarint(b, int64(-1-v.Index))
			return
		}
		at := len(before) - 1
		for before[at] != v.Def {
			at--
		}
		b = binary.AppendVarint(append(b, byte(v.Index)), int64(at))
	}
	for _, p := range g.Params {
		b = appendType(b, p.Type)
	}
	nodes := g.Nodes()
	for i, n := range nodes {
		b = append(b, byte(n.Op), byte(len(n.Args)))
		for _, a := range n.Args {
			value(a, nodes[:i])
		}
		b = n.appendAttr(b)
		if n.Region != nil {
			b = n.Region.AppendKey(b)
		}
	}
	b = append(b, 0xff)
	for _, r := range g.Results {
		value(r.Value, nodes)
	}
	return b
}

func appendType(b []byte, t Type) []byte {
	return appendShape(append(b, byte(t.DType)), t.Shape)
}

func appendShape(b []byte, s Shape) []byte {
	b = append(b, byte(s.Rank))
	for _, d := range s.Slice() {
		b = appendDim(b, d)
	}
	return b
}

func appendDim(b []byte, d sym.Dim) []byte {
	return binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(b, d.C), int64(d.T)), int64(d.P))
}

func (n *Node) appendAttr(b []byte) []byte {
	for f := range n.Op.fields() {
		switch p := fieldInfos[f].ptr(&n.Attr).(type) {
		case *float64:
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(*p))
		case *int:
			b = binary.AppendVarint(b, int64(*p))
		case *bool:
			b = append(b, byte('0'))
			if *p {
				b[len(b)-1] = '1'
			}
		case *string:
			b = append(binary.AppendVarint(b, int64(len(*p))), *p...)
		case *sym.Dim:
			b = appendDim(b, *p)
		case *dtype.Type:
			b = append(b, byte(*p))
		case *Shape:
			b = appendShape(b, *p)
		case *[4]int8:
			for _, i := range p {
				b = append(b, byte(i))
			}
		default:
			panic(fmt.Sprintf("ir: attr field %s without a key", f))
		}
	}
	return b
}
