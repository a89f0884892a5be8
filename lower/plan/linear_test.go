package plan

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// A bundle may be large: what checks it takes time and memory in proportion. Each of
// these plans took minutes or gigabytes where pairs of their parts were looked at.
func TestChecksAreLinear(t *testing.T) {
	const n = 20000
	one := GridDim{sym.Const(1), 1}
	kernel := Kernel{Name: "k", Source: "kernel void k() {}", Threads: [3]int{1, 1, 1},
		Slots: []Slot{{"x", "float", "device", Read}, {"y", "float", "device", Write}}}
	buffer := func(class Class, name string, i int) Buffer {
		return Buffer{Name: fmt.Sprint(name, i), Class: class, Bytes: 256, DType: dtype.F32, Shape: []sym.Dim{sym.Const(64)}}
	}
	dispatch := func(i, from, to int) Step {
		return Step{Dispatch: &Dispatch{Label: fmt.Sprint("d", i), Layer: -1, Grid: [3]GridDim{one, one, one},
			Bind: []Binding{{from, 0, 256, Read}, {to, 0, 256, Write}}}}
	}
	empty := func() *Plan {
		return &Plan{Schema: Schema, MSL: "3.0", Options: Options{Weights: dtype.F32, Cache: dtype.F32}, Kernels: []Kernel{kernel},
			Buffers: []Buffer{buffer(Input, "x", 0)}}
	}
	finish := func(e Entry) Entry {
		e.TMin, e.TMax = 1, 1
		e.CommandBuffers = []CommandBuffer{{0, len(e.Steps)}}
		return e
	}
	for name, p := range map[string]*Plan{
		"entries": func() *Plan { // each binds a buffer of its own
			p := empty()
			for i := range n {
				p.Buffers = append(p.Buffers, buffer(Output, "y", i))
				p.Entries = append(p.Entries, finish(Entry{Name: fmt.Sprint("e", i), Steps: []Step{dispatch(i, 0, i+1)},
					Results: []Result{{"y", i + 1}}}))
			}
			return p
		}(),
		"readers": func() *Plan { // of one buffer, in one wave, each with a result
			p := empty()
			e := Entry{Name: "e"}
			for i := range n {
				p.Buffers = append(p.Buffers, buffer(Output, "y", i))
				e.Steps = append(e.Steps, dispatch(i, 0, i+1))
				e.Results = append(e.Results, Result{fmt.Sprint("y", i), i + 1})
			}
			p.Entries = []Entry{finish(e)}
			return p
		}(),
		"arena": func() *Plan { // in an order that is none of the addresses
			p := empty()
			p.ArenaBytes = 256 * n
			e := Entry{Name: "e"}
			for i := range n {
				b := buffer(Transient, "y", i)
				b.Offset = 256 * int64(i*7919%n)
				p.Buffers = append(p.Buffers, b)
				e.Steps = append(e.Steps, dispatch(i, 0, i+1))
			}
			p.Entries = []Entry{finish(e)}
			return p
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			require.NoError(t, p.Check())
			require.Less(t, time.Since(began), 20*time.Second)
		})
	}
}
