package viz

import (
	"fmt"
	"strconv"
	"strings"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/sym"
	"foundry/lower/compile"
	"foundry/lower/plan"
)

// pageDispatch is a dispatch with its time and its bytes in the run that decisions were
// made for.
type pageDispatch struct {
	Index  int         `json:"i"` // the dispatch's number in the entry, from 0
	Label  string      `json:"label"`
	Kernel int         `json:"kernel"` // the kernel's name in plan.json
	Layer  int         `json:"layer"`
	Wave   int         `json:"wave"`
	Buffer int         `json:"buffer"` // command buffer, from 0
	Grid   string      `json:"grid"`
	Moved  string      `json:"moved"`
	Bytes  int64       `json:"bytes"`
	Flops  int64       `json:"flops"`
	Us     float64     `json:"us"`
	Nodes  []plan.Node `json:"nodes"`
	Bind   []pageBind  `json:"bind"`
}

// pageBind is one argument.
type pageBind struct {
	Slot   string      `json:"slot"`
	Type   string      `json:"type"`
	Access plan.Access `json:"access"`
	Buffer string      `json:"buffer"`
	Class  plan.Class  `json:"class"`
	Offset int64       `json:"offset"`
	Bytes  int64       `json:"bytes"`
}

// dispatches fills in the entry's dispatches and their times: measured ones where times
// has them, otherwise those of the cost model, which predicts waves. A wave's time is
// dealt out to its dispatches by what each takes alone.
func (e *pageEntry) dispatches(c *compile.Compiled, g *ir.Graph, env sym.Env, times map[string]float64) error {
	p := c.Plan
	in, err := p.Entry(g.Name)
	if err != nil {
		return err
	}
	e.At = "T=" + strconv.FormatInt(env.T, 10) + ", P=" + strconv.FormatInt(env.P, 10)
	kernels := map[string][]cost.Kernel{} // of nodes, by label
	run := c.Choices.Finished(g, env)
	for _, n := range g.Nodes() {
		kernels[n.Label] = append(kernels[n.Label], run.Kernels(n)...)
	}
	var waves [][]cost.Kernel
	var members [][]int
	wave := -1
	starts := map[int]int{}
	for i, b := range in.CommandBuffers {
		starts[b.First] = i
	}
	buffer := 0
	for i, s := range in.Steps {
		if n, ok := starts[i]; ok {
			buffer = n
		}
		d := s.Dispatch
		if d == nil {
			continue
		}
		out := pageDispatch{
			Index: len(e.Dispatches), Label: d.Label, Kernel: d.Kernel, Layer: d.Layer, Wave: d.Wave, Buffer: buffer,
			Grid: gridText(d.Grid), Moved: polyBytes(d.Moved), Bytes: d.Moved.Eval(env), Flops: d.Flops.Eval(env), Nodes: d.Nodes,
		}
		k := &p.Kernels[d.Kernel]
		for j, b := range d.Bind {
			buf := &p.Buffers[b.Buffer]
			out.Bind = append(out.Bind, pageBind{k.Slots[j].Name, k.Slots[j].Type, b.Access, buf.Name, buf.Class, b.Offset, b.Bytes})
		}
		e.Dispatches = append(e.Dispatches, out)
		if d.Wave != wave {
			wave, waves, members = d.Wave, append(waves, nil), append(members, nil)
		}
		last := len(waves) - 1
		predicted, ok := takeKernel(kernels, d.Label)
		if !ok { // it copies a result that is a param's or another's, as no node of the graph does
			predicted = cost.Kernel{Memory: float64(out.Bytes), Groups: 1, Threads: float64(k.Threads[0] * k.Threads[1] * k.Threads[2])}
			for _, n := range d.Grid {
				predicted.Groups *= float64(n.Eval(env))
			}
		}
		waves[last], members[last] = append(waves[last], predicted), append(members[last], out.Index)
	}
	for i, w := range waves {
		us, alone := cost.Wave(w, c.Target), 0.0
		e.DeviceUs += us
		for _, k := range w {
			alone += k.Us(c.Target)
		}
		for j, at := range members[i] {
			if e.Dispatches[at].Us = us / float64(len(w)); alone > 0 {
				e.Dispatches[at].Us = us * w[j].Us(c.Target) / alone
			}
		}
	}
	if times == nil {
		return nil
	}
	e.DeviceUs = 0
	for i := range e.Dispatches {
		name := p.Kernels[e.Dispatches[i].Kernel].Name
		us, ok := times[name]
		if !ok {
			return fmt.Errorf("no time was measured of kernel %s", name)
		}
		e.Dispatches[i].Us = us
		e.DeviceUs += e.Dispatches[i].Us
	}
	return nil
}

// takeKernel takes the next kernel of the node that a dispatch is of: its label is the
// node's, or that and a part's name. It is false where no node of that label has one left.
func takeKernel(kernels map[string][]cost.Kernel, label string) (cost.Kernel, bool) {
	for _, name := range []string{label, label[:max(0, strings.LastIndexByte(label, '.'))]} {
		if list := kernels[name]; len(list) > 0 {
			kernels[name] = list[1:]
			return list[0], true
		}
	}
	return cost.Kernel{}, false
}

func threadgroupBytes(k *plan.Kernel) int {
	n := 0
	for _, a := range k.Threadgroup {
		n += a.Bytes
	}
	return n
}
