package viz_test

import (
	"strings"
	"testing"

	"foundry/ir"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// lowered makes a plan of g, a dispatch a node that is no view, with a barrier
// wherever a dispatch reads what one after the last barrier wrote.
func lowered(t testing.TB, g *ir.Graph) *plan.Plan {
	t.Helper()
	p := &plan.Plan{Model: plan.Model{Name: "tiny"}, Options: plan.Options{Target: "apple-m3-pro"}}
	buffer := map[*ir.Value]int{}
	add := func(v *ir.Value, b plan.Buffer) {
		b.Bytes, b.DType, b.Shape = v.Type.MaxBytes(g.Bounds), v.Type.DType, v.Type.Shape.Slice()
		if b.Class == plan.Transient {
			b.Offset = p.ArenaBytes
			p.ArenaBytes += (b.Bytes + 255) / 256 * 256
		}
		buffer[v] = len(p.Buffers)
		p.Buffers = append(p.Buffers, b)
	}
	for _, v := range g.Params {
		class := map[ir.ParamKind]plan.Class{ir.Input: plan.State, ir.Weight: plan.Weight, ir.State: plan.State, ir.Const: plan.Constant}[v.Param.Kind]
		b := plan.Buffer{Name: v.Param.Name, Class: class}
		if v.Param.Kind == ir.Input {
			b.Role = plan.BufferRole(v.Param.Name)
		}
		add(v, b)
	}
	kernels := map[string]int{}
	e := plan.Entry{Name: g.Name, TMin: g.Bounds.TMin, TMax: g.Bounds.TMax}
	fresh := map[int]bool{} // buffers written since the last barrier
	wave := 0
	for _, n := range g.Nodes() {
		if n.Op.Is(ir.View) {
			buffer[n.Result()] = buffer[n.Args[0]]
			continue
		}
		k, ok := kernels[n.Key()]
		if !ok {
			k = len(p.Kernels)
			kernels[n.Key()] = k
			name := n.Op.String()
			if n.Region != nil {
				name = strings.ReplaceAll(n.Attr.Pattern, "-", "_")
			}
			p.Kernels = append(p.Kernels, plan.Kernel{Name: name, Threads: [3]int{256, 1, 1}})
		}
		d := &plan.Dispatch{Kernel: k, Label: n.Label, Layer: n.Layer(), Grid: [3]plan.GridDim{{N: sym.Const(96), Div: 8}, {N: sym.T, Div: 1}, {N: sym.Const(1), Div: 1}}}
		d.Nodes = []plan.Node{{Label: n.Label, Op: n.Op.String()}}
		if n.Region != nil {
			d.Nodes = nil
			for _, m := range n.Region.Nodes() {
				d.Nodes = append(d.Nodes, plan.Node{Label: m.Label, Op: m.Op.String()})
			}
		}
		waits := false
		for i, a := range n.Args {
			access := plan.Read
			for _, o := range n.Overwrites() {
				if o == i {
					access = plan.ReadWrite
				}
			}
			b := plan.Binding{Buffer: buffer[a], Bytes: p.Buffers[buffer[a]].Bytes, Access: access}
			d.Bind = append(d.Bind, b)
			d.Moved.C += b.Bytes
			waits = waits || fresh[b.Buffer]
		}
		if waits {
			e.Steps = append(e.Steps, plan.Step{Barrier: true})
			wave++
			clear(fresh)
		}
		for _, r := range n.Results {
			if root := ir.StateRoot(r); root != r {
				buffer[r] = buffer[root]
			} else {
				add(r, plan.Buffer{Name: n.Label, Class: plan.Transient})
				d.Bind = append(d.Bind, plan.Binding{Buffer: buffer[r], Bytes: r.Type.MaxBytes(g.Bounds), Access: plan.Write})
			}
			fresh[buffer[r]] = true
		}
		d.Wave = wave
		e.Steps = append(e.Steps, plan.Step{Dispatch: d})
	}
	for _, r := range g.Results {
		e.Results = append(e.Results, plan.Result{Name: r.Name, Buffer: buffer[r.Value]})
	}
	e.CommandBuffers = []plan.CommandBuffer{{First: 0, Last: len(e.Steps)}}
	p.Entries = []plan.Entry{e}
	return p
}
